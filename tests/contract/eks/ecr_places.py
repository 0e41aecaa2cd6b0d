"""A machine that has images in ECR: its session, its registry, and an engine that is played."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from harness.eks_policies import document
from harness.eks_settings import EksSettings
from harness.errors import CommandFailed
from harness.journal import Journal
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.registry_server import RegistryServer
from harness.model import Toolchain
from harness.targets.eks.aws import open_session
from harness.targets.eks.ecr import EcrImages
from tests.contract.eks.conftest import toolchain
from tests.contract.lookalike.conftest import ACCOUNT, REGION, Client
from tests.contract.lookalike.registries import Distribution, Made, codes_of, registry_of
from tests.fakes import Call, FakeRunner
from tests.policies import actions_of

REPOSITORY = "airflow-dvc-harness/airflow-dvc-worker"
VALUES = {"partition": "aws", "region": REGION, "account": ACCOUNT, "repositories": "airflow-dvc-harness"}
# What a run asks of ECR.
ALLOWED = tuple(action for one in document("runner-images", VALUES)["Statement"] for action in actions_of(one))


@pytest.fixture
def served(cloud: Cloud, tmp_path: Path) -> Iterator[tuple[RegistryServer, ssl.SSLContext]]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry_of(cloud, folder) as served:
        yield served


@pytest.fixture
def session(enter: Callable[[Credentials], None], limited: Callable[..., Credentials], served: Any) -> boto3.Session:
    """Of a runner who may do what the documentation asks for."""
    enter(limited(*ALLOWED))
    return open_session(profile=None, region=REGION)


@pytest.fixture
def repository(client: Client) -> str:
    client("ecr").create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    return REPOSITORY


def end_logins(cloud: Cloud) -> None:
    """Have all logins so far end now."""
    for password, login in cloud.ecr._logins.items():
        cloud.ecr._logins[password] = replace(login, ends=cloud.account.now())


def failed(call: Call, said: str) -> CommandFailed:
    """A program that ended with these words."""
    return CommandFailed(argv=call.argv, code=1, stdout="", stderr=said)


class Docker(FakeRunner):
    """An engine with one image, whose push does what docker's does on the wire, with the login that it is given."""

    def __init__(self, trust: ssl.SSLContext, made: Made) -> None:
        super().__init__()
        self.trust = trust
        self.made = made
        self.logins: list[tuple[Path, int, Any]] = []
        self.before: Callable[[], None] = lambda: None
        self.index = ""

    @property
    def id(self) -> str:
        """As an image has it; with containerd's image store the digest of the index that it was pulled by."""
        if self.index:
            return self.index
        found: str = json.loads(self.made.manifest)["config"]["digest"]
        return found

    @property
    def pushed(self) -> list[str]:
        return [argv[-1] for argv in self.calls if argv[1] == "push"]

    def answer(self, call: Call) -> str:
        match call.argv[1:]:
            case ["image", "inspect", "--format", asked, _] if ".Os" in asked:
                return "linux/amd64\n"
            case ["image", "inspect", *_, "--platform", "linux/amd64", _]:
                return f"{self.made.digest}\n" if self.index else ""
            case ["image", "inspect", *_]:
                return f"{self.id}\n"
            case ["push", name]:
                return self._push(call, name)
            case _:
                return ""

    def _push(self, call: Call, name: str) -> str:
        file = Path(call.env["DOCKER_CONFIG"]) / "config.json"
        said = json.loads(file.read_text())
        self.logins.append((file, file.stat().st_mode & 0o777, said))
        self.before()
        host, _, rest = name.partition("/")
        repository, _, tag = rest.rpartition(":")
        auth = {"Authorization": f"Basic {said['auths'][host]['auth']}"}
        with httpx.Client(base_url=f"https://{host}", headers=auth, verify=self.trust, trust_env=False) as http:
            registry = Distribution(http)
            begun = registry.begin(repository)
            if begun.is_error:
                raise failed(call, f"{codes_of(begun)[0].lower()}: {begun.json()['errors'][0]['message']}")
            pushed = registry.push(repository, tag, self.made)
        if pushed.is_error:
            raise failed(call, f"{codes_of(pushed)[0].lower()}: {pushed.json()['errors'][0]['message']}")
        return f"{tag}: digest: {self.made.digest} size: 1"


def one_image() -> Toolchain:
    return replace(toolchain(), images={"worker": "airflow-dvc-worker:2.0.0"}, image_digests={"worker": ("sha256:1",)})


class Place:
    """Runs of one machine, each with the images of a toolchain to have in ECR."""

    def __init__(self, session: boto3.Session, docker: Any, folder: Path) -> None:
        self.session, self.docker, self.folder = session, docker, folder
        self.told: list[str] = []
        self.journal = Journal(folder.parent / "journal.jsonl")

    def supply(self, given: Toolchain | None = None, **settings: Any) -> tuple[dict[str, str], Toolchain]:
        found = given or one_image()
        eks = EksSettings(registry="ecr", **settings)
        made = EcrImages(self.session, eks, found.engine, self.docker, self.folder, self.journal, self.told.append)
        names, filled = made.supply(found)
        return dict(names), filled
