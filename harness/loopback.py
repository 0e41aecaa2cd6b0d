"""Whether something is reached at this machine's loopback, where no proxy of the environment can reach it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def on_loopback(url: str | None) -> bool:
    """Whether the host of a URL is this machine's loopback, by its usual names."""
    return urlsplit(url or "").hostname in _HOSTS
