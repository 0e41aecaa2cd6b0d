"""The environment on EKS, or on its look-alike, with somebody beside who may change what a team prepares in AWS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from harness.bringup import service_images
from harness.environment import Environment, Ready
from harness.errors import ExitCode
from harness.settings import Settings, TargetKind
from harness.targets.eks.attach import role_of_pods
from harness.targets.eks.aws import open_session
from tests.pods import player
from tests.pods.player import Played
from tests.podwatch import PodWatch, watched

from .account import Account
from .writers import Writers, writers_of

# Where services are, as far as a pod of a test must be told, and the adapter does not tell it.
_ENDPOINTS = ("AWS_ENDPOINT_URL_STS",)


@pytest.fixture(scope="session")
def harness_settings(harness_settings: Settings) -> Settings:
    """Those of the session, which must be on EKS: elsewhere pods are nobody in AWS."""
    if harness_settings.target is not TargetKind.EKS:
        pytest.exit(
            "harness: tests/identity is about EKS Pod Identity, which kind has not: there the adapter gives pods dummy "
            "keys of a local store\n  next: --target eks, also against the look-alike (docs/eks-lookalike.md)",
            returncode=int(ExitCode.USAGE),
        )
    return harness_settings


@pytest.fixture(scope="session")
def ready(environment: Environment) -> Ready:
    assert environment.ready is not None
    return environment.ready


@pytest.fixture(scope="session", autouse=True)
def pod_watch(ready: Ready) -> Iterator[PodWatch]:
    """The pods, from when the environment is up."""
    with watched(ready.cluster) as watch:
        yield watch


@pytest.fixture(scope="session")
def account(environment: Environment, ready: Ready) -> Account:
    settings, store = environment.settings, ready.services.s3
    eks = settings.eks
    assert eks.cluster is not None
    runner = open_session(profile=eks.profile, region=eks.region)
    # Of the look-alike's configuration it has this name.
    profile = os.environ.get("IDENTITY_ADMIN_PROFILE", "administrator")
    return Account(
        settings=settings,
        runner=runner,
        administrator=open_session(profile=profile, region=eks.region),
        cluster=eks.cluster,
        role=role_of_pods(runner, eks.cluster),
        bucket=store.bucket,
        prefix=f"{store.root}runs/{environment.run_id}/",
    )


@pytest.fixture(scope="session")
def writers(account: Account) -> tuple[Writers, ...]:
    """The ways there are here to know who wrote an object."""
    return writers_of(account)


Play = Callable[..., Played]


@pytest.fixture(scope="session")
def play(ready: Ready, account: Account) -> Play:
    """Run a program of `tests/pods` in a pod, to its end."""
    told: Mapping[str, str] = {name: os.environ[name] for name in _ENDPOINTS if name in os.environ}
    image = service_images(ready.toolchain)["worker"]

    def run(program: str, *, service_account: str, **argument: Any) -> Played:
        asked = {"region": account.runner.region_name, "bucket": account.bucket, "key": account.own_key(), **argument}
        file = player.HERE / program
        return player.play(ready.kube, image, file, service_account=service_account, argument=asked, env=told)

    return run
