"""Which commit git-sync's log says is current. Lines are of the real git-sync v4 (main.go, pkg/logging)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.kubeapi import KubeApiError, KubeUnavailable
from harness.pipeline.gitsync import Checkout, ProcessorCheckout, checkout_of, last_checkout, sync_fault

A, B = "a" * 40, "b" * 40


def real(message: str, **pairs: Any) -> str:
    head = {"logger": "", "ts": "2026-01-31 12:00:00.000000", "caller": {"file": "main.go", "line": 1}, "level": 0}
    return json.dumps({**head, "msg": message, **pairs})


def test_the_message_after_the_flip_names_the_commit() -> None:
    assert checkout_of(real("updated successfully", ref="main", remote=A, syncCount=1)) == Checkout(A, None)


def test_a_commit_that_is_only_wanted_is_not_yet_current() -> None:
    assert checkout_of(real("update required", ref="main", local=B, remote=A, syncCount=0)) is None


@pytest.mark.parametrize(
    "line",
    [
        real("adding worktree", path="/git/.worktrees/x", hash=A),
        real("updated successfully", remote="HEAD"),
        real("updated successfully", remote=A + "0"),
        '{"msg": "updated successfully", "remote": "' + A,
        "remote=" + A,
        "",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert checkout_of(line) is None


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"msg": "updated successfully", "hash": A}),
        f'level=info msg="updated successfully" hash={A}',
        f'synced ref=main remote="{A}"',
    ],
)
def test_the_stand_ins_forms_are_read_too(line: str) -> None:
    assert checkout_of(line) == Checkout(A, None)


def test_the_last_commit_wins() -> None:
    log = "\n".join(
        [
            real("updated successfully", remote=A),
            real("update required", remote=B),
            real("updated successfully", remote=B),
        ]
    )
    assert last_checkout(log) == Checkout(B, None)


def test_the_kubelets_time_is_when_it_was_said() -> None:
    line = "2026-01-31T12:00:01.123456789Z " + real("updated successfully", remote=A)
    assert checkout_of(line) == Checkout(A, datetime(2026, 1, 31, 12, 0, 1, 123456, tzinfo=UTC))


class Pods:
    """A cluster with DAG processor pods and logs by (pod, container)."""

    def __init__(self, logs: dict[tuple[str, str], str | Exception], **metadata: Any) -> None:
        self.logs = logs
        self.metadata = metadata

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        names = sorted({pod for pod, _ in self.logs})
        return [{"metadata": {"name": name, **self.metadata}, "status": {"phase": "Running"}} for name in names]

    def pod_logs(
        self,
        pod: str,
        container: str | None = None,
        *,
        namespace: str,
        tail_lines: int | None = None,
        timestamps: bool = False,
    ) -> str:
        found = self.logs.get((pod, container or ""), KubeApiError("none", status=404))
        if isinstance(found, Exception):
            raise found
        return found


SYNCED_A = real("updated successfully", remote=A)
SYNCED_B = real("updated successfully", remote=B)


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ({("p", "git-sync"): SYNCED_B, ("p", "git-sync-init"): SYNCED_A}, B),
        ({("p", "git-sync"): "", ("p", "git-sync-init"): SYNCED_A}, A),
        ({("p", "git-sync-init"): SYNCED_A}, A),
        ({("p", "git-sync"): ""}, None),
        ({}, None),
        ({("p", "git-sync"): SYNCED_A, ("q", "git-sync"): SYNCED_A}, A),
        ({("p", "git-sync"): SYNCED_A, ("q", "git-sync"): SYNCED_B}, None),
        ({("p", "git-sync"): SYNCED_A, ("q", "git-sync"): ""}, None),
    ],
)
def test_the_processors_commit_is_its_sidecars_or_else_its_init_containers_and_all_must_agree(
    logs: dict[tuple[str, str], str | Exception], expected: str | None
) -> None:
    found = ProcessorCheckout(Pods(logs), "airflow")()
    assert (found.sha if found else None) == expected


def test_a_processor_that_is_leaving_does_not_count() -> None:
    pods = Pods({("p", "git-sync"): SYNCED_A}, deletionTimestamp="2026-01-31T12:00:00Z")
    assert ProcessorCheckout(pods, "airflow")() is None


def test_an_api_server_that_does_not_answer_is_not_taken_for_a_missing_container() -> None:
    pods = Pods({("p", "git-sync"): KubeUnavailable("busy", status=503)})
    with pytest.raises(KubeUnavailable):
        ProcessorCheckout(pods, "airflow")()


def failed(said: str, *, count: int = 1) -> str:
    """As git-sync writes a failed round: what git said stands quoted in the error."""
    error = (
        f'Run(git fetch https://git.example/x.git main): exit status 128: {{ stdout: "", stderr: {json.dumps(said)} }}'
    )
    return json.dumps({"logger": "", "msg": "error syncing repo, will retry", "error": error, "failCount": count})


REFUSED = failed("remote: no\nfatal: Authentication failed for 'https://git.example/x.git/'")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("fatal: Authentication failed for 'https://git.example/x.git/'", "refuses the user name and password"),
        ("fatal: could not read Username for 'https://git.example': terminal prompts disabled", "refuses the user"),
        ("fatal: unable to access 'https://g/x.git/': The requested URL returned error: 403", "does not let it read"),
        ("fatal: repository 'https://g/x.git/' not found", "no such repository"),
        ("fatal: couldn't find remote ref data", "no such branch"),
        ("fatal: unable to access 'https://g/x.git/': server certificate verification failed. CAfile: none", "trust"),
        ("fatal: unable to access 'https://g/': server verification failed: certificate signer not trusted.", "trust"),
        ("fatal: unable to access 'https://g/x/': Problem with the SSL CA cert (path? access rights?)", "trust"),
    ],
)
def test_what_no_further_round_can_mend_is_a_fault_with_gits_own_words(said: str, fault: str) -> None:
    found = sync_fault([real("update required", ref="main"), failed(said)])
    assert found is not None
    assert fault in found
    assert said.split("'", maxsplit=1)[0] in found


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'https://g/x.git/': Failed to connect to g port 443: Connection refused",
        "fatal: unable to access 'https://g/x.git/': Could not resolve host: g",
        "fatal: unable to access 'https://g/x.git/': The requested URL returned error: 502",
    ],
)
def test_what_may_pass_by_itself_is_no_fault(said: str) -> None:
    assert sync_fault([failed(said)]) is None


def test_only_the_last_round_counts() -> None:
    assert sync_fault([REFUSED, real("updated successfully", remote=A)]) is None
    assert sync_fault([real("updated successfully", remote=A), REFUSED]) is not None
    assert sync_fault(["2026-01-31T12:00:00.123456789Z " + REFUSED]) is not None


class RefusedPods:
    """A DAG processor that waits in its init container, whose log the API server still has."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        return [{"metadata": {"name": "dp"}, "status": {"phase": "Pending"}}]

    def pod_logs(self, pod: str, container: str | None = None, **_options: Any) -> str:
        if container == "git-sync":
            raise KubeApiError("waiting to start: PodInitializing", status=400)
        return REFUSED


def test_a_processor_that_ends_each_time_is_broken_and_one_on_its_way_out_is_not() -> None:
    class Looping(RefusedPods):
        leaving = False

        def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
            ends = {"name": "dag-processor", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            metadata = {"name": "dp", "namespace": "airflow", **({"deletionTimestamp": "x"} if self.leaving else {})}
            return [{"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [ends]}}]

    pods = Looping()
    broken = ProcessorCheckout(pods, "airflow").broken()
    assert broken is not None
    assert broken.startswith("pod airflow/dp, container dag-processor: CrashLoopBackOff")
    pods.leaving = True
    assert ProcessorCheckout(pods, "airflow").broken() is None


def test_the_fault_names_pod_and_container_also_before_the_processor_runs() -> None:
    fault = ProcessorCheckout(RefusedPods(), "airflow").fault()
    assert fault is not None
    assert fault.startswith("pod airflow/dp, container git-sync-init: git-sync: the Git server refuses")
    assert "GITSYNC_PASSWORD" in fault


class RollingPods(RefusedPods):
    """The old DAG processor, whose branch is gone, beside the new one, which waits for its turn."""

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[dict[str, Any]]:
        return [
            {"metadata": {"name": name, "labels": {"pod-template-hash": name}, "creationTimestamp": made}}
            for name, made in (("old", "2026-01-31T12:00:00Z"), ("new", "2026-01-31T12:03:00Z"))
        ]

    def pod_logs(self, pod: str, container: str | None = None, **_options: Any) -> str:
        return REFUSED if pod == "old" else ""


def test_a_pod_that_is_being_replaced_is_not_asked_for_the_fault() -> None:
    assert ProcessorCheckout(RollingPods(), "airflow").fault() is None
