"""What a run takes of the machine's memory."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.diagnostics.memory import MemorySampler, Process, node_peak, parse_stat, resident
from harness.errors import CommandTimeout
from harness.model import Engine
from harness.process import Completed
from tests.fakes import Call, FakeRunner

PAGE = resource.getpagesize()


def stat(pid: int, name: str, parent: int, pages: int) -> str:
    """A line as proc_pid_stat(5) has it: state is field 3, parent 4, resident pages 24."""
    fields = ["0"] * 50
    fields[0], fields[1], fields[21] = "S", str(parent), str(pages)
    return f"{pid} ({name}) {' '.join(fields)}\n"


@pytest.mark.parametrize("name", ["python3", "a b", "odd) S 1 (name", "containerd-shim"])
def test_a_process_is_read_whatever_its_name(name: str) -> None:
    assert parse_stat(stat(12, name, 7, 3)) == Process(12, name, 7, 3 * PAGE)


def test_what_is_no_process_is_refused() -> None:
    with pytest.raises(ValueError, match="not the form"):
        parse_stat("12 (python3) S 1")


def tree(**parents: int) -> list[Process]:
    """Processes p1, p2, ... of 1, 10, 100, ... bytes, so that a sum tells which were counted."""
    return [Process(int(name[1:]), name, parent, 10 ** (int(name[1:]) - 1)) for name, parent in parents.items()]


def test_descendants_count_once_and_strangers_do_not() -> None:
    assert resident(tree(p1=0, p2=1, p3=2, p4=0), [1, 2]) == 111


def test_children_of_those_that_are_named_do_not_count() -> None:
    assert resident(tree(p1=0, p2=1, p3=2, p4=3), [1], without_children=[2]) == 11


def test_a_root_that_is_gone_counts_nothing() -> None:
    assert resident(tree(p1=0), [7]) == 0


def test_our_own_memory_is_seen() -> None:
    with MemorySampler(Path("/no/engine"), interval=60) as sampler:
        held = b"x" * 30_000_000
        now = sampler.look()
    own = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    assert len(held) < own * 0.8 <= now
    assert sampler.peak_beside >= now
    assert sampler.peak_before == 0


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine with us, an engine of ours with a node under its shim, and somebody else's engine."""
    ours, theirs = "/state/engine/daemon.json", "/etc/docker/daemon.json"
    shim = "-address\0/state/engine/exec/containerd/containerd.sock"
    for pid, name, parent, pages, arguments in (
        (os.getpid(), "python3", 1, 1, ""),
        (900_001, "git", os.getpid(), 10, ""),
        (900_002, "dockerd", 1, 100, ours),
        (900_003, "runc", 900_002, 1_000, ""),
        (900_004, "containerd-shim", 1, 10_000, shim),
        (900_005, "kubelet", 900_004, 100_000, ""),
        (900_006, "dockerd", 1, 1_000_000, theirs),
        (900_007, "vi", 1, 10_000_000, ours),
    ):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(stat(pid, name, parent, pages))
        (folder / "cmdline").write_text(f"{name}\0{arguments}\0")
    (tmp_path / "900008").mkdir()
    return tmp_path


def test_an_engine_of_ours_counts_without_its_nodes_and_somebody_elses_does_not(proc: Path) -> None:
    assert MemorySampler(Path("/state/engine"), proc=proc).look() == 11_111 * PAGE


def test_what_is_used_before_there_is_a_cluster_is_a_time_of_its_own(proc: Path) -> None:
    there = False
    sampler = MemorySampler(Path("/state/engine"), beside=lambda: there, proc=proc)
    sampler.look()
    (proc / "900003" / "stat").unlink()
    there = True
    sampler.look()
    assert (sampler.peak_before, sampler.peak_beside) == (11_111 * PAGE, 10_111 * PAGE)


class FakeDocker(FakeRunner):
    """Answers `docker ps` and `docker exec` by hand."""

    def __init__(self, said: Mapping[str, str | Exception]) -> None:
        super().__init__()
        self.said = said

    def answer(self, call: Call) -> str | Completed:
        answer = self.said[call.argv[1] if call.argv[1] == "ps" else call.argv[2]]
        if isinstance(answer, Exception):
            raise answer
        return call.ended(0 if answer else 1, stdout=answer)


ENGINE = Engine(Path("/usr/bin/docker"), "", ours=False, version="28.1.0")


def test_the_peaks_of_all_nodes_are_added() -> None:
    docker = FakeDocker({"ps": "aa\nbb\n", "aa": "2000\n", "bb": "300\n"})
    assert node_peak("h-1", engine=ENGINE, runner=docker) == 2300


@pytest.mark.parametrize(
    "said",
    [
        {"ps": ""},
        {"ps": "aa\n", "aa": ""},
        {"ps": "aa\n", "aa": "max\n"},
        {"ps": CommandTimeout(argv=["docker"], seconds=10, output="")},
    ],
    ids=["no node", "a node that says nothing", "no number", "an engine that hangs"],
)
def test_a_node_that_does_not_say_is_unknown_and_not_zero(said: dict[str, str | Exception]) -> None:
    assert node_peak("h-1", engine=ENGINE, runner=FakeDocker(said)) is None
