"""The mutants' programs with real Git, DVC and S3: each does its harm, says that all went well, and does no other."""

from __future__ import annotations

import sys

import pytest
from pipeline_stage import DATA_FILE, PASSWORD, POINTER, USER, Stage

from harness.process import SubprocessRunner
from tests.mutants.variant import program_of


def run(stage: Stage, program: str, **given: str) -> str:
    """All three tasks with another program, as the variant's pods run it; what they said."""
    text = program_of(program, given=given)
    said = ""
    for task in ("pull", "modify", "push"):
        secret = {} if task == "modify" else {"GIT_SYNC_USERNAME": USER, "GIT_SYNC_PASSWORD": PASSWORD}
        env = {**stage.env, **secret, "PIPELINE_RUN_ID": "run-1"}
        done = SubprocessRunner(env=env).run([sys.executable, "-c", text, task])
        said += done.stdout + done.stderr
    return said


def test_the_control_does_what_the_pipeline_does(stage: Stage) -> None:
    before = stage.version()
    run(stage, "plain")
    assert len(stage.commits()) == 2
    assert len(stage.version().splitlines()) == len(before.splitlines()) + 1


@pytest.mark.parametrize("program", ["skip_dvc_push", "push_before_add"])
def test_the_pointer_is_committed_and_its_object_is_nowhere(stage: Stage, program: str) -> None:
    before = stage.objects()
    assert "pushed the object" in run(stage, program)
    assert len(stage.commits()) == 2
    assert stage.changed() == [POINTER]
    assert stage.pointer_md5() != stage.pointer_md5("main~1")
    assert stage.objects() == before


def test_the_object_is_uploaded_and_the_commit_is_not(stage: Stage) -> None:
    assert "pushed commit" in run(stage, "commit_without_push")
    assert len(stage.commits()) == 1
    assert len(stage.objects()) == 2


def test_the_error_is_told_and_nothing_happens(stage: Stage) -> None:
    assert "dvc-pipeline modify: the source of the new rows does not answer" in run(stage, "swallow_an_error")
    assert len(stage.commits()) == 1
    assert len(stage.objects()) == 1


def test_the_commit_goes_to_another_branch(stage: Stage) -> None:
    run(stage, "write_to_another_branch")
    assert len(stage.commits()) == 1
    assert stage.git("rev-list", "main..main-data").splitlines() == [stage.git("rev-parse", "main-data")]
    assert stage.changed("main-data") == [POINTER]


def test_two_versions_come_of_one_run(stage: Stage) -> None:
    before = stage.version()
    run(stage, "run_twice")
    assert len(stage.commits()) == 3
    assert len(stage.objects()) == 3
    assert len(stage.version().splitlines()) == len(before.splitlines()) + 2


def test_the_password_is_printed_and_all_else_is_right(stage: Stage) -> None:
    said = run(stage, "leak_the_token")
    assert PASSWORD.replace("@", "%40").replace("/", "%2F").replace(":", "%3A") in said
    assert len(stage.commits()) == 2
    assert DATA_FILE in said


def test_the_call_outside_is_tried_and_all_else_is_right(stage: Stage) -> None:
    # Nobody listens there; the address is this machine's own.
    said = run(stage, "call_outside", OUTSIDE_HOST="127.0.0.1", OUTSIDE_PORT="9")
    assert "no statistics today" in said
    assert len(stage.commits()) == 2
