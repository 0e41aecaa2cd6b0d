"""Pulling through the real code, from a real registry, by a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CommandCancelled
from harness.model import Engine
from harness.process import Completed, SubprocessRunner
from harness.supply.pins import Reference
from harness.supply.pulling import Puller, PullFailed, Trouble
from harness.supply.registry_images import DIGESTS_FILE, RegistryImages

from .conftest import PASSWORD, USER, Engineer, Proxy, Pushed, Registry


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def images(engine: Engine, runner: SubprocessRunner, tmp_path: Path, said: list[str]) -> RegistryImages:
    puller = Puller(engine=engine, runner=runner, status=said.append)
    return RegistryImages(engine=engine, runner=runner, puller=puller, cache_dir=tmp_path, status=said.append)


def reference(host: str, pushed: Pushed, *, digest: bool = True) -> Reference:
    return Reference(host, pushed.path, pushed.tag, pushed.digest if digest else None)


def name_for(engineer: Engineer, host: str, pushed: Pushed) -> str:
    """A name in the cluster, and the names that the engine will have for it, for the cleaning up."""
    name = f"in-cluster/{pushed.path.rpartition('/')[2]}:1"
    engineer.names.update({name, f"{host}/{pushed.path}:{pushed.tag}"})
    return name


def test_an_image_is_pulled_by_its_digest_and_gets_its_name_in_the_cluster(
    images: RegistryImages, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    pulled = images.ensure(reference(registry.host, pushed), name=name)
    assert pulled.pulled
    assert engineer.docker("image", "inspect", "--format", "{{.Id}}", name).strip() == pulled.id
    assert pulled.digests == (pushed.digest, pulled.id)


def test_an_image_that_is_there_with_its_digest_is_not_pulled_again(
    images: RegistryImages, engineer: Engineer, proxy: Proxy
) -> None:
    pushed = engineer.push(proxy.target.host)
    name = name_for(engineer, proxy.host, pushed)
    images.ensure(reference(proxy.host, pushed), name=name)
    asked = len(proxy.requests)
    assert not images.ensure(reference(proxy.host, pushed), name=name).pulled
    assert len(proxy.requests) == asked


def test_a_name_that_now_means_another_image_is_pulled_and_the_change_is_told(
    images: RegistryImages, engineer: Engineer, registry: Registry, said: list[str]
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    engineer.make(name)
    assert images.ensure(reference(registry.host, pushed), name=name).pulled
    assert any(f"{name} in the engine now names" in line for line in said)


class GivenUpAtTheEnd(SubprocessRunner):
    """Its programs are given up at the very moment at which they have done their work."""

    def run(self, argv: Sequence[str | Path], **options: Any) -> Completed:
        super().run(argv, **options)
        raise CommandCancelled(argv=tuple(map(str, argv)))


def test_a_pull_that_is_given_up_when_the_engine_has_just_finished_leaves_no_image(
    images: RegistryImages, runner: SubprocessRunner, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    images.puller.runner = GivenUpAtTheEnd(env=runner.env)
    with pytest.raises(CommandCancelled):
        images.ensure(reference(registry.host, pushed), name=name)
    assert not engineer.has(reference(registry.host, pushed).to_pull)
    images.puller.runner = runner
    assert images.ensure(reference(registry.host, pushed), name=name).pulled


def test_a_pull_that_is_given_up_keeps_what_somebody_had_pulled_before(
    images: RegistryImages, runner: SubprocessRunner, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    engineer.docker("pull", reference(registry.host, pushed).to_pull)
    images.puller.runner = GivenUpAtTheEnd(env=runner.env)
    with pytest.raises(CommandCancelled):
        images.ensure(reference(registry.host, pushed), name=name)
    assert engineer.has(reference(registry.host, pushed).to_pull)


def test_a_digest_that_the_registry_does_not_have_is_refused(
    images: RegistryImages, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    wrong = replace(reference(registry.host, pushed), digest="sha256:" + "0" * 64)
    with pytest.raises(PullFailed) as caught:
        images.ensure(wrong, name=name)
    assert caught.value.trouble is Trouble.MISSING
    assert not engineer.has(name)


def test_a_registry_that_serves_other_bytes_for_a_digest_is_refused(
    images: RegistryImages, engineer: Engineer, proxy: Proxy
) -> None:
    wanted, other = engineer.push(proxy.target.host), engineer.push(proxy.target.host)
    name = name_for(engineer, proxy.host, wanted)
    proxy.rewrite = lambda path: path.replace(wanted.path, other.path).replace(wanted.digest, other.digest)
    with pytest.raises(PullFailed) as caught:
        images.ensure(reference(proxy.host, wanted), name=name)
    assert caught.value.trouble is Trouble.CONTENT
    assert not engineer.has(name)


def test_a_mirror_serves_the_image_and_its_digest_is_still_checked(
    images: RegistryImages, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host, "hub/library/mirrored-postgres")
    name = name_for(engineer, registry.host, pushed)
    images.mirrors = {"docker.io": f"{registry.host}/hub"}
    original = Reference.parse(f"mirrored-postgres:1@{pushed.digest}")
    assert images.ensure(original, name=name).reference.host == "docker.io"
    engineer.docker("image", "rm", name)
    with pytest.raises(PullFailed, match="could not be pulled") as caught:
        images.ensure(replace(original, digest="sha256:" + "1" * 64), name=name)
    assert "docker.io/library/mirrored-postgres" in caught.value.evidence["mirror of"]


def test_an_image_without_a_published_digest_is_recorded_at_the_first_pull_and_named_each_time(
    images: RegistryImages, engineer: Engineer, registry: Registry, said: list[str], tmp_path: Path
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    unpinned = reference(registry.host, pushed, digest=False)
    first = images.ensure(unpinned, name=name)
    assert json.loads((tmp_path / DIGESTS_FILE).read_text()) == {str(unpinned): pushed.digest}
    assert not first.published
    again = images.ensure(unpinned, name=name)
    assert not again.pulled
    assert [str(unpinned) in line and "no published digest" in line for line in said if "digest" in line] == [
        True,
        True,
    ]


def test_a_tag_that_has_moved_since_the_first_pull_still_gives_the_recorded_image(
    images: RegistryImages, engineer: Engineer, registry: Registry
) -> None:
    pushed = engineer.push(registry.host)
    name = name_for(engineer, registry.host, pushed)
    unpinned = reference(registry.host, pushed, digest=False)
    first = images.ensure(unpinned, name=name)
    engineer.clean()
    moved = engineer.push(registry.host, pushed.path)
    assert moved.digest != pushed.digest
    assert images.ensure(unpinned, name=name).id == first.id


@pytest.mark.waits
def test_a_rate_limit_is_waited_out_and_each_retry_is_told(
    images: RegistryImages, engineer: Engineer, proxy: Proxy, said: list[str]
) -> None:
    pushed = engineer.push(proxy.target.host)
    name = name_for(engineer, proxy.host, pushed)
    limited = _first(2, "429", "/manifests/")
    proxy.misbehave = limited
    pulled = images.ensure(reference(proxy.host, pushed), name=name)
    assert pulled.pulled
    assert pulled.retries >= 1
    assert sum("limits the rate" in line for line in said) == pulled.retries


@pytest.mark.waits
def test_a_layer_cut_in_the_middle_is_pulled_to_its_end(
    images: RegistryImages, engineer: Engineer, proxy: Proxy
) -> None:
    pushed = engineer.push(proxy.target.host, size=3_000_000)
    name = name_for(engineer, proxy.host, pushed)
    proxy.misbehave = _first(1, "cut", "/blobs/", at_least=1_000_000)
    assert images.ensure(reference(proxy.host, pushed), name=name).reference.digest == pushed.digest
    assert proxy.cuts == 1


def test_a_manifest_cut_in_the_middle_is_asked_for_once_more(
    images: RegistryImages, engineer: Engineer, proxy: Proxy
) -> None:
    pushed = engineer.push(proxy.target.host)
    name = name_for(engineer, proxy.host, pushed)
    proxy.misbehave = _first(1, "cut", "/manifests/", method="GET")
    assert images.ensure(reference(proxy.host, pushed), name=name).retries == 1


def test_a_registry_that_cuts_every_time_is_an_error_after_one_retry(
    images: RegistryImages, engineer: Engineer, proxy: Proxy
) -> None:
    pushed = engineer.push(proxy.target.host)
    name = name_for(engineer, proxy.host, pushed)
    proxy.misbehave = _first(100, "cut", "/manifests/", method="GET")
    with pytest.raises(PullFailed) as caught:
        images.ensure(reference(proxy.host, pushed), name=name)
    assert caught.value.trouble is Trouble.CUT
    assert images.puller.retries[str(reference(proxy.host, pushed))] == 1


def test_a_registry_with_a_login_says_so_and_takes_the_users_docker_login(
    images: RegistryImages, engineer: Engineer, start_registry: Callable[[bool], Registry], runner: SubprocessRunner
) -> None:
    closed = start_registry(True)
    with pytest.raises(PullFailed) as caught:
        images.ensure(Reference(closed.host, "library/closed", "1", "sha256:" + "2" * 64), name="in-cluster/closed:1")
    assert caught.value.trouble is Trouble.AUTH
    assert f"docker login {closed.host}" in caught.value.next_step
    engineer.docker("login", "--username", USER, "--password-stdin", closed.host, stdin=PASSWORD)
    try:
        pushed = engineer.push(closed.host)
        name = name_for(engineer, closed.host, pushed)
        assert images.ensure(reference(closed.host, pushed), name=name).pulled
    finally:
        engineer.docker("logout", closed.host)


def test_a_registry_that_goes_away_in_the_middle_is_named_with_what_to_do(
    images: RegistryImages, engineer: Engineer, start_registry: Callable[[bool], Registry]
) -> None:
    dying = start_registry(False)
    first, second = engineer.push(dying.host), engineer.push(dying.host)
    names = [name_for(engineer, dying.host, pushed) for pushed in (first, second)]
    assert images.ensure(reference(dying.host, first), name=names[0]).pulled
    dying.stop()
    with pytest.raises(PullFailed) as caught:
        images.ensure(reference(dying.host, second), name=names[1])
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert caught.value.evidence["registry"] == dying.host
    assert "--supply packages" in caught.value.next_step
    assert engineer.has(names[0])
    assert not engineer.has(names[1])


def _first(
    count: int, what: str, part: str, *, method: str | None = None, at_least: int = 0
) -> Callable[[str, str, int], str]:
    left = [count]

    def misbehave(used: str, path: str, size: int) -> str:
        if part not in path or left[0] == 0 or (method and used != method) or size < at_least:
            return ""
        left[0] -= 1
        return what

    return misbehave
