"""Gathering the facts, from outside and afresh: the Git remote, the bucket, a clean clone. No judgement here.

`Gatherer.snapshot` before the run, `Gatherer.evidence` after it. What Airflow and the pods said is handed in.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.dvc.attribution import final_commit, own_commits
from harness.dvc.bucket import Inventory, ObjectMissing, ObjectStore
from harness.dvc.case import Reading, merge, read_pointer
from harness.dvc.evidence import DVC_CONFIG, Astray, Evidence, Expectation, Reproduction, RivalPointer, Snapshot
from harness.dvc.exposures import exposures
from harness.dvc.hashing import Digest, digest
from harness.dvc.lock import LOCK, STAGES
from harness.dvc.pointer import is_pointer_path
from harness.dvc.remote import Address, NamedObject, Naming
from harness.dvc.repository import Commit, File, Repository
from harness.dvc.reproduce import Dvc, reproduce
from harness.dvc.table import TableComparison, TableError, compare_tables
from harness.gitaccess import GitAccess
from harness.model import UNBROKEN, DagRunOutcome, PodEvidence, Push, Watch
from harness.process import Runner

# How far a missing object is looked for elsewhere: a clue for the reader, not a fact of the verdict.
_SEARCHED_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Reads the facts of one run.

    Attributes:
        expectation: What is looked at: branch, pointer, bucket, prefix.
        runner: Runs git and dvc.
        access: The Git remote.
        store: The object store.
        dvc: For the clean clone.
        workspace: An existing folder for clones; each is removed again.
        search_buckets: Further buckets in which a missing object is looked for.
        pushes: What the Git server has noted of pushes to the repository; asked where `Expectation.ordered`.
        published: Commits that others than the run have pushed to the branch since the seed; they must stay in it.
    """

    expectation: Expectation
    runner: Runner
    access: GitAccess
    store: ObjectStore
    dvc: Dvc
    workspace: Path
    search_buckets: tuple[str, ...] = ()
    pushes: Callable[[], Sequence[Push]] = tuple
    published: Callable[[], Sequence[str]] = tuple

    def snapshot(self) -> Snapshot:
        """The state before a run.

        Raises:
            EnvironmentFailed: The Git server or the object store does not answer.
        """
        wanted = self.expectation
        with self._clone() as repository:
            refs = repository.refs()
            tip = refs.get(f"refs/heads/{wanted.policy.branch}")
            base = tip or wanted.seeded.sha
            repository.read_all([(base, wanted.pointer_path), (base, DVC_CONFIG)])
            pointer, config = repository.read(base, wanted.pointer_path), repository.read(base, DVC_CONFIG)
        found = self.store.inventory(wanted.bucket, wanted.root)
        manifests: dict[Address, bytes] = {}
        naming = self._name(pointer, config, wanted.pointer_path, manifests)
        digests = self._digests(naming.objects)
        return Snapshot(tip, refs, pointer, config, found.sizes, digests, manifests, found.etags)

    def evidence(
        self, before: Snapshot, *, outcome: DagRunOutcome, pods: Iterable[PodEvidence], watch: Watch = UNBROKEN
    ) -> Evidence:
        """The state after it.

        Args:
            before: What `snapshot` gave before the run.
            outcome: What Airflow says of the run.
            pods: Every pod that was seen.
            watch: What could not be seen of them.

        Raises:
            EnvironmentFailed: The Git server or the object store does not answer.
        """
        wanted, path = self.expectation, self.expectation.pointer_path
        with self._clone() as repository:
            refs = repository.refs()
            tip = refs.get(f"refs/heads/{wanted.policy.branch}")
            base = before.tip or wanted.seeded.sha
            pushed = self.published() if tip is not None else ()
            lost = next((one for one in pushed if tip is not None and not repository.is_ancestor(one, tip)), "")
            grew = tip is not None and not lost and repository.is_ancestor(base, tip)
            commits = repository.commits([tip], without=[base]) if tip is not None and grew else ()
            astray = self._astray(repository, before, refs, tip)
            own = own_commits(commits, wanted)
            final = final_commit(commits, wanted)
            commit = final.sha if final is not None else tip
            if commit is None and not wanted.changes:
                commit = wanted.seeded.sha
            anywhere = [*commits, *(entry.commit for entry in astray)]
            everywhere = own_commits(anywhere, wanted)
            others = [one for one in anywhere if one not in everywhere]
            touched = {path, *(pointer for one in own for file in one.paths if (pointer := _pointer_of(file)))}
            repository.read_all(_of_interest(others, everywhere, touched, [sha for sha in (base, commit, tip) if sha]))
            pointers = {file: repository.read(commit, file) if commit else None for file in sorted(touched)}
            stages = _stages(repository, commit, pointers)
            earlier = {file: repository.read(base, file) for file in pointers}
            earlier_stages = _stages(repository, base, pointers)
            config = repository.read(commit, DVC_CONFIG) if commit else None
            tip_pointer = repository.read(tip, path) if tip else None
            rivals = tuple(one for one in _pointers_in(repository, others) if one.path != path)
            passing = tuple(
                one
                for one in _pointers_in(repository, (one for one in own if one.sha != commit))
                if one.data not in (pointers[one.path], earlier[one.path])
            )
            same_code = self._same_code(repository, commits)
            exposed = exposures(repository, everywhere, self.dvc.redactor)

        found = self.store.inventory(wanted.bucket, wanted.root)
        manifests: dict[Address, bytes] = {}
        # What the old folder held is told by its manifest as it was: the run may have lost or overwritten that.
        old = self._name(before.pointer, before.config, path, dict(before.manifests), earlier_stages.get(path))
        named = merge(*(self._name(data, config, file, manifests, stages.get(file)) for file, data in pointers.items()))
        for rival in rivals:
            self._name(rival.data, rival.config, rival.path, manifests, rival.stages)
        passed = merge(*(self._name(one.data, one.config, one.path, manifests, one.stages) for one in passing))
        digests = self._digests((*old.objects, *named.objects, *passed.objects))
        missing = [one.address for one in (*named.objects, *passed.objects) if one.address not in digests]
        main = read_pointer(
            pointers[path], config, path=path, manifests=manifests, tracked=wanted.tracked_file, stages=stages.get(path)
        )
        table, table_problem = self._table(old, main.naming)
        return Evidence(
            before=before,
            tip=tip,
            grew=grew,
            commits=commits,
            astray=astray,
            commit=commit,
            pointers=pointers,
            tip_pointer=tip_pointer,
            config=config,
            rivals=rivals,
            listing=found.sizes,
            digests=digests,
            manifests=manifests,
            sightings=self._sightings(missing),
            deleted=frozenset(address for address in missing if self.store.is_deleted(address)),
            table=table,
            table_problem=table_problem,
            reproduction=self._reproduction(main, commit),
            same_code=same_code,
            outcome=outcome,
            pods=tuple(pods),
            refs=refs,
            etags=found.etags,
            stages=stages,
            earlier=earlier,
            earlier_stages=earlier_stages,
            watch=watch,
            pushes=tuple(self.pushes()) if wanted.ordered else (),
            stored=self._stored((*named.objects, *passed.objects), found, before) if wanted.ordered else {},
            exposures=exposed,
            passing=passing,
            lost=lost,
        )

    @contextmanager
    def _clone(self) -> Iterator[Repository]:
        with tempfile.TemporaryDirectory(prefix="clone-", dir=self.workspace) as folder:
            yield Repository.clone(self.runner, self.access, Path(folder) / "mirror.git")

    def _astray(
        self, repository: Repository, before: Snapshot, refs: Mapping[str, str], tip: str | None
    ) -> tuple[Astray, ...]:
        known = {*before.refs.values(), self.expectation.seeded.sha, *([tip] if tip else [])}
        held: dict[Commit, list[str]] = {}
        for ref, sha in refs.items():
            if sha not in known:
                for commit in repository.commits([sha], without=known):
                    held.setdefault(commit, []).append(ref)
        return tuple(Astray(commit, tuple(refs)) for commit, refs in held.items())

    def _same_code(self, repository: Repository, commits: Collection[Commit]) -> frozenset[str]:
        seeded = self.expectation.seeded
        trees = repository.trees([seeded.sha, *(one.sha for one in commits)], seeded.dags_path)
        under_test = trees.get(seeded.sha)
        if under_test is None:
            return frozenset()
        return frozenset(one.sha for one in commits if trees.get(one.sha) == under_test)

    def _name(
        self,
        data: bytes | None,
        config: bytes | None,
        path: str,
        manifests: dict[Address, bytes],
        stages: bytes | None = None,
    ) -> Naming:
        """What a pointer names; manifests that can be read are added to `manifests` on the way."""
        naming = read_pointer(data, config, path=path, manifests=manifests, stages=stages).naming
        for address in naming.unread:
            try:
                manifests[address] = b"".join(self.store.read(address))
            except ObjectMissing:
                continue  # a fact: its digest is missing too, and object.present says so
        if not naming.unread:
            return naming
        return read_pointer(data, config, path=path, manifests=manifests, stages=stages).naming

    def _digests(self, objects: Iterable[NamedObject]) -> dict[Address, Digest]:
        found: dict[Address, Digest] = {}
        for address in dict.fromkeys(one.address for one in objects):
            try:
                found[address] = digest(self.store.read(address))
            except ObjectMissing:
                continue  # a fact: there is no digest for it
        return found

    def _stored(self, objects: Iterable[NamedObject], found: Inventory, before: Snapshot) -> dict[Address, datetime]:
        times: dict[Address, datetime] = {}
        for address in dict.fromkeys(one.address for one in objects):
            here = address.bucket == self.expectation.bucket and address.version_id is None
            if address in before.digests or (here and address.key in before.listing):
                continue
            try:
                times[address] = found.stored[address.key] if here else self.store.stored(address)
            except (KeyError, ObjectMissing):
                continue  # a fact: there is no object
        return times

    def _sightings(self, missing: Iterable[Address]) -> dict[Address, tuple[str, ...]]:
        wanted = {address: "/".join(address.key.split("/")[-2:]) for address in missing if not address.version_id}
        seen: dict[Address, list[str]] = {address: [] for address in wanted}
        for bucket in dict.fromkeys((self.expectation.bucket, *self.search_buckets)) if wanted else ():
            for key in self.store.list_objects(bucket, self.expectation.root, limit=_SEARCHED_KEYS):
                for address, tail in wanted.items():
                    if key == tail or key.endswith(f"/{tail}"):
                        seen[address].append(str(Address(bucket, key)))
        return {address: tuple(places) for address, places in seen.items() if places}

    def _table(self, old: Naming, new: Naming) -> tuple[TableComparison | None, str]:
        tracked = self.expectation.tracked_file
        if not self.expectation.changes or self.expectation.policy.new_rows is None:
            return None, "the policy asks for no rows"
        before, after = _labelled(old, tracked), _labelled(new, tracked)
        if before is None or after is None:
            return None, f"the pointer {'before' if before is None else 'after'} the run names no file {tracked}"
        try:
            return compare_tables(self.store.read(before), self.store.read(after)), ""
        except ObjectMissing as error:
            return None, f"there is no object at {error}"
        except TableError as error:
            return None, str(error)

    def _reproduction(self, main: Reading, commit: str | None) -> Reproduction | None:
        if main.pointer is None or commit is None:
            return None
        with tempfile.TemporaryDirectory(prefix="clean-", dir=self.workspace) as folder:
            return reproduce(
                self.runner,
                self.access,
                self.dvc,
                sha=commit,
                pointer=self.expectation.pointer_path,
                outputs=tuple(out.path for out in main.pointer.outs if out.pushed),
                folder=Path(folder) / "work",
            )


def _pointer_of(path: str) -> str:
    """The pointer that a file is, or that says with it where data is; empty for another file."""
    if posixpath.basename(path) == STAGES:
        return posixpath.join(posixpath.dirname(path), LOCK)
    return path if is_pointer_path(path) else ""


def _of_interest(
    others: Iterable[Commit], own: Iterable[Commit], touched: Collection[str], shas: Iterable[str]
) -> Iterator[File]:
    """All files that the evidence is read from, so that they are read at once."""
    wanted = [
        *((sha, touched) for sha in shas),
        *((commit.sha, commit.paths) for commit in own),
        *((commit.sha, tuple(filter(is_pointer_path, commit.paths))) for commit in others),
    ]
    for sha, paths in wanted:
        beside = (_stages_beside(path) for path in paths if posixpath.basename(path) == LOCK)
        yield from ((sha, path) for path in (*paths, *beside, DVC_CONFIG))


def _pointers_in(repository: Repository, commits: Iterable[Commit]) -> Iterator[RivalPointer]:
    for commit in commits:
        for path in commit.paths:
            data = repository.read(commit.sha, path) if is_pointer_path(path) else None
            if data is not None:
                config, stages = repository.read(commit.sha, DVC_CONFIG), _stages(repository, commit.sha, [path])
                yield RivalPointer(commit.sha, path, data, config, stages.get(path))


def _stages_beside(lock: str) -> str:
    return posixpath.join(posixpath.dirname(lock), STAGES)


def _stages(repository: Repository, commit: str | None, pointers: Iterable[str]) -> dict[str, bytes | None]:
    """The `dvc.yaml` beside each `dvc.lock`, by the path of the lock file."""
    locks = [path for path in pointers if posixpath.basename(path) == LOCK]
    return {path: repository.read(commit, _stages_beside(path)) for path in locks if commit}


def _labelled(naming: Naming, label: str) -> Address | None:
    return next((one.address for one in naming.objects if one.label == label and not one.manifest), None)
