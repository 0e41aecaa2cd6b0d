from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from pipeline_stage import BUCKET, PASSWORD, POINTER, USER, WORKER_IMAGE, Stage

from harness.process import SubprocessRunner

SEED = (Path(__file__).parents[3] / "fixtures" / "data" / "penguins.csv").read_bytes()
# Nobody answers there; and of how often that is tried nothing is said here.
NO_STORE = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}


def hook(stage: Stage, name: str, script: str) -> Path:
    """A hook in the run's clone."""
    path = stage.run_folder() / "repository" / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def server_refuses(stage: Stage) -> Path:
    path = stage.bare / "hooks" / "pre-receive"
    path.write_text("#!/bin/sh\necho 'closed for maintenance' >&2\nexit 1\n")
    path.chmod(0o755)
    return path


def test_a_run_leaves_one_commit_that_points_to_the_new_object(stage: Stage) -> None:
    before = stage.commits()
    stage.whole_run("manual__2026-01-01T00:00:00+00:00")

    after = stage.commits()
    assert after[1:] == before
    assert stage.changed() == [POINTER]
    table = stage.version()
    assert hashlib.md5(table, usedforsecurity=False).hexdigest() == stage.pointer_md5()
    assert table.startswith(SEED)
    assert table.count(b"\n") == SEED.count(b"\n") + 1
    assert stage.version(before[0]) == SEED
    assert len(stage.objects()) == 2
    author, committer, message = stage.git("show", "-s", "--format=%an <%ae>%x00%cn <%ce>%x00%B").split("\0")
    assert author == committer == "Airflow <airflow@example.invalid>"
    assert "Airflow-Run: manual__2026-01-01T00:00:00+00:00" in message
    assert f"Data-MD5: {stage.pointer_md5()}" in message
    assert list((stage.folder / "shared" / "runs").iterdir()) == []


def test_author_and_branch_are_settings(stage: Stage) -> None:
    stage.git("branch", "data", "main")
    author = {"GIT_AUTHOR_NAME": "Bot", "GIT_AUTHOR_EMAIL": "bot@example.invalid"}
    stage.whole_run("r", env={"GIT_BRANCH": "data", **author})
    assert len(stage.commits()) == 1
    assert stage.git("log", "-1", "--format=%an <%ae> %cn", "data") == "Bot <bot@example.invalid> Bot"


def test_credentials_appear_nowhere(stage: Stage) -> None:
    stage.pod("pull")
    assert "credential" not in (stage.run_folder() / "repository" / ".git" / "config").read_text()
    stage.pod("modify")
    refusal = server_refuses(stage)
    assert stage.pod("push", check=False).code == 1
    stage.assert_no_credentials_anywhere()
    refusal.unlink()
    stage.pod("push")
    stage.assert_no_credentials_anywhere()


def test_the_other_spelling_of_the_credentials_works_too(stage: Stage) -> None:
    other = {"GITSYNC_USERNAME": USER, "GITSYNC_PASSWORD": PASSWORD}
    stage.pod("pull", env={"GIT_SYNC_USERNAME": "", "GIT_SYNC_PASSWORD": "", **other})


def test_wrong_credentials_are_one_clear_line(stage: Stage) -> None:
    done = stage.pod("pull", check=False, env={"GIT_SYNC_PASSWORD": "wrong-canary"})
    assert done.code == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "dvc-pipeline pull: git clone failed" in done.stderr
    assert "Authentication failed" in done.stderr
    assert "wrong-canary" not in done.stderr


def test_credentials_go_to_the_server_of_the_repository_only(stage: Stage) -> None:
    question = "protocol=http\nhost={}\n\n"
    host = stage.url.split("/")[2]
    helper = WORKER_IMAGE / "bin" / "git-credential-environment"
    runner = SubprocessRunner(env={**stage.env, "GIT_SYNC_USERNAME": "u", "GIT_SYNC_PASSWORD": "p"})
    assert runner.run([helper, "get"], stdin=question.format(host)).stdout == "username=u\npassword=p\n"
    for other in ("127.0.0.1:1", f"{host}.example.invalid", "evil.invalid"):
        assert runner.run([helper, "get"], stdin=question.format(other)).stdout == ""
    assert runner.run([helper, "store"], stdin=question.format(host)).stdout == ""


def test_a_second_run_stands_on_the_first(finished: Stage) -> None:
    first = finished.version()
    finished.whole_run("run-2")
    assert finished.version().startswith(first)
    assert finished.version().count(b"\n") == SEED.count(b"\n") + 2
    assert len(finished.commits()) == 3


def test_a_cleared_run_makes_a_version_of_its_own(finished: Stage) -> None:
    finished.whole_run("run-1")
    assert len(finished.commits()) == 3
    assert finished.version().count(b"\n") == SEED.count(b"\n") + 2


def test_a_run_that_changes_nothing_makes_no_commit(stage: Stage) -> None:
    before, objects = stage.commits(), stage.objects()
    stage.whole_run("run-1", env={"PIPELINE_ROWS": "0"})
    assert stage.commits() == before
    assert stage.objects() == objects
    assert "nothing to version" in stage.said[-1]
    # A worker that died before it could report the success makes Airflow run the task again.
    stage.pod("push", env={"PIPELINE_ROWS": "0"})


def test_every_task_may_be_tried_again(stage: Stage) -> None:
    for task in ("pull", "modify", "pull", "modify", "modify"):
        stage.pod(task)
    (stage.run_folder() / "repository" / ".git" / "index.lock").touch()
    (stage.run_folder() / "repository" / ".dvc" / "tmp" / "lock").touch()
    (stage.run_folder() / "repository" / ".dvc" / "tmp" / "rwlock").write_text("{broken")
    stage.pod("push")
    assert len(stage.commits()) == 2
    assert stage.version().count(b"\n") == SEED.count(b"\n") + 1


def test_a_retry_after_a_refused_git_push_makes_the_one_commit(modified: Stage) -> None:
    refusal = server_refuses(modified)
    failed = modified.pod("push", check=False)
    assert failed.code == 1
    assert "closed for maintenance" in failed.stderr
    assert len(modified.objects()) == 2
    assert len(modified.commits()) == 1
    refusal.unlink()
    modified.pod("push")
    assert len(modified.commits()) == 2
    assert len(modified.objects()) == 2
    assert modified.changed() == [POINTER]


def test_a_retry_after_a_finished_git_push_makes_no_second_commit(modified: Stage, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    shutil.copytree(modified.run_folder(), saved)
    modified.pod("push")
    shutil.copytree(saved, modified.run_folder(), dirs_exist_ok=True)
    modified.pod("push")
    assert "pushed" in modified.said[-1]
    assert len(modified.commits()) == 2
    assert not modified.run_folder().exists()
    modified.pod("push")  # and once more, with the folder gone
    assert "an earlier try pushed" in modified.said[-1]
    assert len(modified.commits()) == 2


def test_a_push_that_was_heard_of_by_the_server_only_counts(modified: Stage) -> None:
    # The push goes through, and then the connection breaks, as far as the client can tell.
    hook(modified, "pre-push", f'git push -q --no-verify "{modified.bare}" HEAD:refs/heads/main; exit 1')
    modified.pod("push")
    assert len(modified.commits()) == 2


def test_a_rival_commit_on_another_file_is_kept_below_ours(modified: Stage) -> None:
    modified.rival_commits("notes.txt", "hello")
    modified.pod("push")
    assert [modified.changed(commit) for commit in modified.commits()[:2]] == [[POINTER], ["notes.txt"]]
    assert modified.git("show", "main:notes.txt") == "hello"


def test_a_rival_that_is_faster_at_the_last_moment_is_built_upon(modified: Stage) -> None:
    script = modified.rival_script("notes.txt", "hello")
    hook(modified, "pre-push", f'rm -f "$0"; exec "{script}"')
    modified.pod("push")
    assert [modified.changed(commit) for commit in modified.commits()[:2]] == [[POINTER], ["notes.txt"]]
    assert "trying again on top" in modified.said[-1]


def test_a_branch_that_never_holds_still_ends_the_tries(modified: Stage) -> None:
    hook(modified, "pre-push", f'exec "{modified.rival_script("notes.txt", "again")}"')
    failed = modified.pod("push", check=False)
    assert failed.code == 1
    assert "moved 5 times" in failed.stderr
    assert POINTER not in modified.changed()


def test_a_rival_version_of_the_same_file_is_never_overwritten(modified: Stage) -> None:
    modified.whole_run("fast")
    winner = modified.commits()
    failed = modified.pod("push", check=False)
    assert failed.code == 1
    assert failed.stderr.count("\n") == 1
    assert "another run versioned datasets/penguins.csv first" in failed.stderr
    assert "re-run the DAG" in failed.stderr
    assert modified.commits() == winner
    # Running it again, from the start, is all it takes.
    modified.whole_run("run-1")
    assert modified.version().count(b"\n") == SEED.count(b"\n") + 2


def test_a_rival_version_at_the_last_moment_is_never_overwritten(modified: Stage) -> None:
    script = modified.rival_script(POINTER, "# rival")
    hook(modified, "pre-push", f'exec "{script}"')
    failed = modified.pod("push", check=False)
    assert "another run versioned" in failed.stderr
    assert modified.git("log", "-1", "--format=%an", "main") == "Rival"


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"GIT_BRANCH": "nowhere"}, "git clone failed"),
        ({"DVC_DATA_FILE": "README.md"}, "README.md.dvc is not in the repository"),
        ({"GIT_REPO": "http://127.0.0.1:1/x.git"}, "git clone failed"),
        (NO_STORE, "Could not connect to the endpoint URL"),
    ],
)
def test_a_pull_that_cannot_work_says_why_in_one_line(stage: Stage, env: dict[str, str], reason: str) -> None:
    done = stage.pod("pull", check=False, env=env)
    assert done.code == 1
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_an_object_that_is_missing_from_the_remote_fails_the_pull(stage: Stage) -> None:
    for key in stage.objects():
        stage.s3.delete_object(Bucket=BUCKET, Key=f"{stage.prefix}/{key}")
    done = stage.pod("pull", check=False)
    assert done.code == 1
    assert "dvc pull failed" in done.stderr
    assert "failed to pull data from the cloud" in done.stderr, "in DVC's own words"


def test_tasks_without_a_pull_say_so(stage: Stage) -> None:
    for task in ("modify", "push"):
        done = stage.pod(task, check=False)
        assert done.code == 1
        assert "clear pull_data" in done.stderr


def test_a_store_that_does_not_answer_is_named(modified: Stage) -> None:
    """By DVC's own words, and not by its offer of help below them."""
    for task, run in (("pull", "run-2"), ("push", "run-1")):
        done = modified.pod(task, run=run, check=False, env=NO_STORE)
        assert done.code == 1
        assert done.stderr.count("\n") == 1
        assert f"dvc {task} failed" in done.stderr
        assert "ERROR: " in done.stderr
        assert 'Could not connect to the endpoint URL: "http://127.0.0.1:1/' in done.stderr
