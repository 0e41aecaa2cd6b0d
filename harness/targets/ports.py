"""Free ports on the host's loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from harness.errors import EnvironmentFailed


@contextmanager
def reserved_ports(names: Iterable[str]) -> Iterator[Mapping[str, int]]:
    """A random free loopback port for each name, held open until the block ends.

    Two runs that start together get different ports, because each keeps its sockets bound until just before the
    engine publishes the ports.

    Raises:
        EnvironmentFailed: There are none left.
    """
    with ExitStack() as held:
        ports: dict[str, int] = {}
        for name in names:
            bound = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                bound.bind(("127.0.0.1", 0))
            except OSError as error:
                raise EnvironmentFailed(
                    f"no free port on 127.0.0.1 for {name}: {error}",
                    next_step="`harness doctor` shows what is listening",
                ) from error
            ports[name] = bound.getsockname()[1]
        yield ports
