"""How one pointer is read."""

from __future__ import annotations

import pytest

from harness.dvc import RivalPointer
from harness.dvc.case import Reading, merge, read_pointer, study, was_there
from harness.dvc.pointer import parse_pointer
from harness.dvc.remote import Address, NamedObject, Naming, Remote

from .conftest import (
    BUCKET,
    CONFIG,
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    PREFIX,
    RIVAL,
    SIDE,
    TRACKED,
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


def test_what_was_there_before_is_read_of_the_other_pointers_alone() -> None:
    earlier = {
        POINTER: pointer_of(OLD_BYTES, legacy=False),
        "o.dvc": pointer_of(OLD_BYTES, legacy=False),
        "n.dvc": None,
    }
    case = study(*given(pointers={POINTER: DATA, "o.dvc": DATA, "n.dvc": DATA}, earlier=earlier))
    assert (set(case.others), set(case.earlier)) == ({"o.dvc", "n.dvc"}, {"o.dvc"})


LOCK = "dvc.lock"
LOCKED = f"stages: {{a: {{outs: [{{path: {TRACKED}, hash: md5, md5: {digest_of(NEW_BYTES).md5}}}]}}}}".encode()


@pytest.mark.parametrize(
    ("stages", "named"), [(b"stages: {a: {outs: [%s: {cache: false}]}}" % TRACKED.encode(), 0), (None, 1)]
)
def test_an_output_that_dvc_yaml_keeps_in_git_names_no_object_in_whichever_commit(
    stages: bytes | None, named: int
) -> None:
    case = study(
        *given(
            expect={"pointer_file": LOCK}, pointers={LOCK: LOCKED}, stages={LOCK: stages},
            before={"pointer": LOCKED}, earlier_stages={LOCK: stages},
            rivals=(RivalPointer(RIVAL, LOCK, LOCKED, CONFIG, stages),),
            passing=(RivalPointer(SIDE, LOCK, LOCKED, CONFIG, stages),),
        )
    )  # fmt: skip
    (passing,) = case.passing
    namings = (case.before.naming, case.after.naming, case.rivals, passing.naming)
    assert [len(naming.objects) for naming in namings] == [named] * 4


@pytest.mark.parametrize(
    ("address", "there"),
    [
        (Address(BUCKET, "k", "v1"), True),
        (Address(BUCKET, "k", "v2"), False),
        (Address(BUCKET, "k"), True),
        (Address(BUCKET, "l"), False),
        (Address("other", "k"), False),
    ],
    ids=str,
)
def test_a_version_was_there_if_it_was_read_and_any_other_object_if_it_was_listed(
    address: Address, *, there: bool
) -> None:
    before = {"listing": {"k": 15}, "digests": {Address(BUCKET, "k", "v1"): digest_of(OLD_BYTES)}}
    assert was_there(*given(before=before), address) is there
