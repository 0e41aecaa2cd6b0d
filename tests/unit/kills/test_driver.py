"""The driver signals at the phase that was meant, and the checker sees what is left and what is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kills.driver import Driven, NotReached, beginning
from tests.kills.points import POINTS, Row, table
from tests.kills.traces import Machine, difference

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
        with pytest.raises(NotReached, match="verdict did not begin"):
            run.wait_for("verdict", timeout=2)
        run.signal(signal.SIGINT, group=True)
        with pytest.raises(NotReached, match=r"ended before verdict began:\n(.*\n)*\.\.\. DAG run"):
            run.wait_for("verdict", timeout=20)


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


def test_every_point_is_reached_by_a_phase_that_the_harness_says() -> None:
    source = "\n".join(path.read_text() for path in (Path(__file__).parents[3] / "harness").rglob("*.py"))
    for point in POINTS:
        for phase in point.phases:
            # Images are said by their targets.
            word = f'"{phase.removeprefix("image ")}"'
            assert word in source, phase
