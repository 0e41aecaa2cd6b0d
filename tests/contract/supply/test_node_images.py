"""Images from a real engine into a real containerd, as in a kind node.

A node is a containerd of its own here, with the plug-in that the kubelet talks to; what would be run in the node by
`docker exec` is run against its socket.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import CommandFailed
from harness.imagenames import qualified
from harness.model import Engine
from harness.process import Completed, SubprocessRunner, which
from harness.targets.node_images import NodeImages
from harness.wait import Waiter
from tests.fakes import Call, FakeRunner

from .conftest import Engineer

_CONFIG = """\
version = 2
root = "{0}/root"
state = "{0}/state"
[grpc]
address = "{0}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{0}"
conf_dir = "{0}"
"""


@dataclass
class Node(FakeRunner):
    """Runs what would run inside a node; everything else as the runner does."""

    runner: SubprocessRunner
    folder: Path

    def answer(self, call: Call) -> Completed:
        return self.runner.run(
            self.inside(call.argv),
            env=call.env,
            cwd=call.cwd,
            stdin=call.stdin,
            timeout=call.timeout,
            check=call.check,
        )

    def piped(self, source: Call, sink: list[str]) -> None:
        self.runner.pipe(source.argv, self.inside(sink), timeout=source.timeout, env=source.env)

    def inside(self, command: list[str]) -> list[str]:
        if command[1] != "exec":
            return command
        command = command[command.index("node") + 1 :]
        match command:
            case ["ctr", *rest]:
                return ["ctr", "--address", str(self.folder / "containerd.sock"), *rest]
            case ["containerd", "config", "dump"]:
                return ["containerd", "--config", str(self.folder / "config.toml"), "config", "dump"]
        return command

    def names(self) -> dict[str, str]:
        listed = self.run(["docker", "exec", "node", "ctr", "--namespace", "k8s.io", "images", "ls"]).stdout
        rows = (line.split() for line in listed.splitlines()[1:])
        return {row[0]: row[2] for row in rows}


@pytest.fixture(scope="module")
def node(runner: SubprocessRunner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    program = which("containerd")
    if os.geteuid() != 0 or program is None or which("ctr") is None:
        pytest.skip("a containerd of its own needs root, and containerd and ctr on PATH")
    folder = tmp_path_factory.mktemp("node")
    (folder / "config.toml").write_text(_CONFIG.format(folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "--config", folder / "config.toml"], stdout=log, stderr=log)
    node = Node(runner, folder)
    try:
        Waiter().until(
            "containerd", node.names, ready=lambda _: True, timeout=20, interval=0.1, transient=(CommandFailed,)
        )
        yield node
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def images(node: Node, engine: Engine, tmp_path: Path, said: list[str]) -> NodeImages:
    return NodeImages(node="node", engine=engine, runner=node, record=tmp_path / "images.json", status=said.append)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def names(engineer: Engineer) -> tuple[str, str]:
    token = secrets.token_hex(4)
    made = (f"harness-test-{token}/one:1", f"test-{token}:2")
    for name in made:
        engineer.make(name, changes=("CMD true",))
    return made


def test_an_image_is_known_in_the_node_by_its_id_and_by_a_digest_that_the_engine_does_not_know(
    images: NodeImages, node: Node, engineer: Engineer, names: tuple[str, str]
) -> None:
    loaded = images.load(names)
    for name in names:
        inspected = json.loads(engineer.docker("image", "inspect", name))[0]
        assert loaded[name][0] == inspected["Id"]
        assert loaded[name][1] == node.names()[qualified(name)]
        assert loaded[name][1] not in json.dumps(inspected)


def test_what_the_node_has_with_its_digest_is_not_loaded_again(
    images: NodeImages, names: tuple[str, str], said: list[str]
) -> None:
    first = images.load(names)
    assert images.load(names) == first
    assert len(said) == 1


def test_an_image_that_changed_under_its_name_is_loaded_again_and_alone(
    images: NodeImages, node: Node, engineer: Engineer, names: tuple[str, str], said: list[str]
) -> None:
    first = images.load(names)
    engineer.make(names[0], changes=("CMD false",))
    again = images.load(names)
    assert again[names[1]] == first[names[1]]
    assert not set(again[names[0]]) & set(first[names[0]])
    assert said[1:] == ["loading 1 images into the node, 1 of them in place of others of the same name"]


def test_an_image_that_the_engine_lacks_is_an_error_that_names_it(images: NodeImages, names: tuple[str, str]) -> None:
    with pytest.raises(CommandFailed, match="no-such-image:7"):
        images.load([*names, "no-such-image:7"])
