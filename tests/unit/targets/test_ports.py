from __future__ import annotations

import socket

import pytest

from harness.targets.ports import reserved_ports


def test_each_name_gets_a_port_of_its_own_on_loopback() -> None:
    with reserved_ports(["airflow", "git", "s3"]) as ports:
        assert len(set(ports.values())) == 3


def test_a_reserved_port_cannot_be_taken_by_somebody_else() -> None:
    with (
        reserved_ports(["git"]) as ports,
        socket.socket() as rival,
        pytest.raises(OSError, match="in use"),
    ):
        rival.bind(("127.0.0.1", ports["git"]))


def test_a_port_is_free_again_afterwards() -> None:
    with reserved_ports(["git"]) as ports:
        pass
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", ports["git"]))
