"""The facts with their meaning worked out once: whose commits, which pointer, which objects. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from harness.dvc.attribution import final_commit, own_commits
from harness.dvc.dvcfile import PointerError
from harness.dvc.evidence import Evidence, Expectation, RivalPointer
from harness.dvc.lock import LOCK, parse_lock
from harness.dvc.pointer import Output, Pointer, parse_pointer
from harness.dvc.remote import Address, NamedObject, Naming, Remote, RemoteError, name_objects, parse_config
from harness.dvc.repository import Commit


@dataclass(frozen=True, slots=True)
class Reading:
    """One pointer, read.

    Attributes:
        pointer: None if it is not usable.
        problem: Why not.
        naming: The objects that it names; empty if it is not usable.
    """

    pointer: Pointer | None
    problem: str
    naming: Naming


@dataclass(frozen=True, slots=True)
class Passing:
    """What a pointer names in an earlier commit of the run's only.

    Attributes:
        sha: The commit.
        path: The pointer's path.
        naming: The objects that must be there; whoever goes back to that commit wants its data, too.
    """

    sha: str
    path: str
    naming: Naming


@dataclass(frozen=True, slots=True)
class Case:
    """Facts and what they mean.

    Attributes:
        expectation: What should be.
        evidence: What is.
        own: The run's commits on the branch, merges included.
        final: The last of them, where the pointer was read.
        after: The pointer under test after the run.
        before: The same before it; `pointer` is None and `problem` empty if there was none.
        others: Further pointers that the run's commits touched, by path; not those that it removed.
        earlier: Those of them that were there before the run, as they were.
        unasked: Objects that need not be there: those of outputs that the run has left as they were, where nobody
            knows of a time when they were there. A seed puts the tracked data alone into its fresh prefix.
        rivals: Objects that other people's new pointers name.
        passing: What pointers name in earlier commits of the run's only.
        remote: The DVC remote at the commit; None if it is unusable.
        remote_problem: Why it is.
    """

    expectation: Expectation
    evidence: Evidence
    own: tuple[Commit, ...]
    final: Commit | None
    after: Reading
    before: Reading
    others: Mapping[str, Reading]
    earlier: Mapping[str, Reading]
    unasked: frozenset[Address]
    rivals: Naming
    passing: tuple[Passing, ...]
    remote: Remote | None
    remote_problem: str

    @property
    def named(self) -> Naming:
        """Everything that the run's pointers name and that must be there."""
        return merge(*self.namings.values())

    @property
    def namings(self) -> Mapping[str, Naming]:
        """The same by pointer."""
        asked = {path: _without(reading.naming, self.unasked) for path, reading in self.others.items()}
        return {self.expectation.pointer_path: self.after.naming, **asked}

    @property
    def at(self) -> str:
        """Where the pointer was read, for sentences."""
        return self.evidence.commit[:10] if self.evidence.commit else "the tip"


def read_pointer(
    data: bytes | None,
    config: bytes | None,
    *,
    path: str,
    manifests: Mapping[Address, bytes],
    tracked: str | None = None,
    stages: bytes | None = None,
) -> Reading:
    """Parse a pointer and name its objects; every problem ends up in the reading.

    Args:
        data: Its bytes; None if the file is not there.
        config: `.dvc/config` at the same commit.
        path: Its path in the repository.
        manifests: Bytes of folder manifests by address, as far as they could be read.
        tracked: As in `parse_pointer`.
        stages: The `dvc.yaml` beside it, if it is a `dvc.lock`.
    """
    nothing = Naming(())
    if data is None:
        return Reading(None, f"there is no file {path}", nothing)
    try:
        if posixpath.basename(path) == LOCK:
            pointer = parse_lock(data, path=path, stages=stages)
        else:
            pointer = parse_pointer(data, path=path, tracked=tracked)
    except PointerError as error:
        return Reading(None, str(error), nothing)
    try:
        remotes = parse_config(config or b"")
    except RemoteError as error:
        return Reading(pointer, "", Naming((), problems=(f".dvc/config: {error}",)))
    return Reading(pointer, "", name_objects(pointer, remotes, manifests))


def merge(*namings: Naming) -> Naming:
    """Several namings as one."""
    return Naming(
        tuple(named for naming in namings for named in naming.objects),
        tuple(address for naming in namings for address in naming.unread),
        tuple(problem for naming in namings for problem in naming.problems),
    )


def study(expectation: Expectation, evidence: Evidence) -> Case:
    """Work out what the facts mean."""
    path, tracked = expectation.pointer_path, expectation.tracked_file
    final = final_commit(evidence.commits, expectation)
    before = evidence.before
    others = {
        other: read_pointer(
            data, evidence.config, path=other, manifests=evidence.manifests, stages=evidence.stages.get(other)
        )
        for other, data in evidence.pointers.items()
        if other != path and data is not None
    }
    # What their objects were is not judged; they may well be gone.
    earlier = {
        other: read_pointer(data, None, path=other, manifests={}, stages=evidence.earlier_stages.get(other))
        for other, data in evidence.earlier.items()
        if other != path and data is not None
    }
    unasked = (_unasked(expectation, evidence, reading, earlier.get(other)) for other, reading in others.items())
    first = read_pointer(
        before.pointer,
        before.config,
        path=path,
        manifests=before.manifests,
        tracked=tracked,
        stages=evidence.earlier_stages.get(path),
    )
    remote, remote_problem = _remote(evidence.config)

    def naming(one: RivalPointer, before: Reading | None = None) -> Naming:
        read = read_pointer(one.data, one.config, path=one.path, manifests=evidence.manifests, stages=one.stages)
        if read.problem:
            return replace(read.naming, problems=(f"{one.path} at {one.sha[:10]}: {read.problem}",))
        return _without(read.naming, _unasked(expectation, evidence, read, before))

    return Case(
        expectation=expectation,
        evidence=evidence,
        own=own_commits(evidence.commits, expectation),
        final=final,
        after=read_pointer(
            evidence.pointers.get(path),
            evidence.config,
            path=path,
            manifests=evidence.manifests,
            tracked=tracked,
            stages=evidence.stages.get(path),
        ),
        before=first if before.pointer is not None else Reading(None, "", Naming(())),
        others=others,
        earlier=earlier,
        unasked=frozenset().union(*unasked),
        rivals=merge(*map(naming, evidence.rivals)),
        passing=tuple(Passing(one.sha, one.path, naming(one, earlier.get(one.path))) for one in evidence.passing),
        remote=remote,
        remote_problem=remote_problem,
    )


def was_there(expectation: Expectation, evidence: Evidence, address: Address) -> bool:
    """Whether an object is known to have been there before the run."""
    if address.version_id is not None:
        return address in evidence.before.digests
    return address.bucket == expectation.bucket and address.key in evidence.before.listing


def _unasked(expectation: Expectation, evidence: Evidence, now: Reading, before: Reading | None) -> set[Address]:
    """Objects of outputs that the run left alone, in neither of the two listings."""
    outs_before = before.pointer.outs if before is not None and before.pointer is not None else ()
    old = {out.path: (out.content, out.remote, out.pushed) for out in outs_before}
    outs = now.pointer.outs if now.pointer else ()
    same = [out for out in outs if old.get(out.path) == (out.content, out.remote, out.pushed)]
    return {
        named.address
        for named in now.naming.objects
        if any(_inside(named, out) for out in same)
        and named.address not in evidence.digests
        and not was_there(expectation, evidence, named.address)
    }


def _inside(named: NamedObject, out: Output) -> bool:
    return named.label.startswith(f"{out.path}/") if out.is_dir else named.label == out.path


def _without(naming: Naming, unasked: Collection[Address]) -> Naming:
    objects = tuple(named for named in naming.objects if named.address not in unasked)
    return Naming(objects, naming.unread, naming.problems)


def _remote(config: bytes | None) -> tuple[Remote | None, str]:
    if config is None:
        return None, "there is no .dvc/config"
    try:
        return parse_config(config).remote(), ""
    except RemoteError as error:
        return None, str(error)
