"""How one pointer is read."""

from __future__ import annotations

import pytest

from harness.dvc.case import Reading, merge, read_pointer, study
from harness.dvc.pointer import parse_pointer
from harness.dvc.remote import Address, NamedObject, Naming, Remote

from .conftest import (
    BUCKET,
    CONFIG,
    NEW_BYTES,
    POINTER,
    PREFIX,
    Folder,
    address_of,
    digest_of,
    given,
    pointer_of,
)

DATA = pointer_of(NEW_BYTES, legacy=False)
PARSED = parse_pointer(DATA, path=POINTER)
NAMED = NamedObject(
    "datasets/penguins.csv", address_of(NEW_BYTES, legacy=False), digest_of(NEW_BYTES).md5, 21, legacy=False
)
UNREADABLE = ".dvc/config: it cannot be read (File contains no section headers. file: '<string>', line: 1 'x')"


@pytest.mark.parametrize(
    ("data", "config", "reading"),
    [
        (DATA, CONFIG, Reading(PARSED, "", Naming((NAMED,)))),
        (DATA, b"x", Reading(PARSED, "", Naming((), problems=(UNREADABLE,)))),
        (b"", CONFIG, Reading(None, "it is empty", Naming(()))),
        (None, CONFIG, Reading(None, f"there is no file {POINTER}", Naming(()))),
    ],
)
def test_a_pointer_is_read_as_far_as_it_can_be(data: bytes | None, config: bytes, reading: Reading) -> None:
    assert read_pointer(data, config, path=POINTER, manifests={}) == reading


def test_merging_keeps_everything_in_order() -> None:
    one = Naming((NAMED,), (Address("b", "k"),), ("p",))
    two = Naming((), (Address("b", "l"),), ("q",))
    assert merge(one, two) == Naming((NAMED,), (Address("b", "k"), Address("b", "l")), ("p", "q"))


def test_studying_works_out_every_pointer_and_the_remote() -> None:
    folder = Folder({"x.csv": NEW_BYTES})
    pointers = {POINTER: DATA, "other/all.dvc": folder.pointer, "gone.dvc": None}
    case = study(*given(pointers=pointers, manifests=folder.manifests, before={"pointer": None}))
    assert (case.after, case.before) == (Reading(PARSED, "", Naming((NAMED,))), Reading(None, "", Naming(())))
    assert {path: [named.label for named in reading.naming.objects] for path, reading in case.others.items()} == {
        "other/all.dvc": ["other/all/", "other/all/x.csv"]
    }
    assert (case.remote, case.remote_problem) == (Remote("store", BUCKET, PREFIX), "")
