"""Checks on the bucket: what must be there, what must still be there, what must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.dvc.case import Case, Reading, merge
from harness.dvc.checks.commit import changes
from harness.dvc.hashing import Digest
from harness.dvc.pointer import Output
from harness.dvc.remote import Address, NamedObject
from harness.dvc.rules import Finding, Rule, counted, cut

_SHOWN = 5


def _present(case: Case) -> Finding:
    named = case.named
    expected = f"{len(named.objects)} object{'s' * (len(named.objects) != 1)} where the pointer's layout puts them"
    problems = list(named.problems)
    problems += [_missing(case, wanted) for wanted in named.objects if wanted.address not in case.evidence.digests]
    for passing in case.passing:
        lost = (wanted for wanted in passing.naming.objects if wanted.address not in case.evidence.digests)
        problems += [*passing.naming.problems, *(_missing(case, wanted, at=passing.sha[:10]) for wanted in lost)]
    problems += [
        f"the folder manifest at {address} could not be read"
        for address in named.unread
        if address in case.evidence.digests
    ]
    if not named.objects and not problems:
        problems.append(f"the pointer at {case.at} names no object that a remote holds")
    if problems:
        return Finding(False, expected, cut(problems, _SHOWN), f"{cut(problems, _SHOWN)}.")
    return Finding(passed=True, expected=expected, found=cut([str(wanted.address) for wanted in named.objects], _SHOWN))


def _missing(case: Case, wanted: NamedObject, *, at: str = "") -> str:
    what = "manifest of " if wanted.manifest else ""
    start = (
        f"the pointer at {at or case.at} names md5 {wanted.md5} ({what}{wanted.label}), "
        f"but no object is at {wanted.address}"
    )
    if wanted.address in case.evidence.deleted:
        return f"{start}: it was there, and a delete marker hides it"
    seen = case.evidence.sightings.get(wanted.address)
    if seen:
        return f"{start}: dvc push went elsewhere, an object of that name is at {', '.join(seen)}"
    return f"{start}: dvc push did not happen or went elsewhere"


def _bytes(case: Case) -> Finding:
    named, digests = case.named.objects, case.evidence.digests
    wrong = []
    passing = [(one.sha[:10], wanted) for one in case.passing for wanted in one.naming.objects]
    for at, wanted in (*((case.at, wanted) for wanted in named), *passing):
        got = digests[wanted.address].named(legacy=wanted.legacy)
        if got != wanted.md5:
            wrong.append(
                f"the bytes at {wanted.address} ({wanted.label}) hash to {got}, not to {wanted.md5}: "
                f"they are not the data that the pointer at {at} names"
            )
    expected = ", ".join(wanted.md5 for wanted in named[:_SHOWN])
    found = ", ".join(digests[wanted.address].named(legacy=wanted.legacy) for wanted in named[:_SHOWN])
    return Finding(not wrong, expected, found, f"{cut(wrong, _SHOWN)}." if wrong else "")


def _size(case: Case) -> Finding:
    outs = [out for reading in (case.after, *case.others.values()) if reading.pointer for out in reading.pointer.outs]
    problems, expected, found = [], [], []
    for out in outs:
        files = [wanted for wanted in case.named.objects if not wanted.manifest and _inside(wanted.label, out)]
        # Of a folder that the run left as it was, and that is not there as a whole, nobody can tell the size.
        if not files or _in_part(case, out):
            continue
        total = sum(case.evidence.digests[wanted.address].size for wanted in files)
        found.append(f"{out.path}: {total} bytes in {len(files)} file{'s' * (len(files) != 1)}")
        expected.append(f"{out.path}: {'no size' if out.size is None else f'{out.size} bytes'}")
        problems += _size_problems(out, total, len(files))
        problems += [
            f"{wanted.label} is said to be {wanted.size} bytes, but has {case.evidence.digests[wanted.address].size}"
            for wanted in files
            if out.files is not None and wanted.size != case.evidence.digests[wanted.address].size
        ]
    why = f"the pointer at {case.at} gives a wrong size: {cut(problems, _SHOWN)}." if problems else ""
    return Finding(not problems, "; ".join(expected), "; ".join(found), why)


def _in_part(case: Case, out: Output) -> bool:
    objects = (wanted for reading in case.others.values() for wanted in reading.naming.objects)
    return any(wanted.address in case.unasked and _inside(wanted.label, out) for wanted in objects)


def _size_problems(out: Output, total: int, count: int) -> list[str]:
    problems = []
    # A folder on a version-aware remote states the sizes of its files only.
    if out.files is None and out.size is None:
        problems.append(f"{out.path} has none, though the object has {total} bytes")
    elif out.size is not None and out.size != total:
        problems.append(f"{out.path} is said to be {out.size} bytes, but the data has {total}")
    if out.nfiles is not None and out.nfiles != count:
        problems.append(f"{out.path} is said to hold {out.nfiles} files, but the manifest lists {count}")
    return problems


def _previous(case: Case) -> Finding:
    before, after = case.evidence.before, case.evidence
    naming = case.before.naming
    problems = [f"the pointer before the run is unusable: {case.before.problem}"] if case.before.problem else []
    problems += [f"before the run: {problem}" for problem in naming.problems]
    for wanted in naming.objects:
        old, now = before.digests.get(wanted.address), after.digests.get(wanted.address)
        where = f"the previous version's object at {wanted.address} ({wanted.label})"
        if old is None:
            problems.append(f"{where} was not there before the run either")
        elif now is None:
            problems.append(f"{where} is gone, so the previous commit can no longer be reproduced")
        elif now != old:
            problems.append(f"{where} was overwritten: its md5 was {old.md5} and is {now.md5}")
    known = {wanted.address.key for wanted in naming.objects if wanted.address.version_id is None}
    # On a version-aware remote a new version lies at the same key: its size may change, the old one stays readable.
    moving = {wanted.address.key for wanted in (*case.named.objects, *case.rivals.objects) if wanted.address.version_id}
    for key, size in before.listing.items():
        if key in known | moving or _allowed(case, key):
            continue
        if key not in after.listing:
            problems.append(f"the object at {_s3(case, key)} is gone")
        elif after.listing[key] != size:
            problems.append(f"the object at {_s3(case, key)} was overwritten: {size} bytes became {after.listing[key]}")
        elif after.etags.get(key) != before.etags.get(key):
            problems.append(f"the object at {_s3(case, key)} was overwritten: {size} bytes as before, but other ones")
    expected = f"{counted(len(before.listing), 'object')} of before, unchanged"
    kept = sum(1 for key in before.listing if key in after.listing)
    return Finding(not problems, expected, f"{kept} there", f"{cut(problems, _SHOWN)}." if problems else "")


def _strays(case: Case) -> Finding:
    new = set(case.evidence.listing) - set(case.evidence.before.listing)
    bucket = case.expectation.bucket
    beside = merge(case.rivals, *(passing.naming for passing in case.passing))
    named = {wanted.address for wanted in (*case.named.objects, *beside.objects)}
    keys = {address.key for address in named if address.bucket == bucket}
    # Until a rival's folder manifest is read, its files cannot be told from strays; that is red, not silent.
    strays = sorted(key for key in new - keys if not _allowed(case, key))
    what = cut([_s3(case, key) for key in strays], _SHOWN)
    why = f"the run left objects that no pointer names: {what}."
    allowed = "".join(f", {entry} (allowed)" for entry in case.expectation.policy.extra_objects)
    found = what or f"{len(new)} new, all {'named or allowed' if allowed else 'named'}"
    return Finding(not strays, f"no new object but those named{allowed}", found, why if strays else "")


def _allowed(case: Case, key: str) -> bool:
    """Whether the policy leaves this key to the DAG; objects that pointers name are judged all the same."""
    remote = f"{case.expectation.seeded.prefix}/".removeprefix("/")
    for entry in case.expectation.policy.extra_objects:
        path = remote + entry.removeprefix("./") if entry.startswith("./") else entry
        if key == path or (path.endswith("/") and key.startswith(path)):
            return True
    return False


def _filled(case: Case) -> Finding:
    tracked = case.expectation.tracked_file
    now = _total(case.after, case.evidence.digests, tracked)
    old = _total(case.before, case.evidence.before.digests, tracked)
    # What was empty before may stay so; which data is new is another check's question.
    good = bool(now) or not old
    why = f"the new version of {tracked} is empty, where the one before it had {counted(old, 'byte')}."
    return Finding(good, "data of at least one byte", counted(now, "byte"), "" if good else why)


def _total(reading: Reading, digests: Mapping[Address, Digest], tracked: str) -> int:
    """Bytes of the tracked file, or of all files of the tracked folder; other outputs make up for nothing."""
    files = [wanted for wanted in reading.naming.objects if not wanted.manifest]
    mine = [wanted.address for wanted in files if wanted.label == tracked or wanted.label.startswith(f"{tracked}/")]
    return sum(digests[address].size for address in mine if address in digests)


def _inside(label: str, out: Output) -> bool:
    return label.startswith(f"{out.path}/") if out.is_dir else label == out.path


def _s3(case: Case, key: str) -> str:
    return str(Address(case.expectation.bucket, key))


OBJECT_RULES: Final = (
    Rule("object.present", "the data is in the bucket, at the key that the pointer implies", _present,
         ("pointer.wellformed",)),
    Rule("object.bytes", "its bytes hash to the pointer's md5", _bytes, ("object.present",)),
    Rule("pointer.size", "the pointer's size is that of the data", _size, ("object.present",)),
    Rule("object.not-empty", "the new data is not empty", _filled, ("object.present",), changes),
    Rule("object.previous-kept", "the previous version, and all that was in the bucket, is still there", _previous),
    Rule("object.no-strays", "nothing else came into the bucket", _strays),
)  # fmt: skip
