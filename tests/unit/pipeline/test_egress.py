"""Blocked attempts get the name of the pod, and a run only its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.model import BlockedEgress, DagRunOutcome, PipelineRun, PodEvidence, Seeded, Watch
from harness.pipeline.egress import named, since, with_blocked


def attempt(source: str = "10.244.0.5", *, port: int | None = 443, packets: int = 1) -> BlockedEgress:
    return BlockedEgress(source, "192.0.2.1", "tcp", port, packets)


def followed(address: str) -> PodEvidence:
    return PodEvidence("dvc-pull-1", "pull_data", "task", "Succeeded", "worker:1", "", address=address)


def run_of(pod: PodEvidence) -> PipelineRun:
    return PipelineRun(Seeded("a" * 40, "main", "p", "dags"), DagRunOutcome("d", "r1", "success", {}), {"p": pod})


def pod(name: str, address: str, **spec: object) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "airflow"}, "spec": spec, "status": {"podIP": address}}


def names(blocked: tuple[BlockedEgress, ...]) -> list[str]:
    return [entry.pod for entry in blocked]


def test_a_pod_of_the_run_is_named_also_when_it_is_gone() -> None:
    found = named([attempt()], followed=[followed("10.244.0.5")], namespace="airflow", present=[])

    assert names(found) == ["airflow/dvc-pull-1"]
    assert str(found[0]) == "airflow/dvc-pull-1 to 192.0.2.1:443 (tcp)"


def test_a_pod_of_the_environment_is_named_too() -> None:
    found = named([attempt()], followed=[], namespace="airflow", present=[pod("scheduler-0", "10.244.0.5")])

    assert names(found) == ["airflow/scheduler-0"]


def test_a_pod_without_an_address_or_in_the_nodes_network_is_not_taken_for_it() -> None:
    present = [pod("proxy", "10.244.0.5", hostNetwork=True), {"metadata": {"name": "new", "namespace": "airflow"}}]

    found = named([attempt()], followed=[followed("")], namespace="airflow", present=present)

    assert names(found) == [""]
    assert str(found[0]) == "10.244.0.5 to 192.0.2.1:443 (tcp)"


def test_of_two_readings_only_what_came_between_counts() -> None:
    before = [attempt(packets=2), attempt("10.244.0.6")]
    after = [attempt(packets=5), attempt("10.244.0.6"), attempt(port=None)]

    assert since(before, after) == (attempt(packets=3), attempt(port=None))


def test_what_a_node_counts_that_was_started_anew_came_since() -> None:
    assert since([attempt(packets=5)], [attempt(packets=2)]) == (attempt(packets=2),)


def test_where_nobody_watches_nothing_is_known_of_what_came() -> None:
    assert since(None, None) is None
    assert since((), None) is None
    assert since(None, ()) is None


def test_each_pod_of_a_run_gets_its_own_attempts_and_no_others() -> None:
    own = BlockedEgress("10.244.0.5", "192.0.2.1", "tcp", 443, 1, "airflow/dvc-pull-1")
    elsewhere = BlockedEgress("10.244.0.6", "192.0.2.1", "tcp", 443, 1, "harness/dvc-pull-1")
    unknown = attempt("10.244.0.7")
    found = with_blocked(run_of(followed("10.244.0.5")), namespace="airflow", blocked=[own, elsewhere, unknown])

    assert found.pods["p"].blocked == (own,)


def test_what_no_pod_is_known_for_is_not_lost() -> None:
    run = run_of(followed("10.244.0.5"))
    found = with_blocked(replace(run, watch=Watch(gaps=1)), namespace="airflow", blocked=[attempt("10.244.0.7")])

    assert found.watch == Watch(gaps=1, unnamed=(attempt("10.244.0.7"),))


def test_a_pod_is_known_by_addresses_that_it_had_before() -> None:
    pods = [replace(followed("10.244.0.6"), former_addresses=("10.244.0.5",))]
    assert names(named([attempt()], followed=pods, namespace="airflow", present=[])) == ["airflow/dvc-pull-1"]


def test_a_pod_of_the_run_in_the_nodes_network_is_not_taken_for_it() -> None:
    pods = [replace(followed("10.244.0.5"), host_network=True)]
    assert names(named([attempt()], followed=pods, namespace="airflow", present=[])) == [""]


def test_of_two_pods_of_one_name_each_has_its_own_attempts() -> None:
    first = replace(followed("10.244.0.5"), uid="uid-1")
    second = replace(followed("10.244.0.6"), name="dvc-pull-1~2", uid="uid-2")
    there = pod("dvc-pull-1", "10.244.0.6")
    there["metadata"]["uid"] = "uid-2"

    attempts = [attempt(), attempt("10.244.0.6")]
    found = named(attempts, followed=[first, second], namespace="airflow", present=[there])

    assert names(found) == ["airflow/dvc-pull-1", "airflow/dvc-pull-1~2"]
