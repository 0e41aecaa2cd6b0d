"""These tests call a harness that is loaded once: it says and does what the installed one does."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from .front_door import INSTALLED, FrontDoor


def lasting(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r" in [0-9.]+ s, evidence in .*", "", text)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--values", "team.yaml"),
        ("status",),
        ("no-such-verb",),
    ],
    ids=" ".join,
)
def test_it_says_what_the_installed_program_says(door: FrontDoor, words: tuple[str, ...]) -> None:
    loaded = door.verb(*words)
    installed = replace(door, program=INSTALLED).verb(*words)
    assert (loaded.code, lasting(loaded.text)) == (installed.code, lasting(installed.text))
    assert loaded.text


def test_it_has_the_callers_environment(door: FrontDoor) -> None:
    env = {"HARNESS_CLUSTER__NAME": "no/name"}
    of_both = [replace(door, env=env, program=program).verb("status") for program in (door.program, INSTALLED)]
    assert of_both[0].text == of_both[1].text
    assert of_both[0].text != door.verb("status").text
