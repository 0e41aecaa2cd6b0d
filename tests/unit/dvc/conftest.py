"""A run on which everything agrees, as facts by hand; tests change one fact at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.dvc import Address, Commit, Digest, Evidence, Expectation, Reproduction, Snapshot, judge
from harness.dvc.table import TableComparison
from harness.model import DagRunOutcome, PodEvidence, Push, Seeded, TaskOutcome
from harness.settings import Policy

Facts = tuple[Expectation, Evidence]
# What a check tells: whether it passed, what it expected, what it found, why it did not pass.
Told = tuple[bool, str, str, str]

BUCKET, PREFIX, TRACKED = "bucket", "runs/r1", "datasets/penguins.csv"
SEED, NEW, RIVAL, SIDE = "a" * 40, "b" * 40, "c" * 40, "d" * 40
OLD_BYTES, NEW_BYTES = b"id,mass\r\n1,20\r\n", b"id,mass\r\n1,20\r\n2,30\r\n"
CONFIG = f"[core]\n    remote = store\n['remote \"store\"']\n    url = s3://{BUCKET}/{PREFIX}\n".encode()
IMAGE = f"sha256:{'1' * 64}"
TASKS = ("pull_data", "modify_data", "push_data")
AUTHOR = "airflow@example.invalid"
POINTER = f"{TRACKED}.dvc"
MAIN = "refs/heads/main"
PUSHED = datetime(2026, 1, 1, 12, 0, 3, 250_000, tzinfo=UTC)
# The second in which the push was: S3 says no more than that.
STORED = PUSHED.replace(microsecond=0)


def digest_of(data: bytes) -> Digest:
    unix = data.replace(b"\r\n", b"\n")
    return Digest(len(data), hashlib.md5(data).hexdigest(), hashlib.md5(unix).hexdigest())  # noqa: S324


def address_of(data: bytes, *, legacy: bool) -> Address:
    md5 = digest_of(data).named(legacy=legacy)
    return Address(BUCKET, f"{PREFIX}/{'' if legacy else 'files/md5/'}{md5[:2]}/{md5[2:]}")


def pointer_of(data: bytes, *, legacy: bool) -> bytes:
    digest = digest_of(data)
    kind = "" if legacy else "  hash: md5\n"
    return f"outs:\n- md5: {digest.named(legacy=legacy)}\n  size: {digest.size}\n{kind}  path: penguins.csv\n".encode()


def commit(sha: str, *parents: str, email: str = AUTHOR, paths: tuple[str, ...] = (f"{TRACKED}.dvc",)) -> Commit:
    return Commit(sha, parents, "Airflow", email, f"commit {sha[0]}", paths)


def facts(*, changes: bool = True, old_legacy: bool = False, new_legacy: bool = False, **policy: Any) -> Facts:
    old_address, new_address = address_of(OLD_BYTES, legacy=old_legacy), address_of(NEW_BYTES, legacy=new_legacy)
    old, new = digest_of(OLD_BYTES), digest_of(NEW_BYTES)
    expectation = Expectation(
        policy=Policy(**policy),
        seeded=Seeded(sha=SEED, branch="main", prefix=PREFIX, dags_path="dags"),
        bucket=BUCKET,
        tracked_file=TRACKED,
        executor_shas=frozenset({SEED}),
        image_ids=frozenset({IMAGE}),
        tasks=TASKS,
        pod_tasks=TASKS,
        changes=changes,
    )
    before = Snapshot(
        tip=SEED,
        refs={"refs/heads/main": SEED},
        pointer=pointer_of(OLD_BYTES, legacy=old_legacy),
        config=CONFIG,
        listing={old_address.key: old.size},
        digests={old_address: old},
    )
    pointer = pointer_of(NEW_BYTES, legacy=new_legacy) if changes else before.pointer
    pods = [
        PodEvidence(f"{task}-executor", task, "executor", "Succeeded", "apache/airflow:3.3.2", IMAGE, SEED)
        for task in TASKS
    ] + [
        PodEvidence(f"{task}-task", task, "task", "Succeeded", "worker:2", f"docker.io/worker@{IMAGE}")
        for task in TASKS
    ]
    evidence = Evidence(
        before=before,
        tip=NEW if changes else SEED,
        grew=True,
        commits=(commit(NEW, SEED),) if changes else (),
        astray=(),
        commit=NEW if changes else SEED,
        pointers={f"{TRACKED}.dvc": pointer},
        tip_pointer=pointer,
        config=CONFIG,
        rivals=(),
        listing={**before.listing, **({new_address.key: new.size} if changes else {})},
        digests={old_address: old, **({new_address: new} if changes else {})},
        manifests={},
        sightings={},
        deleted=frozenset(),
        table=TableComparison(1, 2, None, None) if changes else None,
        table_problem="",
        reproduction=Reproduction(0, "", {TRACKED: new if changes else old}),
        same_code=frozenset(),
        outcome=DagRunOutcome(
            "dataset_pipeline", "r1", "success", {task: TaskOutcome(task, "success", 1, 1.0) for task in TASKS}
        ),
        pods=tuple(pods),
        refs={**before.refs, **({f"refs/heads/{expectation.policy.branch}": NEW} if changes else {})},
        pushes=(Push(f"refs/heads/{expectation.policy.branch}", SEED, NEW, PUSHED),) if changes else (),
        stored={new_address: STORED} if changes else {},
    )
    return expectation, evidence


def given(
    *,
    changes: bool = True,
    policy: Mapping[str, Any] | None = None,
    expect: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    **after: Any,
) -> Facts:
    """The facts on which everything agrees, but for what is given."""
    expectation, evidence = facts(changes=changes, **(policy or {}))
    snapshot = replace(evidence.before, **(before or {}))
    found = replace(evidence, before=snapshot, **after)
    branch = f"refs/heads/{expectation.policy.branch}"
    told: dict[str, Any] = {
        "pushes": (Push(branch, SEED, found.tip, PUSHED),) if found.commits and found.tip else (),
        "stored": dict.fromkeys(found.digests, STORED),
    }
    return replace(expectation, **(expect or {})), replace(found, **(told | after))


def told(check_id: str, facts: Facts) -> Told:
    (check,) = [check for check in judge(*facts).checks if check.id == check_id]
    assert check.evaluated or not check.established, check.explanation
    return check.passed, check.expected, check.found, check.explanation


def told_of(tables: Mapping[str, Mapping[str, tuple[Facts, Told]]]) -> pytest.MarkDecorator:
    """Each row of each check's table, as the arguments `check`, `facts` and `expected` of a test."""
    return pytest.mark.parametrize(
        ("check", "facts", "expected"),
        [
            pytest.param(check, *row, id=f"{check}: {what}")
            for check, rows in tables.items()
            for what, row in rows.items()
        ],
    )


class Folder:
    """A tracked folder in one version: its pointer, its manifest, its objects."""

    PATH = "datasets/all"

    def __init__(
        self, members: Mapping[str, bytes], *, stated: str = "", more: Mapping[str, object] | None = None
    ) -> None:
        files = [{"md5": digest_of(data).md5, "relpath": name, **(more or {})} for name, data in members.items()]
        manifest = json.dumps(files).encode()
        self.md5 = digest_of(manifest).md5
        self.address = Address(BUCKET, f"{PREFIX}/files/md5/{self.md5[:2]}/{self.md5[2:]}.dir")
        self.manifests = {self.address: manifest}
        self.digests = {address_of(data, legacy=False): digest_of(data) for data in members.values()}
        self.digests[self.address] = digest_of(manifest)
        self.listing = {address.key: digest.size for address, digest in self.digests.items()}
        size = sum(map(len, members.values()))
        stated = stated or f"  size: {size}\n  nfiles: {len(members)}\n"
        self.pointer = f"outs:\n- md5: {self.md5}.dir\n{stated}  hash: md5\n  path: all\n".encode()
        self.files = {f"{self.PATH}/{name}": digest_of(data) for name, data in members.items()}


def folder_facts(old: Folder, new: Folder, **after: Any) -> Facts:
    """A run that takes a tracked folder from one version to the next."""
    path = f"{Folder.PATH}.dvc"
    before = {"pointer": old.pointer, "listing": old.listing, "digests": old.digests, "manifests": old.manifests}
    changed: dict[str, Any] = {
        "commits": (commit(NEW, SEED, paths=(path,)),),
        "pointers": {path: new.pointer},
        "tip_pointer": new.pointer,
        "listing": old.listing | new.listing,
        "digests": old.digests | new.digests,
        "manifests": old.manifests | new.manifests,
        "reproduction": Reproduction(0, "", new.files),
        "table": None,
    }
    return given(policy={"new_rows": None}, expect={"tracked_file": Folder.PATH}, before=before, **(changed | after))


@pytest.fixture(scope="session")
def green_facts() -> Callable[..., Facts]:
    return facts
