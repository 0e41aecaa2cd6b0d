"""Images into ECR: asked first, pushed only where they are missing, logged in by a configuration of our own."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
import pytest

from harness.errors import EnvironmentFailed
from harness.journal import Journal
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.registry_server import RegistryServer
from harness.targets.eks.aws import AwsRefused, open_session
from harness.targets.eks.aws import client as client_of
from harness.targets.eks.ecr import repository_of
from harness.targets.eks.pushing import Login, Pusher, PushFailed, Trouble
from tests.contract.eks.conftest import Site
from tests.contract.eks.ecr_places import (
    ALLOWED,
    REPOSITORY,
    Docker,
    Place,
    end_logins,
    failed,
    one_image,
    repository,
    served,
    session,
)
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import REGION, Client
from tests.contract.lookalike.registries import Distribution, image
from tests.fakes import Call, Clock

__all__ = ["repository", "served", "session"]


@pytest.fixture
def docker(served: tuple[RegistryServer, ssl.SSLContext]) -> Docker:
    return Docker(served[1], image())


@pytest.fixture
def place(session: boto3.Session, docker: Docker, tmp_path: Path) -> Place:
    return Place(session, docker, tmp_path / "run")


def test_an_image_that_ecr_lacks_is_pushed_and_pods_show_its_digest(
    place: Place, docker: Docker, repository: str, served: tuple[RegistryServer, ssl.SSLContext], cloud: Cloud
) -> None:
    names, filled = place.supply()
    name = f"{served[0].host}/{repository}:2.0.0-{docker.id.removeprefix('sha256:')[:12]}"
    assert names == {"airflow-dvc-worker:2.0.0": name}
    assert filled.image_digests == {"worker": (docker.made.digest, "sha256:1")}
    assert ["docker", "tag", "airflow-dvc-worker:2.0.0", name] in docker.calls
    assert docker.calls[-1] == ["docker", "image", "rm", name]
    mine = [call for call in cloud.log.calls("ecr") if call.principal.endswith("user/limited")]
    assert {call.outcome for call in mine} == {"allowed"}
    assert {action for call in mine for action, _ in call.checked} <= set(ALLOWED)


def test_what_ecr_has_is_not_pushed_again(place: Place, docker: Docker, repository: str) -> None:
    first = place.supply()
    docker.called.clear()
    assert place.supply() == first
    assert docker.pushed == []


def test_of_an_index_with_one_platform_here_ecr_has_that_platforms_manifest(
    place: Place, docker: Docker, repository: str
) -> None:
    docker.index = f"sha256:{'9' * 64}"
    first = place.supply()
    assert first[1].image_digests == {"worker": (docker.made.digest, "sha256:1")}
    docker.called.clear()
    assert place.supply() == first
    assert docker.pushed == []


def test_an_index_does_not_make_another_image_right(place: Place, docker: Docker, repository: str) -> None:
    docker.index = f"sha256:{'9' * 64}"
    place.supply()
    docker.made = image("changed")
    with pytest.raises(EnvironmentFailed, match="ECR has another image as"):
        place.supply()


def test_another_image_of_the_same_name_gets_another_tag(place: Place, docker: Docker, repository: str) -> None:
    first, _ = place.supply()
    docker.made = image("changed")
    second, _ = place.supply()
    assert first.keys() == second.keys()
    assert first != second
    assert len(docker.pushed) == 2


def test_the_login_is_the_runs_own_for_its_owner_only_and_is_gone_afterwards(
    place: Place, docker: Docker, repository: str, tmp_path: Path, served: tuple[RegistryServer, ssl.SSLContext]
) -> None:
    place.supply()
    (file, mode, said), *_ = docker.logins
    assert file.is_relative_to(tmp_path / "run")
    assert mode == 0o600
    assert list(said["auths"]) == [served[0].host]
    assert not file.parent.exists()
    secret = said["auths"][served[0].host]["auth"]
    assert secret not in repr(docker.calls) + repr(place.told)


def test_the_login_is_gone_after_a_failure_too(place: Place, docker: Docker, repository: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("the engine has gone")

    docker.before = fail
    with pytest.raises(OSError, match="has gone"):
        place.supply()
    assert docker.calls[-1][1:3] == ["image", "rm"]
    assert list((tmp_path / "run").rglob("*")) == []


def test_the_name_that_the_engine_is_told_is_journalled_before_and_until_it_is_gone(
    place: Place, docker: Docker, repository: str
) -> None:
    open_at: dict[str, list[str]] = {}
    said = docker.answer

    def watched(call: Call) -> str:
        open_at[call.argv[1]] = [f"{entry.kind} {entry.name}" for entry in place.journal.open()]
        return said(call)

    docker.answer = watched  # type: ignore[method-assign]
    (name,) = place.supply()[0].values()
    assert open_at["tag"] == open_at["push"] == [f"image-name {name}"]
    assert place.journal.open() == []


def test_a_missing_repository_is_named_and_nothing_is_pushed(place: Place, docker: Docker) -> None:
    with pytest.raises(EnvironmentFailed, match=f"there is no repository {REPOSITORY} in ECR of {REGION}") as caught:
        place.supply()
    assert "eks.ecr_create" in caught.value.next_step
    assert docker.pushed == []


def test_a_missing_repository_is_created_where_the_settings_allow_it(
    place: Place,
    docker: Docker,
    enter: Callable[[Credentials], None],
    limited: Callable[..., Credentials],
    client: Client,
) -> None:
    enter(limited(*ALLOWED, "ecr:CreateRepository", "ecr:TagResource", "ecr:PutLifecyclePolicy"))
    place.session = open_session(profile=None, region=REGION)
    names, _ = place.supply(ecr_create=True, ecr_prefix="team/e2e")
    assert len(docker.pushed) == 1
    assert "/team/e2e/airflow-dvc-worker:" in names["airflow-dvc-worker:2.0.0"]
    made = client("ecr").describe_repositories()["repositories"]
    assert [(one["repositoryName"], one["imageTagMutability"]) for one in made] == [
        ("team/e2e/airflow-dvc-worker", "IMMUTABLE")
    ]
    kept = client("ecr").get_lifecycle_policy(repositoryName="team/e2e/airflow-dvc-worker")["lifecyclePolicyText"]
    assert json.loads(kept)["rules"][0]["selection"]["countNumber"] == 20


def test_who_may_not_create_it_is_told_what_is_missing(place: Place) -> None:
    with pytest.raises(AwsRefused, match=r"not allowed to create the repository .* \(ecr:CreateRepository"):
        place.supply(ecr_create=True)


@pytest.fixture
def denied(
    place: Place,
    repository: str,
    enter: Callable[[Credentials], None],
    limited: Callable[..., Credentials],
    action: str,
) -> Place:
    """The repository is there, and whoever asks may do everything but one action."""
    enter(limited(*(one for one in ALLOWED if one != action)))
    place.session = open_session(profile=None, region=REGION)
    return place


@pytest.mark.parametrize("action", ["ecr:GetAuthorizationToken", "ecr:BatchGetImage"])
def test_each_permission_that_is_missing_is_named(denied: Place, action: str) -> None:
    with pytest.raises(AwsRefused, match=action):
        denied.supply()


@pytest.mark.parametrize("action", ["ecr:InitiateLayerUpload", "ecr:PutImage"])
def test_each_permission_that_is_missing_in_a_push_is_named(denied: Place, action: str) -> None:
    with pytest.raises(PushFailed, match="it is not allowed") as caught:
        denied.supply()
    assert f"is not authorized to perform: {action}" in caught.value.evidence["it said"]


def test_a_tag_that_has_another_image_there_is_an_error_and_not_used(
    place: Place, docker: Docker, repository: str, cloud: Cloud
) -> None:
    names, _ = place.supply()
    tag = names["airflow-dvc-worker:2.0.0"].rpartition(":")[2]
    foreign = image("foreign")
    with httpx.Client(
        base_url=cloud.ecr.endpoint, verify=docker.trust, trust_env=False,
        headers={"Authorization": f"Basic {next(iter(docker.logins[0][2]['auths'].values()))['auth']}"},
    ) as http:  # fmt: skip
        Distribution(http).push(repository, "foreign", foreign)
    cloud.ecr.repository(repository).tags[tag] = foreign.digest
    with pytest.raises(EnvironmentFailed, match=f"ECR has another image as {repository}:{tag}"):
        place.supply()


def test_throttling_is_waited_out_in_the_api_and_in_the_registry_and_told(
    session: boto3.Session, docker: Docker, repository: str, cloud: Cloud, tmp_path: Path
) -> None:
    told: list[str] = []
    clock = Clock()
    cloud.gateway.faults.throttle("ecr", "GetAuthorizationToken", 2)
    cloud.gateway.faults.throttle("ecr", "InitiateLayerUpload", 3)
    ecr = client_of(session, "ecr")
    with Login(ecr, tmp_path) as login:
        Pusher(one_image().engine, docker, login, Journal(tmp_path / "journal"), told.append, clock).push(
            "source", f"{login.host}/{repository}:1"
        )
    ecr.close()
    assert clock.slept == [1, 2, 4]
    assert [line for line in told if "limits the rate" in line] == told[-3:]


def test_a_registry_that_throttles_for_ever_is_an_error(
    session: boto3.Session, docker: Docker, repository: str, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.gateway.faults.throttle("ecr", "InitiateLayerUpload", 1000)
    ecr = client_of(session, "ecr")
    with Login(ecr, tmp_path) as login, pytest.raises(PushFailed) as caught:
        Pusher(one_image().engine, docker, login, Journal(tmp_path / "journal"), list[str]().append, Clock()).push(
            "source", f"{login.host}/{repository}:1"
        )
    ecr.close()
    assert caught.value.trouble is Trouble.RATE_LIMIT
    assert len(docker.pushed) == 6


def test_a_login_that_ends_in_the_middle_is_renewed(
    session: boto3.Session, docker: Docker, repository: str, cloud: Cloud, tmp_path: Path
) -> None:
    told: list[str] = []
    docker.before = lambda: end_logins(cloud) if len(docker.logins) == 1 else None
    ecr = client_of(session, "ecr")
    with Login(ecr, tmp_path) as login:
        Pusher(one_image().engine, docker, login, Journal(tmp_path / "journal"), told.append, Clock()).push(
            "source", f"{login.host}/{repository}:1"
        )
    ecr.close()
    first, second = (said["auths"] for _, _, said in docker.logins)
    assert first != second
    assert str(Trouble.EXPIRED) in told[-1]


def test_a_registry_to_which_every_login_has_ended_is_an_error(
    session: boto3.Session, docker: Docker, repository: str, cloud: Cloud, tmp_path: Path
) -> None:
    docker.before = lambda: end_logins(cloud)
    ecr = client_of(session, "ecr")
    with Login(ecr, tmp_path) as login, pytest.raises(PushFailed) as caught:
        Pusher(one_image().engine, docker, login, Journal(tmp_path / "journal"), list[str]().append, Clock()).push(
            "source", f"{login.host}/{repository}:1"
        )
    ecr.close()
    assert (caught.value.trouble, len(docker.logins)) == (Trouble.EXPIRED, 2)


def test_a_login_that_ends_soon_is_renewed_before_a_push(session: boto3.Session, tmp_path: Path, cloud: Cloud) -> None:
    ahead = timedelta()
    ecr = client_of(session, "ecr")
    with Login(ecr, tmp_path, now=lambda: datetime.now(UTC) + ahead) as login:

        def password() -> str:
            file = Path(login.env["DOCKER_CONFIG"]) / "config.json"
            return str(json.loads(file.read_text())["auths"][login.host]["auth"])

        first = password()
        ahead = timedelta(hours=11)
        assert password() == first
        ahead = timedelta(hours=11, minutes=45)
        assert password() != first
    ecr.close()
    assert len(cloud.log.calls("ecr", "GetAuthorizationToken")) == 2


def test_an_image_that_the_engine_lacks_is_named(place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(call: Call) -> str:
        raise failed(call, "No such image")

    monkeypatch.setattr(docker, "answer", lacks)
    with pytest.raises(EnvironmentFailed, match=r"has no image airflow-dvc-worker:2\.0\.0 to push"):
        place.supply()


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("airflow-dvc-worker:2.0.0", "p/airflow-dvc-worker"),
        ("apache/airflow:3.3.2", "p/apache/airflow"),
        ("registry.k8s.io/git-sync/git-sync:v4.4.2", "p/git-sync/git-sync"),
        ("localhost:5000/team/worker:1", "p/team/worker"),
    ],
)
def test_there_is_one_repository_for_each_image_below_the_prefix(reference: str, repository: str) -> None:
    assert repository_of("p", reference) == repository
    assert repository_of("", reference) == repository.removeprefix("p/")


def test_a_run_has_its_images_in_ecr_and_its_pods_are_told_so(
    site: Site, objects: Objects, served: tuple[RegistryServer, ssl.SSLContext], client: Client, docker: Docker,
    limited: Callable[..., Credentials], enter: Callable[[Credentials], None],
) -> None:  # fmt: skip
    client("ecr").create_repository(repositoryName=REPOSITORY)
    enter(limited("eks:*", "s3:*", *ALLOWED))
    site.docker = docker  # type: ignore[assignment]
    target = site.target("run-1", registry="ecr")
    cluster = target.up()
    assert list(cluster.mapped_images) == ["airflow-dvc-worker:2.0.0"]
    assert cluster.mapped_images["airflow-dvc-worker:2.0.0"].startswith(f"{served[0].host}/{REPOSITORY}:2.0.0-")
    assert target.toolchain.image_digests["worker"] == (docker.made.digest, "sha256:1")
    reaper = objects.found["CronJob", "harness", "harness-reaper"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert reaper["containers"][0]["image"] == cluster.mapped_images["airflow-dvc-worker:2.0.0"]
    target.down()
