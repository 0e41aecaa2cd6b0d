"""`harness sweep --target eks`: what a machine removes that has no journal of it, what it leaves, and what it says."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import eks_sweeping
from harness.errors import CleanupFailed, ExitCode, GuardError, UsageError
from harness.lookalike.principals import Credentials
from harness.targets.eks.bucket import BucketClaim
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.eks.test_target import READY, keys, put
from tests.contract.lookalike.conftest import BUCKET, Client

UNSEEN = "left what harness eks create may have prepared: these cannot be seen: "
OWNED = {"harness.owner": "airflow-dvc-harness"}


def sweep(site: Site, *, yes: bool = False, **changes: Any) -> list[str]:
    """Lines that it said; it ended well. Without what of IAM the runner may not see (eks_admin/test_leftovers.py)."""
    out = io.StringIO()
    console = Console(file=out, width=400)
    try:
        assert eks_sweeping.sweep(site.settings(consent=False, **changes), console, yes=yes) is ExitCode.GREEN
    finally:
        assert list((site.folder / "state" / "runs").glob("sweep-*")) == []
    return [line for line in out.getvalue().splitlines() if not line.startswith(UNSEEN)]


def late(objects: Objects, client: Client, *prefixes: str, hours: float = -1.0) -> str:
    """Let the time of a run be over in the cluster and in the bucket; since when."""
    when = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds")
    claim = objects.found.get(("ConfigMap", "harness", "harness-claim"))
    if claim is not None:
        claim["data"]["expires"] = when
    for prefix in prefixes:
        said = BucketClaim(prefix, "mlops", when)
        body = f'{{"prefix": "{prefix}", "cluster": "mlops", "expires": "{when}"}}'
        client("s3").put_object(Bucket=BUCKET, Key=said.key, Body=body.encode())
    return when


@pytest.fixture
def elsewhere(site: Site, objects: Objects, client: Client, tmp_path: Path) -> Site:
    """Another machine, on which a run was killed."""
    other = Site(tmp_path / "another machine")
    target = other.target("run-0")
    fill(target.up(), objects)
    put(client, "runs/run-0/a/files/md5/11/22", "theirs.csv")
    client("s3").create_multipart_upload(Bucket=BUCKET, Key="runs/run-0/b")
    target.release()
    return other


@pytest.mark.usefixtures("elsewhere")
def test_what_is_past_its_time_is_shown_and_with_yes_removed_with_all_that_hangs_on_it(
    site: Site, objects: Objects, client: Client
) -> None:
    since = late(objects, client, "runs/run-0/")
    before, objects.writes = dict(objects.found), []
    shown = sweep(site)
    assert shown[0].startswith("would remove what run run-0 made in the cluster: ")
    assert shown[0].endswith(f" (run run-0, past its time since {since})")
    for what in ("2 Deployment", "1 PersistentVolumeClaim", "1 CronJob"):
        assert what in shown[0]
    assert shown[1:] == [
        f"would remove s3://dvc/runs/run-0/ (run run-0, past its time since {since})",
        "nothing was removed; with --yes 2 would be",
    ]
    assert (objects.writes, objects.found) == ([], before)
    said = sweep(site, yes=True)
    assert said[-1] == "swept 2"
    assert objects.names("harness") == READY
    assert objects.names("airflow") == READY | {"ServiceAccount/airflow-dvc-sa"}
    assert objects.names() == {"Namespace/airflow", "Namespace/harness"}
    assert keys(client) == {"theirs.csv"}
    assert "Uploads" not in client("s3").list_multipart_uploads(Bucket=BUCKET)
    assert sweep(site, yes=True) == ["nothing to sweep"]


@pytest.mark.usefixtures("elsewhere")
def test_what_another_run_has_whose_time_is_not_past_stays(site: Site, objects: Objects, client: Client) -> None:
    before = dict(objects.found)
    until = objects.found["ConfigMap", "harness", "harness-claim"]["data"]["expires"]
    said = sweep(site, yes=True)
    assert said[0].startswith("left what run run-0 made in the cluster: ")
    assert said[0].endswith(f": run run-0 has it until {until}")
    assert said[1].startswith("left s3://dvc/runs/run-0/: run run-0 has ")
    assert said[-1] == "nothing to sweep"
    assert objects.found == before
    assert keys(client) == {"claims/run-0.json", "runs/run-0/a/files/md5/11/22", "theirs.csv"}


def test_the_keys_of_a_run_that_has_the_cluster_stay_though_their_own_time_is_past(
    site: Site, elsewhere: Site, objects: Objects, client: Client
) -> None:
    del elsewhere
    late(objects, client, "runs/run-0/")
    late(objects, client, hours=1)
    assert sweep(site, yes=True)[1].startswith("left s3://dvc/runs/run-0/: run run-0 has the cluster until")


def test_what_this_machine_knows_is_left_to_what_knows_it(site: Site, objects: Objects, client: Client) -> None:
    target = site.target("run-1")
    fill(target.up(), objects)
    target.release()
    late(objects, client, "runs/run-1/")
    before = dict(objects.found)
    said = sweep(site, yes=True)
    assert said[-1] == "nothing to sweep"
    for line in said[:-1]:
        assert "run run-1 is this machine's: harness down --cluster eks-mlops removes it, unless a run is using" in line
    assert objects.found == before


@pytest.mark.parametrize("damage", ["untagged", "no before", "no time"])
def test_a_claim_that_does_not_say_all_is_left(
    site: Site, elsewhere: Site, objects: Objects, client: Client, damage: str
) -> None:
    del elsewhere
    late(objects, client)
    claim = objects.found["ConfigMap", "harness", "harness-claim"]
    if damage == "untagged":
        claim["metadata"]["labels"].clear()
    elif damage == "no before":
        claim["data"]["before"] = "[]"
    else:
        claim["data"]["expires"] = "tomorrow"
    before = dict(objects.found)
    said = sweep(site, yes=True)
    wanted = "does not say when it is past its time" if damage == "no time" else "not such as the harness writes it"
    assert wanted in said[0]
    assert objects.found == before


def test_namespaces_and_webhooks_of_somebody_else_are_left_and_named(site: Site, objects: Objects) -> None:
    objects.put("Namespace", "airflow", labels={"team": "birds"})
    objects.put("MutatingWebhookConfiguration", "harness-adapter", labels={"team": "birds"})
    assert sweep(site, yes=True) == [
        "left namespace airflow: it is not the harness's: it has no label harness.owner=airflow-dvc-harness",
        "left webhook harness-adapter: it is not the harness's: it has no label harness.owner=airflow-dvc-harness",
        "nothing to sweep",
    ]
    assert objects.writes == []


def test_what_a_run_had_begun_when_it_was_killed_goes_by_its_labels(site: Site, objects: Objects) -> None:
    objects.found.clear()
    labels = {**OWNED, "harness.run": "run-0", "harness.expires": "2026-01-01T00-00-00"}
    objects.put("Namespace", "harness", labels=labels)
    objects.put("MutatingWebhookConfiguration", "harness-adapter", labels=labels)
    assert sweep(site, yes=True)[-1] == "swept 2"
    assert objects.found == {}


def test_the_webhook_that_the_reaper_had_to_leave_goes(site: Site, objects: Objects) -> None:
    labels = {**OWNED, "harness.run": "run-0", "harness.expires": "2026-01-01T00-00-00"}
    objects.put("MutatingWebhookConfiguration", "harness-adapter", labels=labels)
    assert sweep(site)[0].startswith("would remove webhook harness-adapter (run run-0, past its time since 2026")
    assert sweep(site, yes=True)[-1] == "swept 1"
    assert objects.names() == {"Namespace/airflow", "Namespace/harness"}


def test_a_webhook_that_says_nothing_of_a_run_is_left(site: Site, objects: Objects) -> None:
    objects.put("MutatingWebhookConfiguration", "harness-adapter", labels=OWNED)
    assert sweep(site, yes=True)[0] == "left webhook harness-adapter: nothing says which run's it is"


def test_a_volume_that_its_driver_keeps_is_named(site: Site, objects: Objects) -> None:
    spec = {"claimRef": {"namespace": "airflow", "name": "airflow-shared-pvc"}}
    objects.put("PersistentVolume", "pvc-1", spec=spec, status={"phase": "Released"})
    objects.put("PersistentVolume", "pvc-2", spec=spec, status={"phase": "Bound"})
    said = sweep(site, yes=True)
    assert said == [
        "left volume pvc-1: it is Released: its claim airflow/airflow-shared-pvc is gone, and its driver keeps it",
        "nothing to sweep",
    ]


def test_in_the_bucket_what_nothing_names_stays_and_a_claim_goes_for_its_own_prefix_only(
    site: Site, objects: Objects, client: Client
) -> None:
    late(objects, client, "team/e2e/runs/run-7/")
    put(client, "team/e2e/runs/run-7/a", "team/e2e/runs/run-8/a", "runs/run-7/not-below-the-prefix")
    other = '{"prefix": "team/e2e/runs/run-8/", "cluster": "mlops", "expires": "2026-01-01T00:00:00+00:00"}'
    client("s3").put_object(Bucket=BUCKET, Key="team/e2e/claims/run-9.json", Body=other.encode())
    said = sweep(site, yes=True, prefix="team/e2e")
    unknown = "nothing says whose it is, or since when it is left behind"
    assert f"left s3://dvc/team/e2e/runs/run-8/: {unknown}" in said
    assert f"left s3://dvc/team/e2e/runs/run-9/: {unknown}" in said
    assert said[-1] == "swept 1"
    left = {"team/e2e/runs/run-8/a", "team/e2e/claims/run-9.json", "runs/run-7/not-below-the-prefix"}
    assert keys(client) == left


def test_all_versions_of_what_is_swept_go(site: Site, objects: Objects, client: Client) -> None:
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put(client, "runs/run-0/a", "runs/run-0/a", "theirs.csv")
    client("s3").delete_object(Bucket=BUCKET, Key="runs/run-0/a")
    late(objects, client, "runs/run-0/")
    assert sweep(site, yes=True)[-1] == "swept 1"
    left = client("s3").list_object_versions(Bucket=BUCKET)
    assert {one["Key"] for one in left["Versions"]} == {"theirs.csv"}
    assert "DeleteMarkers" not in left


def test_what_could_not_be_removed_is_named_the_rest_goes_and_the_exit_code_says_so(
    site: Site, elsewhere: Site, objects: Objects, client: Client
) -> None:
    del elsewhere
    late(objects, client, "runs/run-0/")
    objects.forbidden.add(("DELETE", "Pod"))
    with pytest.raises(CleanupFailed, match="some things could not be removed") as caught:
        sweep(site, yes=True)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT_FAILED
    [(what, why)] = caught.value.evidence.items()
    assert what.startswith("what run run-0 made in the cluster")
    assert "may not DELETE pods" in why
    assert keys(client) == {"theirs.csv"}
    objects.forbidden.clear()
    assert sweep(site, yes=True)[-1] == "swept 1"
    assert objects.names("harness") == READY


def test_the_guards_are_those_of_a_run(
    site: Site, objects: Objects, enter: Callable[[Credentials], None], server: Any
) -> None:
    for change in ({"accounts": ("999999999999",)}, {"tag": "other=1"}):
        with pytest.raises(GuardError):
            sweep(site, yes=True, **change)
    with pytest.raises(UsageError, match="needs to be told more"):
        sweep(site, yes=True, bucket=None)
    assert server.requests == []
