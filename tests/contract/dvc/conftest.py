"""A real S3 server, real Git repositories, the real `dvc`: one run of a pipeline, recorded, then played to each test.

The recorded run is the seed (data, pointer, remote) and the change that the guide's DAG makes. A test gets both as
they were, changes what it wants to be wrong, and lets the verdict read everything afresh.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from pydantic import SecretStr

from harness.dvc import BotoStore, Dvc, Evidence, Expectation, Gatherer, GitAccess, Snapshot, Verdict, judge
from harness.model import DagRunOutcome, PodEvidence, S3Service, Seeded, TaskOutcome
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.settings import Policy
from tests.servers import s3_server

BUCKET, PREFIX, TRACKED = "mlops", "runs/r1", "datasets/penguins.csv"
AUTHOR = "airflow@example.invalid"
IMAGE = f"sha256:{'1' * 64}"
TASKS = ("pull_data", "modify_data", "push_data")
SECRET = "contract-test-key"


@dataclass(frozen=True)
class S3:
    """A running S3 server."""

    service: S3Service
    client: Any

    def empty(self) -> None:
        for bucket in self.client.list_buckets()["Buckets"]:
            for page in self.client.get_paginator("list_object_versions").paginate(Bucket=bucket["Name"]):
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    version = {} if entry["VersionId"] == "null" else {"VersionId": entry["VersionId"]}
                    self.client.delete_object(Bucket=bucket["Name"], Key=entry["Key"], **version)

    def objects(self) -> dict[str, bytes]:
        keys = BotoStore(self.client).list_objects(BUCKET, "")
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=data)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield from _with_buckets(url)


def _with_buckets(url: str) -> Iterator[S3]:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key=SECRET,
        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    client.create_bucket(Bucket=BUCKET)
    client.create_bucket(Bucket="elsewhere")
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    service = S3Service(
        inside=url, outside=url, bucket=BUCKET, region="us-east-1", access_key="test", secret_key=SecretStr(SECRET),
        backend="ministack",
    )  # fmt: skip
    yield S3(service, client)
    client.close()


@dataclass(frozen=True)
class Pipeline:
    """A Git remote, a working clone of it as the DAG has one, and the verdict's view of both."""

    folder: Path
    s3: S3
    program: Path
    policy: Policy = field(default_factory=Policy)
    bucket: str = BUCKET
    tracked: str = TRACKED

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    @property
    def access(self) -> GitAccess:
        return GitAccess(str(self.folder / "remote.git"))

    @property
    def runner(self) -> SubprocessRunner:
        return SubprocessRunner()

    @property
    def reader(self) -> Dvc:
        return Dvc(self.program, self.s3.service, Redactor())

    @property
    def dvc_env(self) -> dict[str, str]:
        return self.reader.env(self.folder / "home")

    def git(self, *arguments: str, email: str = AUTHOR, cwd: Path | None = None) -> str:
        identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                    for what, value in (("NAME", "Airflow"), ("EMAIL", email))}  # fmt: skip
        env = {**self.access.env, **identity}
        return self.runner.run(["git", *arguments], cwd=cwd or self.clone, env=env).stdout.strip()

    def dvc(self, *arguments: str) -> None:
        self.runner.run([self.program, *arguments], cwd=self.clone, env={**self.access.env, **self.dvc_env})

    def create(self, data: Mapping[str, bytes], *, add: str, config: str = "") -> None:
        """A remote with the data under DVC, pushed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "--bare", "-b", "main", str(self.folder / "remote.git"), cwd=self.folder)
        self.git("clone", "-q", str(self.folder / "remote.git"), str(self.clone), cwd=self.folder)
        self.git("checkout", "-q", "-b", "main")
        self.dvc("init", "-q")
        text = f"[core]\n    remote = store\n['remote \"store\"']\n    url = s3://{self.bucket}/{PREFIX}\n{config}"
        (self.clone / ".dvc/config").write_text(text)
        (self.clone / "dags").mkdir()
        (self.clone / "dags/pipeline.py").write_text("# the DAG\n")
        self.write(data)
        self.dvc("add", "-q", add)
        self.dvc("push", "-q")
        self.commit("seed", email="seed@example.invalid")

    def write(self, data: Mapping[str, bytes]) -> None:
        for path, content in data.items():
            (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / path).write_bytes(content)

    def commit(self, message: str, *, email: str = AUTHOR, to: str = "main") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, email=email)
        self.git("push", "-q", "origin", f"HEAD:{to}")
        return self.git("rev-parse", "HEAD")

    def head(self) -> str:
        return self.git("rev-parse", "main", cwd=self.folder / "remote.git")

    def expectation(self, seed: str, *, changes: bool = True) -> Expectation:
        return Expectation(
            policy=self.policy,
            seeded=Seeded(seed, "main", PREFIX, "dags"),
            bucket=self.bucket,
            tracked_file=self.tracked,
            executor_shas=frozenset({seed}),
            image_ids=frozenset({IMAGE}),
            tasks=TASKS,
            pod_tasks=TASKS,
            changes=changes,
            # The remote here is a folder, and notes no pushes.
            one_clock=False,
        )

    def gatherer(self, expectation: Expectation) -> Gatherer:
        return Gatherer(
            expectation=expectation,
            runner=self.runner,
            access=self.access,
            store=BotoStore(self.s3.client),
            dvc=self.reader,
            workspace=self.folder,
            search_buckets=("elsewhere",),
        )

    def gather(self, expectation: Expectation, before: Snapshot) -> Evidence:
        sha = expectation.seeded.sha
        pods = [PodEvidence(f"{task}-x", task, "executor", "Succeeded", "airflow", IMAGE, sha) for task in TASKS]
        pods += [PodEvidence(f"{task}-t", task, "task", "Succeeded", "worker", IMAGE) for task in TASKS]
        tasks = {task: TaskOutcome(task, "success", 1, 1.0) for task in TASKS}
        outcome = DagRunOutcome("dataset_pipeline", "r1", "success", tasks)
        return self.gatherer(expectation).evidence(before, outcome=outcome, pods=pods)

    def verdict(self, expectation: Expectation, before: Snapshot) -> Verdict:
        return judge(expectation, self.gather(expectation, before))


@dataclass(frozen=True)
class Recording:
    """A run that happened: its folder before and after, its objects before and after."""

    seed: str
    before: Path
    after: Path
    objects_before: Mapping[str, bytes]
    objects_after: Mapping[str, bytes]


@pytest.fixture(scope="session")
def recording(s3: S3, preloaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    s3.empty()
    folder = tmp_path_factory.mktemp("recording")
    pipeline = Pipeline(folder / "live", s3, preloaded)
    rows = b"species,mass\nAdelie,3750\nGentoo,5000\n"
    pipeline.create({TRACKED: rows}, add=TRACKED)
    seed, objects = pipeline.head(), s3.objects()
    shutil.copytree(pipeline.folder, folder / "before", symlinks=True)
    pipeline.write({TRACKED: rows + b"Chinstrap,3800\n"})
    pipeline.dvc("add", "-q", TRACKED)
    pipeline.dvc("push", "-q")
    pipeline.commit("Data version")
    return Recording(seed, folder / "before", pipeline.folder, objects, s3.objects())


@dataclass(frozen=True)
class Played:
    """A recorded run in a folder of its own, judged against the snapshot from before it."""

    pipeline: Pipeline
    expectation: Expectation
    before: Snapshot

    def verdict(self, **policy: Any) -> Verdict:
        expectation = replace(self.expectation, policy=Policy(**policy)) if policy else self.expectation
        return self.pipeline.verdict(expectation, self.before)


def _play(recording: Recording, s3: S3, program: Path, folder: Path, *, ran: bool) -> Played:
    s3.empty()
    s3.put(recording.objects_before)
    shutil.copytree(recording.before, folder / "run", symlinks=True)
    pipeline = Pipeline(folder / "run", s3, program)
    pipeline.git("remote", "set-url", "origin", str(pipeline.folder / "remote.git"))
    expectation = pipeline.expectation(recording.seed, changes=ran)
    before = pipeline.gatherer(expectation).snapshot()
    if ran:
        shutil.rmtree(pipeline.folder)
        shutil.copytree(recording.after, pipeline.folder, symlinks=True)
        pipeline.git("remote", "set-url", "origin", str(pipeline.folder / "remote.git"))
        s3.put(recording.objects_after)
    return Played(pipeline, expectation, before)


@pytest.fixture
def played(recording: Recording, s3: S3, preloaded: Path, tmp_path: Path) -> Played:
    """The recorded run, after it."""
    return _play(recording, s3, preloaded, tmp_path, ran=True)


@pytest.fixture
def seeded(recording: Recording, s3: S3, preloaded: Path, tmp_path: Path) -> Played:
    """The recorded seed, with no run on it, expecting no change."""
    return _play(recording, s3, preloaded, tmp_path, ran=False)


@pytest.fixture
def fresh(s3: S3, preloaded: Path, tmp_path: Path) -> Pipeline:
    """A pipeline to be created from nothing, in an empty store."""
    s3.empty()
    return Pipeline(tmp_path / "fresh", s3, preloaded)
