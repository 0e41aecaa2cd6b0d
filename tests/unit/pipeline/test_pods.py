"""Following a run's pods, against an API server of this process whose streams the test feeds."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self

import pytest

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApiError, KubeUnavailable
from harness.model import ContainerImage, Leak
from harness.pipeline.pods import PodFollower
from harness.redaction import Redactor
from harness.wait import Waiter

SHA = "c" * 40
WAITER = Waiter()
_END, _BREAK = "end", "break"


class Stream:
    """A stream whose lines are put in by the test; like the real one, closing it wakes its reader."""

    def __init__(self, *lines: str, open_end: bool = False) -> None:
        self.items: queue.Queue[str] = queue.Queue()
        for line in lines:
            self.items.put(line)
        if not open_end:
            self.items.put(_END)
        self.closed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.closed += 1

    def close(self) -> None:
        self.items.put(_BREAK)

    def lines(self) -> Iterator[str]:
        while (item := self.items.get(timeout=20)) != _END:
            if item == _BREAK:
                raise KubeUnavailable("a log stream broke off", status=0)
            yield item


class Cluster:
    """The parts of `KubeApi` that a follower uses. Unscripted watches stay open and silent."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.watches: queue.Queue[Stream | Exception] = queue.Queue()
        self.logs: dict[tuple[str, str], queue.Queue[Stream | Exception]] = {}
        self.versions: list[str] = []
        self.lists = 0
        self.selectors: set[str] = set()
        self.node: dict[str, str] = {}

    def node_log(self, node: str, path: str) -> str:
        if path not in self.node:
            raise KubeApiError(f"{node} has no {path}", status=404)
        return self.node[path]

    def keep_on_node(self, pod: str, container: str, *lines: str, name: str = "0.log") -> None:
        folder = f"pods/airflow_{pod}_uid-of-{pod}/{container}/"
        self.node[folder] = (
            self.node.get(folder, "<pre>") + f'\n<a href="/api/v1/x/proxy/logs/{folder}{name}">{name}</a>'
        )
        self.node[f"{folder}{name}"] = "".join(f"2026-11-21T12:00:00.1Z stdout {line}\n" for line in lines)

    def list_with_version(self, kind: str, namespace: str, *, labels: str) -> tuple[list[dict[str, Any]], str]:
        self.lists += 1
        self.selectors.add(labels)
        return self.listed, f"list-{self.lists}"

    def watch(self, kind: str, namespace: str, *, labels: str, resource_version: str, seconds: int) -> Any:
        self.versions.append(resource_version)
        self.selectors.add(labels)
        return self._next(self.watches)

    def follow_logs(self, pod: str, container: str, *, namespace: str) -> Any:
        return self._next(self.logs.setdefault((pod, container), queue.Queue()))

    def script_log(self, pod: str, container: str, *answers: Stream | Exception) -> None:
        self.logs[(pod, container)] = queue.Queue()
        for answer in answers:
            self.logs[(pod, container)].put(answer)

    @staticmethod
    def _next(scripted: queue.Queue[Stream | Exception]) -> Stream:
        try:
            answer = scripted.get_nowait()
        except queue.Empty:
            return Stream(open_end=True)
        if isinstance(answer, Exception):
            raise answer
        return answer


def pod(
    name: str,
    phase: str,
    *,
    version: str = "1",
    labels: dict[str, str] | None = None,
    inits: dict[str, dict[str, Any]] | None = None,
    containers: dict[str, dict[str, Any]] | None = None,
    image_id: str = "sha256:base",
    **metadata: Any,
) -> dict[str, Any]:
    def statuses(states: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"name": key, "state": state, "imageID": image_id} for key, state in states.items()]

    states = {"base": {"running": {}}} if containers is None else containers
    return {
        "metadata": {
            "name": name,
            "namespace": "airflow",
            "uid": f"uid-of-{name}",
            "resourceVersion": version,
            "labels": {"task_id": "pull_data", "run_id": "r1", **(labels or {})},
            **metadata,
        },
        "spec": {"containers": [{"name": "sidecar", "image": "other:1"}, {"name": "base", "image": "worker:1"}]},
        "status": {
            "phase": phase,
            "initContainerStatuses": statuses(inits or {}),
            "containerStatuses": statuses(states),
        },
    }


def event(kind: str, item: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "object": item})


DONE = {"base": {"terminated": {"exitCode": 0}}}
TASK = {"kubernetes_pod_operator": "True"}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def follower(cluster: Cluster, **options: Any) -> PodFollower:
    return PodFollower(cluster, "airflow", "r1", redactor=options.pop("redactor", Redactor()), **options)


def reach(what: str, condition: Any) -> None:
    WAITER.until(what, condition, ready=bool, timeout=10, interval=0.01)


def test_only_pods_of_the_run_are_asked_for(cluster: Cluster) -> None:
    with follower(cluster):
        reach("the watch", lambda: cluster.versions)
    assert cluster.selectors == {"run_id=r1"}


def test_pods_that_were_there_first_and_pods_that_come_are_both_kept(cluster: Cluster) -> None:
    cluster.listed = [pod("first", "Running", labels=TASK)]
    cluster.watches.put(Stream(event("ADDED", pod("second", "Pending", containers={})), open_end=True))
    with follower(cluster) as following:
        reach("both pods", lambda: len(following.evidence()) == 2)
        found = following.evidence()
    assert [(p.name, p.role, p.phase, p.task_id) for p in found.values()] == [
        ("first", "task", "Running", "pull_data"),
        ("second", "executor", "Pending", "pull_data"),
    ]


def test_image_and_image_id_are_those_of_the_container_that_does_the_work(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running")]
    with follower(cluster) as following:
        found = following.evidence()["p"]
    assert (found.image, found.image_id) == ("worker:1", "sha256:base")


def test_what_containers_beside_it_ran_is_kept_too_as_far_as_they_ran(cluster: Cluster) -> None:
    def seen(image_id: str, **state: Any) -> dict[str, Any]:
        made = pod("p", "Running", inits={"fetch": state}, containers={"base": {"running": {}}}, image_id=image_id)
        made["spec"]["initContainers"] = [{"name": "fetch", "image": "worker:1"}]
        return made

    cluster.listed = [seen("sha256:one", terminated={"exitCode": 0})]
    cluster.watches.put(Stream(event("MODIFIED", seen("", terminated={"exitCode": 0}, version="2")), open_end=True))
    with follower(cluster) as following:
        reach("the second look", lambda: following.manifests()["p"]["status"]["containerStatuses"][0]["imageID"] == "")
        assert following.evidence()["p"].beside == (ContainerImage("fetch", "worker:1", "sha256:one"),)


def test_an_image_id_once_seen_is_not_lost_again(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running")]
    cluster.watches.put(Stream(event("MODIFIED", pod("p", "Failed", image_id="")), open_end=True))
    with follower(cluster) as following:
        reach("the change", lambda: following.evidence()["p"].phase == "Failed")
        assert following.evidence()["p"].image_id == "sha256:base"


def test_an_address_once_seen_is_not_lost_again(cluster: Cluster) -> None:
    running = pod("p", "Running")
    running["status"]["podIP"] = "10.244.0.5"
    cluster.listed = [running]
    cluster.watches.put(Stream(event("MODIFIED", pod("p", "Failed")), open_end=True))
    with follower(cluster) as following:
        reach("the change", lambda: following.evidence()["p"].phase == "Failed")
        assert following.evidence()["p"].address == "10.244.0.5"


def test_the_task_id_of_the_annotation_comes_before_the_label_that_may_be_cut(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running", annotations={"task_id": "the.whole.id"})]
    with follower(cluster) as following:
        assert following.evidence()["p"].task_id == "the.whole.id"


def test_a_log_is_kept_after_its_pod_is_gone(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running", labels=TASK)]
    log, watch = Stream("one", open_end=True), Stream(open_end=True)
    cluster.script_log("p", "base", log, KubeApiError("not found", status=404))
    cluster.watches.put(watch)
    with follower(cluster) as following:
        reach("the first line", lambda: following.logs("p").get("base") == ("one",))
        log.items.put("two")
        log.items.put(_END)
        watch.items.put(event("DELETED", pod("p", "Succeeded", version="2", containers=DONE, labels=TASK)))
        assert following.settle(WAITER)
        assert following.logs("p") == {"base": ("one", "two")}
        assert following.evidence()["p"].phase == "Succeeded"
        assert following.evidence()["p"].unread == ()


def test_each_line_is_passed_on_once_and_redacted_even_if_the_stream_breaks_and_is_read_again(cluster: Cluster) -> None:
    redactor = Redactor()
    redactor.learn("top-secret-value")
    broken = Stream("one", "two top-secret-value", open_end=True)
    broken.items.put(_BREAK)
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", broken, Stream("one", "two top-secret-value", "three"))
    heard: list[tuple[str, str, str]] = []
    with follower(cluster, redactor=redactor, on_line=lambda *line: heard.append(line)) as following:
        assert following.settle(WAITER)
        lines = following.logs("p")["base"]
    assert lines == ("one", "two [redacted]", "three")
    assert heard == [("p", "base", line) for line in lines]


def test_lines_with_a_secret_are_counted_once_each_even_if_the_log_is_read_again(cluster: Cluster) -> None:
    redactor = Redactor()
    redactor.learn("top-secret-value")
    lines = ["one", "two top-secret-value", "three", "top-secret-value top-secret-value"]
    broken = Stream(*lines[:3], open_end=True)
    broken.items.put(_BREAK)
    cluster.listed = [pod("p", "Succeeded", containers={**DONE, "sidecar": DONE["base"]})]
    cluster.script_log("p", "base", broken, Stream(*lines))
    cluster.script_log("p", "sidecar", Stream("ghp_" + "a" * 36))
    with follower(cluster, redactor=redactor) as following:
        assert following.settle(WAITER)
        assert following.evidence()["p"].leaks == (Leak("base", 2, 2),)
        assert "top-secret-value" not in str(following.evidence()) + str(following.logs("p"))


def test_a_private_key_that_nobody_knows_is_masked_line_by_line(cluster: Cluster) -> None:
    begin, body, end = (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXktdjEAAAAABG5v",
        "-----END OPENSSH PRIVATE KEY-----",
    )
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", Stream("one", begin, body, body[:9], end, "two"))
    heard: list[str] = []
    with follower(cluster, on_line=lambda _pod, _container, line: heard.append(line)) as following:
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == tuple(heard)
    assert heard == ["one", *["[redacted]"] * 4, "two"]


def test_a_container_whose_log_is_not_there_yet_is_asked_again(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", KubeApiError("PodInitializing", status=400), Stream("here"))
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == ("here",)


def test_a_log_that_is_gone_for_good_does_not_hold_up_the_end(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", KubeApiError("not found", status=404))
    with follower(cluster) as following:
        assert following.settle(WAITER)
        following.check()


def test_the_commit_that_git_sync_checked_out_is_evidence_of_the_executors_pod(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running", inits={"git-sync-init": {"terminated": {"exitCode": 0}}})]
    cluster.script_log("p", "git-sync-init", Stream(json.dumps({"msg": "updated successfully", "remote": SHA})))
    with follower(cluster) as following:
        reach("the commit", lambda: following.evidence()["p"].synced_sha)
        assert following.evidence()["p"].synced_sha == SHA


def test_a_commit_that_the_tasks_own_output_claims_is_not_evidence(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", Stream(json.dumps({"msg": "updated successfully", "remote": SHA})))
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert following.evidence()["p"].synced_sha is None


def test_a_watch_that_ends_goes_on_from_the_last_version_seen(cluster: Cluster) -> None:
    bookmark = {"metadata": {"resourceVersion": "9"}}
    cluster.watches.put(Stream(event("ADDED", pod("p", "Running", version="7")), event("BOOKMARK", bookmark)))
    with follower(cluster):
        reach("the second watch", lambda: len(cluster.versions) == 2)
    assert cluster.versions == ["list-1", "9"]
    assert cluster.lists == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Stream(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})),
        KubeApiError("too old resource version", status=410),
    ],
    ids=["410 in the stream", "410 at once"],
)
def test_a_watch_that_cannot_go_on_begins_with_a_new_list(cluster: Cluster, trouble: Stream | Exception) -> None:
    cluster.watches.put(trouble)
    with follower(cluster) as following:
        reach("the second list", lambda: cluster.lists == 2)
        following.check()
        assert following.gaps == 1


@pytest.mark.parametrize(
    "trouble",
    [
        KubeUnavailable("busy", status=503),
        Stream('{"type": "ADD'),
        KubeApiError("pods is forbidden: User cannot watch pods", status=403),  # of a server that has just started
        KubeApiError("Unauthorized", status=401),
    ],
    ids=["503", "half a line", "403", "401"],
)
def test_a_watch_that_breaks_off_goes_on_where_it_was_and_misses_nothing(
    cluster: Cluster, trouble: Stream | Exception
) -> None:
    cluster.watches.put(Stream(event("ADDED", pod("p", "Running", version="7"))))
    cluster.watches.put(trouble)
    with follower(cluster) as following:
        reach("the third watch", lambda: len(cluster.versions) == 3)
        following.check()
    assert cluster.versions == ["list-1", "7", "7"]
    assert (cluster.lists, following.gaps) == (1, 0)


def test_a_pod_that_vanished_between_two_lists_has_ended(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running", containers={})]
    watch = Stream(open_end=True)
    cluster.watches.put(watch)
    with follower(cluster) as following:
        cluster.listed = []
        watch.items.put(json.dumps({"type": "ERROR", "object": {"code": 410}}))
        assert following.settle(WAITER)


def test_a_fatal_state_stays_known_when_its_pod_is_gone(cluster: Cluster) -> None:
    failing = {"base": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    cluster.listed = [pod("p", "Pending", containers=failing)]
    cluster.watches.put(Stream(event("DELETED", pod("p", "Pending", containers={})), open_end=True))
    with follower(cluster) as following:
        reach("the deletion", lambda: following.settle(WAITER))
        assert "no such image" in following.fatal()["p"]


def test_an_unschedulable_pod_becomes_fatal_by_time_alone(cluster: Cluster) -> None:
    clock = [datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)]
    waiting = pod("p", "Pending", containers={})
    waiting["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "Insufficient cpu",
            "lastTransitionTime": clock[0].isoformat(),
        }
    ]
    cluster.listed = [waiting]
    with follower(cluster, now=lambda: clock[0]) as following:
        assert not following.fatal()
        clock[0] = clock[0].replace(minute=2)
        assert "Insufficient cpu" in following.fatal()["p"]


def test_a_refusal_is_raised_to_whoever_asks_next(cluster: Cluster) -> None:
    cluster.watches.put(KubeApiError("unknown label selector", status=400))
    with follower(cluster) as following:
        reach("the error", lambda: _raises(following))
        with pytest.raises(EnvironmentFailed, match="unknown label selector"):
            following.settle(WAITER)


def _raises(following: PodFollower) -> bool:
    try:
        following.check()
    except EnvironmentFailed:
        return True
    return False


def test_a_listener_that_fails_is_not_swallowed(cluster: Cluster) -> None:
    def fail(*_line: str) -> None:
        raise RuntimeError("the terminal is gone")

    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", Stream("one"))
    with follower(cluster, on_line=fail) as following:
        reach("the error", lambda: _raises(following))


def test_stopping_ends_threads_that_are_blocked_in_a_read(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running")]
    before = set(threading.enumerate())
    following = follower(cluster)
    following.start()
    reach("watch and log", lambda: cluster.versions and ("p", "base") in cluster.logs)
    following.stop()
    assert set(threading.enumerate()) <= before


def test_a_pod_that_still_runs_is_not_settled(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Running")]
    with follower(cluster) as following:
        assert not following.settle(WAITER, timeout=0.1)


def test_a_first_list_that_is_refused_is_raised_at_once() -> None:
    class Refusing(Cluster):
        def list_with_version(self, kind: str, namespace: str, *, labels: str) -> tuple[list[dict[str, Any]], str]:
            raise KubeApiError("pods is forbidden", status=403)

    with pytest.raises(KubeApiError, match="forbidden"), follower(Refusing()):
        pass


def test_wrong_credentials_of_git_sync_are_the_reason_before_what_becomes_of_its_container(cluster: Cluster) -> None:
    said = json.dumps(
        {"msg": "error syncing repo", "error": "git fetch: fatal: Authentication failed for 'https://g/'"}
    )
    running: dict[str, Any] = {"git-sync-init": {"running": {}}}
    ended: dict[str, Any] = {"git-sync-init": {"waiting": {"reason": "CrashLoopBackOff"}}}
    cluster.listed = [pod("p", "Pending", containers={}, inits=running)]
    cluster.script_log("p", "git-sync-init", Stream(said, open_end=True))
    cluster.watches.put(Stream(event("MODIFIED", pod("p", "Pending", containers={}, inits=ended)), open_end=True))
    with follower(cluster) as following:
        reach("the fault", lambda: "git-sync: " in following.fatal().get("p", ""))
        fault = following.fatal()["p"]
    assert "refuses the user name and password" in fault
    assert "CrashLoopBackOff" not in fault


def ended(reason: str) -> dict[str, dict[str, Any]]:
    return {"base": {"terminated": {"exitCode": 137, "reason": reason}}}


def waits(reason: str, message: str = "", container: str = "base") -> dict[str, dict[str, Any]]:
    return {container: {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize("reason", ["OOMKilled", "StartError", "ContainerCannotRun"])
def test_how_a_tasks_pod_ended_is_the_tasks_result_and_stands_in_its_evidence(cluster: Cluster, reason: str) -> None:
    cluster.listed = [pod("p", "Failed", labels=TASK, containers=ended(reason))]
    cluster.script_log("p", "base", Stream("reading", "Killed", ""))
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert not following.fatal()
        assert not following.doomed()
    evidence = following.evidence()["p"]
    assert f"container base: {reason} (" in evidence.reason
    assert evidence.last_words == "Killed"


def test_an_executor_pod_that_ends_so_is_still_the_environments_fault(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Failed", containers=ended("OOMKilled"))]
    with follower(cluster) as following:
        assert "OOMKilled" in following.fatal()["p"]
        assert not following.doomed()


NO_KEY = "couldn't find key GIT_SYNC_USERNAM in Secret airflow/git-credentials"
NO_ROUTE = "failed to pull image: dial tcp: lookup registry.example: no such host"
NO_IMAGE = 'failed to pull and unpack image "docker.io/x/y:1": docker.io/x/y:1: not found'


@pytest.mark.parametrize(
    ("states", "dags_fault"),
    [
        (waits("CreateContainerConfigError", NO_KEY), True),
        (waits("ErrImagePull", NO_ROUTE), True),
        (waits("ErrImagePull", NO_ROUTE, "sidecar"), False),
        (waits("ImagePullBackOff", NO_IMAGE, "sidecar"), True),
        (waits("InvalidImageName", "", "sidecar"), True),
        (waits("RegistryUnavailable"), False),
    ],
    ids=[
        "a key",
        "its own image",
        "an image beside it, no way there",
        "one that does not exist",
        "no image name",
        "no registry",
    ],
)
def test_a_tasks_pod_that_never_starts_is_the_dags_fault_where_the_dag_names_what_is_not_there(
    cluster: Cluster, states: dict[str, dict[str, Any]], *, dags_fault: bool
) -> None:
    cluster.listed = [pod("p", "Pending", labels=TASK, containers=states)]
    with follower(cluster) as following:
        assert following.settle(WAITER, timeout=5.0), "what never starts is not waited for"
        assert ("p" in following.doomed(), "p" in following.fatal()) == (dags_fault, not dags_fault)


def test_an_image_that_the_environment_was_to_have_is_never_the_dags_fault(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Pending", labels=TASK, containers=waits("ErrImagePull", NO_IMAGE))]
    with follower(cluster, provided=["worker:1"]) as following:
        assert not following.doomed()
        assert "ErrImagePull" in following.fatal()["p"]


def test_a_tasks_pod_that_was_killed_and_then_evicted_counts_as_evicted(cluster: Cluster) -> None:
    watch = Stream(open_end=True)
    cluster.listed = [pod("p", "Running", labels=TASK, containers=ended("OOMKilled"))]
    cluster.watches.put(watch)
    with follower(cluster) as following:
        assert not following.fatal()
        gone = pod("p", "Failed", labels=TASK, containers=ended("OOMKilled"))
        gone["status"]["reason"] = "Evicted"
        watch.items.put(event("MODIFIED", gone))
        reach("the eviction", lambda: "Evicted" in following.fatal().get("p", ""))


def again(phase: str, number: int, *, version: str, state: dict[str, Any]) -> dict[str, Any]:
    """A try's pod of an operator that gives each try's pod the same name."""
    labels = {**TASK, "try_number": str(number)}
    made = pod("dvc-push", phase, version=version, uid=f"uid-{number}", labels=labels, containers={"base": state})
    made["spec"]["nodeName"] = "n1"
    made["spec"]["containers"] = [{"name": "base", "image": "worker:1"}]
    return made


def test_a_second_pod_of_one_name_is_followed_by_itself_and_the_first_one_is_not_lost(cluster: Cluster) -> None:
    redactor = Redactor()
    redactor.learn("top-secret-value")
    over = {"terminated": {"exitCode": 1}}
    failed = again("Failed", 1, version="2", state=over)
    cluster.listed = [failed]
    watch, second = Stream(open_end=True), Stream("two", open_end=True)
    cluster.watches.put(watch)
    cluster.script_log("dvc-push", "base", Stream("one"), second)
    heard: list[tuple[str, str]] = []
    on_line = lambda name, _container, line: heard.append((name, line))  # noqa: E731
    with follower(cluster, redactor=redactor, on_line=on_line) as following:
        assert following.settle(WAITER)
        watch.items.put(event("DELETED", failed))
        watch.items.put(event("ADDED", again("Running", 2, version="4", state={"running": {}})))
        reach("the second log", lambda: following.logs("dvc-push~2") == {"base": ("two",)})
        assert following.unsettled() == ("dvc-push~2 (Running)",)
        second.items.put("leak top-secret-value")
        watch.items.put(event("MODIFIED", again("Failed", 2, version="5", state=over)))
        reach("the end", lambda: following.evidence()["dvc-push~2"].phase == "Failed")
        second.items.put(_END)
        assert following.settle(WAITER)
        found, kept = following.evidence(), following.manifests()
        assert following.logs("dvc-push") == {"base": ("one",)}
    assert {key: (one.name, one.try_number, one.phase) for key, one in found.items()} == {
        "dvc-push": ("dvc-push", 1, "Failed"),
        "dvc-push~2": ("dvc-push~2", 2, "Failed"),
    }
    assert [one.leaks for one in found.values()] == [(), (Leak("base", 1, 2),)]
    assert {name: one["metadata"]["uid"] for name, one in kept.items()} == {"dvc-push": "uid-1", "dvc-push~2": "uid-2"}
    assert heard == [("dvc-push", "one"), ("dvc-push~2", "two"), ("dvc-push~2", "leak [redacted]")]


def test_a_fatal_state_of_an_earlier_pod_of_the_name_is_not_that_of_the_next(cluster: Cluster) -> None:
    stuck = again("Pending", 1, version="2", state={"waiting": {"reason": "ErrImagePull", "message": NO_IMAGE}})
    cluster.listed = [stuck]
    cluster.script_log("dvc-push", "base", Stream(open_end=True))
    cluster.watches.put(Stream(event("ADDED", again("Running", 2, version="3", state={"running": {}})), open_end=True))
    with follower(cluster) as following:
        reach("the second pod", lambda: len(following.evidence()) == 2)
        assert set(following.doomed()) == {"dvc-push"}


def test_a_log_that_broke_off_is_not_read_on_from_a_later_pod_of_the_name(cluster: Cluster) -> None:
    """The API gives logs by name; only the node's file is that of the one pod."""
    first = again("Running", 1, version="2", state={"running": {}})
    cluster.listed = [first]
    watch, log = Stream(open_end=True), Stream("one", open_end=True)
    cluster.watches.put(watch)
    of_the_second = Stream("one", "two, of another", open_end=True)
    cluster.script_log("dvc-push", "base", log, of_the_second)
    cluster.node["pods/airflow_dvc-push_uid-1/base/"] = '<a href="/x/0.log">0.log</a>'
    cluster.node["pods/airflow_dvc-push_uid-1/base/0.log"] = "t stdout F one\nt stdout F two\n"
    with follower(cluster) as following:
        reach("the first line", lambda: following.logs("dvc-push") == {"base": ("one",)})
        over = {"terminated": {"exitCode": 1}}
        watch.items.put(event("DELETED", again("Failed", 1, version="3", state=over)))
        watch.items.put(event("ADDED", again("Running", 2, version="4", state={"running": {}})))
        reach("the second pod", lambda: following.logs("dvc-push~2") == {"base": ("one", "two, of another")})
        log.close()
        reach("the first log", lambda: not following.evidence()["dvc-push"].unread)
        assert following.logs("dvc-push") == {"base": ("one", "two")}


def test_a_list_knows_a_pod_that_came_under_the_name_of_one_that_vanished(cluster: Cluster) -> None:
    over = {"terminated": {"exitCode": 1}}
    cluster.listed = [again("Running", 1, version="2", state={"running": {}})]
    watch = Stream(open_end=True)
    cluster.watches.put(watch)
    cluster.script_log("dvc-push", "base", Stream("one", open_end=True), Stream("two"))
    with follower(cluster) as following:
        reach("the first line", lambda: following.logs("dvc-push") == {"base": ("one",)})
        cluster.listed = [again("Succeeded", 2, version="9", state=over)]
        watch.items.put(json.dumps({"type": "ERROR", "object": {"code": 410}}))
        reach("the second log", lambda: following.logs("dvc-push~2") == {"base": ("two",)})
        assert following.evidence()["dvc-push~2"].phase == "Succeeded"
        assert following.unsettled() == ("dvc-push (Running)",)
