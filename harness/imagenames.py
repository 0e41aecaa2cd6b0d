"""Names of images, short and in full: which part is the registry's host, and what stands for nothing before it.

Grammar: https://github.com/distribution/reference/blob/v0.6.0/normalize.go (splitDockerDomain).
"""

from __future__ import annotations

import re
from typing import Final

DOCKER_HUB: Final = "docker.io"
# A registry's host, with its port and a path or without.
REGISTRY: Final = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_OFFICIAL: Final = "library"


def split_host(name: str) -> tuple[str, str]:
    """The registry's host, with its port, and the rest; Docker Hub where the name has no host."""
    head, slash, rest = name.partition("/")
    has_host = bool(slash) and ("." in head or ":" in head or head == "localhost")
    return (head, rest) if has_host else (DOCKER_HUB, name)


def below(registry: str, reference: str) -> str:
    """The reference of an image in another registry, below a prefix there: its own host is left out."""
    return f"{registry}/{split_host(reference)[1]}"


def official(host: str, path: str) -> str:
    """The path as its registry has it: Docker Hub's own images are below "library"."""
    return f"{_OFFICIAL}/{path}" if host == DOCKER_HUB and "/" not in path else path


def qualified(reference: str) -> str:
    """The reference in full, as containerd stores it: "docker.io/library/postgres:17" for "postgres:17"."""
    host, rest = split_host(reference)
    return f"{host}/{official(host, rest)}"
