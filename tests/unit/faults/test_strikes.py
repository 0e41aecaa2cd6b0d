"""A service counts as struck when it is, by what it says from outside, and not when the switch was asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import EnvironmentFailed
from harness.model import Engine
from harness.process import Completed
from harness.wait import Waiter
from tests.fakes import Call, FakeRunner
from tests.faults.breakages import node_paused, paused
from tests.faults.node import Node
from tests.faults.routes import SILENT, Service, answer, cut_off, says, slow
from tests.faults.scene import Scene, Stage


class Store(BaseHTTPRequestHandler):
    """S3, perhaps behind something."""

    seconds, limit, status = 0.0, 1_000_000, 200

    def do_GET(self) -> None:
        if len(self.path) > self.limit:
            self.close_connection = True
            return
        time.sleep(self.seconds)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        del format, args


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    handler = type("Handler", (Store,), getattr(request, "param", {}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    outside = f"http://127.0.0.1:{server.server_address[1]}"
    services = SimpleNamespace(s3=SimpleNamespace(outside=outside), git=None)
    ready = SimpleNamespace(services=services, kube=None)
    yield cast("Stage", SimpleNamespace(ready=ready, waiter=Waiter()))
    server.shutdown()
    thread.join()
    server.server_close()


S3: Service = "s3"
PLAIN: dict[str, Any] = {}
SLOW, LIMITED, FAILING = {"seconds": 1.0}, {"limit": 6000}, {"status": 503}


STRUCK = {"slow": slow(0.8), "cut off": cut_off(6000), "503": says("503"), "as before": says("200")}


@pytest.mark.parametrize(
    ("stage", "struck"),
    [
        (PLAIN, {"as before"}),
        (SLOW, {"as before", "slow"}),
        (LIMITED, {"as before", "cut off"}),
        (FAILING, {"503"}),
    ],
    indirect=["stage"],
)
def test_a_service_is_struck_by_the_one_thing_that_was_asked_for(stage: Stage, struck: set[str]) -> None:
    assert {name for name, at_work in STRUCK.items() if at_work(stage, S3)} == struck


def test_a_service_that_nobody_has_says_nothing(stage: Stage) -> None:
    stage.ready.services.s3.outside = "http://127.0.0.1:9"  # type: ignore[misc]
    assert answer(stage, S3).says == SILENT
    assert not any(at_work(stage, S3) for at_work in STRUCK.values())


ROWS = "TASK    PID     STATUS    \nother    2    RUNNING\n"


class Frozen(FakeRunner):
    """Docker and containerd, of which each look at a state gives the next."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states = list(states)

    def answer(self, call: Call) -> str | Completed:
        if call.argv[1:3] == ["container", "inspect"]:
            return f"{self.states.pop(0)}\n"
        if call.argv[-2:] == ["tasks", "ls"]:
            state = self.states.pop(0)
            return ROWS if state == "GONE" else f"{ROWS}b    7    {state}\n"
        return ""


def scene(runner: FakeRunner, monkeypatch: pytest.MonkeyPatch) -> Scene:
    pod = {"metadata": {"name": "x"}, "status": {"containerStatuses": [{"name": "p", "containerID": "containerd://b"}]}}
    for name, found in (("pods_of", [pod]), ("all_ready", None), ("everything_ready", None)):
        monkeypatch.setattr(f"tests.faults.breakages.{name}", lambda *_, found=found: found)
    node = Node("n", Engine(docker="docker", host="", ours=False, version="20.10"), runner)  # type: ignore[arg-type]
    return cast("Scene", SimpleNamespace(stage=SimpleNamespace(node=node)))


@pytest.mark.parametrize(("breaks", "still"), [(paused(("ns", "app=p", "p")), "PAUSED"), (node_paused, "paused")])
def test_what_stands_still_from_first_to_last_is_let_go_on(
    breaks: Any, still: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Frozen(still, still)
    with breaks(scene(runner, monkeypatch)):
        pass
    assert any("resume" in call or "unpause" in call for call in runner.calls)
    assert runner.states == []


@pytest.mark.parametrize(
    ("breaks", "states"),
    [
        (paused(("ns", "app=p", "p")), ("RUNNING",)),
        (paused(("ns", "app=p", "p")), ("PAUSED", "GONE")),
        (node_paused, ("running",)),
        (node_paused, ("paused", "running")),
    ],
)
def test_what_does_not_stand_still_is_an_error_and_let_go_on_all_the_same(
    breaks: Any, states: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Frozen(*states)
    with (
        pytest.raises(EnvironmentFailed, match="was to stand still, and is"),
        breaks(scene(runner, monkeypatch)),
    ):
        pass
    assert any("resume" in call or "unpause" in call for call in runner.calls)
