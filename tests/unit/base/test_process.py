"""Programs run through the one runner: real subprocesses of the shell."""

from __future__ import annotations

import _thread
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import CommandCancelled, CommandFailed, CommandTimeout, UsageError
from harness.process import SubprocessRunner, which
from harness.processgroup import Scope
from harness.redaction import MASK, Redactor
from harness.wait import Waiter

SECRET = "correct-horse-battery"

# Seconds: more than a busy machine needs, less than what is stopped here would go on for. A program whose start is not
# yet counted when its scope is cancelled is given the time of any that is stopped, not that of the scope.
_AT_ONCE = 30


@pytest.fixture
def runner(tmp_path: Path) -> SubprocessRunner:
    redactor = Redactor()
    redactor.learn(SECRET)
    return SubprocessRunner(
        env={"PATH": os.environ["PATH"]}, redactor=redactor, transcript=tmp_path / "logs" / "transcript.txt"
    )


def transcript(runner: SubprocessRunner) -> str:
    assert runner.transcript is not None
    return runner.transcript.read_text()


def is_gone(pid_file: Path) -> Callable[[], bool]:
    """Whether the process of that pid file has ended (a zombie nobody reaps has ended too)."""

    def gone() -> bool:
        try:
            status = Path(f"/proc/{pid_file.read_text().strip()}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        return "State:\tZ" in status

    return gone


def assert_gone(pid_file: Path) -> None:
    Waiter().until(
        f"the process of {pid_file.name} to be gone", is_gone(pid_file), ready=bool, timeout=5, interval=0.02
    )


def test_output_code_and_time_come_back(runner: SubprocessRunner) -> None:
    done = runner.run(["sh", "-c", "echo out; echo err >&2"])
    assert (done.code, done.stdout, done.stderr) == (0, "out\n", "err\n")
    assert 0 <= done.seconds < 30


def test_a_last_line_without_an_end_is_kept(runner: SubprocessRunner) -> None:
    assert runner.run(["printf", r"a\nb"]).stdout == "a\nb"


def test_output_that_is_not_utf8_is_replaced_not_fatal(runner: SubprocessRunner) -> None:
    assert runner.run(["printf", r"a\377b"]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_large_output_on_both_streams_does_not_block(runner: SubprocessRunner) -> None:
    done = runner.run(["sh", "-c", "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero"], timeout=20)
    assert (len(done.stdout), len(done.stderr)) == (300_000, 300_000)


def test_input_is_given_whole(runner: SubprocessRunner) -> None:
    assert runner.run(["wc", "-c"], stdin=b"x" * 200_000, timeout=20).stdout.strip() == "200000"


def test_without_input_the_program_reads_an_end_not_the_terminal(runner: SubprocessRunner) -> None:
    assert runner.run(["cat"], timeout=10).stdout == ""


def test_a_program_that_ignores_its_input_is_no_error(runner: SubprocessRunner) -> None:
    assert runner.run(["true"], stdin="x" * 1_000_000).code == 0


def test_the_environment_is_the_runners_plus_the_calls(
    runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIENT", "leaks")
    done = runner.run(["sh", "-c", "echo ${AMBIENT-unset} $MORE"], env={"MORE": "more"})
    assert done.stdout == "unset more\n"


def test_it_runs_in_the_given_folder(runner: SubprocessRunner, tmp_path: Path) -> None:
    assert runner.run(["pwd"], cwd=tmp_path).stdout.strip() == str(tmp_path.resolve())


def test_another_exit_code_is_an_error_with_its_last_words(runner: SubprocessRunner) -> None:
    with pytest.raises(CommandFailed) as caught:
        runner.run(["sh", "-c", "echo noise; echo 'it broke' >&2; exit 7"], next_step="mend it")
    assert caught.value.code == 7
    assert "it broke" in str(caught.value)
    assert "next: mend it" in str(caught.value)


def test_an_exit_code_may_be_asked_for_instead(runner: SubprocessRunner) -> None:
    assert runner.run(["sh", "-c", "exit 7"], check=False).code == 7


def test_a_death_by_signal_is_a_negative_code(runner: SubprocessRunner) -> None:
    assert runner.run(["sh", "-c", "kill -9 $$"], check=False).code == -9


def test_a_missing_program_is_a_usage_error(runner: SubprocessRunner) -> None:
    with pytest.raises(UsageError, match="no-such-program does not exist"):
        runner.run(["no-such-program"])


def test_a_missing_folder_is_named_instead_of_the_program(runner: SubprocessRunner, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        runner.run(["true"], cwd=tmp_path / "nowhere")


def test_a_file_that_cannot_be_executed_is_a_usage_error(runner: SubprocessRunner, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("not a program")
    with pytest.raises(UsageError, match="Permission denied"):
        runner.run([program])
    program.chmod(0o755)
    with pytest.raises(UsageError, match="Exec format error"):
        runner.run([program])


def test_a_timeout_says_what_was_said_last_without_secrets(runner: SubprocessRunner) -> None:
    with pytest.raises(CommandTimeout) as caught:
        runner.run(["sh", "-c", f"echo busy with {SECRET}; exec sleep 60"], timeout=0.3)
    assert f"busy with {MASK}" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "stopped after" in transcript(runner)


def test_a_timeout_stops_the_grandchildren_too(runner: SubprocessRunner, tmp_path: Path) -> None:
    pid = tmp_path / "grandchild"
    with pytest.raises(CommandTimeout):
        runner.run(["sh", "-c", f"sh -c 'echo $$ > {pid}; sleep 60' & wait"], timeout=0.5)
    assert_gone(pid)


def test_a_grandchild_that_ignores_the_signal_is_killed_though_its_parent_obeys(
    runner: SubprocessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.process._GRACE_SECONDS", 0.3)
    pid = tmp_path / "grandchild"
    stubborn = f'trap "" TERM; echo $$ > {pid}; for i in $(seq 600); do sleep 0.1; done'
    with pytest.raises(CommandTimeout):
        runner.run(["sh", "-c", f"sh -c '{stubborn}' & wait"], timeout=0.5)
    assert_gone(pid)


def test_a_stopped_program_gets_time_to_clean_up(runner: SubprocessRunner, tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    with pytest.raises(CommandTimeout):
        runner.run(["sh", "-c", f"trap 'sleep 0.2; touch {cleaned}; exit' TERM; sleep 60 & wait"], timeout=0.5)
    assert cleaned.exists()


def test_a_grandchild_that_holds_the_output_open_does_not_hold_the_runner(
    runner: SubprocessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.process._GRACE_SECONDS", 0.2)
    pid = tmp_path / "daemon"
    began = time.monotonic()
    done = runner.run(["sh", "-c", f"sh -c 'echo $$ > {pid}; exec sleep 60' & echo started"], timeout=50)
    assert done.stdout == "started\n"
    assert time.monotonic() - began < _AT_ONCE
    assert not is_gone(pid)()  # what a program leaves running on purpose is not ours to stop
    os.kill(int(pid.read_text()), 9)


def test_an_interrupt_stops_the_program_and_goes_on(runner: SubprocessRunner, tmp_path: Path) -> None:
    pid = tmp_path / "child"
    with pytest.raises(KeyboardInterrupt):
        runner.run(
            ["sh", "-c", f"echo $$ > {pid}; echo ready; exec sleep 60"], on_line=lambda _line: _thread.interrupt_main()
        )
    assert_gone(pid)


def test_lines_are_told_as_they_appear_and_redacted(runner: SubprocessRunner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    seen: list[str] = []

    def told(line: str) -> None:
        seen.append(line)
        go.touch()

    runner.run(
        ["sh", "-c", f"echo {SECRET}; while [ ! -e {go} ]; do sleep 0.02; done; echo b"], on_line=told, timeout=20
    )
    assert seen == [MASK, "b"]


def test_what_a_line_listener_raises_is_raised_after_the_end(runner: SubprocessRunner) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="first"):
        # More than a pipe holds: a reader that stopped reading would block the program for ever.
        runner.run(["sh", "-c", "echo first; head -c 300000 /dev/zero"], on_line=refuse, timeout=20)


def test_nothing_kept_holds_a_secret(runner: SubprocessRunner) -> None:
    with pytest.raises(CommandFailed) as caught:
        runner.run(["sh", "-c", f"echo {SECRET}; echo {SECRET} >&2; exit 1"])
    error = caught.value
    assert SECRET not in "".join((str(error), *error.argv, error.stdout, error.stderr, transcript(runner)))
    assert MASK in error.stderr


def test_the_transcript_notes_each_command_with_its_end(runner: SubprocessRunner) -> None:
    runner.run(["true"])
    runner.run(["sh", "-c", "exit 3"], check=False)
    first, second = transcript(runner).splitlines()
    assert first.endswith("exit 0: true")
    assert "exit 3: sh -c" in second


def test_a_pipe_carries_everything(runner: SubprocessRunner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner.pipe(["head", "-c", "500000", "/dev/zero"], ["sh", "-c", f"cat > {out}"], timeout=20)
    assert out.stat().st_size == 500_000


def test_a_failing_consumer_is_the_error_not_the_broken_pipe(runner: SubprocessRunner) -> None:
    with pytest.raises(CommandFailed) as caught:
        runner.pipe(["cat", "/dev/zero"], ["sh", "-c", f"echo no {SECRET} >&2; exit 4"], timeout=20)
    assert caught.value.code == 4
    assert f"no {MASK}" in caught.value.stderr
    assert SECRET not in str(caught.value)


def test_a_failing_producer_is_an_error_though_the_consumer_is_content(runner: SubprocessRunner) -> None:
    with pytest.raises(CommandFailed) as caught:
        runner.pipe(["sh", "-c", "echo lost it >&2; exit 5"], ["cat"], timeout=20)
    assert caught.value.code == 5
    assert "lost it" in caught.value.stderr


def test_a_pipe_without_its_consumer_is_a_usage_error_and_leaves_no_producer(
    runner: SubprocessRunner, tmp_path: Path
) -> None:
    pid = tmp_path / "producer"
    with pytest.raises(UsageError, match="no-such-program"):
        runner.pipe(["sh", "-c", f"echo $$ > {pid}; exec sleep 60"], ["no-such-program"], timeout=20)
    if pid.exists():
        assert_gone(pid)


def test_a_pipe_that_hangs_is_stopped_at_both_ends(runner: SubprocessRunner, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with pytest.raises(CommandTimeout) as caught:
        runner.pipe(
            ["sh", "-c", f"echo $$ > {first}; exec sleep 60"],
            ["sh", "-c", f"echo {SECRET} >&2; echo $$ > {second}; exec sleep 60"],
            timeout=0.5,
        )
    assert_gone(first)
    assert_gone(second)
    assert SECRET not in str(caught.value)


def test_which_finds_programs_on_the_path_only(tmp_path: Path) -> None:
    assert which("sh") is not None
    assert which("sh", path=str(tmp_path)) is None


def test_a_runner_does_not_show_its_environment() -> None:
    assert SECRET not in repr(SubprocessRunner(env={"TOKEN": SECRET}))


def cancelled_while(runner: SubprocessRunner, scope: Scope, commands: list[list[str]], started: list[Path]) -> float:
    """Run them side by side, cancel once they run; seconds that it took until all were told."""
    within = runner.within(scope)
    with ThreadPoolExecutor(len(commands)) as pool:
        runs = [pool.submit(within.run, command, timeout=60) for command in commands]
        Waiter().until("all to run", lambda: all(path.exists() for path in started), ready=bool, timeout=10)
        began = time.monotonic()
        scope.cancel(grace=0.5)
        for run in runs:
            with pytest.raises(CommandCancelled):
                run.result()
        return time.monotonic() - began


def test_cancelling_ends_all_that_runs_with_children_and_grandchildren(
    runner: SubprocessRunner, tmp_path: Path
) -> None:
    pids = [tmp_path / name for name in ("one", "two", "grandchild", "stubborn")]
    stubborn = f'trap "" TERM; echo $$ > {pids[3]}; for i in $(seq 600); do sleep 0.1; done'
    commands = [
        ["sh", "-c", f"echo $$ > {pids[0]}; exec sleep 60"],
        ["sh", "-c", f"echo $$ > {pids[1]}; sh -c 'echo $$ > {pids[2]}; sleep 60' & wait"],
        ["sh", "-c", f"sh -c '{stubborn}' & wait"],
    ]
    assert cancelled_while(runner, Scope(), commands, pids) < _AT_ONCE
    for pid in pids:
        assert_gone(pid)


def test_a_program_that_ends_well_when_it_is_cancelled_still_counts_as_cancelled(
    runner: SubprocessRunner, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    polite = f"trap 'exit 0' TERM; touch {ready}; while :; do sleep 0.05; done"
    assert cancelled_while(runner, Scope(), [["sh", "-c", polite]], [ready]) < _AT_ONCE


class CancelledTooLate(Scope):
    """It is cancelled when the program that starts in it has already ended."""

    def enter(self, process: subprocess.Popen[bytes]) -> bool:
        process.wait()
        self.cancel()
        return False


def test_what_a_program_left_running_ends_too_when_it_is_cancelled_as_it_starts(
    runner: SubprocessRunner, tmp_path: Path
) -> None:
    pid = tmp_path / "child"
    leaves = f"sh -c 'echo $$ > {pid}; exec sleep 60' & while [ ! -s {pid} ]; do sleep 0.05; done"
    with pytest.raises(CommandCancelled):
        runner.within(CancelledTooLate()).run(["sh", "-c", leaves])
    assert_gone(pid)


def test_both_ends_of_a_pipe_are_cancelled(runner: SubprocessRunner, tmp_path: Path) -> None:
    scope = Scope()
    first, second = tmp_path / "first", tmp_path / "second"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            runner.within(scope).pipe,
            ["sh", "-c", f"echo $$ > {first}; exec sleep 60"],
            ["sh", "-c", f"echo $$ > {second}; exec cat"],
            timeout=60,
        )
        Waiter().until("both to run", lambda: first.exists() and second.exists(), ready=bool, timeout=10)
        scope.cancel()
        with pytest.raises(CommandCancelled):
            running.result()
    assert_gone(first)
    assert_gone(second)


def test_nothing_starts_in_a_cancelled_scope_and_cleaning_up_outside_of_it_does(
    runner: SubprocessRunner, tmp_path: Path
) -> None:
    scope = Scope()
    scope.cancel()
    with pytest.raises(CommandCancelled, match="given up"):
        runner.within(scope).run(["touch", tmp_path / "made"])
    assert not (tmp_path / "made").exists()
    assert runner.run(["true"]).code == 0


def test_cancelling_one_scope_leaves_another_alone(runner: SubprocessRunner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(
            runner.within(Scope()).run, ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done; echo done"]
        )
        Scope().cancel()
        go.touch()
        assert other.result().stdout == "done\n"
