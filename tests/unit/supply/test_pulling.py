"""What is tried again, how often, and what the reader is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import CommandFailed
from harness.model import Engine
from harness.supply.pins import Reference
from harness.supply.pulling import Puller, PullFailed, Trouble, trouble_of
from tests.fakes import Call, Clock, FakeRunner

_REFERENCE = Reference.parse("registry.example/a:1")
_ENGINE = Engine(docker=Path("docker"), host="unix:///engine.sock", ours=True, version="20.10")


@dataclass
class Docker(FakeRunner):
    """A `docker pull` that fails with each of these words in turn, then does well."""

    failures: list[str]

    def answer(self, call: Call) -> str:
        if self.failures:
            raise CommandFailed(argv=["docker", "pull"], code=1, stdout="", stderr=self.failures.pop(0))
        if call.on_line is not None:
            call.on_line("0123456789ab: Pulling fs layer")
            call.on_line("0123456789ab: Pull complete")
        return ""


def pulled(*failures: str) -> tuple[Docker, Clock, list[str], PullFailed | None]:
    docker, clock, said = Docker(list(failures)), Clock(), list[str]()
    puller = Puller(engine=_ENGINE, runner=docker, status=said.append, clock=clock)
    try:
        puller.pull(_REFERENCE)
    except PullFailed as error:
        return docker, clock, said, error
    return docker, clock, said, None


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("toomanyrequests: You have reached your pull rate limit.", Trouble.RATE_LIMIT),
        ("error parsing HTTP 429 response body", Trouble.RATE_LIMIT),
        ("unexpected EOF", Trouble.CUT),
        ("read tcp 1.2.3.4:5: connection reset by peer", Trouble.CUT),
        ("no basic auth credentials", Trouble.AUTH),
        ("pull access denied for x, repository does not exist or may require 'docker login'", Trouble.AUTH),
        ("manifest unknown: manifest unknown", Trouble.MISSING),
        ("manifest verification failed for digest sha256:4290", Trouble.CONTENT),
        ("dial tcp: lookup registry.example: no such host", Trouble.UNREACHABLE),
        ("dial tcp 127.0.0.1:1: connect: connection refused", Trouble.UNREACHABLE),
        ("x509: certificate signed by unknown authority", Trouble.UNREACHABLE),
        ("write /var/lib/docker/tmp/x: no space left on device", Trouble.DISK),
        ("something new", Trouble.OTHER),
    ],
)
def test_the_engines_words_are_understood(said: str, trouble: Trouble) -> None:
    assert trouble_of(said) is trouble


def test_a_rate_limit_is_tried_again_with_doubling_pauses_and_told() -> None:
    docker, clock, said, error = pulled("toomanyrequests", "toomanyrequests", "toomanyrequests")
    assert error is None
    assert clock.slept == [2.0, 4.0, 8.0]
    assert sum("trying again" in line for line in said) == 3
    assert len(docker.calls) == 4


def test_the_pause_is_the_one_that_the_registry_asks_for() -> None:
    _docker, clock, _said, error = pulled("toomanyrequests; Retry-After: 17")
    assert error is None
    assert clock.slept == [17.0]


def test_a_registry_that_asks_for_hours_is_not_waited_for() -> None:
    _docker, clock, _said, error = pulled("toomanyrequests; retry after 21600")
    assert error is not None
    assert clock.slept == []
    assert "docker login registry.example" in error.next_step


def test_a_rate_limit_that_does_not_end_is_an_error_after_bounded_retries() -> None:
    docker, _clock, _said, error = pulled(*["429 Too Many Requests"] * 50)
    assert error is not None
    assert error.trouble is Trouble.RATE_LIMIT
    assert len(docker.calls) == 6


def test_a_cut_is_tried_again_once() -> None:
    docker, _clock, _said, error = pulled("unexpected EOF", "unexpected EOF")
    assert error is not None
    assert len(docker.calls) == 2
    assert pulled("unexpected EOF")[3] is None


@pytest.mark.parametrize("words", ["unauthorized", "manifest unknown", "connection refused", "something new"])
def test_anything_else_fails_at_once(words: str) -> None:
    docker, clock, _said, error = pulled(words)
    assert error is not None
    assert (len(docker.calls), clock.slept) == (1, [])


def test_an_error_names_image_registry_words_and_next_step() -> None:
    *_, error = pulled("denied: requested access to the resource is denied")
    assert error is not None
    text = str(error)
    for part in (
        "registry.example/a:1",
        "registry: registry.example",
        "requested access",
        "--registry-mirror",
        "--supply",
    ):
        assert part in text


def test_a_mirror_that_fails_is_to_be_replaced_under_the_name_of_its_registry() -> None:
    mirrored = Reference.parse("postgres:17").mirrored({"docker.io": "127.0.0.1:5000"})
    error = PullFailed(mirrored, "connection refused", wanted=Reference.parse("postgres:17"))
    assert "--registry-mirror docker.io=<another mirror>" in error.next_step


def test_nothing_is_tried_again_once_another_pull_has_failed() -> None:
    docker = Docker(["toomanyrequests"] * 3)
    puller = Puller(engine=_ENGINE, runner=docker, clock=Clock())
    puller.stop.set()
    with pytest.raises(PullFailed):
        puller.pull(_REFERENCE)
    assert len(docker.calls) == 1


def test_progress_counts_layers() -> None:
    assert "a: 1 of 1 layers" in pulled()[2]
