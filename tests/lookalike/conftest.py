"""The EKS look-alike with its cluster, brought up by the command once, and taken down by it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from harness.kubeapi import KubeApi
from harness.lookalike.account import Plan
from harness.lookalike.hosting import Folder, Hosted
from harness.settings import resolve
from harness.targets.eks.aws import open_session
from harness.versions import versions
from tests.pods import player
from tests.pods.player import Played

PODS = Path(__file__).parent / "pods"
_UP_SECONDS = 900


@dataclass(frozen=True)
class LookAlike:
    """One that is up.

    Attributes:
        name: Of the cluster.
        folder: Of the cluster.
        printed: What the command printed.
        environment: What a shell has after it has read the file that the command names.
    """

    name: str
    folder: Path
    printed: str
    environment: Mapping[str, str]

    @property
    def files(self) -> Folder:
        return Folder.of_cluster(self.folder)

    @property
    def plan(self) -> Plan:
        hosted = Hosted.read(self.files)
        return Plan(hosted.cluster, hosted.region, hosted.account)


def harness(*arguments: str, timeout: float = _UP_SECONDS) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def sourced(file: Path) -> dict[str, str]:
    """The environment of a shell that has read a file, of what concerns AWS and the harness."""
    shown = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && env -0', "sh", str(file)],
        env={"PATH": os.environ["PATH"], "AWS_PROFILE": "somebody", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.partition("=") for line in shown.stdout.split("\0") if line)
    return {
        name: value for name, _, value in pairs if name.startswith(("AWS_", "HARNESS_")) or name.upper() == "NO_PROXY"
    }


@pytest.fixture(scope="session")
def lookalike(pytestconfig: pytest.Config) -> Iterator[LookAlike]:
    name = pytestconfig.getoption("--cluster") or "lookalike-test"
    folder = resolve().state_dir / "clusters" / name
    made = harness("eks-lookalike", "up", "--cluster", name)
    try:
        assert made.returncode == 0, made.stdout + made.stderr
        yield LookAlike(name, folder, made.stdout, sourced(Folder.of_cluster(folder).environment))
    finally:
        if folder.exists() and str(pytestconfig.getoption("--keep")) != "always":
            gone = harness("eks-lookalike", "down", "--cluster", name, timeout=300)
            assert gone.returncode == 0, gone.stdout + gone.stderr


@pytest.fixture(scope="session")
def entered(lookalike: LookAlike) -> Iterator[LookAlike]:
    """This process in the look-alike's environment."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(variable)
        for variable, value in lookalike.environment.items():
            patch.setenv(variable, value)
        yield lookalike


@pytest.fixture(scope="session")
def runner(entered: LookAlike) -> boto3.Session:
    return open_session(profile=None, region=None)


@pytest.fixture(scope="session")
def administrator(entered: LookAlike) -> boto3.Session:
    return open_session(profile="administrator", region=None)


@pytest.fixture(scope="session")
def kube(lookalike: LookAlike) -> Iterator[KubeApi]:
    """The cluster, as the one who made it."""
    with KubeApi(lookalike.folder / "kubeconfig", f"kind-{lookalike.name}") as kube:
        yield kube


Play = Callable[..., Played]


@pytest.fixture(scope="session")
def play(kube: KubeApi) -> Play:
    """Run a program of `pods/`, here or of all tests, in a pod, to its end."""

    def run(program: str, *, service_account: str, argument: object = None, **values: object) -> Played:
        file = next(folder / program for folder in (PODS, player.HERE) if (folder / program).exists())
        image = versions().images["worker"]
        return player.play(kube, image, file, service_account=service_account, argument=argument, **values)

    return run
