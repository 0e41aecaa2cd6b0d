"""Gives the node the Pod Identity agent's address: 169.254.170.23/32 on the loopback link.

EKS's agent makes a dummy link for it (aws/eks-pod-identity-agent, `initialize`); not every kernel has such links. One
file of the standard library: rtnetlink(7) by hand, since the image it runs in has no ip(8). An address that is there
stays.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

# linux/rtnetlink.h, linux/netlink.h, linux/if_addr.h
_RTM_NEWADDR = 20
_FLAGS = 0x1 | 0x4 | 0x400 | 0x100  # REQUEST, ACK, CREATE, REPLACE
_NLMSG_ERROR = 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_SCOPE_HOST = 254
_PREFIX = 32


def request(address: str, link: str) -> bytes:
    """The message that gives a link an IPv4 address."""
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, _PREFIX, 0, _SCOPE_HOST, socket.if_nametoindex(link))
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        body += struct.pack("=HH4s", 8, kind, packed)
    return struct.pack("=IHHII", 16 + len(body), _RTM_NEWADDR, _FLAGS, 1, 0) + body


def add(address: str, link: str = "lo") -> None:
    """Give a link an address.

    Raises:
        OSError: The kernel refuses: without CAP_NET_ADMIN, or for a link that is not there.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(request(address, link))
        answer = kernel.recv(65536)
    _, kind = struct.unpack_from("=IH", answer)
    code = struct.unpack_from("=i", answer, 16)[0] if kind == _NLMSG_ERROR else 0
    if code:
        raise OSError(-code, os.strerror(-code))


if __name__ == "__main__":
    add(*sys.argv[1:])
    print(f"{sys.argv[1]} is there", flush=True)
