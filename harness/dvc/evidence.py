"""What is judged: the expectation, and the facts gathered before and after a run. All frozen, no behaviour.

The facts are raw (bytes, listings, hashes, commits); what they mean is decided in the checks alone, so that a test
can hand the checks any facts it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from harness.dvc.hashing import Digest
from harness.dvc.remote import Address
from harness.dvc.repository import Commit
from harness.dvc.table import TableComparison
from harness.model import UNBROKEN, DagRunOutcome, PodEvidence, Push, Seeded, Watch
from harness.settings import Policy

DVC_CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run must have done.

    Attributes:
        policy: The team's rules.
        seeded: The code under test and the remote's prefix.
        bucket: Bucket of the DVC remote.
        tracked_file: The file under DVC, path in the repository.
        executor_shas: Commits that an executor pod may have checked out; the seeded one, as a rule. A commit that
            landed during the run and leaves the DAG folder as it is counts as the same code.
        image_ids: Image IDs ("sha256:...") that a task pod may show.
        tasks: Task ids of the DAG; each must have succeeded in an executor pod.
        pod_tasks: Those of them that run in a pod of their own.
        changes: Whether a new version is expected. False for a run that must leave everything as it was.
        pointer_file: The pointer, path in the repository; default `tracked_file` with `.dvc` behind it.
        final_states: Task states that count as success.
        root: Prefix of the keys that are looked at in the bucket; empty for all of it.
        traffic_watched: Whether anybody watches what pods try to reach outside the cluster.
        push_log: Whether the Git server notes its pushes for the harness: only its own does.
        one_clock: Whether it notes them by the clock that the object store goes by.
    """

    policy: Policy
    seeded: Seeded
    bucket: str
    tracked_file: str
    executor_shas: frozenset[str]
    image_ids: frozenset[str]
    tasks: tuple[str, ...]
    pod_tasks: tuple[str, ...]
    changes: bool = True
    pointer_file: str | None = None
    final_states: frozenset[str] = frozenset({"success"})
    root: str = ""
    traffic_watched: bool = True
    push_log: bool = True
    one_clock: bool = True

    @property
    def ordered(self) -> bool:
        """Whether it can be known which came first, a push or an object."""
        return self.push_log and self.one_clock

    @property
    def pointer_path(self) -> str:
        """The pointer's path in the repository."""
        return self.pointer_file or f"{self.tracked_file}.dvc"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state just before a run.

    Attributes:
        tip: Tip of the policy's branch; None if the branch does not exist yet.
        refs: Commit by full ref name.
        pointer: Bytes of the pointer at the tip (or at the seeded commit, without a branch); None if there is none.
        config: Bytes of `.dvc/config` there.
        listing: Size in bytes by key, of everything in the bucket.
        digests: Of the objects that the pointer names.
        manifests: Bytes of the folder manifests among them.
        etags: By key, of everything in the bucket.
    """

    tip: str | None
    refs: Mapping[str, str]
    pointer: bytes | None
    config: bytes | None
    listing: Mapping[str, int]
    digests: Mapping[Address, Digest]
    manifests: Mapping[Address, bytes] = field(default_factory=dict)
    etags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RivalPointer:
    """A pointer as a commit has it that is not judged itself: somebody else's, or an earlier one of the run's.

    Attributes:
        sha: The commit.
        path: The pointer's path.
        data: Its bytes there.
        config: `.dvc/config` there.
        stages: The `dvc.yaml` beside it there, if it is a `dvc.lock`.
    """

    sha: str
    path: str
    data: bytes
    config: bytes | None
    stages: bytes | None = None


@dataclass(frozen=True, slots=True)
class Astray:
    """A commit made during the run that is not on the policy's branch.

    Attributes:
        commit: The commit.
        refs: Full names of the refs that hold it.
    """

    commit: Commit
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A secret of this run in a commit; which one is told nowhere.

    Attributes:
        sha: The commit.
        where: What of the commit, or "file" and its path; in words.
    """

    sha: str
    where: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What a clean clone and `dvc pull` gave.

    Attributes:
        code: Exit code of `dvc pull`.
        said: The last lines of what it said, redacted.
        files: Digest by path in the repository, of every file at or below an output.
    """

    code: int
    said: str
    files: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The state after a run.

    Attributes:
        before: The state before it.
        tip: Tip of the policy's branch; None if there is no such branch.
        grew: Whether the tip holds all of the history that the branch had before.
        commits: New on the branch, parents before children; empty if history did not only grow.
        astray: New, but not on the branch.
        commit: Where `pointers` and `config` were read: the run's last commit, or the tip.
        pointers: Bytes by path of every pointer that the run's commits touched, and of the one under test always;
            None for one that is not there.
        tip_pointer: Bytes of the pointer under test at the tip.
        config: Bytes of `.dvc/config`.
        rivals: Pointers of other people's commits, on any branch.
        passing: Pointers of the run's own commits on the branch as only an earlier one of them has them.
        listing: Size in bytes by key, of everything in the bucket.
        digests: Of every object that a pointer of before or after names, where it could be read.
        manifests: Bytes of the folder manifests.
        sightings: For an object that is missing, where else an object of that name lies.
        deleted: Addresses where a delete marker hides what was there.
        table: The tracked table before and after; None if it could not be compared.
        table_problem: Why not.
        reproduction: None if no clean clone was tried.
        same_code: New commits whose DAG folder is byte for byte the one under test.
        outcome: What Airflow says.
        pods: Every pod seen.
        refs: Commit by full ref name.
        etags: By key, of everything in the bucket.
        stages: Bytes of the `dvc.yaml` beside each `dvc.lock` among `pointers`, by the path of the lock file.
        earlier: Bytes of the same pointers before the run, by path.
        earlier_stages: As `stages`, of `earlier`.
        watch: What could not be seen of the pods.
        pushes: To the repository, since the seed came into it.
        stored: When each object was stored that a pointer of the run's names and that was not there before.
        exposures: Secrets in the run's commits, on any ref.
        lost: A commit that somebody else has pushed to the branch since the seed, and that it no longer holds.
    """

    before: Snapshot
    tip: str | None
    grew: bool
    commits: tuple[Commit, ...]
    astray: tuple[Astray, ...]
    commit: str | None
    pointers: Mapping[str, bytes | None]
    tip_pointer: bytes | None
    config: bytes | None
    rivals: tuple[RivalPointer, ...]
    listing: Mapping[str, int]
    digests: Mapping[Address, Digest]
    manifests: Mapping[Address, bytes]
    sightings: Mapping[Address, tuple[str, ...]]
    deleted: frozenset[Address]
    table: TableComparison | None
    table_problem: str
    reproduction: Reproduction | None
    same_code: frozenset[str]
    outcome: DagRunOutcome
    pods: tuple[PodEvidence, ...]
    refs: Mapping[str, str] = field(default_factory=dict)
    etags: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, bytes | None] = field(default_factory=dict)
    earlier: Mapping[str, bytes | None] = field(default_factory=dict)
    earlier_stages: Mapping[str, bytes | None] = field(default_factory=dict)
    watch: Watch = UNBROKEN
    pushes: tuple[Push, ...] = ()
    stored: Mapping[Address, datetime] = field(default_factory=dict)
    exposures: tuple[Exposure, ...] = ()
    passing: tuple[RivalPointer, ...] = ()
    lost: str = ""
