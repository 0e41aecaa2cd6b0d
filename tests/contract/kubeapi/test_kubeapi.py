"""The official Kubernetes client behind its seam, over TLS; see conftest.py for what answers."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CommandFailed, CommandTimeout, EnvironmentFailed, WaitFailed, WaitTimeout
from harness.kubeapi import KubeApi, KubeApiError, KubeUnavailable
from harness.lookalike.token_review import ClusterTokens
from harness.pipeline.pods import PodFollower
from harness.redaction import Redactor
from harness.wait import Waiter
from tests.fakes import Clock

PODS = "/api/v1/namespaces/airflow/pods"
DEPLOYMENT = "/apis/apps/v1/namespaces/airflow/deployments/d"
LOG, EXEC = f"{PODS}/p/log", f"{PODS}/p/exec"


@pytest.fixture
def api(server: Any) -> Iterator[KubeApi]:
    with KubeApi(server.kubeconfig, "kind-ours", timeout=5.0) as made:
        yield made


# Which cluster


def test_the_named_context_is_used_and_neither_the_current_one_nor_the_environments_file(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with KubeApi(server.kubeconfig, "kind-ours", timeout=5.0) as api:
        assert api.host == server.url
        assert api.version() == "v1.34.4"


def test_an_unknown_context_is_an_error(server: Any) -> None:
    with pytest.raises(EnvironmentFailed, match="'kind-other'"):
        KubeApi(server.kubeconfig, "kind-other")


@pytest.mark.parametrize("damaged", ["garbage", "", "- a list", "{a: [", "contexts: 3"])
def test_a_damaged_kubeconfig_is_an_error_that_says_how_to_go_on(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "kubeconfig").write_text(damaged)
    with pytest.raises(EnvironmentFailed, match=str(tmp_path)) as told:
        KubeApi(tmp_path / "kubeconfig", "kind-ours")
    assert told.value.next_step


def test_a_missing_kubeconfig_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no kubeconfig"):
        KubeApi(tmp_path / "none", "kind-ours")


def test_the_token_of_the_context_is_sent(api: KubeApi, server: Any) -> None:
    api.version()
    assert server.asked("GET", "/version")[0].handler.headers["Authorization"] == "Bearer t0ken"


def test_a_server_that_does_not_listen_is_unavailable(server: Any) -> None:
    with KubeApi(server.kubeconfig, "somewhere-else", timeout=1.0) as api, pytest.raises(KubeUnavailable) as caught:
        api.version()
    assert caught.value.status == 0
    assert "127.0.0.1:9" in str(caught.value)


def test_a_server_that_does_not_answer_in_time_is_unavailable(server: Any) -> None:
    server.on("GET", "/version", lambda asked: (server.release.wait(10), asked.reply(200, {})))
    with KubeApi(server.kubeconfig, "kind-ours", timeout=0.2) as api, pytest.raises(KubeUnavailable):
        api.version()


# Objects


def test_an_object_is_plain_json(api: KubeApi, server: Any) -> None:
    server.on("GET", f"{PODS}/p", lambda asked: asked.reply(200, {"kind": "Pod", "spec": {"new": {"field": 1}}}))
    assert api.get("Pod", "p", "airflow") == {"kind": "Pod", "spec": {"new": {"field": 1}}}


@pytest.mark.parametrize("dry", [True, False])
def test_what_is_to_be_tried_only_is_asked_for_as_a_dry_run(api: KubeApi, server: Any, dry: bool) -> None:  # noqa: FBT001 - pytest's form
    server.on("POST", PODS, lambda asked: asked.reply(201, {"kind": "Pod", "spec": {}}))
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-", "namespace": "airflow"}}
    assert api.create(manifest, dry_run=dry) == {"kind": "Pod", "spec": {}}
    (asked,) = server.asked("POST", PODS)
    assert asked.query.get("dryRun") == (["All"] if dry else None)


def test_an_object_that_is_not_there_is_none(api: KubeApi) -> None:
    assert api.get("Pod", "p", "airflow") is None


def test_a_list_takes_selectors(api: KubeApi, server: Any) -> None:
    server.objects(PODS, {"metadata": {"name": "p"}})
    found = api.list("Pod", "airflow", labels="a=b", fields="status.phase=Running")
    assert found == [{"metadata": {"name": "p"}}]
    query = server.asked("GET", PODS)[0].query
    assert (query["labelSelector"], query["fieldSelector"]) == (["a=b"], ["status.phase=Running"])


@pytest.mark.parametrize(("status", "kind"), [(403, KubeApiError), (429, KubeUnavailable), (500, KubeUnavailable)])
def test_a_refusal_carries_the_servers_words_and_status(
    api: KubeApi, server: Any, status: int, kind: type[KubeApiError]
) -> None:
    server.on("GET", PODS, lambda asked: asked.refuse(status, "pods is what it is"))
    with pytest.raises(KubeApiError, match="pods is what it is") as caught:
        api.list("Pod", "airflow")
    assert type(caught.value) is kind
    assert caught.value.status == status


def test_an_unknown_kind_is_an_error(api: KubeApi) -> None:
    with pytest.raises(KubeApiError, match="knows no such kind"):
        api.list("Unicorn", "airflow")


def test_apply_is_server_side_and_takes_over_conflicting_fields(api: KubeApi, server: Any) -> None:
    path = "/api/v1/namespaces/airflow/configmaps/c"
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "airflow"},
        "data": {"a": "1"},
    }
    server.on("PATCH", path, lambda asked: asked.reply(200, asked.body))
    assert api.apply([manifest, {}]) == [manifest]
    (request,) = server.asked("PATCH", path)
    assert request.handler.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.query["fieldManager"] == ["harness"]
    assert request.query["force"][0].lower() == "true"


def test_apply_reaches_objects_without_a_namespace_and_in_the_default_one(api: KubeApi, server: Any) -> None:
    paths = ["/api/v1/namespaces/n", "/api/v1/namespaces/default/configmaps/c"]
    for path in paths:
        server.on("PATCH", path, lambda asked: asked.reply(200, asked.body))
    api.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        ]
    )
    assert [request.path for request in server.requests if request.method == "PATCH"] == paths


def test_a_manifest_that_is_refused_is_named(api: KubeApi, server: Any) -> None:
    server.on("PATCH", "/api/v1/namespaces/n", lambda asked: asked.refuse(422, "spec.x: Unsupported value"))
    with pytest.raises(KubeApiError, match=r"apply Namespace n: spec\.x: Unsupported value"):
        api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}])


def test_a_manifest_without_kind_or_name_is_an_error(api: KubeApi) -> None:
    with pytest.raises(EnvironmentFailed, match="no kind or no name"):
        api.apply([{"apiVersion": "v1"}])


def test_delete_says_whether_there_was_anything(api: KubeApi, server: Any) -> None:
    server.on("DELETE", f"{PODS}/p", lambda asked: asked.reply(200, {"kind": "Status"}))
    assert api.delete("Pod", "p", "airflow")
    assert not api.delete("Pod", "other", "airflow")
    assert server.asked("DELETE", f"{PODS}/p")[0].query["propagationPolicy"] == ["Background"]


# Roll-outs


def deployment(available: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "uid": "u", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}},
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": available,
        },
    }


def test_a_roll_out_is_waited_for_over_a_server_that_is_busy(api: KubeApi, server: Any) -> None:
    replies = [(404, {}), (503, {}), (200, deployment(0)), (200, deployment(1))]
    server.on("GET", DEPLOYMENT, lambda asked: asked.reply(*replies.pop(0)))
    server.objects(PODS)
    server.objects("/apis/apps/v1/namespaces/airflow/replicasets")
    api.wait_rollout("Deployment", "d", "airflow", Waiter(Clock()))
    assert not replies
    assert server.asked("GET", PODS)[0].query["labelSelector"] == ["app=d"]


def test_a_roll_out_whose_pod_cannot_start_ends_at_once(api: KubeApi, server: Any) -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = {
        "metadata": {"name": "d-1", "namespace": "airflow"},
        "status": {"containerStatuses": [{"name": "x", "state": state}]},
    }
    server.on("GET", DEPLOYMENT, lambda asked: asked.reply(200, deployment(0)))
    server.objects(PODS, pod)
    server.objects("/apis/apps/v1/namespaces/airflow/replicasets")
    clock = Clock()
    with pytest.raises(WaitFailed, match="ImagePullBackOff: no such image"):
        api.wait_rollout("Deployment", "d", "airflow", Waiter(clock))
    assert clock.seconds == 0


def test_a_workload_that_never_comes_times_out(api: KubeApi) -> None:
    with pytest.raises(WaitTimeout, match="does not exist yet"):
        api.wait_rollout("Deployment", "d", "airflow", Waiter(Clock()), timeout=2.0)


# Logs and watches


def test_a_log_is_read_whole_with_its_options(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.begin()
        asked.chunk("grün\n".encode() + b"\xff")
        asked.chunk(b"")

    server.on("GET", LOG, answer)
    assert (
        api.pod_logs("p", "base", namespace="airflow", tail_lines=5, timestamps=True)
        == "grün\n\N{REPLACEMENT CHARACTER}"
    )
    query = server.asked("GET", LOG)[0].query
    assert (query["container"], query["tailLines"], query["timestamps"]) == (["base"], ["5"], ["true"])


def test_a_file_of_a_node_is_asked_for_by_its_path(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.begin()
        asked.chunk("2026-11-21T12:00:00Z stdout F grün\n".encode() + b"\xff")
        asked.chunk(b"")

    server.on("GET", "/api/v1/nodes/n1/proxy/logs/pods/airflow_p_1/base/", answer)
    assert (
        api.node_log("n1", "pods/airflow_p_1/base/") == "2026-11-21T12:00:00Z stdout F grün\n\N{REPLACEMENT CHARACTER}"
    )
    with pytest.raises(KubeApiError) as caught:
        api.node_log("n1", "pods/airflow_p_1/base/0.log")
    assert caught.value.status == 404


def test_a_node_that_this_user_may_not_ask_is_an_error_with_its_status(api: KubeApi, server: Any) -> None:
    server.on(
        "GET", "/api/v1/nodes/n1/proxy/logs/pods/", lambda asked: asked.refuse(403, 'nodes "n1" is forbidden: User "x"')
    )
    with pytest.raises(KubeApiError, match="is forbidden") as caught:
        api.node_log("n1", "pods/")
    assert caught.value.status == 403


def test_a_log_that_is_not_there_yet_is_an_error_with_its_status(api: KubeApi, server: Any) -> None:
    server.on("GET", LOG, lambda asked: asked.refuse(400, 'container "base" is waiting to start'))
    with pytest.raises(KubeApiError, match="waiting to start") as caught:
        api.pod_logs("p", "base", namespace="airflow")
    assert caught.value.status == 400


def test_a_followed_log_gives_whole_lines_however_they_were_cut(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.begin()
        for piece in ("one\ntw", "o gr", "ün", "\nthree"):
            asked.chunk(piece.encode())
        asked.chunk(b"")

    server.on("GET", LOG, answer)
    with api.follow_logs("p", "base", namespace="airflow") as stream:
        assert list(stream.lines()) == ["one", "two grün", "three"]


def test_a_followed_log_that_breaks_off_says_so(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.begin()
        asked.chunk(b"one\n")
        asked.handler.close_connection = True

    server.on("GET", LOG, answer)
    with api.follow_logs("p", "base", namespace="airflow") as stream:
        lines = stream.lines()
        assert next(iter(lines)) == "one"
        with pytest.raises(KubeUnavailable, match="broke off"):
            list(lines)


def test_closing_a_stream_wakes_a_reader_that_is_blocked_over_tls(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.begin()
        asked.chunk(b"one\n")
        server.release.wait(30)

    server.on("GET", LOG, answer)
    first = threading.Event()
    ended: list[Exception] = []

    def read() -> None:
        try:
            for _ in stream.lines():
                first.set()
        except KubeUnavailable as error:
            ended.append(error)

    with api.follow_logs("p", "base", namespace="airflow") as stream:
        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(10)
        stream.close()
        reader.join(5)
        assert not reader.is_alive()
    assert len(ended) == 1


def test_a_pod_follower_works_over_the_real_client_and_stops_promptly(api: KubeApi, server: Any) -> None:
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "airflow",
            "uid": "u",
            "resourceVersion": "6",
            "labels": {"task_id": "t"},
        },
        "spec": {"containers": [{"name": "base", "image": "i"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "base", "state": {"running": {}}}]},
    }

    def pods(asked: Any) -> None:
        if "watch" not in asked.query:
            asked.reply(200, {"metadata": {"resourceVersion": "5"}, "items": []})
            return
        asked.begin()
        asked.chunk(json.dumps({"type": "ADDED", "object": pod}).encode() + b"\n")
        server.release.wait(30)

    def log(asked: Any) -> None:
        asked.begin()
        asked.chunk(b"working\n")
        server.release.wait(30)

    server.on("GET", PODS, pods)
    server.on("GET", LOG, log)
    waiter = Waiter()
    with PodFollower(api, "airflow", "r1", redactor=Redactor()) as follower:
        waiter.until(
            "the line", lambda: follower.logs("p"), ready=lambda logs: logs.get("base") == ("working",), timeout=10
        )
        follower.check()
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"pods of r1", "log of p/base"}
    watch = server.asked("GET", PODS)[1].query
    assert (watch["resourceVersion"], watch["labelSelector"]) == (["5"], ["run_id=r1"])
    assert watch["allowWatchBookmarks"][0].lower() == "true"


# Exec


def status(**details: Any) -> bytes:
    return json.dumps({"status": "Success" if not details else "Failure", **details}).encode()


def test_exec_returns_standard_output_alone(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.exec_socket()
        asked.channel(1, b"out")
        asked.channel(2, b"noise")
        asked.channel(1, b"put\n")
        asked.channel(3, status())
        asked.close_socket()

    server.on("GET", EXEC, answer)
    assert api.exec("p", "base", ["readlink", "/git/repo"], namespace="airflow") == "output\n"
    query = server.asked("GET", EXEC)[0].query
    assert (query["command"], query["container"]) == (["readlink", "/git/repo"], ["base"])


def test_a_program_that_fails_in_the_container_is_an_error_with_its_exit_code(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.exec_socket()
        asked.channel(2, b"no such file")
        asked.channel(3, status(details={"causes": [{"reason": "ExitCode", "message": "2"}]}))
        asked.close_socket()

    server.on("GET", EXEC, answer)
    with pytest.raises(CommandFailed, match="no such file") as caught:
        api.exec("p", "base", ["ls", "/x"], namespace="airflow")
    assert caught.value.code == 2


def test_a_program_that_does_not_end_in_the_container_is_a_timeout(api: KubeApi, server: Any) -> None:
    def answer(asked: Any) -> None:
        asked.exec_socket()
        asked.channel(1, b"still here")
        server.release.wait(30)

    server.on("GET", EXEC, answer)
    with pytest.raises(CommandTimeout, match="still here"):
        api.exec("p", "base", ["sleep", "60"], namespace="airflow", timeout=0.3)


def test_a_container_that_does_not_run_is_an_error(api: KubeApi, server: Any) -> None:
    server.on("GET", EXEC, lambda asked: asked.refuse(404, "container not found"))
    with pytest.raises(KubeApiError, match="404"):
        api.exec("p", "base", ["true"], namespace="airflow")


def test_nothing_of_the_discovery_is_left_on_disk(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    server.objects(PODS)
    with KubeApi(server.kubeconfig, "kind-ours", timeout=5.0) as api:
        api.list("Pod", "airflow")
    gc.collect()
    assert not list(folder.iterdir())


REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
POD_AUDIENCE = "pods.eks.amazonaws.com"


@pytest.mark.parametrize(
    ("status", "authenticated"),
    [
        ({"authenticated": True, "audiences": [POD_AUDIENCE]}, True),
        ({"authenticated": True, "audiences": ["https://kubernetes.default.svc"]}, False),
        ({"authenticated": True}, False),
        ({"authenticated": False, "error": "token has expired"}, False),
    ],
)
def test_a_pods_token_is_reviewed_for_its_audience(
    api: KubeApi, server: Any, status: dict[str, Any], authenticated: object
) -> None:
    user = {"username": "system:serviceaccount:airflow:a", "extra": {"authentication.kubernetes.io/pod-name": ["p"]}}
    server.on("POST", REVIEWS, lambda asked: asked.reply(201, {**asked.body, "status": {"user": user, **status}}))
    reviewed = ClusterTokens(api).review("a.b.c", POD_AUDIENCE)
    assert reviewed.authenticated is authenticated
    assert (reviewed.username, reviewed.extra) == (user["username"], user["extra"])
    assert server.asked("POST", REVIEWS)[0].body["spec"] == {"token": "a.b.c", "audiences": [POD_AUDIENCE]}


def test_leave_to_review_tokens_may_be_missing(api: KubeApi, server: Any) -> None:
    server.on("POST", REVIEWS, lambda asked: asked.refuse(403, "tokenreviews is forbidden"))
    with pytest.raises(KubeApiError, match="tokenreviews is forbidden"):
        ClusterTokens(api).review("a.b.c", POD_AUDIENCE)
