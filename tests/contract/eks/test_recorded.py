"""What the EKS target itself asks of AWS, recorded and replayed: every call of a run's beginning and end."""

from __future__ import annotations

from pathlib import Path

from harness import awstap
from harness.lookalike.recorder import Recorder
from harness.lookalike.replay import differences
from harness.lookalike.transcript import read
from harness.lookalike.witness import Backend
from harness.services import s3
from harness.wait import Waiter
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, REGION, Client


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
