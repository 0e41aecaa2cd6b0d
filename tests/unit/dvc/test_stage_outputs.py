"""Which objects of the stages in a `dvc.lock` must be there: not those that a fresh prefix has never had."""

from __future__ import annotations

from typing import Any

import pytest

from harness.dvc import Address, Digest, RivalPointer, judge

from .conftest import (
    BUCKET,
    CONFIG,
    NEW,
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    PREFIX,
    RIVAL,
    SEED,
    Facts,
    Folder,
    address_of,
    commit,
    given,
    pointer_of,
)

B = "b" * 10
LOCK = "dvc.lock"
BESIDE: dict[str, Any] = {"policy": {"extra_paths": (LOCK,)}, "stages": {LOCK: None}}


def locked(first: str, second: str) -> bytes:
    """A lock file with two outputs of these md5."""
    outs = ", ".join(
        f"{{path: {path}, hash: md5, md5: {md5}, size: 15}}" for path, md5 in (("f", first), ("s", second))
    )
    return f"stages: {{a: {{outs: [{outs}]}}}}".encode()


def stages_run(was: bytes, now: bytes, *, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Facts:
    """A run that writes a lock file; which of its outputs' objects were and are there."""
    _, evidence = given()
    there = {Address(BUCKET, f"{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}"): Digest(15, md5, md5) for md5 in after}
    listed = {f"{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}": 15 for md5 in before}
    return given(
        pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), LOCK: now}, earlier={LOCK: was}, **BESIDE,
        before={"listing": {**evidence.before.listing, **listed}}, digests={**evidence.digests, **there},
        listing={**evidence.listing, **{address.key: 15 for address in there}},
        commits=(commit(NEW, SEED, paths=(POINTER, LOCK)),),
    )  # fmt: skip


ONE_MD5, TWO_MD5, THREE_MD5 = "a1" * 16, "b2" * 16, "c3" * 16
WAS, NOW = locked(ONE_MD5, TWO_MD5), locked(ONE_MD5, THREE_MD5)


def absent(md5: str, label: str) -> str:
    at = f"s3://{BUCKET}/{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}"
    return f"the pointer at {B} names md5 {md5} ({label}), but no object is at {at}: dvc push did not happen"


# Which are there before and after, and what is missing then.
STAGES: dict[str, tuple[Facts, str]] = {
    "all are": (stages_run(WAS, NOW, before=(ONE_MD5, TWO_MD5), after=(ONE_MD5, TWO_MD5, THREE_MD5)), ""),
    "the one that the run left as it was never was": (stages_run(WAS, NOW, after=(THREE_MD5,)), ""),
    "the one that the run left as it was came with it": (stages_run(WAS, NOW, after=(ONE_MD5, THREE_MD5)), ""),
    "the one that the run left as it was is lost": (
        stages_run(WAS, NOW, before=(ONE_MD5,), after=(THREE_MD5,)), absent(ONE_MD5, "f"),
    ),
    "the new one is not": (stages_run(WAS, NOW), absent(THREE_MD5, "s")),
    "of a new lock file none need have been": (stages_run(b"", NOW, after=(THREE_MD5,)), absent(ONE_MD5, "f")),
    "one was kept out before": (
        stages_run(WAS.replace(b"path: f,", b"path: f, push: false,"), NOW, after=(THREE_MD5,)), absent(ONE_MD5, "f"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_of_the_outputs_of_stages_those_must_be_there_that_are_new_or_were_there(name: str) -> None:
    facts, why = STAGES[name]
    verdict = judge(*facts)
    found = {check.id: check.explanation for check in verdict.failures if check.evaluated}
    assert set(found) <= {"object.present", "object.previous-kept"}
    assert found.get("object.present", "").startswith(why)
    assert bool(why) == ("object.present" in found)


@pytest.mark.parametrize(("there", "why"), [((TWO_MD5, THREE_MD5), ""), ((THREE_MD5,), "names md5 " + TWO_MD5)])
def test_of_an_earlier_commits_stages_the_same_is_asked(there: tuple[str, ...], why: str) -> None:
    """The first of the outputs never was in the fresh prefix, and the run leaves it as it was."""
    was, passed = locked(ONE_MD5, "d4" * 16), locked(ONE_MD5, TWO_MD5)
    _, evidence = stages_run(was, NOW, after=there)
    commits = (commit(RIVAL, SEED, paths=(LOCK,)), commit(NEW, RIVAL, paths=(POINTER, LOCK)))
    kept = {name: getattr(evidence, name) for name in ("pointers", "earlier", "stages", "digests", "listing")}
    passing = (RivalPointer(RIVAL, LOCK, passed, CONFIG),)
    verdict = judge(*given(policy={"commits": 2, "extra_paths": (LOCK,)}, commits=commits, passing=passing, **kept))
    assert verdict.green is not bool(why)
    assert why in verdict.headline


def test_no_size_is_asked_of_a_folder_that_is_not_there_as_a_whole() -> None:
    folder = Folder({"1.csv": OLD_BYTES, "2.csv": b"elsewhere"})
    lost = address_of(b"elsewhere", legacy=False)
    entry = f"{{path: all, hash: md5, md5: {folder.md5}.dir, size: 24, nfiles: 2}}"
    lock = f"stages: {{a: {{outs: [{entry}, {{path: s, hash: md5, md5: %s, size: 15}}]}}}}"
    _, evidence = given()
    third = Address(BUCKET, f"{PREFIX}/files/md5/c3/{THREE_MD5[2:]}")
    digests = {**evidence.digests, **folder.digests, third: Digest(15, THREE_MD5, THREE_MD5)}
    digests.pop(lost)
    listing = {address.key: digest.size for address, digest in digests.items()}
    verdict = judge(
        *given(
            pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), LOCK: (lock % THREE_MD5).encode()},
            earlier={LOCK: (lock % TWO_MD5).encode()}, **BESIDE, manifests=folder.manifests, digests=digests,
            listing=listing, commits=(commit(NEW, SEED, paths=(POINTER, LOCK)),),
        )
    )  # fmt: skip
    assert verdict.green, verdict.headline
