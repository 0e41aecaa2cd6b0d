"""The cluster's own secrets as canaries: none may be read where others can look, on a real run.

They come last (by name): everything that the other tests did has been watched by then. What looks for secrets is tested
by planting some, in tests/contract/canary. JUnit's file is written after the last test, so it is not looked at here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.environment import Environment, Ready
from harness.errors import EnvironmentFailed
from harness.explanation import explain
from harness.model import ImageName
from harness.proof import Prover
from harness.services import s3
from harness.session import Session
from tests.contract.canary.images import Images
from tests.contract.canary.known import Canaries, of_cluster, of_values
from tests.contract.canary.scan import leaks, leaks_below
from tests.contract.canary.watch import CommandLines
from tests.podwatch import PodWatch

pytestmark = pytest.mark.e2e

# The adapter gives it to pods of the DAG as plain text (SECURITY.md): it opens an emulator and nothing else.
_IN_POD_SPECS = ("AWS_SECRET_ACCESS_KEY",)
# Built by us, on what all images here stand on; those of other software hold none of our files.
_OURS: tuple[ImageName, ...] = ("worker", "git-server", "adapter")


@pytest.fixture(scope="module")
def ready(prover: Prover, environment: Environment) -> Ready:
    """The environment, after a proof."""
    if not environment.verdicts:
        assert prover.prove().verdict.green
    assert environment.ready is not None
    return environment.ready


@pytest.fixture(scope="module")
def known(ready: Ready, environment: Environment) -> Canaries:
    """Every secret of the cluster, by name; on EKS also what the harness asks AWS with."""
    found = of_cluster(environment.settings.state_dir / "clusters" / ready.cluster.name, ready.cluster.kubeconfig)
    assert {"git_password", "airflow_password", "postgres_password", "s3_secret_key", "fingerprint.key"} <= set(found)
    assert [name for name in found if name.startswith("git_key line")]
    kept = [name for name in found if name.startswith("kubeconfig")]
    if ready.cluster.bucket is None:
        assert kept
        return found
    assert not kept, "a token for an EKS cluster is made when it is needed, and stands in no file"
    keys = s3.keys(ready.services.s3)
    tokens = {} if keys.session_token is None else {"AWS session token": keys.session_token.get_secret_value()}
    return found | of_values({"AWS secret key": keys.secret_key.get_secret_value(), **tokens})


def test_none_is_in_the_evidence(
    known: Canaries,
    ready: Ready,
    environment: Environment,
    harness_session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy of it, to which report and bundle are added as at the end of a run that failed."""
    evidence = tmp_path / "evidence"
    shutil.copytree(environment.evidence, evidence)
    with monkeypatch.context() as instead:
        instead.setattr(environment, "evidence", evidence)
        harness_session.write()
        explain(environment, EnvironmentFailed("looked at by a test"))
    shutil.rmtree(environment.scratch / "git-log", ignore_errors=True)  # else the next bundle has no room for it

    files = {str(path.relative_to(evidence)) for path in evidence.rglob("*") if path.is_file()}
    parts = ("verdict.json", "report.html", "timeline.json", "repro.json", "commands.log", "bundle/pods.txt",
             "bundle/helm-values.yaml", "bundle/git-log.txt", "bundle/transcript.txt")  # fmt: skip
    assert [part for part in parts if part not in files] == []
    assert [file for file in files if file.startswith("logs/")]
    assert [file for file in files if file.startswith("bundle/logs/harness/git-")]
    assert leaks_below(evidence, known) == {}


def test_none_is_in_a_pods_description(known: Canaries, ready: Ready, pod_watch: PodWatch) -> None:
    """Of all pods that there were, the DAG's among them, in all namespaces."""
    pods = [json.loads(text) for text in list(pod_watch.pods.values())]
    labels = [pod["metadata"].get("labels") or {} for pod in pods]
    assert [one for one in labels if one.get("kubernetes_pod_operator") == "True"], "no pod of a task was seen"
    assert {pod["metadata"]["namespace"] for pod in pods} >= {"airflow", "harness", "kube-system"}

    knowingly = () if ready.cluster.bucket is not None else _IN_POD_SPECS
    found = {pod["metadata"]["name"]: seen for pod in pods if (seen := leaks(_told(pod, knowingly), known))}

    assert found == {}


def _told(pod: Mapping[str, Any], knowingly: Collection[str]) -> bytes:
    """The description without the variables that are there knowingly."""
    copy = json.loads(json.dumps(pod))
    for kind in ("initContainers", "containers"):
        for container in copy["spec"].get(kind) or ():
            container["env"] = [one for one in container.get("env") or () if one["name"] not in knowingly]
    return json.dumps(copy).encode()


def test_none_was_on_a_command_line(known: Canaries, ready: Ready, command_lines: CommandLines) -> None:
    """Of all programs of this machine, and of the pods where they are on it, from before the environment came up."""
    lines = set(command_lines.seen)
    of_the_node = (b"kubelet", b"airflow") if ready.cluster.bucket is None else ()
    for word in (b"docker", b"dvc", *of_the_node):
        assert [line for line in lines if word in line], f"no process was seen with {word.decode()} in its command line"
    assert command_lines.leaks(known) == {}


def test_none_is_in_a_layer_of_our_images(
    known: Canaries, ready: Ready, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Of the images with our own files, the layers that they do not share, and how they were made."""
    # Of a key file one line is enough: there is much to look through.
    once = Canaries({name: known[name] for name in known if " line " not in name or name.endswith(" line 2")})
    looked = Images(ready.toolchain).looked_through(_OURS, once)
    record_testsuite_property("canary.layers", looked.layers)
    record_testsuite_property("canary.layers.passed", looked.passed)
    record_testsuite_property("canary.layers.bytes", looked.size)
    assert looked.layers > len(_OURS)
    assert looked.found == {}
