"""What must hold whatever breaks: read afresh from outside after each fault, and judged by pure functions.

Every commit of every branch is read, not the tip alone, and every object of the remote, named or not: half an object
under a right key would be taken for a whole one by the next `dvc push`, which never sends what is there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.dvc import GitAccess
from harness.dvc.bucket import ObjectMissing, ObjectStore
from harness.dvc.case import Reading, read_pointer
from harness.dvc.evidence import DVC_CONFIG
from harness.dvc.hashing import Digest, digest
from harness.dvc.pointer import is_pointer_path
from harness.dvc.remote import Address
from harness.dvc.repository import Repository
from harness.dvc.table import TableError, compare_tables
from harness.process import Runner

INVARIANTS: Final = {
    "history.grew": "what a branch or tag once held, it holds",
    "pointer.whole": "every pointer of every commit is one that DVC reads",
    "object.present": "every object that any commit names is there",
    "object.bytes": "its bytes are those that the commit names",
    "pointer.size": "and as many as it says",
    "object.whole": "every object of the remote holds the bytes that its key promises",
    "rows.once": "one new row for each run that succeeded, none for one that failed; the old ones stand",
    "commits.once": "one commit for each run that succeeded, none for one that failed",
}
_KEY: Final = re.compile(r"(?P<prefix>.*/files/md5)/(?P<first>[0-9a-f]{2})/(?P<rest>[0-9a-f]{30})(?:\.dir)?")


@dataclass(frozen=True)
class Look:
    """All that a repository and its remote hold.

    Attributes:
        refs: Commit by full ref name.
        history: Commits that a ref holds, by ref.
        authors: E-mail address by commit.
        pointers: Bytes by (commit, path), of every commit that any ref holds.
        configs: `.dvc/config` by commit.
        digests: Of every object under the remote's prefix, and of every one that a pointer names.
        manifests: Bytes of folder manifests.
        table: The tracked data at the branch's tip; None where it cannot be had.
    """

    refs: Mapping[str, str]
    history: Mapping[str, frozenset[str]]
    authors: Mapping[str, str]
    pointers: Mapping[tuple[str, str], bytes]
    configs: Mapping[str, bytes | None]
    digests: Mapping[Address, Digest]
    manifests: Mapping[Address, bytes]
    table: bytes | None


@dataclass(frozen=True)
class Done:
    """What should have come of the time between two looks.

    Attributes:
        successes: Runs that Airflow calls successful.
        rival_rows: Rows that somebody else's commits have added.
        under_way: Runs that are not over: each may have published its version by now, or not.
    """

    successes: int
    rival_rows: int = 0
    under_way: int = 0

    @property
    def versions(self) -> range:
        """As many versions may have been published."""
        return range(self.successes, self.successes + self.under_way + 1)

    def __str__(self) -> str:
        """Such as "1 runs succeeded and 1 were under way"."""
        return f"{self.successes} runs succeeded" + (f" and {self.under_way} were under way" if self.under_way else "")


@dataclass(frozen=True)
class Reader:
    """Reads a `Look`; everything from a fresh clone and from the bucket, nothing kept between two.

    Attributes:
        runner: Runs git.
        access: The Git remote.
        store: The object store.
        bucket: Of the DVC remote.
        prefix: Its key prefix there.
        branch: The branch that runs write.
        tracked_file: Path in the repository.
        workspace: An existing folder.
    """

    runner: Runner
    access: GitAccess
    store: ObjectStore
    bucket: str
    prefix: str
    branch: str
    tracked_file: str
    workspace: Path

    def look(self) -> Look:
        """Raises `EnvironmentFailed` where the Git server or the store does not answer."""
        with tempfile.TemporaryDirectory(prefix="look-", dir=self.workspace) as folder:
            mirror = Path(folder) / "mirror.git"
            repository = Repository.clone(self.runner, self.access, mirror)
            refs = repository.refs()
            commits = repository.commits(set(refs.values()), without=())
            parents = {one.sha: one.parents for one in commits}
            history = {ref: _ancestry(sha, parents) for ref, sha in refs.items()}
            paths = {one.sha: self._paths(mirror, one.sha) for one in commits}
            repository.read_all((sha, path) for sha, found in paths.items() for path in (*found, DVC_CONFIG))
            pointers = {
                (one.sha, path): data
                for one in commits
                for path in paths[one.sha]
                if is_pointer_path(path) and (data := repository.read(one.sha, path)) is not None
            }
            configs = {one.sha: repository.read(one.sha, DVC_CONFIG) for one in commits}
        keys = self.store.inventory(self.bucket).sizes
        addresses = {Address(self.bucket, key) for key in keys if key.startswith(f"{self.prefix}/")}
        manifests: dict[Address, bytes] = {}
        for (sha, path), data in pointers.items():
            naming = read_pointer(data, configs[sha], path=path, manifests=manifests).naming
            for address in naming.unread:
                manifests |= self._read(address)
            named = read_pointer(data, configs[sha], path=path, manifests=manifests).naming
            addresses |= {one.address for one in named.objects}
        contents = {address: data for address in addresses for data in self._read(address).values()}
        digests = {address: digest([data]) for address, data in contents.items()}
        return Look(
            refs=refs,
            history=history,
            authors={one.sha: one.email for one in commits},
            pointers=pointers,
            configs=configs,
            digests=digests,
            manifests=manifests,
            table=self._table(refs, pointers, configs, contents),
        )

    def _paths(self, mirror: Path, sha: str) -> list[str]:
        """Of all files of a commit."""
        command = ["git", f"--git-dir={mirror}", "ls-tree", "-r", "-z", "--name-only", sha]
        listed = self.runner.run(command, env=self.access.env, cwd=mirror).stdout
        return [path for path in listed.split("\0") if path]

    def _read(self, address: Address) -> dict[Address, bytes]:
        try:
            return {address: b"".join(self.store.read(address))}
        except ObjectMissing:
            return {}  # `violations` says so

    def _table(
        self,
        refs: Mapping[str, str],
        pointers: Mapping[tuple[str, str], bytes],
        configs: Mapping[str, bytes | None],
        contents: Mapping[Address, bytes],
    ) -> bytes | None:
        tip, path = refs.get(f"refs/heads/{self.branch}"), f"{self.tracked_file}.dvc"
        if tip is None:
            return None
        naming = read_pointer(pointers.get((tip, path)), configs[tip], path=path, manifests={}).naming
        return contents.get(naming.objects[0].address) if naming.objects else None


def _ancestry(tip: str, parents: Mapping[str, Sequence[str]]) -> frozenset[str]:
    found, waiting = set[str](), [tip]
    while waiting:
        if (sha := waiting.pop()) not in found:
            found.add(sha)
            waiting.extend(parents[sha])
    return frozenset(found)


def violations(before: Look, after: Look, done: Done, *, author: str) -> dict[str, str]:
    """Every invariant that does not hold, with what is wrong; empty where all do.

    Args:
        before: Before the fault.
        after: When the run has ended.
        done: What should have come of it.
        author: E-mail address of the pipeline's commits.
    """
    found: dict[str, list[str]] = {}
    for code, sentence in _all(before, after, done, author):
        found.setdefault(code, []).append(sentence)
    return {code: "; ".join(found[code]) for code in INVARIANTS if code in found}


def _all(before: Look, after: Look, done: Done, author: str) -> Iterator[tuple[str, str]]:
    for ref, old in before.refs.items():
        if old not in after.history.get(ref, frozenset()):
            yield "history.grew", f"{ref} held {old[:10]}, and does not any more"
    yield from _pointers(after)
    for address, real in after.digests.items():
        key = _KEY.fullmatch(address.key)
        if key is not None and real.md5 != key["first"] + key["rest"]:
            yield "object.whole", f"the bytes at {address} have md5 {real.md5}"
    yield from (("rows.once", problem) for problem in _rows(before, after, done))
    new = [sha for sha in after.authors.keys() - before.authors.keys() if after.authors[sha] == author]
    if len(new) not in done.versions:
        yield "commits.once", f"{len(new)} new commits of the pipeline's, where {done}"


def _pointers(after: Look) -> Iterator[tuple[str, str]]:
    for (sha, path), data in after.pointers.items():
        reading = read_pointer(data, after.configs[sha], path=path, manifests=after.manifests)
        yield from (("pointer.whole", f"at {sha[:10]}: {problem}") for problem in _unread(reading))
        for named in reading.naming.objects:
            where = f"{path} at {sha[:10]} names md5 {named.md5}"
            real = after.digests.get(named.address)
            if real is None:
                yield "object.present", f"{where}, but no object is at {named.address}"
            elif real.named(legacy=named.legacy) != named.md5:
                yield "object.bytes", f"{where}, but the bytes at {named.address} have md5 {real.md5}"
            elif named.size not in {None, real.size}:
                yield "pointer.size", f"{where} and {named.size} bytes, but there are {real.size}"


def _unread(reading: Reading) -> list[str]:
    return [reading.problem] if reading.pointer is None else list(reading.naming.problems)


def _rows(before: Look, after: Look, done: Done) -> Iterator[str]:
    if before.table is None or after.table is None:
        yield "the table at the branch's tip cannot be had"
        return
    try:
        compared = compare_tables([before.table], [after.table])
    except TableError as error:
        yield str(error)
        return
    if compared.difference or compared.ragged:
        yield compared.difference or compared.ragged or ""
    added = compared.new_rows - compared.old_rows
    if added - done.rival_rows not in done.versions:
        others = f" and others added {done.rival_rows}" if done.rival_rows else ""
        yield f"{added} new rows, where {done}{others}"
