"""The runner's policy: enough for a run's own calls, and nothing of it can be left out."""

from __future__ import annotations

from collections.abc import Callable

from harness.dvc import BotoStore
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.services import s3
from harness.wait import Waiter
from tests.contract.eks.conftest import RUNNER, Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, Client
from tests.policies import needless, refused


def test_a_run_needs_its_policy_and_nothing_of_it_less(
    site: Site, objects: Objects, client: Client, cloud: Cloud, enter: Callable[[Credentials], None]
) -> None:
    enter(cloud.user("runner", RUNNER))
    admin = client("s3")
    target = site.target()
    cluster = target.up()
    assert cluster.bucket is not None
    service = s3.outside(cluster.bucket)
    s3.prove(service, waiter=Waiter())
    BotoStore(s3.connect(service)).list_objects(BUCKET, "runs/run-1/")
    admin.put_object(Bucket=BUCKET, Key="runs/run-1/before", Body=b"1")
    admin.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    admin.put_object(Bucket=BUCKET, Key="runs/run-1/a", Body=b"1")
    admin.create_multipart_upload(Bucket=BUCKET, Key="runs/run-1/half")
    target.down()
    left = admin.list_object_versions(Bucket=BUCKET, Prefix="runs/run-1/")
    assert [*left.get("Versions", []), *left.get("DeleteMarkers", [])] == []

    calls = [call for call in cloud.log.calls() if call.principal.endswith(":user/runner")]
    assert [call for call in calls if call.outcome == "denied"] == []
    assert refused(RUNNER, calls) == []
    assert needless(RUNNER, calls) == []
