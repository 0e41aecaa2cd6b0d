"""Phases and their usual times."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest

from harness.timeline import Phase, Timeline, UsualTimes
from tests.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(seconds=50.0)


def test_times_are_seconds_since_the_timeline_began(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    clock.sleep(2)
    with timeline.phase("kind cluster") as note:
        clock.sleep(16)
        note("reused")
    assert timeline.phases == (Phase("kind cluster", 2.0, 18.0, "done", "reused"),)
    assert timeline.phases[0].seconds == 16.0
    assert timeline.elapsed == 18.0


def test_a_phase_that_raises_has_failed_and_the_error_goes_on(clock: Clock) -> None:
    timeline = Timeline(clock=clock)

    def install() -> None:
        with timeline.phase("helm"):
            clock.sleep(1)
            _interrupt()

    with pytest.raises(KeyboardInterrupt):
        install()
    assert timeline.phases == (Phase("helm", 0.0, 1.0, "failed"),)


def test_the_last_note_counts(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    with timeline.phase("images") as note:
        note("built 1 of 8")
        note("built 8 of 8")
    assert timeline.phases[0].note == "built 8 of 8"


def test_a_running_phase_has_no_duration(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    with timeline.phase("a"):
        assert timeline.phases == (Phase("a", 0.0),)
        assert timeline.phases[0].seconds is None


def test_overlapping_phases_of_several_threads_keep_their_own_ends() -> None:
    timeline = Timeline()
    inside, leave = threading.Barrier(3), threading.Event()

    def work(name: str) -> None:
        with timeline.phase(name):
            inside.wait(10)
            leave.wait(10)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("git", "s3")]
    for thread in threads:
        thread.start()
    inside.wait(10)
    assert {phase.outcome for phase in timeline.phases} == {"running"}
    leave.set()
    for thread in threads:
        thread.join()
    first, second = timeline.phases
    assert first.start <= second.start
    assert first.end is not None
    assert second.start < first.end
    assert {phase.outcome for phase in timeline.phases} == {"done"}


def test_nested_phases_are_told_in_order(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    told: list[tuple[str, str]] = []
    timeline.listen(lambda phase: told.append((phase.name, phase.outcome)))
    with timeline.phase("outer"), timeline.phase("inner"):
        clock.sleep(1)
    assert told == [("outer", "running"), ("inner", "running"), ("inner", "done"), ("outer", "done")]


def test_a_listener_may_look_at_the_timeline(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    seen: list[int] = []
    timeline.listen(lambda _phase: seen.append(len(timeline.phases)))
    with timeline.phase("a"):
        pass
    assert seen == [1, 1]


def test_the_same_name_twice_is_two_phases(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    for _ in range(2):
        with timeline.phase("run"):
            clock.sleep(1)
    assert [(phase.start, phase.end) for phase in timeline.phases] == [(0.0, 1.0), (1.0, 2.0)]


def test_json_holds_plain_values(clock: Clock) -> None:
    timeline = Timeline(clock=clock)
    with timeline.phase("a"):
        clock.sleep(1)
    assert json.loads(json.dumps(timeline.to_json())) == [
        {"name": "a", "start": 0.0, "end": 1.0, "outcome": "done", "note": ""}
    ]


def timeline_of(seconds: float, *, note: str = "", fails: bool = False) -> Timeline:
    clock = Clock(seconds=50.0)
    timeline = Timeline(clock=clock)
    with contextlib.suppress(KeyboardInterrupt), timeline.phase("kind cluster") as tell:
        tell(note)
        clock.sleep(seconds)
        if fails:
            _interrupt()
    return timeline


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_the_usual_time_is_the_median_of_what_was_remembered(tmp_path: Path) -> None:
    path = tmp_path / "state" / "usual.json"
    for seconds in (10, 16, 90):
        UsualTimes(path).remember(timeline_of(seconds))
    assert UsualTimes(path).of("kind cluster") == 16


def test_without_a_memory_there_is_no_usual_time(tmp_path: Path) -> None:
    assert UsualTimes(tmp_path / "none.json").of("kind cluster") is None


def test_failed_and_reused_phases_are_not_remembered(tmp_path: Path) -> None:
    usual = UsualTimes(tmp_path / "usual.json")
    usual.remember(timeline_of(1, note="reused, unchanged"))
    usual.remember(timeline_of(1, fails=True))
    assert usual.of("kind cluster") is None


def test_only_the_last_twenty_count(tmp_path: Path) -> None:
    usual = UsualTimes(tmp_path / "usual.json")
    for _ in range(30):
        usual.remember(timeline_of(100))
    for _ in range(20):
        usual.remember(timeline_of(5))
    assert usual.of("kind cluster") == 5


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"a": 5}', '{"a": ["x"]}', '"text"'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "usual.json"
    path.write_text(damage)
    usual = UsualTimes(path)
    assert usual.of("a") is None
    usual.remember(timeline_of(5))
    assert UsualTimes(path).of("kind cluster") == 5


def test_runs_that_end_at_once_leave_a_whole_memory_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "usual.json"
    problems: list[BaseException] = []

    def end() -> None:
        try:
            for _ in range(10):
                UsualTimes(path).remember(timeline_of(5))
        except BaseException as error:  # noqa: BLE001 - shown below
            problems.append(error)

    threads = [threading.Thread(target=end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert UsualTimes(path).of("kind cluster") == 5
    assert list(tmp_path.iterdir()) == [path]


def test_a_phase_that_is_now_long_and_now_next_to_nothing_has_no_usual_time(tmp_path: Path) -> None:
    usual = UsualTimes(tmp_path / "usual.json")
    for seconds in (18, 0.1, 18, 0.1):
        usual.remember(timeline_of(seconds))
    assert usual.of("kind cluster") is None


def test_what_was_reused_the_last_time_has_no_usual_time_until_it_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "usual.json"
    UsualTimes(path).remember(timeline_of(80))
    UsualTimes(path).remember(timeline_of(0, note="reused"))
    assert UsualTimes(path).of("kind cluster") is None
    UsualTimes(path).remember(timeline_of(80))
    assert UsualTimes(path).of("kind cluster") == 80
