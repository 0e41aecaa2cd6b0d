"""The mutants of the pipeline judged without a cluster: their programs run here, so that only pods and Airflow are
made up, and the whole verdict must be the one that their rows name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model import Leak
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from tests.mutants.table import CONTROL, MUTANTS
from tests.mutants.variant import program_of
from tests.mutations.play import Play
from tests.mutations.played import Results, assert_green, assert_killed, play_all
from tests.mutations.recording import Recorded
from tests.mutations.site import Site
from tests.mutations.table import Row

WORKER_IMAGE = Path(__file__).parents[3] / "worker-image"


def seed(play: Play) -> None:
    """As `dvc add` has left it, so that a run need not touch `.gitignore`."""
    play.publish(play.begin({"datasets/.gitignore": b"/penguins.csv\n"}))


def act(play: Play) -> None:
    """All three tasks, as the variant's pods run them; what they print is read as the harness reads a pod's log."""
    # Nobody listens there; the address is this machine's own.
    program = program_of(play.name.replace("-", "_"), given={"OUTSIDE_HOST": "127.0.0.1", "OUTSIDE_PORT": "9"})
    git, store = play.site.git, play.site.s3
    assert store.outside is not None
    assert store.access_key is not None
    assert store.secret_key is not None
    (play.folder / "home").mkdir()
    shared = {
        "PATH": os.pathsep.join((str(WORKER_IMAGE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(WORKER_IMAGE),
        "PYTHONWARNINGS": "ignore",
        "HOME": str(play.folder / "home"),
        "GIT_CONFIG_SYSTEM": str(WORKER_IMAGE / "gitconfig"),
        "GIT_SSL_CAINFO": str(git.ca_file),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(play.folder / "site"),
        "SHARED_DIR": str(play.folder / "shared"),
        "GIT_REPO": play.access.url,
        "PIPELINE_RUN_ID": play.run_id,
        "AWS_ENDPOINT_URL_S3": store.outside,
        "AWS_REGION": store.region,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key.get_secret_value(),
    }
    credentials = {"GIT_SYNC_USERNAME": git.username, "GIT_SYNC_PASSWORD": git.password.get_secret_value()}
    redactor = Redactor()
    redactor.learn(git.password.get_secret_value())
    for task in ("pull", "modify", "push"):
        env = {**shared, **({} if task == "modify" else credentials)}
        # A redactor of its own: the runner's would mask what a pod shows.
        done = SubprocessRunner(env=env).run([sys.executable, "-c", program, task])
        lines = (done.stdout + done.stderr).splitlines()
        found = [number for number, line in enumerate(lines, start=1) if redactor.examined(line)[1]]
        if found:
            leaks = (Leak("base", len(found), found[0]),)
            (pod,) = (one for one in play.pods if (one.task_id, one.role) == (f"{task}_data", "task"))
            play.replace_pod(replace(pod, name=f"dvc-{task}-x", leaks=leaks))


@pytest.fixture(scope="module")
def results(site: Site, recorded: Mapping[str, Recorded]) -> Results:
    rows = [CONTROL, *MUTANTS.values()]
    played: list[Row] = [replace(row, act=act, prepare=seed) for row in rows]
    return play_all("DAG mutants caught", played, site, recorded, prefix="runs/mutants", threads=2)


def test_the_control_is_green(results: Results) -> None:
    assert_green(CONTROL.name, results.rows)


@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - {"call-outside"}))
def test_mutant_is_caught(results: Results, name: str) -> None:
    assert_killed(name, results.rows)


def test_of_the_call_outside_nothing_but_the_call_is_wrong(results: Results) -> None:
    """Nothing here denies it or tells of it; on the cluster, `traffic.none-outside` finds it alone."""
    verdict = results.rows["call-outside"].verdict
    assert verdict is not None
    assert verdict.green, results.rows["call-outside"].failed
