"""What the checks on the bucket tell, word for word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.dvc import Address, Digest, RivalPointer

from .conftest import (
    BUCKET,
    CONFIG,
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    PREFIX,
    TRACKED,
    Facts,
    Folder,
    Told,
    address_of,
    digest_of,
    facts,
    folder_facts,
    given,
    pointer_of,
    told,
    told_of,
)

B = "b" * 10
OLD, NEW = address_of(OLD_BYTES, legacy=False), address_of(NEW_BYTES, legacy=False)
OLD_MD5, NEW_MD5 = digest_of(OLD_BYTES).md5, digest_of(NEW_BYTES).md5
DIGESTS = given()[1].digests
ONLY_OLD: dict[str, Any] = {"digests": {OLD: DIGESTS[OLD]}, "listing": {OLD.key: 15}}
WHERE = "where the pointer's layout puts them"
MISSING = f"the pointer at {B} names md5 {NEW_MD5} ({TRACKED}), but no object is at {NEW}"
THINGS = {f"{number}.csv": b"a\n%d\n" % number for number in range(7)}
ONE, TWO, SEVEN = Folder({"1.csv": OLD_BYTES}), Folder({"1.csv": OLD_BYTES, "2.csv": NEW_BYTES}), Folder(THINGS)
OTHER_MD5 = "0" * 32
DAMAGED = Digest(21, OTHER_MD5, "1" * 32)


def missing(facts: Facts, *addresses: Address) -> Facts:
    expectation, evidence = facts
    digests = {where: digest for where, digest in evidence.digests.items() if where not in addresses}
    return expectation, replace(evidence, digests=digests)


def changed(facts: Facts, **after: Any) -> Facts:
    return facts[0], replace(facts[1], **after)


def told_missing(why: str) -> Told:
    return False, f"1 object {WHERE}", f"{MISSING}: {why}", f"{MISSING}: {why}."


def seventh(name: str) -> str:
    address = address_of(THINGS[name], legacy=False)
    md5 = digest_of(THINGS[name]).md5
    return (
        f"the pointer at {B} names md5 {md5} (datasets/all/{name}), but no object is at {address}: "
        "dvc push did not happen or went elsewhere"
    )


ALL_SEVEN = [address_of(data, legacy=False) for data in THINGS.values()]
FIVE_MISSING = "; ".join(map(seventh, sorted(THINGS)[:5]))
NO_MANIFEST = (
    f"the pointer at {B} names md5 {TWO.md5} (manifest of datasets/all/), but no object is at {TWO.address}: "
    "dvc push did not happen or went elsewhere"
)
UNREAD = f"the folder manifest at {TWO.address} could not be read"
NOT_PUSHED = f"the pointer at {B} names no object that a remote holds"
C_BYTES = b"a\n3\n"
C_MD5, C_KEY = digest_of(C_BYTES).md5, address_of(C_BYTES, legacy=False)


def passing(data: bytes = pointer_of(C_BYTES, legacy=False), path: str = POINTER) -> tuple[RivalPointer, ...]:
    """A pointer as an earlier commit of the run's had it."""
    return (RivalPointer("c" * 40, path, data, CONFIG),)


C_MISSING = (
    f"the pointer at {'c' * 10} names md5 {C_MD5} ({TRACKED}), but no object is at {C_KEY}: "
    "dvc push did not happen or went elsewhere"
)
BESIDE_MISSING = C_MISSING.replace(TRACKED, "penguins.csv")
NOWHERE = f"{MISSING}: dvc push did not happen or went elsewhere"
C_UNUSABLE = f"{POINTER} at {'c' * 10}: it is empty"
PRESENT: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, f"1 object {WHERE}", str(NEW), "")),
    "an earlier commit's is": (
        given(passing=passing(), digests={**DIGESTS, C_KEY: digest_of(C_BYTES)}),
        (True, f"1 object {WHERE}", str(NEW), ""),
    ),
    "an earlier commit's is nowhere": (
        given(passing=passing()), (False, f"1 object {WHERE}", C_MISSING, f"{C_MISSING}."),
    ),
    "neither this commit's nor an earlier one's is anywhere": (
        given(**ONLY_OLD, passing=passing()),
        (False, f"1 object {WHERE}", f"{NOWHERE}; {C_MISSING}", f"{NOWHERE}; {C_MISSING}."),
    ),
    "another pointer is bound to a remote that is not there": (
        given(pointers={POINTER: pointer_of(NEW_BYTES, legacy=False),
                        "o.dvc": pointer_of(C_BYTES, legacy=False) + b"  remote: else\n"}),
        (False, f"1 object {WHERE}", "penguins.csv: .dvc/config: there is no remote 'else' in it",
         "penguins.csv: .dvc/config: there is no remote 'else' in it."),
    ),
    "an earlier commit's pointer is unusable": (
        given(passing=passing(b"")), (False, f"1 object {WHERE}", C_UNUSABLE, f"{C_UNUSABLE}."),
    ),
    "that of an earlier commit's other pointer is nowhere": (
        given(passing=passing(path="o.dvc")), (False, f"1 object {WHERE}", BESIDE_MISSING, f"{BESIDE_MISSING}."),
    ),
    "an earlier commit's other pointer is unusable": (
        given(passing=passing(b"", path="o.dvc")),
        (False, f"1 object {WHERE}", C_UNUSABLE.replace(POINTER, "o.dvc"), f"{C_UNUSABLE.replace(POINTER, 'o.dvc')}."),
    ),
    "a folder": (
        folder_facts(ONE, TWO), (True, f"3 objects {WHERE}", f"{TWO.address}; {OLD}; {NEW}", ""),
    ),
    "nowhere": (given(**ONLY_OLD), told_missing("dvc push did not happen or went elsewhere")),
    "under a delete marker": (
        given(**ONLY_OLD, deleted=frozenset({NEW})), told_missing("it was there, and a delete marker hides it"),
    ),
    "elsewhere": (
        given(**ONLY_OLD, sightings={NEW: ("s3://bucket/x", "s3://other/y")}),
        told_missing("dvc push went elsewhere, an object of that name is at s3://bucket/x, s3://other/y"),
    ),
    "a manifest is missing": (
        missing(changed(folder_facts(ONE, TWO), manifests=ONE.manifests), TWO.address),
        (False, f"1 object {WHERE}", NO_MANIFEST, f"{NO_MANIFEST}."),
    ),
    "a manifest cannot be read": (
        changed(folder_facts(ONE, TWO), manifests=ONE.manifests),
        (False, f"1 object {WHERE}", UNREAD, f"{UNREAD}."),
    ),
    "seven are missing": (
        missing(folder_facts(ONE, SEVEN), *ALL_SEVEN),
        (False, f"8 objects {WHERE}", f"{FIVE_MISSING}; and 2 more", f"{FIVE_MISSING}; and 2 more."),
    ),
    "six are missing": (
        missing(folder_facts(ONE, SEVEN), *ALL_SEVEN[:6]),
        (False, f"8 objects {WHERE}", f"{FIVE_MISSING}; and 1 more", f"{FIVE_MISSING}; and 1 more."),
    ),
    "five are missing": (
        missing(folder_facts(ONE, SEVEN), *ALL_SEVEN[:5]),
        (False, f"8 objects {WHERE}", FIVE_MISSING, f"{FIVE_MISSING}."),
    ),
    "the configuration names no remote": (
        given(config=b""),
        (False, f"0 objects {WHERE}", f"{TRACKED}: .dvc/config: it names no default remote (core.remote)",
         f"{TRACKED}: .dvc/config: it names no default remote (core.remote)."),
    ),
    "the configuration cannot be read": (
        given(config=b"x"),
        (False, f"0 objects {WHERE}",
         ".dvc/config: it cannot be read (File contains no section headers. file: '<string>', line: 1 'x')",
         ".dvc/config: it cannot be read (File contains no section headers. file: '<string>', line: 1 'x')."),
    ),
    "a problem of one output does not hide the missing object of another": (
        given(**ONLY_OLD, pointers={POINTER: pointer_of(NEW_BYTES, legacy=False) + (
            f"- md5: {OLD_MD5}\n  hash: md5\n  path: b\n  remote: else\n".encode()
        )}),
        (False, f"1 object {WHERE}",
         (f"datasets/b: .dvc/config: there is no remote 'else' in it; {MISSING}: "
         "dvc push did not happen or went elsewhere"),
         (f"datasets/b: .dvc/config: there is no remote 'else' in it; {MISSING}: "
         "dvc push did not happen or went elsewhere.")),
    ),
    "nothing that a remote holds": (
        given(expect={"pointer_file": "p/dvc.lock"}, pointers={"p/dvc.lock": (
            f"stages: {{a: {{outs: [{{md5: {OLD_MD5}, path: a, push: false}}]}}}}".encode()
        )}),
        (False, f"0 objects {WHERE}", NOT_PUSHED, f"{NOT_PUSHED}."),
    ),
}  # fmt: skip
NOT_THE_DATA = f"they are not the data that the pointer at {B} names"
BYTES: dict[str, tuple[Facts, Told]] = {
    "they do": (given(), (True, NEW_MD5, NEW_MD5, "")),
    "an earlier commit's are damaged": (
        given(passing=passing(), digests={**DIGESTS, C_KEY: DAMAGED}),
        (False, NEW_MD5, NEW_MD5,
         (f"the bytes at {C_KEY} ({TRACKED}) hash to {OTHER_MD5}, not to {C_MD5}: they are not the data that the "
          f"pointer at {'c' * 10} names.")),
    ),
    "those of an earlier commit's other pointer are damaged": (
        given(passing=passing(path="o.dvc"), digests={**DIGESTS, C_KEY: DAMAGED}),
        (False, NEW_MD5, NEW_MD5,
         (f"the bytes at {C_KEY} (penguins.csv) hash to {OTHER_MD5}, not to {C_MD5}: they are not the data that the "
          f"pointer at {'c' * 10} names.")),
    ),
    "of a legacy pointer": (
        facts(new_legacy=True), (True, digest_of(NEW_BYTES).md5_legacy, digest_of(NEW_BYTES).md5_legacy, ""),
    ),
    "two damaged ones of three": (
        changed(folder_facts(ONE, TWO), digests={**ONE.digests, **TWO.digests, OLD: DAMAGED, NEW: DAMAGED}),
        (False, f"{TWO.md5}, {OLD_MD5}, {NEW_MD5}", f"{TWO.md5}, {OTHER_MD5}, {OTHER_MD5}",
         (f"the bytes at {OLD} (datasets/all/1.csv) hash to {OTHER_MD5}, not to {OLD_MD5}: {NOT_THE_DATA}; "
         f"the bytes at {NEW} (datasets/all/2.csv) hash to {OTHER_MD5}, not to {NEW_MD5}: {NOT_THE_DATA}.")),
    ),
}  # fmt: skip


def sized(stated: str) -> Facts:
    return folder_facts(ONE, Folder({"1.csv": OLD_BYTES, "2.csv": NEW_BYTES}, stated=stated))


def versioned(size: int, *, stated: str = "") -> Facts:
    """A folder of two files on a version-aware remote, the second said to have this size."""
    key = f"{PREFIX}/{TRACKED}"
    pointer = (
        f"outs:\n- hash: md5\n{stated}  path: penguins.csv\n  files:\n"
        f"  - {{relpath: a, md5: {OLD_MD5}, size: 15, cloud: {{store: {{version_id: v1}}}}}}\n"
        f"  - {{relpath: b, md5: {NEW_MD5}, size: {size}, cloud: {{store: {{version_id: v2}}}}}}\n"
    )
    digests = {
        OLD: DIGESTS[OLD], Address(BUCKET, f"{key}/a", "v1"): DIGESTS[OLD],
        Address(BUCKET, f"{key}/b", "v2"): DIGESTS[NEW],
    }  # fmt: skip
    return given(pointers={POINTER: pointer.encode()}, digests=digests)


WRONG = f"the pointer at {B} gives a wrong size: "
UNSTATED = pointer_of(NEW_BYTES, legacy=False).replace(b"  size: 21\n", b"")
TWO_OUTS = (
    pointer_of(NEW_BYTES, legacy=False)
    + (
        f"- md5: {OLD_MD5}\n  size: 1\n  hash: md5\n  path: b\n  push: false\n"
        f"- md5: {OLD_MD5}\n  size: 16\n  hash: md5\n  path: c\n"
    ).encode()
)
SIZE: dict[str, tuple[Facts, Told]] = {
    "right": (given(), (True, f"{TRACKED}: 21 bytes", f"{TRACKED}: 21 bytes in 1 file", "")),
    "not stated": (
        given(pointers={POINTER: UNSTATED}),
        (False, f"{TRACKED}: no size", f"{TRACKED}: 21 bytes in 1 file",
         f"{WRONG}{TRACKED} has none, though the object has 21 bytes."),
    ),
    "of a folder": (
        folder_facts(ONE, TWO), (True, "datasets/all: 36 bytes", "datasets/all: 36 bytes in 2 files", ""),
    ),
    "of a folder, wrong in both figures": (
        sized("  size: 35\n  nfiles: 3\n"),
        (False, "datasets/all: 35 bytes", "datasets/all: 36 bytes in 2 files",
         (f"{WRONG}datasets/all is said to be 35 bytes, but the data has 36; "
         "datasets/all is said to hold 3 files, but the manifest lists 2.")),
    ),
    "of the last of several outputs, one of them on no remote": (
        given(pointers={POINTER: TWO_OUTS}),
        (False, f"{TRACKED}: 21 bytes; datasets/c: 16 bytes",
         f"{TRACKED}: 21 bytes in 1 file; datasets/c: 15 bytes in 1 file",
         f"{WRONG}datasets/c is said to be 16 bytes, but the data has 15."),
    ),
    "of another pointer": (
        given(pointers={POINTER: UNSTATED, "b.dvc": pointer_of(OLD_BYTES, legacy=False).replace(b"15", b"14")}),
        (False, f"{TRACKED}: no size; penguins.csv: 14 bytes",
         f"{TRACKED}: 21 bytes in 1 file; penguins.csv: 15 bytes in 1 file",
         (f"{WRONG}{TRACKED} has none, though the object has 21 bytes; "
         "penguins.csv is said to be 14 bytes, but the data has 15.")),
    ),
    "in a folder's list": (
        versioned(21), (True, f"{TRACKED}: no size", f"{TRACKED}: 36 bytes in 2 files", ""),
    ),
    "wrong in a folder's list": (
        versioned(20),
        (False, f"{TRACKED}: no size", f"{TRACKED}: 36 bytes in 2 files",
         f"{WRONG}{TRACKED}/b is said to be 20 bytes, but has 21."),
    ),
    "stated over a folder's list, and wrong": (
        versioned(21, stated="  size: 30\n"),
        (False, f"{TRACKED}: 30 bytes", f"{TRACKED}: 36 bytes in 2 files",
         f"{WRONG}{TRACKED} is said to be 30 bytes, but the data has 36."),
    ),
}  # fmt: skip
EXTRA = f"{PREFIX}/extra"
BEFORE = {OLD.key: 15, EXTRA: 3}
LOST = f"the previous version's object at {OLD} ({TRACKED})"
OLD_CLOUD = pointer_of(OLD_BYTES, legacy=False) + b"  cloud: {store: {version_id: v1}}\n"
CLOUD_KEY = f"{PREFIX}/{TRACKED}"
PREVIOUS: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, "1 object of before, unchanged", "1 there", "")),
    "gone": (
        given(digests={NEW: DIGESTS[NEW]}, listing={NEW.key: 21}),
        (False, "1 object of before, unchanged", "0 there",
         f"{LOST} is gone, so the previous commit can no longer be reproduced."),
    ),
    "overwritten": (
        given(digests={**DIGESTS, OLD: DAMAGED}),
        (False, "1 object of before, unchanged", "1 there",
         f"{LOST} was overwritten: its md5 was {OLD_MD5} and is {OTHER_MD5}."),
    ),
    "never there": (
        given(before={"digests": {}}),
        (False, "1 object of before, unchanged", "1 there", f"{LOST} was not there before the run either."),
    ),
    "no pointer before": (
        given(before={"pointer": None}), (True, "1 object of before, unchanged", "1 there", ""),
    ),
    "a broken pointer before, and another object gone": (
        given(before={"pointer": b"", "listing": BEFORE}),
        (False, "2 objects of before, unchanged", "1 there",
         f"the pointer before the run is unusable: it is empty; the object at s3://bucket/{EXTRA} is gone."),
    ),
    "a broken configuration before": (
        given(before={"config": None}),
        (False, "1 object of before, unchanged", "1 there",
         f"before the run: {TRACKED}: .dvc/config: it names no default remote (core.remote)."),
    ),
    "another object overwritten": (
        given(before={"listing": BEFORE}, listing={OLD.key: 15, NEW.key: 21, EXTRA: 4}),
        (False, "2 objects of before, unchanged", "2 there",
         f"the object at s3://bucket/{EXTRA} was overwritten: 3 bytes became 4."),
    ),
    "another object kept": (
        given(before={"listing": BEFORE}, listing={OLD.key: 15, NEW.key: 21, EXTRA: 3}),
        (True, "2 objects of before, unchanged", "2 there", ""),
    ),
    "another object kept, and its content too": (
        given(before={"listing": BEFORE, "etags": {EXTRA: '"1"'}}, listing={OLD.key: 15, NEW.key: 21, EXTRA: 3},
              etags={EXTRA: '"1"'}),
        (True, "2 objects of before, unchanged", "2 there", ""),
    ),
    "a member of a folder gone": (
        missing(folder_facts(TWO, ONE), NEW),
        (False, "3 objects of before, unchanged", "3 there",
         (f"the previous version's object at {NEW} (datasets/all/2.csv) is gone, "
         "so the previous commit can no longer be reproduced.")),
    ),
    "at the same key on a version-aware remote, where the old version stays": (
        given(
            before={"pointer": OLD_CLOUD, "listing": {CLOUD_KEY: 15},
                    "digests": {Address(BUCKET, CLOUD_KEY, "v1"): DIGESTS[OLD]}},
            pointers={POINTER: pointer_of(NEW_BYTES, legacy=False) + b"  cloud: {store: {version_id: v2}}\n"},
            digests={Address(BUCKET, CLOUD_KEY, "v1"): DIGESTS[OLD], Address(BUCKET, CLOUD_KEY, "v2"): DIGESTS[NEW]},
            listing={CLOUD_KEY: 21},
        ),
        (True, "1 object of before, unchanged", "1 there", ""),
    ),
    "on a version-aware remote its key is gone, though nothing newer is to be there": (
        given(
            before={"pointer": OLD_CLOUD, "listing": {CLOUD_KEY: 15},
                    "digests": {Address(BUCKET, CLOUD_KEY, "v1"): DIGESTS[OLD]}},
            digests={Address(BUCKET, CLOUD_KEY, "v1"): DIGESTS[OLD], NEW: DIGESTS[NEW]},
        ),
        (False, "1 object of before, unchanged", "0 there", f"the object at s3://bucket/{CLOUD_KEY} is gone."),
    ),
}  # fmt: skip
EMPTY = address_of(b"", legacy=False)
SOME = "data of at least one byte"
EMPTIED = folder_facts(TWO, Folder({"1.csv": b"", "2.csv": NEW_BYTES}))


def emptied_beside(path: str) -> Facts:
    """The tracked file lost its 15 bytes, while another output of the pointer kept its own."""
    another = f"- md5: {NEW_MD5}\n  size: 21\n  hash: md5\n  path: {path}\n".encode()
    before = {"pointer": pointer_of(OLD_BYTES, legacy=False) + another, "digests": DIGESTS}
    pointers = {POINTER: pointer_of(b"", legacy=False) + another}
    return given(before=before, pointers=pointers, digests={**DIGESTS, EMPTY: digest_of(b"")})


NOT_EMPTY: dict[str, tuple[Facts, Told]] = {
    "it is not": (given(), (True, SOME, "21 bytes", "")),
    "one byte": (
        given(pointers={POINTER: pointer_of(b"1", legacy=False)},
              listing={OLD.key: 15, address_of(b"1", legacy=False).key: 1},
              digests={OLD: DIGESTS[OLD], address_of(b"1", legacy=False): digest_of(b"1")}),
        (True, SOME, "1 byte", ""),
    ),
    "it became so": (
        given(pointers={POINTER: pointer_of(b"", legacy=False)}, listing={OLD.key: 15, EMPTY.key: 0},
              digests={OLD: DIGESTS[OLD], EMPTY: digest_of(b"")}),
        (False, SOME, "0 bytes", f"the new version of {TRACKED} is empty, where the one before it had 15 bytes."),
    ),
    "it was so before": (
        given(before={"pointer": pointer_of(b"", legacy=False), "digests": {EMPTY: digest_of(b"")}},
              pointers={POINTER: pointer_of(b"", legacy=False)}, listing={EMPTY.key: 0},
              digests={EMPTY: digest_of(b"")}),
        (True, SOME, "0 bytes", ""),
    ),
    "a folder's list is not its data": (
        folder_facts(TWO, Folder({"1.csv": b"", "2.csv": b""})),
        (False, SOME, "0 bytes", "the new version of datasets/all is empty, where the one before it had 36 bytes."),
    ),
    "a folder's files count together": (folder_facts(ONE, TWO), (True, SOME, "36 bytes", "")),
    "it became so, and another output did not": (
        emptied_beside("b.csv"),
        (False, SOME, "0 bytes", f"the new version of {TRACKED} is empty, where the one before it had 15 bytes."),
    ),
    "one file of a folder became so, and the others did not": (
        (replace(EMPTIED[0], tracked_file="datasets/all/1.csv", pointer_file="datasets/all.dvc"), EMPTIED[1]),
        (False, SOME, "0 bytes",
         "the new version of datasets/all/1.csv is empty, where the one before it had 15 bytes."),
    ),
    "another whose name begins like its own is another": (
        emptied_beside("penguins.csv.old"),
        (False, SOME, "0 bytes", f"the new version of {TRACKED} is empty, where the one before it had 15 bytes."),
    ),
}  # fmt: skip
STRAYS: dict[str, tuple[Facts, Told]] = {
    "none": (given(), (True, "no new object but those named", "1 new, all named", "")),
    "an earlier commit's pointer names it": (
        given(passing=passing(), listing={OLD.key: 15, NEW.key: 21, C_KEY.key: 4}),
        (True, "no new object but those named", "2 new, all named", ""),
    ),
    "another pointer of an earlier commit names it": (
        given(passing=passing(path=f"{TRACKED}.other.dvc"), listing={OLD.key: 15, NEW.key: 21, C_KEY.key: 4}),
        (True, "no new object but those named", "2 new, all named", ""),
    ),
    "two": (
        given(listing={OLD.key: 15, NEW.key: 21, f"{PREFIX}/y": 1, EXTRA: 1}),
        (False, "no new object but those named", f"s3://bucket/{EXTRA}; s3://bucket/{PREFIX}/y",
         f"the run left objects that no pointer names: s3://bucket/{EXTRA}; s3://bucket/{PREFIX}/y."),
    ),
    "none, where the policy allows two": (
        given(policy={"extra_objects": ("a/", "b.csv")}),
        (True, "no new object but those named, a/ (allowed), b.csv (allowed)", "1 new, all named or allowed", ""),
    ),
    "what lies in another bucket under that key does not excuse it": (
        given(config=CONFIG.replace(b"s3://bucket/", b"s3://other/")),
        (False, "no new object but those named", str(NEW), f"the run left objects that no pointer names: {NEW}."),
    ),
}  # fmt: skip


@told_of(
    {
        "object.present": PRESENT,
        "object.bytes": BYTES,
        "pointer.size": SIZE,
        "object.not-empty": NOT_EMPTY,
        "object.previous-kept": PREVIOUS,
        "object.no-strays": STRAYS,
    }
)
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(check: str, facts: Facts, expected: Told) -> None:
    assert told(check, facts) == expected
