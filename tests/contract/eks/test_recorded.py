"""What the EKS target itself asks of AWS, recorded and replayed: every call of a run's beginning and end."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import awstap
from harness.lookalike.principals import Credentials
from harness.lookalike.recorder import Recorder
from harness.lookalike.registry_server import RegistryServer
from harness.lookalike.replay import differences
from harness.lookalike.transcript import Transcript, read
from harness.lookalike.witness import Backend
from harness.services import s3
from harness.targets.eks.aws import open_session
from harness.wait import Waiter
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.ecr_places import ALLOWED, Docker, Place, repository, served
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, REGION, Client
from tests.contract.lookalike.registries import image

__all__ = ["repository", "served"]

CREATES = ("ecr:CreateRepository", "ecr:TagResource", "ecr:PutLifecyclePolicy")


def test_what_a_run_asks_of_aws_replays(
    site: Site, objects: Objects, client: Client, store: Backend, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "run.jsonl", region=REGION)
    with awstap.listening(recorder):
        target = site.target()
        cluster = target.up()
        assert cluster.bucket is not None
        s3.prove(s3.outside(cluster.bucket), waiter=Waiter())
        fill(cluster, objects)
        # As a pod does it: nobody hears.
        client("s3").put_object(Bucket=BUCKET, Key="runs/run-1/files/md5/11/22", Body=b"x")
        target.down()
    transcript = read(tmp_path / "run.jsonl")
    asked = {f"{one.service}:{one.operation}" for one in transcript.exchanges}
    assert asked >= {
        "sts:GetCallerIdentity", "eks:DescribeCluster", "eks:DescribeAddon", "eks:ListPodIdentityAssociations",
        "s3:PutObject", "s3:GetObject", "s3:DeleteObjects", "s3:ListObjectVersions", "s3:ListMultipartUploads",
    }  # fmt: skip
    # The replay makes the bucket itself.
    for one in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client("s3").delete_object(Bucket=BUCKET, Key=one["Key"])
    client("s3").delete_bucket(Bucket=BUCKET)
    assert [str(one) for one in differences(transcript, store)] == []


@pytest.fixture
def supply(
    served: tuple[RegistryServer, ssl.SSLContext],
    enter: Callable[[Credentials], None],
    limited: Callable[..., Credentials],
    tmp_path: Path,
) -> Callable[[], Transcript]:
    """Have the images of a run in ECR, its repository made if it is missing; what was asked for it."""
    enter(limited(*ALLOWED, *CREATES))
    docker = Docker(served[1], image())

    def recorded() -> Transcript:
        path = tmp_path / f"images-{len(list(tmp_path.glob('images-*')))}.jsonl"
        with awstap.listening(Recorder(path, region=REGION)):
            session = open_session(profile=None, region=REGION)
            Place(session, docker, tmp_path / "run").supply(ecr_create=True)
        return read(path)

    return recorded


def test_what_a_run_that_fills_ecr_asks_replays(supply: Callable[[], Transcript], store: Backend) -> None:
    """Its pushes are the engine's: the transcript has an image that was not there, and then was."""
    transcript = supply()
    assert [(one.operation, one.code) for one in transcript.exchanges] == [
        ("BatchGetImage", "RepositoryNotFoundException"), ("CreateRepository", ""), ("PutLifecyclePolicy", ""),
        ("GetAuthorizationToken", ""), ("BatchGetImage", ""),
    ]  # fmt: skip
    assert [str(one) for one in differences(transcript, store)] == []


def test_what_a_run_asks_that_finds_its_images_in_ecr_replays(supply: Callable[[], Transcript], store: Backend) -> None:
    supply()
    transcript = supply()
    assert [one.operation for one in transcript.exchanges] == ["BatchGetImage", "GetAuthorizationToken"]
    assert [str(one) for one in differences(transcript, store)] == []


def test_an_answer_of_ecr_that_says_otherwise_is_noticed(supply: Callable[[], Transcript], store: Backend) -> None:
    supply()
    transcript = supply()
    asked, login = transcript.exchanges
    told = {name: one for name, one in asked.answer["images"][0].items() if name != "registryId"}
    doctored = replace(asked, answer={**asked.answer, "images": [told]})
    found = differences(replace(transcript, exchanges=(doctored, login)), store)
    assert [one.said for one in found] == ["the answer has images[].registryId, which was not recorded"]


def test_what_a_run_asks_that_fills_a_repository_of_the_teams_replays(
    supply: Callable[[], Transcript], repository: str, store: Backend
) -> None:
    transcript = supply()
    assert [one.operation for one in transcript.exchanges] == [
        "BatchGetImage", "GetAuthorizationToken", "BatchGetImage"
    ]  # fmt: skip
    assert [str(one) for one in differences(transcript, store)] == []
