"""The driver signals at the phase that was meant, and the checker sees what is left and what is gone."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from harness.model import Engine
from harness.process import which
from harness.settings import resolve
from harness.targets import TARGETS
from tests.kills.driver import Driven, NotReached, beginning
from tests.kills.points import (
    CHANGING_POINTS,
    KEPT_POINTS,
    MAKE_POINTS,
    NO_POINTS,
    POINTS,
    Point,
    Row,
    Via,
    Victim,
    table,
)
from tests.kills.stage import Stage
from tests.kills.traces import Machine, difference, nft_lines

FAKE = Path(__file__).parent / "fake_harness.py"


def driven(folder: Path, how: str) -> Driven:
    state = folder / "state"
    state.mkdir()
    return Driven([sys.executable, FAKE, state, how], cwd=folder, env=os.environ, log=folder / "said.log")


def machine(folder: Path) -> Machine:
    return Machine(folder / "state", folder / "cache", temporary=())


def seen(looking: Machine) -> frozenset[str]:
    """What concerns the folders of a test: the rest of the machine is at work meanwhile."""
    return frozenset(line for line in looking.look() if str(looking.state.parent) in line)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("... kind cluster", "kind cluster"),
        ("... kind cluster (usually 23 s)", "kind cluster"),
        ("... Git server, seeded (usually 2 min 01 s)", "Git server, seeded"),
        ("tests/e2e/test_pipeline.py ... seeding (usually 0.2 s)", "seeding"),
        ("ok  kind cluster 23 s", None),
        ("... kind cluster 30 s (usually 25 s): booting", "kind cluster 30 s (usually 25 s): booting"),
        ("... kind cluster 30 s", "kind cluster 30 s"),
    ],
)
def test_a_phase_begins_where_a_line_says_so_and_a_heartbeat_is_none_of_that_name(line: str, name: str | None) -> None:
    assert beginning(line) == name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_tidy_run_ends_with_its_code_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with driven(tmp_path, "tidy") as run:
        before = frozenset[str]()
        assert run.wait_for("DAG run", timeout=20) == "DAG run"
        assert any(line.endswith("state/made") for line in seen(machine(tmp_path)))
        run.signal(number, group=False)
        ended = run.end(timeout=20)
    assert ended.code == 2
    assert ended.lines[-1].startswith("... DAG run")
    assert not difference(before, seen(machine(tmp_path)))
    assert "... kind cluster\n" in (tmp_path / "said.log").read_text()


def test_what_an_untidy_run_left_is_named(tmp_path: Path) -> None:
    with driven(tmp_path, "untidy") as run:
        run.wait_for("DAG run", timeout=20)
        run.signal(signal.SIGINT, group=False)
        assert run.end(timeout=20).code == 2
    found = difference(frozenset(), seen(machine(tmp_path)))
    assert found.left == (f"file {tmp_path}/state/made",)
    assert "left: file" in str(found)


def test_a_program_that_outlives_its_killed_run_is_named(tmp_path: Path) -> None:
    with driven(tmp_path, "tidy") as run:
        run.wait_for("DAG run", timeout=20)
        run.signal(signal.SIGKILL, group=False)
        assert run.end(timeout=20).code == -signal.SIGKILL
        left = [line for line in seen(machine(tmp_path)) if line.startswith("process")]
        assert len(left) == 1
        assert "time.sleep(600)" in left[0]
        os.kill(int(left[0].split()[1]), signal.SIGKILL)


def test_a_run_that_does_not_end_is_killed_and_told_apart(tmp_path: Path) -> None:
    with driven(tmp_path, "deaf") as run:
        run.wait_for("DAG run", timeout=20)
        run.signal(signal.SIGTERM, group=True)
        ended = run.end(timeout=0.5)
    assert ended.code is None
    assert ended.seconds >= 0.5


def test_a_phase_that_does_not_come_is_an_error_with_the_last_words(tmp_path: Path) -> None:
    with driven(tmp_path, "tidy") as run:
        with pytest.raises(NotReached, match="verdict did not begin") as late:
            run.wait_for("verdict", timeout=2)
        run.signal(signal.SIGINT, group=True)
        with pytest.raises(NotReached, match=r"ended before verdict began:\n(.*\n)*\.\.\. DAG run") as over:
            run.wait_for("verdict", timeout=20)
    assert (late.value.ended, over.value.ended) == (False, True)


def test_what_was_taken_from_somebody_else_is_gone_also_if_only_its_bytes_differ(tmp_path: Path) -> None:
    stranger, tool = tmp_path / "stranger", tmp_path / "state" / "theirs"
    tool.parent.mkdir()
    tool.touch()
    stranger.write_text("a")
    looking = Machine(tmp_path / "state", tmp_path / "cache", temporary=(), files=(stranger,))
    before = seen(looking)
    assert not difference(before, seen(looking))
    stranger.write_text("b")
    tool.unlink()
    found = difference(before, seen(looking))
    assert found.gone == (f"bytes {stranger} 61", f"file {tool}")


def test_a_program_with_the_mark_of_a_run_is_seen_wherever_it_works(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={**os.environ, "AIRFLOW_DVC_HARNESS_RUN": "x"}
    )
    try:
        assert any(line.startswith(f"process {program.pid} ") for line in machine(tmp_path).look())
    finally:
        program.kill()
        program.wait()


def test_network_namespaces_and_switches_of_the_kernel_are_seen(tmp_path: Path) -> None:
    names, switch = tmp_path / "netns", tmp_path / "max_user_instances"
    names.mkdir()
    switch.write_text("128\n")
    looking = replace(
        machine(tmp_path), namespaces=(names, tmp_path / "none"), switches=(switch, tmp_path / "no-switch")
    )
    before = seen(looking)
    (names / "probe").touch()
    switch.write_text("512\n")
    found = difference(before, seen(looking))
    assert found.left == (f"network namespace {names}/probe", f"switch {switch} 512")
    assert found.gone == (f"switch {switch} 128",)


# What nft 1.0.6 lists, shortened.
LISTED = """\
table inet harness_egress {
    set blocked {
        type ipv4_addr . ipv4_addr
        elements = { 10.244.0.5 . 192.0.2.1,
        10.244.0.6 . 192.0.2.1 }
    }

    chain forward {
        type filter hook forward priority filter; policy drop;
        oifname != "eth0" accept
    }
}
table ip nat {
}
"""


def test_a_table_of_nftables_is_seen_with_what_stands_in_it() -> None:
    lines = nft_lines(LISTED.splitlines())
    assert lines[0] == "nft / table inet harness_egress"
    assert 'nft / table inet harness_egress / chain forward / oifname != "eth0" accept' in lines
    assert lines[-1] == "nft / table ip nat"
    assert len(lines) == 9


LOOK = "from tests.kills.traces import Machine, Path; print(*Machine(Path('/none'), Path('/none')).look(), sep=chr(10))"


@pytest.mark.skipif(os.geteuid() != 0 or which("nft", path="/usr/sbin:/sbin") is None, reason="nft answers root alone")
@pytest.mark.parametrize("table", ["inet probe", None])
def test_a_table_is_seen_where_it_is(table: str | None) -> None:
    """In a network namespace of the test's own: the machine's packet filter is not a test's to change."""
    made = f"nft add table {table}; " if table else ""
    done = subprocess.run(
        ["/usr/bin/unshare", "--net", "sh", "-euc", f'{made}exec "$0" -c "$1"', sys.executable, LOOK],
        cwd=Path(__file__).parents[3],
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("nft")] == (
        [f"nft / table {table}"] if table else []
    )


class Missed(Stage):
    """A stage on which no run comes to where it is to be killed."""

    def __init__(self, folder: Path, error: NotReached, *looks: set[str]) -> None:
        Stage.__init__(self, resolve(), folder)
        self.error, self.looks, self.said = error, [frozenset(one) for one in looks], list[str]()

    def look(self) -> frozenset[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def harness(self, verb: str, *flags: str, code: int = 0) -> str:
        self.said.append(verb)
        return ""

    def _reach(self, driven: Driven, point: Point) -> None:
        raise self.error

    @contextmanager
    def _driven(self, point: Point, *, via: Via = Via.HARNESS, flags: Sequence[str | Path] = ()) -> Iterator[Driven]:
        yield cast("Driven", None)


@pytest.mark.parametrize(
    "kill",
    [lambda stage, point: stage.kill(point, signal.SIGINT), lambda stage, point: stage.kill_engine(point, Victim.BOTH)],
    ids=["run", "engine"],
)
@pytest.mark.parametrize("swept", [(), ("sweep",)], ids=["it ended", "it had to be killed"])
def test_what_a_run_leaves_that_is_over_before_its_point_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: Callable[[Stage, Point], None], swept: tuple[str, ...]
) -> None:
    monkeypatch.setattr("tests.kills.stage._SETTLE_SECONDS", 0.01)
    stage = Missed(tmp_path, NotReached("it was over before", ended=not swept), {"a"}, {"a", "file x"})
    point = next(one for one in POINTS if one.name == "DAG run")
    with pytest.raises(AssertionError, match=r"it was over before\n.*\nleft: file x"):
        kill(stage, point)
    (row,) = stage.rows
    assert row.word == "NOT REACHED, 1 left, 0 gone"
    # What ended by itself has cleaned up by itself.
    assert tuple(stage.said) == swept


def test_a_run_that_ended_before_its_point_and_left_nothing_is_no_clean_point(tmp_path: Path) -> None:
    stage = Missed(tmp_path, NotReached("the run ended before", ended=True), {"a"})
    with pytest.raises(AssertionError, match="nothing left"):
        stage.kill(POINTS[0], signal.SIGKILL)
    assert [row.word for row in stage.rows] == ["NOT REACHED"]


class Engines:
    """An engine that runs or does not, and what is done with it."""

    def __init__(self, *, runs: bool) -> None:
        self.runs, self.kept = runs, list[bool]()

    def answering(self) -> Engine | None:
        return self.acquire() if self.runs else None

    def acquire(self) -> Engine:
        return Engine(docker=Path("/usr/bin/env"), host="", ours=True, version="1")

    def release(self, *, keep: bool) -> None:
        self.kept.append(keep)


@pytest.mark.parametrize("runs", [True, False])
def test_who_looks_into_an_engine_leaves_it_running_for_the_kept_cluster_that_it_runs_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    engines = Engines(runs=runs)
    monkeypatch.setattr(Stage, "engines", lambda _self: engines)
    Stage(resolve(), tmp_path)._docker("true")
    assert engines.kept == [runs]


def test_the_table_has_a_line_for_each_point_and_a_column_for_each_way() -> None:
    rows = [
        Row("kind cluster", "SIGINT", "clean", 2, 4.2),
        Row("kind cluster", "SIGKILL", "1 left, 0 gone", -9, 0.1),
        Row("verdict", "SIGINT", "clean", 2, 3.0),
    ]
    lines = table(rows).splitlines()
    assert lines[0].split() == ["killed", "at", "SIGINT", "SIGKILL"]
    assert lines[1] == "kind cluster  clean (2, 4 s)  1 left, 0 gone (-9, 0 s)"
    assert lines[2] == "verdict       clean (2, 3 s)"
    assert lines[3] == "2 of 3 kill points swept clean"


def test_a_file_that_the_engine_will_remove_by_itself_is_not_left(tmp_path: Path) -> None:
    for name in ("engine/exec/netns/0123", "engine/exec/other", "runs/netns/0123"):
        (tmp_path / "state" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "state" / name).touch()
    files = {line for line in machine(tmp_path).look() if line.startswith(f"file {tmp_path}/state")}
    assert f"file {tmp_path}/state/engine/exec/netns/0123" not in files
    assert {f"file {tmp_path}/state/{name}" for name in ("engine/exec/other", "runs/netns/0123")} <= files


def phases_of(node: ast.AST) -> Iterator[str]:
    """The names that the argument of a `phase(...)` stands for; what is only known when it runs as {}."""
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.IfExp(body=one, orelse=other):
            yield from (*phases_of(one), *phases_of(other))
        case ast.Attribute(attr="noun"):
            yield from (str(kind.noun) for kind in TARGETS.values())
        case _:
            raise AssertionError(ast.dump(node))


def test_every_phase_that_the_harness_says_is_killed_or_left_out_for_a_reason_and_no_other() -> None:
    said: set[str] = set()
    for path in (Path(__file__).parents[3] / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "phase":
                said |= {name for argument in node.args[:1] for name in phases_of(argument)}
    reached = {phase for point in (*POINTS, *MAKE_POINTS, *KEPT_POINTS, *CHANGING_POINTS) for phase in point.phases}
    told = [re.compile(re.escape(name).replace(r"\{\}", ".+")) for name in said]
    assert [name for name in reached if not any(one.fullmatch(name) for one in told)] == []
    assert said - reached == NO_POINTS.keys()
