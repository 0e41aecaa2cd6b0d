"""A host that answers on some TCP ports and counts every packet sent to it; run as a program in a network namespace.

`witness.py ADDRESS PORT...` prints "ready", and when its input ends, how many packets came for it: a JSON object by
"protocol/port", the protocol as IANA numbers it.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import sys
from collections import Counter

_IPV4 = 0x0800
# linux/if_packet.h: a packet that this host itself sends.
_OUTGOING = 4


def destination(packet: bytes, address: bytes) -> str | None:
    """Where an IPv4 packet (RFC 791) for that address wants to go; None for one that is for another."""
    if len(packet) < 20 or packet[16:20] != address:
        return None
    protocol, header = packet[9], (packet[0] & 0x0F) * 4
    ported = protocol in {socket.IPPROTO_TCP, socket.IPPROTO_UDP} and len(packet) >= header + 4
    return f"{protocol}/{struct.unpack_from('>H', packet, header + 2)[0] if ported else 0}"


def main(address: str, *ports: str) -> None:
    seen: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4))
    selector.register(wire, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    for port in ports:
        selector.register(socket.create_server((address, int(port))), selectors.EVENT_READ)
    print("ready", flush=True)  # noqa: T201 - what it says is its result
    own = socket.inet_aton(address)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(json.dumps(seen))  # noqa: T201 - likewise
                return
            if key.fileobj is wire:
                packet, sender = wire.recvfrom(65535)
                where = destination(packet, own) if sender[2] != _OUTGOING else None
                if where is not None:
                    seen[where] += 1
            elif isinstance(key.fileobj, socket.socket):
                peer, _ = key.fileobj.accept()
                with peer, contextlib.suppress(OSError):
                    peer.sendall(b"yes")


if __name__ == "__main__":
    main(*sys.argv[1:])
