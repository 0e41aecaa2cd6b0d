"""What there is in the cluster, in the bucket and on the machine, so that it can be told whether something was left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import sweeping
from harness.journal import Journal
from harness.model import Cluster
from harness.supply.engine import EngineSupply
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET
from tests.fakes import FakeRunner


class NoEngines(EngineSupply):
    """None may be asked for: nothing of this is in one."""

    def __init__(self) -> None:
        pass

    @property
    def own_host(self) -> str:
        return "unix:///none"

    @property
    def runs(self) -> bool:
        return False

    unclean = runs

    def answering(self) -> None:
        return None

    def release(self, *, keep: bool) -> bool:
        return False

    def stop_unused(self, *, keep: bool) -> bool:
        assert not keep
        return False


def picture(site: Site, objects: Objects, client: Callable[..., Any]) -> set[str]:
    """Objects, namespaces with their labels, keys with all versions, uploads; and what the harness has on disk."""
    found = {"/".join(key) for key in objects.found}
    found |= {f"{name}: {objects.labels(name)}" for kind, _, name in objects.found if kind == "Namespace"}
    s3 = client("s3")
    listed = s3.list_object_versions(Bucket=BUCKET)
    versions = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    found |= {f"s3 {one['Key']} {one['VersionId']}" for one in versions}
    found |= {f"upload {one['Key']}" for one in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])}
    state = site.folder / "state"
    for journal in state.glob("runs/*/journal.jsonl"):
        found |= {f"journalled {entry.kind} {entry.name}" for entry in Journal(journal).open()}
    return found | {f"file {path}" for path in (state / "clusters").rglob("*") if not path.name.endswith(".lock")}


def swept(site: Site) -> list[str]:
    """What `harness sweep` says on the machine of a run."""
    said: list[str] = []
    sweeping.sweep(site.folder / "state", NoEngines(), FakeRunner(), cache_dir=site.folder / "cache", say=said.append)
    return said


def fill(_cluster: Cluster, objects: Objects) -> None:
    """What a run makes: by itself, by Helm, by Airflow and by Kubernetes for it."""
    objects.put("Deployment", "git", "harness")
    objects.put("Secret", "git-users", "harness")
    objects.put("Deployment", "airflow-scheduler", "airflow")
    objects.put("Secret", "sh.helm.release.v1.airflow.v1", "airflow")
    objects.put("Role", "airflow-pod-launcher-role", "airflow")
    objects.put("Pod", "dataset-pipeline-push-data-x7", "airflow")
    objects.put("PersistentVolumeClaim", "airflow-shared-pvc", "airflow")
    claim = {"namespace": "airflow", "name": "airflow-shared-pvc"}
    objects.put("PersistentVolume", "pvc-1", spec={"claimRef": claim, "persistentVolumeReclaimPolicy": "Delete"})
