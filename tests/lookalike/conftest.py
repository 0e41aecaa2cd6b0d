"""The EKS look-alike with its cluster, brought up by the command once, and taken down by it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.kubeapi import KubeApi, KubeUnavailable
from harness.lookalike.account import Plan
from harness.lookalike.hosting import Folder, Hosted
from harness.podstate import fatal_reason
from harness.settings import resolve
from harness.targets.eks.aws import open_session
from harness.versions import versions
from harness.wait import Waiter

PODS = Path(__file__).parent / "pods"
_UP_SECONDS = 900
_POD_SECONDS = 120.0


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


@dataclass(frozen=True)
class Played:
    """A pod that has ended: its name, the spec that was admitted, what it said."""

    name: str
    spec: Mapping[str, Any]
    said: Any


Play = Callable[..., Played]


def rendered(template: str, **values: object) -> dict[str, Any]:
    templates = Environment(loader=FileSystemLoader(PODS), undefined=StrictUndefined, autoescape=False)  # noqa: S701 - YAML
    found: dict[str, Any] = yaml.safe_load(templates.get_template(template).render(**values))
    return found


@pytest.fixture(scope="session")
def play(kube: KubeApi, lookalike: LookAlike) -> Play:
    """Run a program of `pods/` in a pod, to its end."""

    def run(program: str, *, service_account: str, argument: object = None, **values: object) -> Played:
        name = f"{Path(program).stem}-{secrets.token_hex(4)}"
        settings: dict[str, object] = {"env": {}, "claim": "", "group": 0, **values}
        manifest = rendered(
            "pod.yaml.j2",
            name=name,
            image=versions().images["worker"],
            service_account=service_account,
            program=(PODS / program).read_text(),
            argument=json.dumps(argument),
            **settings,
        )
        kube.apply([manifest])
        ended = Waiter().until(
            f"pod {name}",
            lambda: kube.get("Pod", name, "airflow") or {},
            ready=lambda pod: (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"},
            failed=lambda pod: fatal_reason(pod, now=datetime.now(UTC)) if pod else None,
            describe=lambda pod: str((pod.get("status") or {}).get("phase")),
            timeout=_POD_SECONDS,
            transient=(KubeUnavailable,),
        )
        said = kube.pod_logs(name, "program", namespace="airflow")
        assert ended["status"]["phase"] == "Succeeded", said
        return Played(name, ended["spec"], json.loads(said.splitlines()[-1]))

    return run
