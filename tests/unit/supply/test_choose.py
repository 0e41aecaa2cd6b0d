"""The choice of a supply."""

from __future__ import annotations

import httpx
import pytest

from harness.settings import SupplyKind
from harness.supply.choose import Answers, RegistryProbe, choose


def minutes(kind: SupplyKind) -> float:
    return 7.0 if kind is SupplyKind.REGISTRY else 20.0


def never() -> Answers:
    raise AssertionError("an explicit choice is not asked about")


@pytest.mark.parametrize("wanted", [SupplyKind.REGISTRY, SupplyKind.PACKAGES])
def test_an_explicit_choice_is_kept_without_asking(wanted: SupplyKind) -> None:
    choice = choose(wanted, never, minutes=minutes)
    assert (choice.kind, choice.why, choice.expected_minutes) == (wanted, "as asked", minutes(wanted))


def test_auto_takes_registries_that_answer() -> None:
    choice = choose(SupplyKind.AUTO, lambda: {"docker.io": None, "registry.k8s.io": None}, minutes=minutes)
    assert choice.kind is SupplyKind.REGISTRY
    assert str(choice) == (
        "registry supply (docker.io, registry.k8s.io answered); about 7 min until all parts are here"
    )


def test_auto_takes_packages_when_one_registry_is_silent_and_says_which() -> None:
    answers = {"docker.io": None, "registry.k8s.io": "no answer within 3 s"}
    choice = choose(SupplyKind.AUTO, lambda: answers, minutes=minutes)
    assert choice.kind is SupplyKind.PACKAGES
    assert choice.why == "registry.k8s.io: no answer within 3 s"


def test_auto_asks_once() -> None:
    asked: list[int] = []

    def probe() -> Answers:
        asked.append(1)
        return {"docker.io": "refused"}

    choose(SupplyKind.AUTO, probe, minutes=minutes)
    assert asked == [1]


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (403, False), (404, False), (502, False)])
def test_only_a_registry_counts_as_answering(status: int, *, answers: bool) -> None:
    probe = RegistryProbe(
        hosts=("registry.example",), transport=httpx.MockTransport(lambda _request: httpx.Response(status))
    )
    assert (probe()["registry.example"] is None) is answers


def test_docker_hub_is_asked_where_its_api_is_and_a_mirror_in_its_place() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200)

    RegistryProbe(hosts=("docker.io",), transport=httpx.MockTransport(answer))()
    mirror = {"docker.io": "m.example:5000/hub"}
    assert RegistryProbe(mirror, hosts=("docker.io",), transport=httpx.MockTransport(answer))() == {
        "m.example:5000": None
    }
    assert asked == ["https://registry-1.docker.io/v2/", "https://m.example:5000/v2/"]


RELEASE = "https://dl.example/kind-linux-amd64"


@pytest.mark.parametrize(
    ("status", "problem"), [(200, None), (302, None), (404, "HTTP 404 at /kind-linux-amd64"), (503, "HTTP 503")]
)
def test_where_a_program_is_downloaded_from_is_asked_for_that_program(status: int, problem: str | None) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, str(request.url)))
        return httpx.Response(200 if request.url.path == "/v2/" else status)

    found = RegistryProbe(hosts=("r.example",), downloads=(RELEASE,), transport=httpx.MockTransport(answer))()
    assert found["r.example"] is None
    assert (found["dl.example"] or "").startswith(problem or "")
    assert (found["dl.example"] is None) is (problem is None)
    assert ("HEAD", RELEASE) in asked


def test_auto_takes_packages_when_a_program_cannot_be_downloaded_though_every_registry_answers() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "dl.example":
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200)

    probe = RegistryProbe(hosts=("r.example",), downloads=(RELEASE,), transport=httpx.MockTransport(answer))
    choice = choose(SupplyKind.AUTO, probe, minutes=minutes)
    assert (choice.kind, choice.why) == (SupplyKind.PACKAGES, "dl.example: refused")


def test_the_probe_asks_the_registries_of_the_pinned_images() -> None:
    assert RegistryProbe().hosts == ("docker.io", "registry.k8s.io")
