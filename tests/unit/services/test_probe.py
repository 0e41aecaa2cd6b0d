"""The program that proves the services from a pod says what each took and what kept it waiting."""

from __future__ import annotations

import re
import time

import pytest

from harness.services.probe import probe


def failing(times: int) -> probe.Part:
    left = iter(range(times))

    def git() -> None:
        if next(left, None) is not None:
            raise OSError("Could not resolve host: git")

    return git


def test_a_part_that_answers_at_once_says_its_time_alone() -> None:
    assert re.fullmatch(r"git 0\.\d s", probe.proven(failing(0), time.monotonic()) or "")


def test_a_part_that_had_to_be_tried_again_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PAUSE_SECONDS", 0.01)
    took = probe.proven(failing(2), time.monotonic() + 5)
    assert re.fullmatch(r"git 0\.\d s \(before: OSError: Could not resolve host: git\)", took or "")


def test_a_part_that_never_answers_is_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.proven(failing(1), time.monotonic()) is None
    assert capsys.readouterr().err == "git: OSError: Could not resolve host: git\n"
