"""Talks over the network from inside a namespace, and says how it went; run as a program of its own.

`listen ADDRESS:PORT...` answers TCP and UDP until it is ended; `tcp ADDRESS PORT`,
`udp ADDRESS PORT` and `ping ADDRESS 0` print "answered", or the name of the error.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import sys

_PATIENCE = 2.0
# ip(7): has the socket told of ICMP errors of every kind. Python 3.11 has no name for it.
_IP_RECVERR = 11


def listen(*places: str) -> None:
    selector = selectors.DefaultSelector()
    for place in places:
        address, _, port = place.partition(":")
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one = socket.socket(socket.AF_INET, kind)
            one.bind((address, int(port)))
            if kind == socket.SOCK_STREAM:
                one.listen()
            selector.register(one, selectors.EVENT_READ)
    print("ready", flush=True)  # noqa: T201 - what it says is its result
    while True:
        for key, _ in selector.select():
            answer(socket.socket(fileno=os.dup(key.fd)))


def answer(one: socket.socket) -> None:
    with one:
        if one.type == socket.SOCK_STREAM:
            peer, _ = one.accept()
            with peer:
                peer.sendall(b"yes")
        else:
            _, sender = one.recvfrom(16)
            one.sendto(b"yes", sender)


def echo(identifier: int) -> bytes:
    """An ICMP echo request (RFC 792), number 0 of its own sequence: one of another would pass as its continuation."""
    total = 0x0800 + identifier
    checksum = 0xFFFF - (total & 0xFFFF) - (total >> 16)
    return struct.pack(">BBHHH", 8, 0, checksum, identifier, 0)


def ask(kind: str, address: str, port: int) -> str:
    forms = {
        "tcp": (socket.SOCK_STREAM, 0, b""),
        "udp": (socket.SOCK_DGRAM, 0, b"?"),
        "ping": (socket.SOCK_RAW, socket.IPPROTO_ICMP, echo(os.getpid() & 0xFFFF)),
    }
    type_, protocol, said = forms[kind]
    with socket.socket(socket.AF_INET, type_, protocol) as one:
        one.settimeout(_PATIENCE)
        one.setsockopt(socket.SOL_IP, _IP_RECVERR, 1)
        try:
            one.connect((address, port))
            if said:
                one.send(said)
            one.recv(64)
        except TimeoutError:
            return "silence"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return "answered"


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "listen":
        listen(*rest)
    else:
        print(ask(verb, rest[0], int(rest[1])))  # noqa: T201 - likewise
