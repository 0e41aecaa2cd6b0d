"""The registry behind ECR's login: what it takes and refuses, and that it answers as Debian's docker-registry does."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.registry_server import RegistryServer
from tests.contract.lookalike.conftest import ACCOUNT, REGION, Client, Clock
from tests.contract.lookalike.registries import Distribution, Made, codes_of, digest_of, image, login, registry_of
from tests.contract.supply.conftest import Registry, registry_program, start_registry

__all__ = ["registry_program", "start_registry"]

NAME = "airflow-dvc-harness/worker"
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{NAME}"
PUSH = ("ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload",
        "ecr:PutImage")  # fmt: skip
PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
Enter = Callable[..., Distribution]


def _allows(action: str, resource: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


@pytest.fixture
def served(cloud: Cloud, tmp_path: Path) -> Iterator[tuple[RegistryServer, ssl.SSLContext]]:
    with registry_of(cloud, tmp_path) as served:
        yield served


@pytest.fixture
def enter_registry(served: tuple[RegistryServer, ssl.SSLContext], client: Client) -> Iterator[Enter]:
    """A client that is logged in, by default as the administrator."""
    made = []

    def enter(keys: Credentials | None = None, **options: Any) -> Distribution:
        auth = options.pop("auth", None) or login(client("ecr", keys))
        made.append(httpx.Client(base_url=served[0].url, auth=auth, verify=served[1], trust_env=False, **options))
        return Distribution(made[-1])

    yield enter
    for one in made:
        one.close()


@pytest.fixture
def registry(enter_registry: Enter, client: Client) -> Distribution:
    client("ecr").create_repository(repositoryName=NAME)
    return enter_registry()


def test_who_is_not_logged_in_is_asked_for_a_login(served: tuple[RegistryServer, ssl.SSLContext]) -> None:
    asked = httpx.get(f"{served[0].url}/v2/", verify=served[1], trust_env=False)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"] == f'Basic realm="{served[0].url}/",service="ecr.amazonaws.com"'


def test_only_the_password_that_was_given_out_to_user_aws_is_a_login(enter_registry: Enter, client: Client) -> None:
    user, password = login(client("ecr"))
    assert enter_registry(auth=(user, password)).http.get("/v2/").status_code == 200
    for wrong in (("AWS", "password"), ("admin", password), ("AWS", password[:-1])):
        assert enter_registry(auth=wrong).http.get("/v2/").status_code == 401


def test_a_login_ends_after_twelve_hours_and_the_registry_says_so(registry: Distribution, clock: Clock) -> None:
    clock.ahead = timedelta(hours=11, minutes=59)
    assert registry.http.get("/v2/").status_code == 200
    clock.ahead = timedelta(hours=12)
    refused = registry.begin(NAME)
    assert refused.status_code == 403
    assert "Your authorization token has expired" in refused.json()["errors"][0]["message"]


def test_what_was_pushed_is_pulled_and_is_known_to_the_api(registry: Distribution, client: Client) -> None:
    made = image()
    assert registry.push(NAME, "1", made).status_code == 201
    for reference in ("1", made.digest):
        assert registry.manifest(NAME, reference).content == made.manifest
        assert registry.manifest(NAME, reference, "HEAD").headers["docker-content-digest"] == made.digest
    assert registry.layer(NAME, digest_of(made.layer)).content == made.layer
    ecr = client("ecr")
    got = ecr.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "1"}])["images"][0]
    assert (got["imageId"], got["imageManifest"].encode()) == (
        {"imageTag": "1", "imageDigest": made.digest},
        made.manifest,
    )
    described = ecr.describe_images(repositoryName=NAME)["imageDetails"][0]
    assert (described["imageTags"], described["imageSizeInBytes"]) == (["1"], len(made.layer + made.configuration))
    with pytest.raises(ecr.exceptions.RepositoryNotEmptyException):
        ecr.delete_repository(repositoryName=NAME)
    ecr.delete_repository(repositoryName=NAME, force=True)
    assert codes_of(registry.manifest(NAME, "1")) == ["NAME_UNKNOWN"]


def test_a_push_to_a_repository_that_was_not_created_is_refused_by_its_name(enter_registry: Enter) -> None:
    refused = enter_registry().begin("nobodys")
    assert refused.status_code == 404
    assert refused.json()["errors"] == [
        {
            "code": "NAME_UNKNOWN",
            "message": f"The repository with name 'nobodys' does not exist in the registry with id '{ACCOUNT}'",
        }
    ]


def test_pushing_and_pulling_each_need_their_actions_on_that_repository(
    registry: Distribution, enter_registry: Enter, client: Client, limited: Callable[..., Credentials], cloud: Cloud
) -> None:
    client("ecr").create_repository(repositoryName="other")
    pusher = enter_registry(limited("ecr:GetAuthorizationToken", *PUSH))
    puller = enter_registry(limited("ecr:GetAuthorizationToken", *PULL))
    made = image()
    assert pusher.push(NAME, "1", made).status_code == 201
    assert puller.layer(NAME, digest_of(made.layer)).status_code == 200
    assert puller.manifest(NAME, "1").status_code == 200
    for refused in (
        puller.begin(NAME), puller.put(NAME, "2", made), puller.layer(NAME, digest_of(made.layer), "HEAD"),
        pusher.manifest(NAME, "1"), pusher.layer(NAME, digest_of(made.layer)),
    ):  # fmt: skip
        assert refused.status_code == 403
        assert not refused.content or codes_of(refused) == ["DENIED"]
    here = cloud.user("here", _allows("ecr:GetAuthorizationToken", "*"), _allows("ecr:*", ARN))
    assert [enter_registry(here).begin(name).status_code for name in (NAME, "other")] == [202, 403]
    assert {(call.operation, call.outcome) for call in cloud.log.calls("ecr") if call.outcome == "denied"} == {
        ("InitiateLayerUpload", "denied"), ("PutImage", "denied"), ("BatchCheckLayerAvailability", "denied"),
        ("BatchGetImage", "denied"), ("GetDownloadUrlForLayer", "denied"),
    }  # fmt: skip
    assert cloud.log.calls("ecr", "PutImage")[0].checked == (("ecr:PutImage", ARN),)


def test_bytes_that_are_not_those_of_the_digest_are_not_kept(registry: Distribution) -> None:
    wrong = digest_of(b"other")
    refused = registry.upload(NAME, b"these", wrong)
    assert (refused.status_code, codes_of(refused)) == (400, ["DIGEST_INVALID"])
    assert registry.layer(NAME, wrong, "HEAD").status_code == 404


def test_a_manifest_whose_layers_were_not_pushed_is_refused(registry: Distribution) -> None:
    refused = registry.put(NAME, "1", image())
    assert (refused.status_code, codes_of(refused)) == (400, ["MANIFEST_BLOB_UNKNOWN"])


def test_layers_of_another_repository_are_not_taken_over(registry: Distribution, client: Client) -> None:
    client("ecr").create_repository(repositoryName="other")
    made = image()
    registry.push(NAME, "1", made)
    assert registry.begin("other", mount=digest_of(made.layer), **{"from": NAME}).status_code == 202
    assert registry.layer("other", digest_of(made.layer), "HEAD").status_code == 404


@pytest.mark.parametrize(("mutability", "status"), [("IMMUTABLE", 400), ("MUTABLE", 201)])
def test_a_tag_may_come_to_mean_another_image_only_where_it_is_mutable(
    enter_registry: Enter, client: Client, mutability: str, status: int
) -> None:
    client("ecr").create_repository(repositoryName=NAME, imageTagMutability=mutability)
    registry, first, second = enter_registry(), image("one"), image("two")
    registry.push(NAME, "1", first)
    assert registry.push(NAME, "1", first).status_code == 201
    answer = registry.push(NAME, "1", second)
    assert answer.status_code == status
    assert registry.manifest(NAME, "1").content == (second if status == 201 else first).manifest


def test_throttling_is_429(registry: Distribution, cloud: Cloud) -> None:
    cloud.gateway.faults.throttle("ecr", "InitiateLayerUpload", 1)
    refused = registry.begin(NAME)
    assert (refused.status_code, codes_of(refused)) == (429, ["TOOMANYREQUESTS"])
    assert registry.begin(NAME).status_code == 202


def test_a_large_layer_goes_and_comes_in_chunks_and_from_the_middle(registry: Distribution) -> None:
    content = bytes(range(256)) * 40_000
    begun = registry.begin(NAME)
    part = registry.http.patch(begun.headers["location"], content=iter([content[:7], content[7:]]))
    assert part.headers["range"] == f"0-{len(content) - 1}"
    again = registry.http.patch(part.headers["location"], content=b"x", headers={"content-range": "5-5"})
    assert again.status_code == 416
    digest = digest_of(content)
    assert registry.http.put(part.headers["location"], params={"digest": digest}).status_code == 201
    rest = registry.layer(NAME, digest, range="bytes=10000000-")
    assert (rest.status_code, rest.content) == (206, content[10_000_000:])


def test_a_refused_body_does_not_spoil_the_next_request(registry: Distribution) -> None:
    """One connection: what was not read of the first would be taken for the second."""
    registry.http.patch(f"/v2/{NAME}/blobs/uploads/none", content=b"GET /v2/ HTTP/1.1\r\n\r\n" * 1000)
    assert registry.http.get("/v2/").json() == {}


def _facts(registry: Distribution, name: str) -> list[tuple[object, ...]]:
    """What a registry says to a life of an image, as far as engines go by it."""
    made, other = image("compared"), image("another")
    layer = digest_of(made.layer)
    begun = registry.begin(name)
    part = registry.http.patch(begun.headers["location"], content=made.layer)
    ended = registry.http.put(httpx.URL(part.headers["location"]).copy_merge_params({"digest": layer}))
    answers = {
        "version": registry.http.get("/v2/"),
        "no layer yet": registry.layer(name, digest_of(b"none")),
        "begun": begun,
        "part": part,
        "ended": ended,
        "wrong digest": registry.upload(name, b"these", digest_of(b"others")),
        "manifest too early": registry.put(name, "1", made),
        "configuration": registry.upload(name, made.configuration),
        "no manifest yet": registry.manifest(name, "1"),
        "put": registry.put(name, "1", made),
        "put by another's digest": registry.put(name, other.digest, made),
        "no manifest at all": registry.put(name, "2", Made(b"", b"", b"{")),
        "head": registry.manifest(name, "1", "HEAD"),
        "by digest": registry.manifest(name, made.digest),
        "layer": registry.layer(name, layer),
        "layer's head": registry.layer(name, layer, "HEAD"),
        "layer's end": registry.layer(name, layer, range="bytes=2-"),
        "tags": registry.http.get(f"/v2/{name}/tags/list"),
    }
    return [(what, *_told(answer, name)) for what, answer in answers.items()]


def _told(answer: httpx.Response, name: str) -> tuple[object, ...]:
    headers = {one: answer.headers.get(one) for one in ("docker-content-digest", "range", "content-range")}
    length = answer.headers.get("content-length") if answer.request.method == "HEAD" else None
    said: object = answer.content
    if answer.status_code >= 400:
        said = codes_of(answer)
    elif answer.headers.get("content-type", "").startswith("application/json"):
        said = {key: value for key, value in answer.json().items() if key != "name"}
    kind = answer.headers.get("content-type") if "/manifests/" in answer.request.url.path else None
    location = answer.headers.get("location", "").rpartition(f"/v2/{name}/")[2].partition("/")[0]
    return answer.status_code, headers, length, said, kind if answer.is_success else None, location


def test_it_answers_as_docker_registry_does(registry: Distribution, start_registry: Callable[[bool], Registry]) -> None:
    real = start_registry(False)
    with httpx.Client(base_url=f"http://{real.host}", trust_env=False) as http:
        expected = _facts(Distribution(http), NAME)
    assert _facts(registry, NAME) == expected


def test_a_password_is_in_no_record(registry: Distribution, cloud: Cloud) -> None:
    registry.push(NAME, "1", image())
    authorization = registry.http.get("/v2/").request.headers["authorization"]
    password = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")[2]
    recorded = repr(cloud.log.calls())
    assert "PutImage" in recorded
    assert password not in recorded
