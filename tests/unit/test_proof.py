"""What a proof takes away before it seeds: runs and pods that are left, and on a used cluster claim and Variables."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from harness import proof
from harness.airflow.values import RunInfo
from harness.environment import Environment
from harness.errors import EnvironmentFailed, UsageError
from harness.model import Seeded
from harness.pipeline.pods import PodFollower
from harness.proof import Prover
from harness.redaction import MASK, Redactor
from harness.settings import resolve
from harness.timeline import Timeline
from harness.wait import Waiter


@dataclass
class Calls:
    """What was done, in order; and the cluster and the Airflow that it was done to."""

    done: list[str] = field(default_factory=list)
    unfinished: list[RunInfo] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    paused: bool = True

    def dag(self, dag_id: str) -> Any:
        return SimpleNamespace(dag_id=dag_id, is_paused=self.paused)

    def pause(self, dag_id: str) -> None:
        self.done.append("pause")

    def runs(self, dag_id: str | None = None, *, unfinished: bool = False) -> tuple[RunInfo, ...]:
        return tuple(self.unfinished) if unfinished else ()

    def fail_run(self, dag_id: str, run_id: str) -> None:
        self.done.append(f"fail {dag_id}/{run_id}")
        self.unfinished.clear()

    def delete_variables(self) -> tuple[str, ...]:
        self.done.append("variables")
        return ()

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        return list(self.pods) if kind == "Pod" else []

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        self.done.append(f"delete {name}")
        self.pods.clear()
        return True

    def reseed(self, *, dags: Path | None = None) -> Seeded:
        self.done.append("seed" if dags is None else f"seed with {dags.name}")
        return Seeded("a" * 40, "main", "p", "dags")

    def discard_seed(self) -> None:
        self.done.append("discard")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()

    class Emptying:
        @classmethod
        def start(cls, _kube: object, image: str, **_options: object) -> Emptying:
            calls.done.append(f"empty with {image}")
            return cls()

        def finish(self) -> None:
            calls.done.append("emptied")

    class Gatherer:
        def snapshot(self) -> Any:
            return SimpleNamespace(tip=None)

    def run(_self: object, *_given: object, **_options: object) -> None:
        calls.done.append("run")
        raise EnvironmentFailed("enough is seen")

    monkeypatch.setattr(proof, "ClaimEmptying", Emptying)
    monkeypatch.setattr(Prover, "_gatherer", lambda *_given: Gatherer())
    monkeypatch.setattr(Prover, "wait_for_dag", lambda _self, _sha: calls.done.append("ready"))
    monkeypatch.setattr(Prover, "_with_tasks", lambda _self, expectation: expectation)
    monkeypatch.setattr(proof, "run_pipeline", run)
    monkeypatch.setattr(proof, "PodFollower", Follower)
    return calls


class Follower:
    def __init__(self, *_given: object, **_options: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def evidence(self) -> dict[str, Any]:
        return {}

    def manifests(self) -> dict[str, Any]:
        return {}


def prover(calls: Calls, tmp_path: Path, *, reused: bool) -> Prover:
    toolchain = SimpleNamespace(images={"worker": "built:1"}, image_digests={"worker": ("sha256:1",)})
    services = SimpleNamespace(s3=SimpleNamespace(bucket="b", root=""), git=SimpleNamespace(ours=True))
    cluster = SimpleNamespace(reused=reused, mapped_images={}, bucket=None)
    ready = SimpleNamespace(api=calls, kube=calls, cluster=cluster, toolchain=toolchain, services=services)
    environment = SimpleNamespace(
        ready=ready,
        settings=resolve(),
        scratch=tmp_path,
        evidence=tmp_path,
        timeline=Timeline(),
        waiter=Waiter(),
        redactor=Redactor(),
        reseed=calls.reseed,
        discard_seed=calls.discard_seed,
        blocked_by_address=lambda: (),
    )
    return Prover(cast("Environment", environment))


def prove(made: Prover, *, reseed: bool = True) -> None:
    with pytest.raises(EnvironmentFailed, match="enough is seen"):
        made.prove(reseed=reseed)


RESET = ["empty with built:1", "variables", "seed", "ready", "emptied", "run"]


def test_a_fresh_cluster_has_nothing_to_take_away(calls: Calls, tmp_path: Path) -> None:
    prove(prover(calls, tmp_path, reused=False))
    assert calls.done == ["seed", "ready", "run"]


def test_on_a_kept_cluster_claim_and_variables_are_emptied_and_the_claim_is_before_the_run(
    calls: Calls, tmp_path: Path
) -> None:
    prove(prover(calls, tmp_path, reused=True))
    assert calls.done == RESET


def test_a_second_seed_on_one_cluster_empties_them_again(calls: Calls, tmp_path: Path) -> None:
    made = prover(calls, tmp_path, reused=False)
    prove(made)
    calls.done.clear()
    prove(made)
    assert calls.done == RESET


def test_a_run_that_goes_on_where_the_last_one_left_off_keeps_them(calls: Calls, tmp_path: Path) -> None:
    made = prover(calls, tmp_path, reused=True)
    made._seeded = calls.reseed()
    calls.done.clear()
    prove(made, reseed=False)
    assert calls.done == ["ready", "run"]


def test_a_run_of_another_dag_that_is_left_is_ended_before_the_seed_which_is_made_anew(
    calls: Calls, tmp_path: Path
) -> None:
    made = prover(calls, tmp_path, reused=False)
    made._seeded = calls.reseed()
    calls.done.clear()
    calls.unfinished = [RunInfo("other", "r1", "manual", "running", started=True)]
    prove(made, reseed=False)
    assert calls.done == ["fail other/r1", "discard", "seed", "ready", "run"]


def test_a_pod_that_is_left_of_a_run_that_is_over_is_ended_before_the_seed(calls: Calls, tmp_path: Path) -> None:
    calls.pods = [{"metadata": {"name": "left", "labels": {"run_id": "r0"}}, "status": {"phase": "Running"}}]
    prove(prover(calls, tmp_path, reused=False))
    assert calls.done == ["delete left", "discard", "seed", "ready", "run"]


def test_a_dag_that_an_interrupted_run_left_unpaused_is_paused_first(calls: Calls, tmp_path: Path) -> None:
    calls.paused = False
    prove(prover(calls, tmp_path, reused=False))
    assert calls.done[0] == "pause"


@pytest.fixture
def other_dags(tmp_path: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "dag.py").write_text('DAG("dataset_pipeline")\n')
    return folder


def after_others(calls: Calls, tmp_path: Path, other_dags: Path) -> Prover:
    """One that has proven another DAG folder."""
    made = prover(calls, tmp_path, reused=False)
    with pytest.raises(EnvironmentFailed, match="enough is seen"):
        made.prove(dags=other_dags)
    return made


def test_another_dag_folder_is_seeded_for_one_run_and_the_environments_own_for_the_next(
    calls: Calls, tmp_path: Path, other_dags: Path
) -> None:
    made = after_others(calls, tmp_path, other_dags)
    assert made._files is not None
    assert made._files.naming("dataset_pipeline") == ("dag.py",)
    prove(made)
    assert [what for what in calls.done if what.startswith("seed")] == ["seed with others", "seed"]
    assert made._files is None


def test_a_run_that_is_seeded_anew_for_what_was_left_keeps_the_folder_that_it_goes_on_with(
    calls: Calls, tmp_path: Path, other_dags: Path
) -> None:
    made = after_others(calls, tmp_path, other_dags)
    made._seeded = Seeded("a" * 40, "main", "p", "dags")
    calls.unfinished = [RunInfo("other", "r1", "manual", "running", started=True)]
    prove(made, reseed=False)
    assert [what for what in calls.done if what.startswith("seed")] == ["seed with others", "seed with others"]


def test_another_dag_folder_without_a_fresh_repository_is_refused_before_anything_is_done(
    calls: Calls, tmp_path: Path, other_dags: Path
) -> None:
    with pytest.raises(UsageError, match="needs a fresh repository"):
        prover(calls, tmp_path, reused=False).prove(dags=other_dags, reseed=False)
    assert calls.done == []


def test_a_check_that_does_not_exist_cannot_be_the_one_that_must_fail(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no check 'object.presnt'") as caught:
        prover(calls, tmp_path, reused=False).prove(expect_red="object.presnt")
    assert "object.present" in caught.value.next_step
    assert calls.done == []


def test_the_logs_that_are_kept_are_redacted_as_a_whole(calls: Calls, tmp_path: Path) -> None:
    """Each line was, as it came; a secret whose base64 is broken into lines stands in none of them."""
    made = prover(calls, tmp_path, reused=False)
    secret = "s3cr3t-of-this-run"
    made._environment.redactor.learn(secret)
    wrapped = base64.encodebytes(b"-" * 50 + secret.encode() + b"-" * 50).decode().splitlines()
    follower = SimpleNamespace(evidence=lambda: ["p"], logs=lambda _pod: {"base": ("begin", *wrapped, "end")})
    made._keep_logs(cast("PodFollower", follower), "r1")
    text = (tmp_path / "logs" / "r1" / "p.base.log").read_text()
    assert text.startswith("begin\n")
    assert text.endswith("\nend\n")
    assert MASK in text


@pytest.mark.parametrize("bucket", [None, object()])
def test_what_came_first_is_asked_where_bucket_and_git_server_go_by_one_clock(
    calls: Calls, tmp_path: Path, bucket: object
) -> None:
    made = prover(calls, tmp_path, reused=False)
    made._ready.cluster.bucket = bucket  # type: ignore[misc, assignment] # stands in for one
    assert made._expectation(calls.reseed(), changes=True).one_clock is (bucket is None)


@pytest.mark.parametrize("ours", [True, False])
def test_who_tells_when_a_push_came_is_the_harness_own_git_server_alone(
    calls: Calls,
    tmp_path: Path,
    ours: bool,  # noqa: FBT001 - by pytest
) -> None:
    made = prover(calls, tmp_path, reused=False)
    made._ready.services.git.ours = ours  # type: ignore[misc] # stands in for one
    expectation = made._expectation(calls.reseed(), changes=True)
    assert (expectation.push_log, expectation.ordered) == (ours, ours)


def test_what_a_test_pushed_as_somebody_else_must_stay_until_the_next_seed(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prover(calls, tmp_path, reused=False)
    monkeypatch.setattr(Prover, "_branch", lambda _self: SimpleNamespace(push=lambda _files: "b" * 40))
    made.push_change({"a": "b"})
    assert made._published == ["b" * 40]
    made._start_from(None, reseed=True)
    assert made._published == []
