"""Wrong pipelines that once were, or might have been, called green: each is red, for its own reason only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.dvc import Address, Digest, Reproduction, judge
from harness.dvc.table import compare_tables
from harness.settings import Policy

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
    TRACKED,
    Facts,
    Folder,
    address_of,
    commit,
    digest_of,
    facts,
    folder_facts,
    given,
    pointer_of,
)

B = "b" * 10
OLD_OBJECT, NEW_OBJECT = address_of(OLD_BYTES, legacy=False), address_of(NEW_BYTES, legacy=False)
OLD_POINTER, NEW_POINTER = pointer_of(OLD_BYTES, legacy=False), pointer_of(NEW_BYTES, legacy=False)
EARLIER = "runs/r0/files/md5/00/x"
ANY_ROWS: dict[str, Any] = {"new_rows": None}
SIZES = {OLD_OBJECT.key: 15, NEW_OBJECT.key: 21}


def told_red(facts: Facts) -> dict[str, str]:
    return {check.id: check.explanation for check in judge(*facts).failures if check.evaluated}


def named(pointer: bytes, **more: Any) -> Facts:
    return given(pointers={POINTER: pointer}, tip_pointer=pointer, **more)


def other_hash() -> Facts:
    """The same bytes; a pointer that hashed them with Unix line ends becomes one that hashes them as they are."""
    at = address_of(OLD_BYTES, legacy=False)
    expectation, evidence = facts(old_legacy=True, **ANY_ROWS)
    same = digest_of(OLD_BYTES)
    pointer = pointer_of(OLD_BYTES, legacy=False)
    return expectation, replace(
        evidence, pointers={POINTER: pointer}, tip_pointer=pointer, table=None,
        listing={**evidence.before.listing, at.key: 15}, digests={**evidence.before.digests, at: same},
        reproduction=Reproduction(0, "", {TRACKED: same}),
    )  # fmt: skip


def folder_in_place_of_the_file() -> Facts:
    folder = Folder({"part-0.csv": NEW_BYTES})
    pointer = folder.pointer.replace(b"path: all", b"path: penguins.csv")
    expectation, evidence = facts(**ANY_ROWS)
    return expectation, replace(
        evidence, pointers={POINTER: pointer}, tip_pointer=pointer, table=None, manifests=folder.manifests,
        listing={**evidence.before.listing, **folder.listing}, digests={**evidence.before.digests, **folder.digests},
        reproduction=Reproduction(0, "", {f"{TRACKED}/part-0.csv": digest_of(NEW_BYTES)}),
    )  # fmt: skip


def empty(*, before: bytes = OLD_BYTES) -> Facts:
    at, nothing = address_of(b"", legacy=False), digest_of(b"")
    pointer = pointer_of(b"", legacy=False)
    was = address_of(before, legacy=False)
    return given(
        policy=ANY_ROWS, table=None, pointers={POINTER: pointer}, tip_pointer=pointer,
        before={"pointer": pointer_of(before, legacy=False), "digests": {was: digest_of(before)},
                "listing": {was.key: len(before)}},
        listing={was.key: len(before), at.key: 0}, digests={was: digest_of(before), at: nothing},
        reproduction=Reproduction(0, "", {TRACKED: nothing}),
    )  # fmt: skip


SECOND_OUT = f"- md5: {digest_of(OLD_BYTES).md5}\n  size: 15\n  hash: md5\n  path: b\n".encode()
TWO_FILES = Reproduction(0, "", {TRACKED: digest_of(NEW_BYTES), "datasets/b": digest_of(OLD_BYTES)})
BOUND = NEW_POINTER + b"  remote: side\n"
SIDE_CONFIG = CONFIG + f"['remote \"side\"']\n    url = s3://{BUCKET}/side\n".encode()
SIDE_OBJECT = Address(BUCKET, NEW_OBJECT.key.replace(PREFIX, "side"))
ON_THE_SIDE: dict[str, Any] = {
    "config": SIDE_CONFIG,
    "listing": {OLD_OBJECT.key: 15, SIDE_OBJECT.key: 21},
    "digests": {OLD_OBJECT: digest_of(OLD_BYTES), SIDE_OBJECT: digest_of(NEW_BYTES)},
}
IN_CLOUD = NEW_POINTER + b"  cloud: {side: {version_id: v2}}\n"
CLOUD_OBJECT = Address(BUCKET, f"side/{TRACKED}", "v2")

WRONG: dict[str, tuple[Facts, str, str]] = {
    "a folder where a file was": (
        folder_in_place_of_the_file(), "pointer.same-outputs",
        f"the pointer at {B} does not track what it tracked: file {TRACKED} became folder {TRACKED}.",
    ),
    "a further output": (
        named(NEW_POINTER + SECOND_OUT, reproduction=TWO_FILES), "pointer.same-outputs",
        f"the pointer at {B} does not track what it tracked: it names datasets/b too.",
    ),
    "an output dropped": (
        given(before={"pointer": OLD_POINTER + SECOND_OUT}), "pointer.same-outputs",
        f"the pointer at {B} does not track what it tracked: it no longer names datasets/b.",
    ),
    "the same data under another hash": (
        other_hash(), "pointer.new",
        (f"the pointer went from md5 {digest_of(OLD_BYTES).md5_legacy} (legacy) to md5 {digest_of(OLD_BYTES).md5}, but "
         "the data is byte for byte what it was: only the way in which it is hashed has changed."),
    ),
    "data that became empty": (
        empty(), "object.not-empty",
        f"the new version of {TRACKED} is empty, where the one before it had 15 bytes.",
    ),
    "a folder that became empty": (
        folder_facts(Folder({"1.csv": OLD_BYTES}), Folder({"1.csv": b""})), "object.not-empty",
        "the new version of datasets/all is empty, where the one before it had 15 bytes.",
    ),
    "an object of an earlier run removed": (
        given(before={"listing": {OLD_OBJECT.key: 15, EARLIER: 9}}), "object.previous-kept",
        f"the object at s3://{BUCKET}/{EARLIER} is gone.",
    ),
    "an object of an earlier run overwritten by as many bytes": (
        given(
            before={"listing": {OLD_OBJECT.key: 15, EARLIER: 9}, "etags": {EARLIER: '"1"'}},
            listing={**SIZES, EARLIER: 9}, etags={EARLIER: '"2"'},
        ),
        "object.previous-kept",
        f"the object at s3://{BUCKET}/{EARLIER} was overwritten: 9 bytes as before, but other ones.",
    ),
    "an object outside the run's remote": (
        given(listing={**SIZES, "elsewhere/x": 1}), "object.no-strays",
        f"the run left objects that no pointer names: s3://{BUCKET}/elsewhere/x.",
    ),
    "another author's name on a commit of the run's committer": (
        given(commits=(
            replace(commit(RIVAL, SEED, email="root@pod", paths=("x",)), committer="airflow@example.invalid"),
            commit(NEW, RIVAL),
        )),
        "commit.author",
        "the pointer was changed by an author whom the policy does not name: cccccccccc by root@pod.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_pipeline_is_red(what: str) -> None:
    wrong, check, explanation = WRONG[what]
    assert told_red(wrong)[check] == explanation


@pytest.mark.parametrize("what", [what for what in WRONG if WRONG[what][1] != "commit.author"])
def test_it_is_red_for_that_alone(what: str) -> None:
    wrong, check, _explanation = WRONG[what]
    assert list(told_red(wrong)) == [check]


@pytest.mark.parametrize(
    "wrong",
    [
        named(BOUND, **ON_THE_SIDE),
        named(IN_CLOUD, **{**ON_THE_SIDE, "digests": {OLD_OBJECT: digest_of(OLD_BYTES),
                                                     CLOUD_OBJECT: digest_of(NEW_BYTES)}}),
    ],
    ids=["remote", "cloud"],
)  # fmt: skip
def test_data_bound_to_another_remote_by_the_run_is_red(wrong: Facts) -> None:
    why = f"the pointer at {B} binds its data to remote side, not to the default one (s3://{BUCKET}/{PREFIX})."
    assert told_red(wrong)["remote.expected"] == why


def test_data_that_its_team_had_bound_to_another_remote_stays_legal() -> None:
    side = replace(facts()[1].before, pointer=OLD_POINTER + b"  remote: side\n", config=SIDE_CONFIG)
    at = Address(BUCKET, OLD_OBJECT.key.replace(PREFIX, "side"))
    before = {
        "pointer": side.pointer, "config": side.config, "listing": {at.key: 15}, "digests": {at: digest_of(OLD_BYTES)},
    }  # fmt: skip
    after = {
        "config": SIDE_CONFIG, "listing": {at.key: 15, SIDE_OBJECT.key: 21},
        "digests": {at: digest_of(OLD_BYTES), SIDE_OBJECT: digest_of(NEW_BYTES)},
    }  # fmt: skip
    assert judge(*named(BOUND, before=before, **after)).green


def test_a_lock_file_that_does_not_name_the_data_is_red() -> None:
    lock = f"stages: {{a: {{outs: [{{md5: {digest_of(NEW_BYTES).md5}, hash: md5, size: 21, path: b}}]}}}}".encode()
    wrong = given(expect={"pointer_file": "dvc.lock"}, pointers={"dvc.lock": lock}, before={"pointer": None})
    assert told_red(wrong)["pointer.new"] == f"the pointer at {B} does not name {TRACKED}."


METRIC = b"stages: {a: {cmd: x, outs: [{path: metrics.json, hash: md5, md5: " + b"a1" * 16 + b", size: 3}]}}"


def with_metrics(stages: bytes | None) -> Facts:
    """A run that writes a metric of a stage too."""
    pointers = {f"{TRACKED}.dvc": NEW_POINTER, "dvc.lock": METRIC}
    return given(policy={"extra_paths": ("dvc.lock",)}, pointers=pointers, stages={"dvc.lock": stages},
                 commits=(commit(NEW, SEED, paths=(f"{TRACKED}.dvc", "dvc.lock")),))  # fmt: skip


def test_a_metric_that_dvc_yaml_keeps_in_git_needs_no_object_and_any_other_output_does() -> None:
    assert judge(*with_metrics(b"stages: {a: {metrics: [metrics.json: {cache: false}]}}")).green
    assert next(iter(told_red(with_metrics(b"stages: {a: {metrics: [metrics.json]}}")))) == "object.present"
    assert next(iter(told_red(with_metrics(None)))) == "object.present"


def test_data_that_was_empty_before_may_stay_so() -> None:
    assert "object.not-empty" not in told_red(empty(before=b""))


@pytest.mark.parametrize(
    ("allowed", "key", "green"),
    [
        ("reports/", "reports/2026/a.csv", True),
        ("reports/a.csv", "reports/a.csv", True),
        ("reports/a", "reports/a.csv", False),
        ("reports/", "other/reports/a.csv", False),
        ("./cache/", f"{PREFIX}/cache/x", True),
        ("./cache/", "cache/x", False),
    ],
)
def test_the_policy_may_leave_keys_to_the_dag(allowed: str, key: str, green: bool) -> None:  # noqa: FBT001
    policy = {"extra_objects": (allowed,)}
    new = given(policy=policy, listing={**SIZES, key: 1})
    was = {"listing": {OLD_OBJECT.key: 15, key: 2}}
    changed = given(policy=policy, before=was, listing={**SIZES, key: 1})
    gone = given(policy=policy, before=was, listing=SIZES)
    assert [judge(*one).green for one in (new, changed, gone)] == [green] * 3


def test_keys_below_a_remote_without_a_prefix_may_be_left_to_the_dag() -> None:
    seeded = replace(given()[0].seeded, prefix="")
    for entry, allowed in (("./cache/", True), ("./other/", False)):
        facts = given(policy={"extra_objects": (entry,)}, expect={"seeded": seeded}, listing={**SIZES, "cache/x": 1})
        assert ("object.no-strays" not in told_red(facts)) is allowed


def test_allowed_keys_are_named_in_the_check() -> None:
    expectation, evidence = given(policy={"extra_objects": ("reports/",)})
    (check,) = [one for one in judge(expectation, evidence).checks if one.id == "object.no-strays"]
    assert (check.expected, check.found) == (
        "no new object but those named, reports/ (allowed)", "1 new, all named or allowed",
    )  # fmt: skip


def test_what_a_pointer_names_is_judged_though_its_key_is_left_to_the_dag() -> None:
    policy = {"extra_objects": ("runs/",)}
    lost = given(policy=policy, digests={NEW_OBJECT: digest_of(NEW_BYTES)}, listing={NEW_OBJECT.key: 21})
    assert list(told_red(lost)) == ["object.previous-kept"]
    damaged = Digest(15, "0" * 32, "0" * 32)
    bad = given(policy=policy, digests={OLD_OBJECT: damaged, NEW_OBJECT: digest_of(NEW_BYTES)})
    assert list(told_red(bad)) == ["object.previous-kept"]


def test_data_bound_to_the_default_remote_by_its_name_is_legal() -> None:
    assert judge(*named(NEW_POINTER + b"  remote: store\n")).green


@pytest.mark.parametrize("row", [b",\n", b' ,"  "\n'])
def test_a_blank_row_is_no_row(row: bytes) -> None:
    found = compare_tables([OLD_BYTES], [OLD_BYTES + row])
    assert (found.new_rows, found.ragged) == (2, "row 2 is blank")
    assert compare_tables([OLD_BYTES + row], [OLD_BYTES + row + b"2,30\n"]).ragged is None


@pytest.mark.parametrize(
    "policy",
    [{"extra_objects": (entry,)} for entry in ("", "/", "./", "/x", ".//x")]
    + [{"extra_refs": (entry,)} for entry in ("", "*", "v*", "refs/*", "tags/v1")],
)
def test_a_policy_that_would_allow_everything_or_nothing_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"use (keys|full names)"):
        Policy(**policy)
