"""What the checks on the data tell, word for word."""

from __future__ import annotations

from harness.dvc import Digest, Reproduction
from harness.dvc.table import TableComparison

from .conftest import (
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    TRACKED,
    Facts,
    Folder,
    Told,
    digest_of,
    facts,
    folder_facts,
    given,
    pointer_of,
    told,
    told_of,
)

B = "b" * 10
ONE, TWO = Folder({"1.csv": OLD_BYTES}), Folder({"1.csv": OLD_BYTES, "2.csv": NEW_BYTES})
NEW, LEGACY = digest_of(NEW_BYTES), digest_of(NEW_BYTES).md5_legacy
OTHER = Digest(1, "0" * 32, "1" * 32)
ONE_MORE = "the old rows and 1 more"


def table(old: int, new: int, difference: str | None = None, ragged: str | None = None) -> TableComparison:
    return TableComparison(old, new, difference, ragged)


ROWS: dict[str, tuple[Facts, Told]] = {
    "one more": (given(), (True, ONE_MORE, "1 rows became 2", "")),
    "none wanted, none added": (
        given(policy={"new_rows": 0}, table=table(1, 1)), (True, "the old rows and 0 more", "1 rows became 1", ""),
    ),
    "two added": (
        given(table=table(1, 3)),
        (False, ONE_MORE, "1 rows became 3", f"the run added 2 rows to {TRACKED} where 1 is the rule."),
    ),
    "an old one changed": (
        given(table=table(1, 2, "row 1 was a and is b")),
        (False, ONE_MORE, "1 rows became 2", f"old rows of {TRACKED} changed: row 1 was a and is b."),
    ),
    "half a row": (
        given(table=table(1, 2, None, "row 2 has 1 cells, the header 2")),
        (False, ONE_MORE, "1 rows became 2", f"{TRACKED} is damaged: row 2 has 1 cells, the header 2."),
    ),
    "no table": (
        given(table=None, table_problem="the new data is not a CSV table"),
        (False, ONE_MORE, "no comparison",
         f"the rows of {TRACKED} could not be compared: the new data is not a CSV table."),
    ),
    "no table, and nobody knows why": (
        given(table=None),
        (False, ONE_MORE, "no comparison", f"the rows of {TRACKED} could not be compared: no table was read."),
    ),
}  # fmt: skip
GIVES_ONE = f"git clone + dvc pull at {B} give 1 file with those md5"
DIFFERS = f"a clean clone at {B} does not reproduce the data: "
BOUND = pointer_of(NEW_BYTES, legacy=False) + b"  remote: else\n"


def pulled(**files: Digest) -> Facts:
    return given(reproduction=Reproduction(0, "", {TRACKED if name == "it" else name: files[name] for name in files}))


REPRODUCES: dict[str, tuple[Facts, Told]] = {
    "it does": (given(), (True, GIVES_ONE, "1 file", "")),
    "a legacy pointer": (facts(new_legacy=True), (True, GIVES_ONE, "1 file", "")),
    "a folder": (
        folder_facts(ONE, TWO), (True, f"git clone + dvc pull at {B} give 2 files with those md5", "2 files", ""),
    ),
    "not tried": (
        given(reproduction=None),
        (False, GIVES_ONE, "not tried", "no clean clone was tried, so nobody knows whether it works."),
    ),
    "dvc pull fails": (
        given(reproduction=Reproduction(255, "no such key", {})),
        (False, GIVES_ONE, "exit code 255",
         f"in a clean clone at {B}, dvc pull ended with exit code 255: no such key"),
    ),
    "dvc pull fails without a word": (
        given(reproduction=Reproduction(1, "", {})),
        (False, GIVES_ONE, "exit code 1", f"in a clean clone at {B}, dvc pull ended with exit code 1: it said nothing"),
    ),
    "not there, and another is": (
        pulled(other=NEW),
        (False, GIVES_ONE, "1 file",
         f"{DIFFERS}{TRACKED} is not there; other is there, though no pointer names it."),
    ),
    "other bytes": (
        pulled(it=OTHER),
        (False, GIVES_ONE, "1 file", f"{DIFFERS}{TRACKED} hashes to {OTHER.md5}, not to {NEW.md5}."),
    ),
    "other bytes behind a legacy pointer": (
        given(pointers={POINTER: pointer_of(NEW_BYTES, legacy=True)},
              reproduction=Reproduction(0, "", {TRACKED: OTHER})),
        (False, GIVES_ONE, "1 file", f"{DIFFERS}{TRACKED} hashes to {OTHER.md5_legacy}, not to {LEGACY}."),
    ),
    "four are too many to list": (
        pulled(a=NEW, b=NEW, c=NEW),
        (False, GIVES_ONE, "3 files",
         (f"{DIFFERS}{TRACKED} is not there; a is there, though no pointer names it; "
         "b is there, though no pointer names it; and 1 more.")),
    ),
    "the manifest is not known": (
        folder_facts(ONE, TWO, manifests={}, reproduction=Reproduction(0, "", {})),
        (False, f"git clone + dvc pull at {B} give 0 files with those md5", "0 files",
         (f"{DIFFERS}the pointer at {B} names no file to compare with; {TWO.address} could not be read, "
         "so its files are not known.")),
    ),
    "no remote": (
        given(pointers={POINTER: BOUND}, reproduction=Reproduction(0, "", {})),
        (False, f"git clone + dvc pull at {B} give 0 files with those md5", "0 files",
         (f"{DIFFERS}the pointer at {B} names no file to compare with; {TRACKED}: .dvc/config: there is no remote "
         "'else' in it.")),
    ),
}  # fmt: skip


@told_of({"rows.appended": ROWS, "clone.reproduces": REPRODUCES})
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(check: str, facts: Facts, expected: Told) -> None:
    assert told(check, facts) == expected
