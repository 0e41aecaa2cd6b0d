"""Images into ECR by a real engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.model import Engine, Toolchain
from harness.process import Completed, SubprocessRunner
from harness.targets.eks.aws import client as client_of
from harness.targets.eks.pushing import Login, Pusher, PushFailed, Trouble
from harness.targets.removal import remove_image_name
from tests.contract.eks.ecr_places import REPOSITORY, Place, end_logins, one_image, repository, served, session
from tests.contract.lookalike.conftest import ACCOUNT, Client
from tests.contract.supply.conftest import Engineer, docker_config, engine, engineer, runner
from tests.fakes import Clock

__all__ = ["docker_config", "engine", "engineer", "repository", "runner", "served", "session"]


def _toolchain(engine: Engine, name: str, digest: str) -> Toolchain:
    return replace(
        one_image(), engine=engine, images={"worker": "airflow-dvc-worker:2.0.0"}, engine_images={"worker": name},
        image_digests={"worker": (digest,)},
    )  # fmt: skip


class Watched(SubprocessRunner):
    """The real one, which notes the commands."""

    commands: ClassVar[list[list[str]]] = []

    def run(self, argv: Any, **options: Any) -> Completed:
        self.commands.append([str(part) for part in argv])
        return super().run(argv, **options)


@pytest.fixture
def engines_place(
    session: boto3.Session, runner: SubprocessRunner, tmp_path: Path, docker_config: Path, repository: str
) -> Iterator[Place]:
    Watched.commands.clear()
    (docker_config / "config.json").write_text('{"auths": {"registry.example": {"auth": "dTpw"}}}')
    yield Place(session, Watched(env=runner.env), tmp_path / "run")
    assert (docker_config / "config.json").read_text() == '{"auths": {"registry.example": {"auth": "dTpw"}}}'
    (docker_config / "config.json").unlink()


def test_an_engine_pushes_and_what_it_pushed_is_what_it_pulls(
    engines_place: Place, engineer: Engineer, engine: Engine, cloud: Cloud, client: Client, tmp_path: Path,
    limited: Callable[..., Credentials],
) -> None:  # fmt: skip
    name = "ecr-test/source:1"
    engineer.make(name, size=3_000_000)
    own = engineer.docker("image", "inspect", "--format", "{{.Id}}", name).strip()
    given = _toolchain(engine, name, own)
    names, filled = engines_place.supply(given)
    there = names["airflow-dvc-worker:2.0.0"]
    assert re.search(rf"/{REPOSITORY}:2\.0\.0-{own.removeprefix('sha256:')[:12]}$", there)
    digest = filled.image_digests["worker"][0]
    assert cloud.ecr.repository(REPOSITORY).tags == {there.rpartition(":")[2]: digest}
    assert not engineer.has(there)
    assert not [line for line in engineer.docker("image", "ls", "--digests").splitlines() if REPOSITORY in line]
    assert any(re.search(r"1 of 1 layers$", line) for line in engines_place.told)

    engineer.docker("image", "rm", name)
    assert not engineer.has(own)
    puller = limited("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    with Login(client("ecr", puller), tmp_path / "puller") as login:
        command: list[str | Path] = [engine.docker, "pull", there]
        engineer.runner.run(command, env={**engine.env, **login.env}, timeout=60)
        engineer.names.add(there)
    assert engineer.docker("image", "inspect", "--format", "{{.Id}}", there).strip() == own


def test_an_engine_pushes_nothing_the_second_time(engines_place: Place, engineer: Engineer, engine: Engine) -> None:
    name = "ecr-test/source:1"
    engineer.make(name)
    given = _toolchain(engine, name, "sha256:1")
    first = engines_place.supply(given)
    assert ["push"] in [command[1:2] for command in Watched.commands]
    Watched.commands.clear()
    assert engines_place.supply(given) == first
    assert [command[1:3] for command in Watched.commands] == [["image", "inspect"]]


def test_an_engines_push_to_no_repository_says_so(
    engines_place: Place, engineer: Engineer, engine: Engine, tmp_path: Path
) -> None:
    name = "ecr-test/source:1"
    engineer.make(name)
    with Login(client_of(engines_place.session, "ecr"), tmp_path / "login") as login:
        pusher = Pusher(engine, engines_place.docker, login, engines_place.journal, list[str]().append)
        with pytest.raises(PushFailed) as caught:
            pusher.push(name, f"{login.host}/nobodys:1")
    assert caught.value.trouble is Trouble.REPOSITORY
    assert f"'nobodys' does not exist in the registry with id '{ACCOUNT}'" in caught.value.evidence["it said"]
    assert not engineer.has(f"{login.host}/nobodys:1")


def test_a_name_that_a_killed_run_left_in_an_engine_is_taken_from_it(engineer: Engineer, engine: Engine) -> None:
    name, there = "ecr-test/source:1", f"127.0.0.1:9/{REPOSITORY}:1"
    engineer.make(name)
    engineer.docker("tag", name, there)
    for _ in "12":
        remove_image_name(there, engine=engine, runner=engineer.runner)
    assert engineer.has(name)
    assert not engineer.has(there)


def test_an_engine_waits_out_a_rate_limit_and_goes_on_with_a_new_login(
    engines_place: Place, engineer: Engineer, engine: Engine, cloud: Cloud, tmp_path: Path
) -> None:
    name, told = "ecr-test/source:1", list[str]()
    engineer.make(name)
    with Login(client_of(engines_place.session, "ecr"), tmp_path / "login") as login:
        pusher = Pusher(engine, engines_place.docker, login, engines_place.journal, told.append, Clock())
        end_logins(cloud)
        cloud.gateway.faults.throttle("ecr", "PutImage", 3)
        pusher.push(name, f"{login.host}/{REPOSITORY}:1")
    assert "1" in cloud.ecr.repository(REPOSITORY).tags
    assert any(str(Trouble.EXPIRED) in line for line in told)
    assert list((tmp_path / "login").iterdir()) == []
