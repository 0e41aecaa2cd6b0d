"""What a real engine says of a port that somebody else has: by that the kind target knows that other ports may do."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

import pytest

from harness.errors import CommandFailed
from harness.targets.kind import PORT_TAKEN

from .conftest import Engineer


@pytest.fixture
def network(engineer: Engineer) -> Iterator[str]:
    name = f"harness-test-{secrets.token_hex(4)}"
    engineer.docker("network", "create", name)
    yield name
    for container in engineer.docker("container", "ls", "--all", "--quiet", "--filter", f"network={name}").split():
        engineer.docker("container", "rm", "--force", container)
    engineer.docker("network", "rm", name)


def test_a_port_that_a_program_has_is_told_from_other_failures(engineer: Engineer, network: str) -> None:
    image = f"{network}:1"
    engineer.make(image)
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        taken = started(engineer, network, image, f"127.0.0.1:{port}:80")
    free = started(engineer, network, image, "127.0.0.1::80")
    assert PORT_TAKEN.search(taken), taken
    assert str(port) in taken
    assert not PORT_TAKEN.search(free), free


def started(engineer: Engineer, network: str, image: str, port: str) -> str:
    """What the engine says when it starts a container whose image holds no program, after giving it its network."""
    with pytest.raises(CommandFailed) as caught:
        engineer.docker("run", "--network", network, "--publish", port, image, "/no-such-program")
    return caught.value.stderr
