"""What pods may reach outside the cluster: the entries of the setting `egress_allow`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Self

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry: IPv4 addresses, at one port or at any.

    By address and not by name: the node's packet filter knows none, and what a name stands for changes.

    Attributes:
        network: The addresses.
        port: Of TCP and UDP; None for any port and any protocol.
    """

    network: IPv4Network
    port: int | None

    @classmethod
    def read(cls, entry: str) -> Self:
        """Read `ADDRESS`, `ADDRESS/BITS`, `ADDRESS:PORT` or `ADDRESS/BITS:PORT`.

        Raises:
            ValueError: It has another form; the message says what is taken.
        """
        address, colon, port = entry.partition(":")
        try:
            network = IPv4Network(address)
        except (AddressValueError, NetmaskValueError, ValueError):
            raise ValueError(_form(entry)) from None
        if not colon:
            return cls(network, None)
        if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
            raise ValueError(_form(entry))
        return cls(network, int(port))


def _form(entry: str) -> str:
    return (
        f"{entry!r} is not what pods may reach: use an IPv4 address or network without host bits, with a port or "
        "without, such as 10.20.0.0/16:443"
    )
