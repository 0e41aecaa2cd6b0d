"""Reading a pod's log to its end, and saying so where that is not possible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.kubeapi import KubeApiError, KubeUnavailable
from harness.model import Leak
from harness.pipeline import podlogs
from harness.pipeline.containerlog import ContainerLog
from harness.redaction import Redactor

from .test_pods import DONE, TASK, WAITER, Cluster, Stream, event, follower, pod, reach

SECRET = "top-secret-value"
GONE = KubeApiError('pods "p" not found', status=404)
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podlogs, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(podlogs, "_LONGEST_PAUSE", 0.01)


def placed(*arguments: Any, **options: Any) -> dict[str, Any]:
    """A pod that has come to a node."""
    made = pod(*arguments, labels=TASK, **options)
    made["spec"]["nodeName"] = "n1"
    return made


def unread_of(cluster: Cluster, redactor: Redactor | None = None) -> tuple[tuple[str, ...], tuple[Leak, ...]]:
    """What is not read, and what leaked, of the pod that the cluster lists, once it has settled."""
    with follower(cluster, redactor=redactor or Redactor()) as following:
        assert following.settle(WAITER)
        found = following.evidence()["p"]
    return found.unread, found.leaks


def test_a_log_that_is_gone_with_its_pod_is_read_on_the_node(cluster: Cluster, redactor: Redactor) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    cluster.keep_on_node("p", "base", "F one", f"F two {SECRET}")
    assert unread_of(cluster, redactor) == ((), (Leak("base", 1, 2),))


def test_a_log_that_is_gone_from_the_node_too_is_unread_and_says_why(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    (why,), leaks = unread_of(cluster)
    assert why == 'base: pods "p" not found; and on its node: n1 has no pods/airflow_p_uid-of-p/base/'
    assert leaks == ()


def test_a_log_of_a_pod_that_came_to_no_node_has_no_file(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    assert unread_of(cluster)[0] == ('base: pods "p" not found; and on its node: the pod came to no node',)


@pytest.mark.parametrize("kept", [True, False])
def test_a_stream_that_breaks_as_its_pod_goes_is_read_to_its_end_on_the_node_or_is_not_whole(
    cluster: Cluster, redactor: Redactor, *, kept: bool
) -> None:
    cluster.listed = [placed("p", "Running")]
    log, watch = Stream("one", open_end=True), Stream(open_end=True)
    cluster.script_log("p", "base", log, GONE)
    cluster.script_log("p", "sidecar", GONE)
    cluster.watches.put(watch)
    if kept:
        cluster.keep_on_node("p", "base", "F one", f"F two {SECRET}")
    with follower(cluster, redactor=redactor) as following:
        reach("the first line", lambda: following.logs("p").get("base") == ("one",))
        watch.items.put(event("DELETED", placed("p", "Succeeded", version="2", containers=DONE)))
        reach("the end", lambda: following.evidence()["p"].phase == "Succeeded")
        log.close()
        assert following.settle(WAITER)
        found = following.evidence()["p"]
    assert (found.unread == (), found.leaks != ()) == (kept, kept)


@pytest.mark.parametrize(("finished", "whole"), [("2026-11-21T11:59:59Z", True), ("2026-11-21T12:01:00Z", False)])
def test_a_stream_that_ended_before_its_container_is_not_whole(cluster: Cluster, finished: str, *, whole: bool) -> None:
    ended = {"base": {"terminated": {"exitCode": 0, "finishedAt": finished}}}
    cluster.listed = [placed("p", "Succeeded", containers=ended)]
    cluster.script_log("p", "base", Stream("one"), GONE)
    with follower(cluster, now=lambda: NOW) as following:
        assert following.settle(WAITER)
        assert (following.evidence()["p"].unread == ()) is whole


@pytest.mark.parametrize(
    "text",
    [
        "unable to retrieve container logs for containerd://0123",
        'failed to try resolving symlinks in path "/var/log/pods/x/0.log": no such file or directory',
    ],
)
def test_what_a_kubelet_says_in_place_of_a_log_is_none(cluster: Cluster, redactor: Redactor, text: str) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", Stream(text))
    cluster.keep_on_node("p", "base", f"F {SECRET}")
    assert unread_of(cluster, redactor) == ((), (Leak("base", 1, 1),))


def test_a_program_may_write_the_same(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    said = "unable to retrieve container logs for containerd://0123"
    cluster.script_log("p", "base", Stream(said, said, "two"))
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == (said, said, "two")
        assert following.evidence()["p"].unread == ()


def test_a_file_on_a_node_holds_lines_in_parts(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    cluster.keep_on_node("p", "base", "P a lo", "F ng line", "F ", "F last", "P cut")
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == ("a long line", "", "last", "cut")


def test_a_log_in_several_files_is_not_read_in_part(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    cluster.keep_on_node("p", "base", "F new")
    cluster.keep_on_node("p", "base", "F old", name="0.log.20261121-120000.gz")
    (why,), _ = unread_of(cluster)
    assert why.endswith("its log lies in 2 files: 0.log, 0.log.20261121-120000.gz")


@pytest.mark.usefixtures("quick")
def test_a_node_that_does_not_answer_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    cluster.keep_on_node("p", "base", "F one")
    answer, asked = cluster.node_log, []

    def node_log(node: str, path: str) -> str:
        asked.append(path)
        if len(asked) < 3:
            raise KubeUnavailable("busy", status=503)
        return answer(node, path)

    monkeypatch.setattr(cluster, "node_log", node_log)
    assert unread_of(cluster) == ((), ())


def test_a_node_that_may_not_be_asked_leaves_the_log_unread_and_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", GONE)
    asked: list[str] = []

    def node_log(node: str, path: str) -> str:
        asked.append(path)
        raise KubeApiError(f'nodes "{node}" is forbidden: User "x" cannot get resource "nodes/proxy"', status=403)

    monkeypatch.setattr(cluster, "node_log", node_log)
    (why,), leaks = unread_of(cluster)
    assert why == 'base: pods "p" not found; and on its node: unread: forbidden, for this user may not get nodes/proxy'
    assert leaks == ()
    assert len(asked) == 1, "another time it would be refused as well"


@pytest.mark.usefixtures("quick")
def test_a_log_that_an_ended_pod_does_not_give_out_is_looked_for_on_its_node(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Failed", containers=DONE)]
    cluster.script_log("p", "base", *[KubeApiError("container is terminated", status=400)] * 20)
    cluster.keep_on_node("p", "base", "F one")
    with follower(cluster) as following:
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == ("one",)


@pytest.mark.parametrize("kept", [True, False])
def test_a_container_that_nobody_saw_start_has_a_log_where_its_node_has_one(cluster: Cluster, *, kept: bool) -> None:
    cluster.watches.put(
        Stream(
            event("ADDED", placed("p", "Pending", containers={})),
            event("DELETED", placed("p", "Pending", version="2", containers={})),
            open_end=True,
        )
    )
    for container in ("base", "sidecar"):
        cluster.script_log("p", container, GONE)
    if kept:
        cluster.keep_on_node("p", "base", "F one")
    with follower(cluster) as following:
        reach("the pod", following.evidence)
        assert following.settle(WAITER)
        found = following.evidence()["p"]
    assert (found.unread, found.ran) == ((), kept)


def test_a_pod_that_went_while_nobody_looked_may_have_written_more(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Pending", containers={})]
    for container in ("base", "sidecar"):
        cluster.script_log("p", container, GONE)
    watch = Stream(open_end=True)
    cluster.watches.put(watch)
    with follower(cluster) as following:
        cluster.listed = []
        watch.items.put('{"type": "ERROR", "object": {"code": 410}}')
        reach("the second list", lambda: cluster.lists == 2)
        assert following.settle(WAITER)
        found = following.evidence()["p"]
    assert following.gaps == 1
    assert found.ran
    assert [why.partition(":")[0] for why in found.unread] == ["sidecar", "base"]


def test_a_stream_that_ended_says_nothing_of_the_end_of_a_pod_that_nobody_saw(
    cluster: Cluster, redactor: Redactor
) -> None:
    running = placed("p", "Running")
    running["spec"]["containers"] = [{"name": "base", "image": "worker:1"}]
    cluster.listed = [running]
    cluster.script_log("p", "base", Stream("one"), *[GONE] * 20)
    cluster.keep_on_node("p", "base", "F one", f"F {SECRET}")
    watch = Stream(open_end=True)
    cluster.watches.put(watch)
    with follower(cluster, redactor=redactor) as following:
        reach("the first line", lambda: following.logs("p").get("base") == ("one",))
        cluster.listed = []
        watch.items.put('{"type": "ERROR", "object": {"code": 410}}')
        assert following.settle(WAITER)
        found = following.evidence()["p"]
    assert (found.unread, found.leaks) == ((), (Leak("base", 1, 2),))


def test_a_log_that_is_still_being_read_is_not_whole(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Running")]
    with follower(cluster) as following:
        assert not following.settle(WAITER, timeout=0.1)
        assert following.evidence()["p"].unread == ("base: it is still being read",)
        assert following.unsettled() == ("p (Running)",)


def test_a_container_that_was_started_again_has_logs_that_nobody_read(cluster: Cluster) -> None:
    again = placed("p", "Succeeded", containers=DONE)
    again["status"]["containerStatuses"][0]["restartCount"] = 2
    cluster.listed = [again]
    cluster.script_log("p", "base", Stream("one"))
    assert unread_of(cluster)[0] == ("base: of its 3 logs one was followed",)


def test_a_log_that_was_begun_anew_is_not_taken_for_the_same(cluster: Cluster) -> None:
    broken = Stream("one", "two", open_end=True)
    broken.close()
    cluster.listed = [placed("p", "Succeeded", containers=DONE)]
    cluster.script_log("p", "base", broken, Stream("three", "four", "five"))
    assert unread_of(cluster)[0] == ("base: it was begun anew while it was read",)


def test_what_a_pod_was_made_for_and_where_it_was_is_evidence(cluster: Cluster) -> None:
    first = placed("p", "Running", annotations={"map_index": "3", "try_number": "2"})
    second = placed("p", "Running", annotations={"map_index": "3", "try_number": "2"})
    first["status"]["podIP"], second["status"]["podIP"] = "10.244.0.5", "10.244.0.6"
    second["spec"]["hostNetwork"] = True
    cluster.listed = [first]
    cluster.watches.put(Stream(event("MODIFIED", second), open_end=True))
    with follower(cluster) as following:
        reach("the second address", lambda: following.evidence()["p"].address == "10.244.0.6")
        found = following.evidence()["p"]
    assert (found.map_index, found.try_number, found.host_network, found.ran) == (3, 2, True, True)
    assert found.former_addresses == ("10.244.0.5",)


def test_a_pod_that_does_not_say_what_it_was_made_for_says_so(cluster: Cluster) -> None:
    cluster.listed = [pod("p", "Pending", containers={})]
    with follower(cluster) as following:
        found = following.evidence()["p"]
    assert (found.map_index, found.try_number, found.host_network, found.ran) == (-1, 0, False, False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("before", [["one"], []])
def test_a_line_that_a_stream_ended_in_is_read_again_to_its_end(
    cluster: Cluster, redactor: Redactor, before: list[str]
) -> None:
    cluster.listed = [placed("p", "Running")]
    watch, again = Stream(open_end=True), Stream(*before, f"token {SECRET}", "last", open_end=True)
    cluster.watches.put(watch)
    cluster.script_log("p", "base", Stream(*before, "to"), again)
    with follower(cluster, redactor=redactor) as following:
        reach("the last line", lambda: following.logs("p").get("base", ())[-1:] == ("last",))
        watch.items.put(event("MODIFIED", placed("p", "Succeeded", version="5", containers=DONE)))
        reach("the end", lambda: following.evidence()["p"].phase == "Succeeded")
        again.items.put("end")
        assert following.settle(WAITER)
        assert following.logs("p")["base"] == (*before, "token [redacted]", "last")
        found = following.evidence()["p"]
    assert (found.unread, found.leaks) == ((), (Leak("base", 1, len(before) + 1),))


@pytest.mark.usefixtures("quick")
def test_a_line_with_a_secret_that_grew_counts_once(cluster: Cluster, redactor: Redactor) -> None:
    cluster.listed = [placed("p", "Running")]
    watch, again = Stream(open_end=True), Stream("one", f"a {SECRET} b {SECRET}", open_end=True)
    cluster.watches.put(watch)
    cluster.script_log("p", "base", Stream("one", f"a {SECRET}"), again)
    with follower(cluster, redactor=redactor) as following:
        reach("the whole line", lambda: following.logs("p").get("base", ())[-1:] == ("a [redacted] b [redacted]",))
        assert following.evidence()["p"].leaks == (Leak("base", 1, 2),)
        assert following.logs("p")["base"][0] == "one"


@pytest.mark.usefixtures("quick")
def test_another_only_line_is_another_log(cluster: Cluster) -> None:
    cluster.listed = [placed("p", "Running")]
    watch, again = Stream(open_end=True), Stream("another", open_end=True)
    cluster.watches.put(watch)
    cluster.script_log("p", "base", Stream("one"), again)
    with follower(cluster) as following:
        reach("the other line", lambda: following.logs("p").get("base") == ("another",))
        watch.items.put(event("MODIFIED", placed("p", "Succeeded", version="5", containers=DONE)))
        reach("the end", lambda: following.evidence()["p"].phase == "Succeeded")
        again.items.put("end")
        assert following.settle(WAITER)
        assert following.evidence()["p"].unread == ("base: it was begun anew while it was read",)


def test_a_reading_that_ends_within_a_line_takes_nothing_from_one_that_had_it_whole() -> None:
    log = ContainerLog("base")
    assert log.add(1, "one", "one")
    assert log.add(2, f"token {SECRET}", "token [redacted]", secrets=1)
    assert not log.add(1, "one", "one")
    assert not log.add(2, "token", "token")
    assert log.add(3, "last", "last")
    assert (list(log.lines), log.leaking, log.first_leak) == (["one", "token [redacted]", "last"], 1, 2)
    assert not log.missing
