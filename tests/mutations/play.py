"""One row being played: a repository on the Git server, a bucket, and what a run does to them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.dvc import BotoStore, Expectation, Gatherer, GitAccess, Snapshot, Verdict, judge
from harness.errors import EnvironmentFailed
from harness.model import DagRunOutcome, PodEvidence, Seeded, TaskOutcome
from harness.settings import Policy

from .recording import Recorded, Version, remote_config
from .site import BUCKETS, Pods, Site

AUTHOR, SEEDER, RIVAL = "airflow@example.invalid", "seed@example.invalid", "rival@example.invalid"
TASKS = ("pull_data", "modify_data", "push_data")
MAIN = "main"
# Of commits; it only has to be a time.
_EPOCH = 1_760_000_000

Files = Mapping[str, bytes | None]


@dataclass
class Play:
    """A row's own repository and bucket; the row's programs work through it.

    Attributes:
        site: Where.
        name: Of the row.
        recorded: The data set.
        prefix: Of the DVC remote.
        policy: The team's rules.
        changes: Whether a new version is expected.
        versioned: Whether the bucket keeps versions.
        options: Further lines of the remote in `.dvc/config`.
        seed: Commit under test, once seeded.
        pods: What is reported of the run's pods; filled from `seed` on.
        tasks: What Airflow is taken to say, by task.
        state: Of the DAG run, likewise.
        run_id: Of the DAG run.
        searched: Further buckets in which a missing object is looked for.
    """

    site: Site
    name: str
    recorded: Recorded
    prefix: str
    policy: Policy
    changes: bool = True
    versioned: bool = False
    options: tuple[str, ...] = ()
    seed: str = ""
    pods: list[PodEvidence] = field(default_factory=list)
    tasks: dict[str, TaskOutcome] = field(default_factory=dict)
    state: str = "success"
    run_id: str = "harness-20260101T000000-00000000"
    searched: list[str] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.folder = self.site.workspace / self.name
        shutil.copytree(self.site.empty_repository, self.repository)
        self.site.make_bucket(self.bucket, versioned=self.versioned)

    @property
    def bucket(self) -> str:
        """Its own: a missing object is looked for by its name, which the same data has in every row."""
        return f"{BUCKETS}{self.name}"

    @property
    def server_name(self) -> str:
        return f"scratch-{self.name}.git"

    @property
    def repository(self) -> Path:
        """The local one, bare: rows write commits, no work tree."""
        return self.folder / "repository.git"

    @property
    def access(self) -> GitAccess:
        return self.site.access(self.server_name)

    @property
    def pointer_path(self) -> str:
        return self.recorded.pointer_path

    @property
    def old_key(self) -> str:
        return f"{self.prefix}/{self.recorded.before.key}"

    @property
    def new_key(self) -> str:
        return f"{self.prefix}/{self.recorded.after.key}"

    # The object store.

    def put(self, key: str, data: bytes, *, bucket: str | None = None) -> str:
        """Put an object; returns its version id, empty where the bucket keeps none."""
        return str(self.site.client.put_object(Bucket=bucket or self.bucket, Key=key, Body=data).get("VersionId", ""))

    def delete(self, key: str, *, version: str = "") -> None:
        if version:
            self.site.client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)
        else:
            self.site.client.delete_object(Bucket=self.bucket, Key=key)

    def store(self, version: Version) -> Version:
        """Put a version's objects where dvc put them; the version with the ids that they got here."""
        pointer, ids = version.pointer, dict[str, str]()
        for key, data in version.objects.items():
            ids[key] = self.put(f"{self.prefix}/{key}", data)
            if key in version.version_ids:
                pointer = pointer.replace(version.version_ids[key].encode(), ids[key].encode())
        return Version(pointer, version.objects, ids if version.version_ids else {})

    def other_bucket(self) -> str:
        """A second bucket, which is searched for missing objects."""
        name = f"{self.bucket}-2"
        self.site.make_bucket(name)
        self.searched.append(name)
        return name

    @staticmethod
    def let_a_second_pass() -> None:
        """So that S3, which tells whole seconds, tells what comes from what was before."""
        time.sleep(1)

    # Git.

    def commit(
        self, files: Files, *, on: str | None, email: str = AUTHOR, message: str = "Data version", merging: str = ""
    ) -> str:
        """Write a commit by `git fast-import`: no work tree, one process. Nothing is pushed.

        Args:
            files: Content by path; None removes the file.
            on: First parent; None for a commit without history.
            email: Of author and committer.
            message: Of the commit.
            merging: Second parent.
        """
        self._count += 1
        who = f"Airflow <{email}> {_EPOCH + self._count} +0000"
        text = f"commit refs/rows/{self._count}\nmark :1\nauthor {who}\ncommitter {who}\n".encode() + _data(
            message.encode()
        )
        text += f"from {on}\n".encode() if on else b""
        text += f"merge {merging}\n".encode() if merging else b""
        for path, content in files.items():
            text += f"D {path}\n".encode() if content is None else f"M 100644 inline {path}\n".encode() + _data(content)
        return self._git("fast-import", "--quiet", "--done", stdin=text + b"\nget-mark :1\ndone\n")

    def parent(self, sha: str) -> str:
        return self._git("rev-parse", f"{sha}^")

    def push(self, sha: str, *, to: str = f"refs/heads/{MAIN}") -> None:
        """Push as the DAG's user, over HTTPS."""
        self._git("push", "--quiet", self.access.url, f"{sha}:{to}")

    def rewrite(self, refs: Mapping[str, str]) -> None:
        """Make the server's refs these, on its own side: what no push is allowed to."""
        for name, sha in refs.items():
            self._git("update-ref", name, sha)
        bundle = self.folder / "seed.bundle"
        self._git("bundle", "create", "--quiet", str(bundle), *refs)
        self.site.admin.reseed(bundle, repository=self.server_name)

    def begin(self, files: Files | None = None, *, version: Version | None = None, on: str | None = None) -> str:
        """The seed commit and its objects, locally; `publish` sends it."""
        seeded = self.store(version or self.recorded.before)
        self.recorded = replace(self.recorded, before=seeded)
        tree = {
            ".dvc/config": remote_config(self.bucket, self.prefix, *self.options),
            "dags/pipeline.py": b"# the DAG under test\n",
            self.pointer_path: seeded.pointer,
            **(files or {}),
        }
        return self.commit(tree, on=on, email=SEEDER, message="seed")

    def publish(self, sha: str, *, branches: tuple[str, ...] = (MAIN,)) -> None:
        """Send the seed to a repository of its own: from here on it is the code under test."""
        self.rewrite({f"refs/heads/{branch}": sha for branch in branches})
        self.seed = sha
        self.tasks = {task: TaskOutcome(task, "success", 1, 1.0) for task in TASKS}
        image = self.site.image_id
        self.pods = [PodEvidence(f"{task}-e", task, "executor", "Succeeded", "airflow", image, sha) for task in TASKS]
        self.pods += [PodEvidence(f"{task}-t", task, "task", "Succeeded", "worker", image) for task in TASKS]

    def complete(
        self,
        *,
        version: Version | None = None,
        pointer: bytes | None = None,
        files: Files | None = None,
        on: str | None = None,
        email: str = AUTHOR,
        to: str = f"refs/heads/{MAIN}",
    ) -> str:
        """What a correct run does: data to the bucket, pointer into one commit, commit to the branch.

        Args:
            version: Of the data; by default the recorded one.
            pointer: Bytes committed instead of the version's pointer.
            files: What the commit touches besides.
            on: The commit's parent; by default the seed.
            email: Of its author.
            to: Where it is pushed.
        """
        stored = self.store(version or self.recorded.after)
        content: Files = {self.pointer_path: stored.pointer if pointer is None else pointer, **(files or {})}
        sha = self.commit(content, on=on or self.seed, email=email)
        self.push(sha, to=to)
        return sha

    def rival(self, files: Files, *, on: str | None = None) -> str:
        """Somebody else's commit, pushed."""
        sha = self.commit(files, on=on or self.seed, email=RIVAL, message="somebody else's")
        self.push(sha)
        return sha

    # What is said of the run.

    def replace_pod(self, pod: PodEvidence) -> None:
        """Report another pod for a task, in the same role."""
        self.drop_pod(pod.task_id, pod.role)
        self.pods.append(pod)

    @property
    def cluster(self) -> Pods:
        """Makes real pods.

        Raises:
            EnvironmentFailed: There is no cluster.
        """
        if self.site.pods is None:
            raise EnvironmentFailed(f"{self.name} needs a cluster: it makes real pods")
        return self.site.pods

    def drop_pod(self, task: str, role: str) -> None:
        self.pods = [pod for pod in self.pods if (pod.task_id, pod.role) != (task, role)]

    # The judgement.

    @property
    def expectation(self) -> Expectation:
        return Expectation(
            policy=self.policy,
            seeded=Seeded(self.seed, self.policy.branch, self.prefix, "dags"),
            bucket=self.bucket,
            tracked_file=self.recorded.tracked,
            executor_shas=frozenset({self.seed}),
            image_ids=self.site.image_ids,
            tasks=TASKS,
            pod_tasks=TASKS,
            changes=self.changes,
            final_states=frozenset({"success", "skipped"} if self.policy.skipped_tasks else {"success"}),
        )

    def snapshot(self) -> Snapshot:
        return self._gatherer().snapshot()

    def verdict(self, before: Snapshot) -> Verdict:
        """Read everything afresh and judge it."""
        outcome = DagRunOutcome("dataset_pipeline", self.run_id, self.state, self.tasks)
        evidence = self._gatherer().evidence(before, outcome=outcome, pods=self.pods)
        return judge(self.expectation, evidence)

    def _gatherer(self) -> Gatherer:
        return Gatherer(
            expectation=self.expectation,
            runner=self.site.runner,
            access=self.access,
            store=BotoStore(self.site.client),
            dvc=self.site.dvc,
            workspace=self.folder,
            search_buckets=tuple(self.searched),
            pushes=lambda: self.site.admin.pushes(repository=self.server_name),
        )

    def _git(self, *arguments: str, stdin: bytes | None = None) -> str:
        return self.site.runner.run(
            ["git", *arguments], cwd=self.repository, env=self.access.env, stdin=stdin
        ).stdout.strip()


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)
