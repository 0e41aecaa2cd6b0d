"""actionlint is built once, from what is locked, and where it cannot be built that is a failure with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import CommandFailed, EnvironmentFailed
from tests.fakes import Call, FakeRunner
from tests.lint import actionlint


class Builders(FakeRunner):
    """pip and go, as far as they leave files behind."""

    def answer(self, call: Call) -> str:
        if "-o" in call.argv:
            Path(call.argv[call.argv.index("-o") + 1]).write_text("program")
        return ""


def test_it_is_built_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    runner = Builders()
    said: list[str] = []
    built = actionlint.program(tmp_path, runner, said.append)
    assert built.read_text() == "program"
    assert len(runner.calls) == 2
    assert actionlint.program(tmp_path, runner, said.append) == built
    assert len(runner.calls) == 2
    assert said == ["building actionlint, once on this machine"]
    assert list((tmp_path / "tools").iterdir()) == [built.parent]


def test_no_go_of_the_machine_is_used_and_no_version_but_the_locked_ones(tmp_path: Path) -> None:
    runner = Builders()
    actionlint.program(tmp_path, runner, lambda _text: None)
    install, build = runner.calls
    assert "--require-hashes" in install
    assert Path(build[0]).is_absolute()
    assert str(tmp_path) in build[0]


@pytest.mark.parametrize("changed", range(len(actionlint.SOURCES)))
def test_what_is_built_is_known_by_what_it_was_built_from(changed: int, tmp_path: Path) -> None:
    copies = []
    for number, source in enumerate(actionlint.SOURCES):
        copies.append(tmp_path / f"{number}")
        copies[-1].write_bytes(source.read_bytes())
    same = actionlint.content_key(tuple(copies))
    assert same == actionlint.content_key()
    copies[changed].write_bytes(copies[changed].read_bytes() + b"\n")
    assert actionlint.content_key(tuple(copies)) != same


class Unreachable(FakeRunner):
    def answer(self, call: Call) -> str:
        raise CommandFailed(argv=tuple(call.argv), code=1, stdout="", stderr="no route to host")


def test_where_it_cannot_be_built_that_is_a_failure_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="could not be built, so the workflows are not checked") as failed:
        actionlint.program(tmp_path, Unreachable(), lambda _text: None)
    assert "GOPROXY" in failed.value.next_step
    assert list((tmp_path / "tools").iterdir()) == []
