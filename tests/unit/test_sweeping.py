"""Each thing is removed in the engine that it was made in, and nothing under a live run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import remover, sweeping
from harness.errors import CleanupFailed, EngineError, GuardError
from harness.journal import Journal, expires_at
from harness.liveness import alive
from harness.lookalike.hosting import Folder
from harness.lookalike.process import GatewayProcess
from harness.lookalike.store import STORE_LABEL
from harness.model import Engine
from harness.orphans import mark
from harness.supply.engine import EngineSupply
from harness.supply.inuse import InUse
from harness.supply.locks import KeyLocks
from harness.targets.namelock import name_held
from harness.targets.ownership import KIND_LABEL
from harness.wait import Waiter
from tests.fakes import Call, FakeRunner

OWN = "unix:///state/engine/docker.sock"
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Engines(EngineSupply):
    """Engines by address: those that answer; an address with None is ours with its data gone."""

    def __init__(self, answer: dict[str, bool | None], *, running: bool = False, killed: bool = False) -> None:
        self.answer = answer
        self.running = running
        self.killed = killed
        self.asked: list[str | None] = []

    @property
    def own_host(self) -> str:
        return OWN

    @property
    def runs(self) -> bool:
        return self.running

    @property
    def unclean(self) -> bool:
        return self.running or self.killed

    def answering(self) -> Engine | None:
        return Engine(Path("docker"), OWN, ours=True, version="20.10") if self.running else None

    def acquire(self) -> Engine:
        self.asked.append(None)
        return Engine(Path("docker"), "first", ours=False, version="20.10")

    def acquire_at(self, host: str) -> Engine | None:
        self.asked.append(host)
        found = self.answer[host]
        if found is False:
            raise EngineError(f"{host or 'the machine'} does not answer")
        self.running = self.running or (found is True and host == OWN)
        return Engine(Path("docker"), host, ours=host == OWN, version="20.10") if found else None

    def release(self, *, keep: bool) -> bool:
        assert keep
        return False

    def stop_unused(self, *, keep: bool) -> bool:
        stopped, self.running = self.running and not keep, self.running and keep
        self.killed = self.killed and keep
        return stopped


@dataclass
class Docker(FakeRunner):
    """Notes in which engine something was removed.

    Attributes:
        networks: The run on the label of each cluster's network, in which it has one node.
        stores: The run on the label of each look-alike's store.
    """

    removed: list[tuple[str, str]] = field(default_factory=list)
    labelled: str = ""
    networks: dict[str, str] = field(default_factory=dict)
    stores: dict[str, str] = field(default_factory=dict)

    def answer(self, call: Call) -> str:
        words = call.argv
        condition = words[words.index("--filter") + 1] if "--filter" in words else ""
        name = condition.rpartition("=")[2].strip("^$")
        match words[1:]:
            case ["container", "ls", *_] if condition.startswith(f"label={KIND_LABEL}=") and name in self.networks:
                return f"{name}-node\t{name}-control-plane\tExited (137)\t{name}\t{name}\n"
            case ["container", "ls", *_] if condition.startswith(f"label={STORE_LABEL}="):
                return f"id of {name}-store\t{name}-store\t{self.stores[name]}\n" if name in self.stores else ""
            case ["container", "ls", *_] if condition.startswith("label=harness"):
                return self.labelled
            case ["network", "ls", *_] if name in self.networks:
                return f"{name}-network\t{name}\t{self.networks[name]}\n"
            case ["rm", *_] | ["network", "rm", _] | ["image", "rm", _]:
                self.removed.append((call.env.get("DOCKER_HOST", ""), words[-1]))
                self.stores.pop(words[-1].removeprefix("id of ").removesuffix("-store"), None)
        return ""


@dataclass
class State:
    """A state folder after some runs."""

    folder: Path
    docker: Docker = field(default_factory=Docker)
    said: list[str] = field(default_factory=list)

    def journal(self, run: str) -> Journal:
        (self.folder / "runs" / run).mkdir(parents=True, exist_ok=True)
        return Journal(self.folder / "runs" / run / "journal.jsonl")

    def cluster(self, name: str, *, run: str = "", host: str = OWN, kept: bool = False) -> Path:
        folder = self.folder / "clusters" / name
        folder.mkdir(parents=True)
        (folder / "cluster.json").write_text(json.dumps({"run": run or "of-a-run", "host": host}))
        if kept:
            (folder / "kept").touch()
        self.docker.networks[name] = run or "of-a-run"
        if run:
            self.journal(run).record("cluster", name, host=host, folder=str(folder))
        return folder

    def sweep(self, engines: Engines) -> int:
        return sweeping.sweep(self.folder, engines, self.docker, cache_dir=self.folder / "cache", say=self.said.append)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def test_each_thing_is_removed_in_the_engine_that_its_journal_names(state: State) -> None:
    state.cluster("ours", run="one")
    state.journal("two").record("container", "preload", host="")
    assert state.sweep(Engines({OWN: True, "": True})) == 2
    assert sorted(state.docker.removed) == [("", "preload"), (OWN, "ours-network"), (OWN, "ours-node")]
    assert list((state.folder / "runs").iterdir()) == []
    assert list((state.folder / "clusters").iterdir()) == []


def test_a_name_of_an_image_that_was_being_pushed_is_taken_from_the_engine(state: State) -> None:
    state.journal("one").record("image-name", "registry.example/worker:1", host="")
    assert state.sweep(Engines({"": True})) == 1
    assert state.docker.removed == [("", "registry.example/worker:1")]


def test_a_run_that_left_nothing_but_its_folder_is_something_that_was_swept(state: State) -> None:
    state.journal("one")
    assert state.sweep(Engines({})) == 1
    assert state.said == ["removed what run one had on disk"]
    assert state.sweep(Engines({})) == 0


def test_an_entry_of_before_without_an_engine_goes_to_the_one_that_answers(state: State) -> None:
    state.journal("one").record("container", "preload")
    engines = Engines({})
    assert state.sweep(engines) == 1
    assert engines.asked == [None]


def test_an_engine_that_does_not_answer_is_told_of_once_and_the_journal_stays(state: State) -> None:
    state.journal("one").record("container", "a", host="")
    state.journal("one").record("container", "b", host="")
    state.cluster("ours", run="two")
    engines = Engines({OWN: True, "": False})
    with pytest.raises(CleanupFailed, match="could not be removed") as caught:
        state.sweep(engines)
    assert "container a: the machine does not answer" in str(caught.value)
    assert engines.asked.count("") == 1
    assert state.docker.removed == [(OWN, "ours-node"), (OWN, "ours-network")]
    assert [folder.name for folder in (state.folder / "runs").iterdir()] == ["one"]


def test_a_journal_that_names_a_cluster_without_its_folder_stays_and_the_rest_is_swept(state: State) -> None:
    state.journal("one").record("cluster", "lost", host=OWN)
    state.cluster("ours", run="two")
    with pytest.raises(CleanupFailed, match="could not be removed") as caught:
        state.sweep(Engines({OWN: True}))
    assert "the journal names the cluster lost without its folder" in str(caught.value)
    assert state.docker.removed == [(OWN, "ours-node"), (OWN, "ours-network")]
    assert [folder.name for folder in (state.folder / "runs").iterdir()] == ["one"]


def test_of_an_engine_of_ours_whose_data_are_gone_only_the_folder_is_left_to_remove(state: State) -> None:
    folder = state.cluster("ours", run="one")
    assert state.sweep(Engines({OWN: None})) == 1
    assert not folder.exists()
    assert state.docker.removed == []


def test_an_engine_that_a_killed_run_left_is_stopped_though_no_journal_names_anything(state: State) -> None:
    engines = Engines({}, running=True)
    assert state.sweep(engines) == 1
    assert not engines.running
    assert any("stopped the harness's own container engine" in text for text in state.said)


@pytest.mark.parametrize(("host", "stays"), [(OWN, True), ("", False)])
def test_it_stays_for_a_kept_cluster_that_is_in_it(state: State, host: str, stays: bool) -> None:  # noqa: FBT001
    folder = state.cluster("kept", run="one", host=host, kept=True)
    engines = Engines({}, running=True)
    state.sweep(engines)
    assert engines.running is stays
    assert folder.exists()


def test_a_cluster_that_another_run_took_over_stays_and_so_does_its_journal(state: State) -> None:
    folder = state.cluster("shared", run="killed")
    with name_held(folder):
        assert state.sweep(Engines({OWN: True})) == 0
    assert folder.exists()
    assert state.docker.removed == []
    assert any("another run is using the cluster shared" in text for text in state.said)
    assert state.sweep(Engines({OWN: True})) == 1


@dataclass
class Slow(Docker):
    """Takes its time for a container; meanwhile a run keeps the cluster of a folder, and comes to its end."""

    kept: Path = Path()

    def answer(self, call: Call) -> str:
        if call.argv[1] == "rm" and call.argv[-1] == "preload":
            (self.kept / "kept").touch()
        return super().answer(call)


@pytest.mark.parametrize("kind", ["cluster", "gateway", "eks", "existing"])
def test_a_cluster_that_was_kept_while_the_sweep_was_at_something_else_stays_with_all_that_belongs_to_it(
    state: State, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state.cluster("shared")
    gone: list[Path] = []
    noted = dict.fromkeys(remover._ATTACHED, lambda folder, **_: gone.append(folder))
    monkeypatch.setattr(remover, "_ATTACHED", noted)
    state.docker.stores["shared"] = "of-a-run"
    state.docker = Slow(networks=state.docker.networks, stores=state.docker.stores, kept=folder)
    state.journal("killed").record(kind, "shared", host=OWN, folder=str(folder))
    state.journal("killed").record("container", "preload", host=OWN)  # the newest goes first
    assert state.sweep(Engines({OWN: True})) == 1
    assert (folder / "kept").exists()
    assert state.docker.removed == [(OWN, "preload")]
    assert gone == []
    assert state.said == ["removed container preload"]


def test_a_run_that_lives_is_left_alone(state: State) -> None:
    with alive(state.folder / "runs" / "live"):
        state.journal("live").record("container", "preload", host="")
        assert state.sweep(Engines({"": True})) == 0
    assert state.docker.removed == []


def test_lock_files_that_nobody_holds_are_removed(state: State) -> None:
    (state.folder / "clusters").mkdir()
    (state.folder / "clusters" / ".gone.lock").touch()
    state.sweep(Engines({}))
    assert list((state.folder / "clusters").iterdir()) == []


def test_down_removes_a_cluster_in_its_engine_and_not_while_a_run_uses_it(state: State) -> None:
    folder = state.cluster("kept", host="", kept=True)
    engines = Engines({"": True})
    with sweeping.removing(engines, state.docker, clusters=folder.parent) as removing:
        with name_held(folder), pytest.raises(GuardError):
            removing.cluster(folder, sweeping.host_of(folder))
        removing.cluster(folder, sweeping.host_of(folder))
    assert state.docker.removed == [("", "kept-node"), ("", "kept-network")]
    assert not folder.exists()


@pytest.mark.parametrize("damaged", ['{"host":', "[]", "\x00\x01", ""])
def test_a_cluster_whose_description_is_damaged_can_be_removed(state: State, damaged: str) -> None:
    folder = state.cluster("kept", kept=True)
    (folder / "cluster.json").write_text(damaged)
    (folder / "kind.yaml").write_text('nodes: [{role: control-plane, labels: {harness.run: "of-a-run"}}]')
    with sweeping.removing(Engines({"": True}), state.docker, clusters=folder.parent) as removing:
        removing.cluster(folder, sweeping.host_of(folder))
    assert not folder.exists()
    assert [what for _engine, what in state.docker.removed] == ["kept-node", "kept-network"]


@pytest.mark.parametrize("made", [False, True], ids=["killed before it made it", "it made one once"])
def test_a_cluster_that_another_state_folders_run_has_made_under_the_name_is_left_and_named(
    state: State,
    made: bool,  # noqa: FBT001
) -> None:
    folder = state.folder / "clusters" / "harness-kept"
    if made:
        state.cluster("harness-kept", run="killed")
    else:
        state.journal("killed").record("cluster", "harness-kept", host=OWN, folder=str(folder))
    state.docker.networks["harness-kept"] = "of-theirs"

    assert state.sweep(Engines({OWN: True})) == 1

    assert state.docker.removed == []
    assert state.said == [
        "left container harness-kept-control-plane (Exited (137)): no run here has made it",
        "left network harness-kept (of run of-theirs): no run here has made it",
        "removed what run killed had on disk",
    ]
    assert not folder.exists()
    assert state.sweep(Engines({OWN: True})) == 0


def test_a_cluster_of_a_run_that_was_killed_before_it_described_it_is_removed(state: State) -> None:
    folder = state.folder / "clusters" / "ours"
    state.journal("killed").record("cluster", "ours", host=OWN, folder=str(folder))
    state.docker.networks["ours"] = "killed"
    assert state.sweep(Engines({OWN: True})) == 1
    assert state.docker.removed == [(OWN, "ours-node"), (OWN, "ours-network")]


def test_a_cluster_that_a_killed_run_was_about_to_replace_is_removed_though_an_earlier_run_made_it(
    state: State,
) -> None:
    folder = state.cluster("kept")
    state.journal("killed").record("cluster", "kept", host=OWN, folder=str(folder))
    assert state.sweep(Engines({OWN: True})) == 1
    assert state.docker.removed == [(OWN, "kept-node"), (OWN, "kept-network")]


def test_down_leaves_and_names_what_another_state_folders_run_has_made_under_the_name(state: State) -> None:
    folder = state.cluster("kept", host="", kept=True)
    state.docker.networks["kept"] = "of-theirs"
    with sweeping.removing(Engines({"": True}), state.docker, clusters=folder.parent) as removing:
        there = removing.cluster(folder, sweeping.host_of(folder))
    assert list(there.foreign.values()) == [
        "container kept-control-plane (Exited (137))",
        "network kept (of run of-theirs)",
    ]
    assert state.docker.removed == []
    assert not folder.exists()


def test_a_program_that_a_killed_run_left_is_ended_before_anything_is_removed(state: State) -> None:
    state.journal("killed").record("container", "preload", host="")
    left = subprocess.Popen(SLEEP, env={"PATH": os.environ["PATH"], **mark("killed")})
    others = subprocess.Popen(SLEEP, env={"PATH": os.environ["PATH"], **mark("another")})
    try:
        assert state.sweep(Engines({"": True})) == 2
        assert left.wait(5) == -signal.SIGKILL
        assert others.poll() is None
        assert state.said == [f"ended {' '.join(SLEEP)}", "removed container preload"]
    finally:
        for process in (left, others):
            process.kill()
            process.wait()


def test_a_damaged_journal_is_told_of_and_the_other_runs_are_swept_all_the_same(state: State) -> None:
    state.journal("a").path.write_text("no journal\n", encoding="utf-8")
    state.journal("b").record("container", "preload", host="")
    with pytest.raises(CleanupFailed, match="is damaged in line 1"):
        state.sweep(Engines({"": True}))
    assert state.docker.removed == [("", "preload")]
    assert [folder.name for folder in (state.folder / "runs").iterdir()] == ["a"]


def test_a_killed_engine_is_cleaned_up_after_and_that_is_told(state: State) -> None:
    engines = Engines({}, killed=True)
    assert state.sweep(engines) == 1
    assert not engines.killed
    assert any("which was killed" in text for text in state.said)


def test_what_is_past_its_time_and_in_no_journal_is_named_and_left(state: State) -> None:
    state.cluster("known", kept=True)
    old, fresh = "2026-01-01T00:00:00+00:00", expires_at()
    state.docker.labelled = f"theirs\tx\t{old}\nknown\tx\t{old}\nyoung\tx\t{fresh}\nunknown\tx\t\n"
    assert state.sweep(Engines({}, running=True)) == 0
    left = [text for text in state.said if text.startswith("left")]
    assert len(left) == 1
    assert left[0].startswith(f"left container theirs (run x, to be gone by {old}): no run here has made it")
    assert state.docker.removed == []


def test_what_a_killed_run_left_in_the_caches_registers_goes_and_what_is_held_stays(state: State) -> None:
    cache = state.folder / "cache"
    dead = ("dead.json", "dead.lock", "dead.drafts/tools/half", "early.lock", "early.new")
    for name in (*(f"in-use/{one}" for one in dead), "locks/dead.lock"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("{}")
    with InUse(cache, "live").registered() as live, KeyLocks(cache / "locks").holding("live", "building"):
        live.drafts.mkdir()
        state.sweep(Engines({}))
        found = sorted(str(path.relative_to(cache)) for path in cache.rglob("*.*"))
    assert found == ["in-use/live.drafts", "in-use/live.json", "in-use/live.lock", "locks/live.lock"]
    assert list((cache / "in-use").iterdir()) == [], "a run that ends takes what it had half made with it"


@pytest.fixture
def lookalike_process(state: State) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A cluster's folder, and a process with the command line of the look-alike that belongs to it."""
    folder = state.folder / "clusters" / "eks"
    configuration = Folder.of_cluster(folder).configuration
    configuration.parent.mkdir(parents=True)
    words = [sys.executable, "-c", "import time; time.sleep(600)", "harness.lookalike.serving", str(configuration)]
    process = subprocess.Popen(words)
    known = GatewayProcess(Folder.of_cluster(folder))
    Waiter().until("its command line", known.pid, ready=lambda pid: pid == process.pid, timeout=10, interval=0.01)
    yield folder, process
    process.kill()
    process.wait()


def test_what_is_beside_a_look_alike_goes_with_its_cluster(
    state: State, lookalike_process: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    folder, process = lookalike_process
    (folder / "cluster.json").write_text(json.dumps({"run": "its", "host": ""}))
    state.docker.networks["eks"] = state.docker.stores["eks"] = "its"
    with sweeping.removing(Engines({"": True}), state.docker, clusters=folder.parent) as removing:
        removing.cluster(folder, "")
    assert process.wait(5) == -signal.SIGKILL
    # The network last: it says whose the others are, and is not removed while anything is in it.
    assert state.docker.removed == [("", "id of eks-store"), ("", "eks-node"), ("", "eks-network")]
    assert not folder.exists()


def test_of_a_look_alike_of_another_state_folder_nothing_is_removed(
    state: State, lookalike_process: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    folder, _process = lookalike_process
    (folder / "cluster.json").write_text(json.dumps({"run": "its", "host": ""}))
    state.docker.networks["eks"] = state.docker.stores["eks"] = "of-theirs"
    for kind in ("cluster", "gateway"):
        state.journal("killed").record(kind, "eks", host="", folder=str(folder))
    state.sweep(Engines({"": True}))
    assert state.docker.removed == []
    assert "left network eks (of run of-theirs): no run here has made it" in state.said


def test_a_look_alike_that_another_run_is_bringing_up_under_the_name_stays(
    state: State, lookalike_process: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    folder, process = lookalike_process
    state.journal("killed").record("gateway", "eks", host="", folder=str(folder))
    with name_held(folder):
        assert state.sweep(Engines({"": True})) == 0
    assert process.poll() is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_look_alike_of_a_killed_run_is_swept_unless_it_was_kept(
    state: State,
    lookalike_process: tuple[Path, subprocess.Popen[bytes]],
    kept: bool,  # noqa: FBT001 - pytest's form
) -> None:
    folder, process = lookalike_process
    (folder / "cluster.json").write_text(json.dumps({"run": "killed", "host": ""}))
    state.docker.networks["eks"] = state.docker.stores["eks"] = "killed"
    if kept:
        (folder / "kept").touch()
    for kind in ("cluster", "gateway"):
        state.journal("killed").record(kind, "eks", host="", folder=str(folder))
    state.sweep(Engines({"": True}))
    assert folder.exists() is kept
    assert (process.poll() is None) is kept
    assert state.docker.removed == ([] if kept else [("", "id of eks-store"), ("", "eks-node"), ("", "eks-network")])
