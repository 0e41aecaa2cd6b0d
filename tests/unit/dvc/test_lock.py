"""What a lock file names, and what only the `dvc.yaml` beside it says of that."""

from __future__ import annotations

import pytest

from harness.dvc.dvcfile import PointerError
from harness.dvc.lock import parse_lock

MD5 = "e5ebd4c02cefbe7955977c67ada242b7"


def test_a_lock_file_gives_the_outputs_of_all_its_stages() -> None:
    out = f"{{path: x, hash: md5, md5: {MD5}, size: 1}}"
    text = f"schema: '2.0'\nstages:\n  one: {{outs: [{out}]}}\n  two: {{cmd: x}}\n  three: {{outs: [{out}]}}\n"
    assert [found.path for found in parse_lock(text.encode(), path="a/dvc.lock").outs] == ["a/x", "a/x"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "the document is text, not a mapping of names"),
        ("a: b", "'stages' is empty, not a mapping of names"),
        ("stages: {one: x}", "stage 'one' is text, not a mapping of names"),
        ("stages: {one: {outs: x}}", "the outputs of stage 'one' are text, not a list"),
        ("stages: {one: {outs: [x]}}", "an output of stage 'one' is text, not a mapping of names"),
    ],
)
def test_a_bad_lock_file_is_refused_for_its_own_reason(text: str, reason: str) -> None:
    with pytest.raises(PointerError) as caught:
        parse_lock(text.encode(), path="dvc.lock")
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["stages: {check: {cmd: x}}", "stages: {check: {cmd: x, outs: []}}", "stages: {}"])
def test_a_lock_file_whose_stages_write_nothing_names_nothing(text: str) -> None:
    assert parse_lock(text.encode(), path="dvc.lock").outs == ()


def lock(*paths: str, stage: str = "train", more: str = "") -> bytes:
    outs = ", ".join(f"{{path: {path}, hash: md5, md5: {MD5}, size: 1{more}}}" for path in paths)
    return f"stages: {{{stage}: {{cmd: x, outs: [{outs}]}}}}".encode()


def pushed(data: bytes, stages: str) -> dict[str, bool]:
    return {out.path: out.pushed for out in parse_lock(data, path="a/dvc.lock", stages=stages.encode()).outs}


@pytest.mark.parametrize("key", ["outs", "metrics", "plots"])
@pytest.mark.parametrize("flag", ["cache", "push"])
def test_an_output_that_dvc_yaml_keeps_out_of_the_remote_is_none_of_the_remotes(key: str, flag: str) -> None:
    stages = f"stages: {{train: {{cmd: x, {key}: [b.csv, m.json: {{{flag}: false}}]}}}}"
    assert pushed(lock("m.json", "b.csv"), stages) == {"a/m.json": False, "a/b.csv": True}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("", True),
        ("vars: [x]", True),
        ("stages:", True),
        ("stages: {other: {outs: [m.json: {cache: false}]}}", True),
        ("stages: {train: {outs: [m.json: {cache: true, persist: true}]}}", True),
        ("stages: {train: {plots: [m.json: [{x: a}]]}}", True),
        ("stages: {train: {outs: ['${dir}.json': {cache: false}]}}", False),
        ("stages: {train: {outs: ['${dir}.json': {cache: false}, m.json]}}", True),
        ("stages: {train: {outs: ['${a}.json': {cache: false}, '${b}json']}}", True),
        ("stages: {train: {outs: ['${a}.json': {cache: false}, '${b}json': {push: false}]}}", False),
        ("stages: {train: {outs: ['${a}.csv': {cache: false}]}}", True),
        ("stages: {train: {outs: ['m.json${a}': {cache: false}]}}", True),
        ("stages: {train: {outs: ['m?json': {cache: false}]}}", True),
    ],
)  # fmt: skip
def test_what_is_not_declared_for_certain_is_taken_for_pushed(stages: str, expected: bool) -> None:  # noqa: FBT001
    assert pushed(lock("m.json"), stages) == {"a/m.json": expected}


def test_without_dvc_yaml_every_output_is_taken_for_pushed() -> None:
    assert [out.pushed for out in parse_lock(lock("m.json"), path="dvc.lock").outs] == [True]


@pytest.mark.parametrize("form", ["foreach: [1]\n    do: {outs: [OUT]}", "matrix: {a: [1]}\n    outs: [OUT]"])
def test_a_stage_of_many_is_declared_under_the_name_of_all(form: str) -> None:
    stages = "stages:\n  train:\n    " + form.replace("OUT", "'m-${item}.json': {cache: false}")
    assert pushed(lock("m-1.json", stage="train@1"), stages) == {"a/m-1.json": False}
    assert pushed(lock("m-1.json", stage="other@1"), stages) == {"a/m-1.json": True}
    assert pushed(lock("m-1.json", stage="b@train@1"), stages.replace("train", "b@train")) == {"a/m-1.json": False}


def test_a_flag_in_the_lock_file_itself_counts_too() -> None:
    assert pushed(lock("m.json", more=", push: false"), "stages: {train: {outs: [m.json]}}") == {"a/m.json": False}


def test_an_output_is_bound_to_the_remote_that_dvc_yaml_names() -> None:
    def bound(stages: str, more: str = "") -> str | None:
        (out,) = parse_lock(lock("m.json", more=more), path="dvc.lock", stages=stages.encode()).outs
        return out.remote

    assert bound("stages: {train: {outs: [m.json: {remote: side}]}}") == "side"
    assert bound("stages: {train: {outs: [m.json]}}") is None
    assert bound("stages: {train: {outs: ['${a}.json': {remote: side}, '${b}n': {remote: other}]}}") is None
    assert bound("stages: {}", ", remote: side") == "side"


@pytest.mark.parametrize(("wdir", "path"), [("w/x", "a/w/x/m"), ("..", "m"), ("${folder}", "a/m"), ("''", "a/m")])
def test_paths_are_relative_to_the_stages_working_folder(wdir: str, path: str) -> None:
    assert list(pushed(lock("m"), f"stages: {{train: {{wdir: {wdir!r}, outs: [m]}}}}".replace('"', ""))) == [path]


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ("stages: [", "it is not YAML (expected the node content, but found '<stream end>', line 1)"),
        ("x", "the document is text, not a mapping of names"),
        ("stages: x", "'stages' is text, not a mapping of names"),
        ("stages: {train: x}", "stage 'train' is text, not a mapping of names"),
        ("stages: {train: {do: x}}", "stage 'train' is text, not a mapping of names"),
        ("stages: {train: {wdir: 7}}", "'wdir' of stage 'train' is a number, not text"),
        ("stages: {train: {outs: x}}", "the outputs of stage 'train' are text, not a list"),
        ("stages: {train: {outs: [7]}}", "an output of stage 'train' is a number, not a mapping of names"),
        ("stages: {train: {outs: [a: {7: 8}]}}", "a is a mapping, not a mapping of names"),
        ("stages: {train: {outs: [a: {cache: 1}]}}", "a: 'cache' is a number, not true or false"),
        ("stages: {train: {outs: [a: {push: 1}]}}", "a: 'push' is a number, not true or false"),
        ("stages: {train: {outs: [a: {remote: 1}]}}", "a: 'remote' is a number, not text"),
    ],
)
def test_a_bad_dvc_yaml_makes_the_lock_file_unusable(stages: str, reason: str) -> None:
    with pytest.raises(PointerError) as caught:
        pushed(lock("m.json"), stages)
    assert str(caught.value) == f"the dvc.yaml beside it is unusable: {reason}"


def test_a_stage_of_dvc_yaml_may_be_filled_by_a_merge_and_say_otherwise_itself() -> None:
    stages = """
    stages:
      base: &base
        cmd: x
        outs: [n.json]
      between: &between
        <<: *base
        cmd: y
      train:
        <<: *between
        outs: [m.json: {push: false}]
    """
    assert pushed(lock("m.json"), stages) == {"a/m.json": False}


def test_a_stage_may_have_a_name_that_only_older_yaml_takes_for_something_else() -> None:
    data = lock("m.json").replace(b"train", b"on")
    assert pushed(data, "stages: {on: {outs: [m.json: {cache: false}]}}") == {"a/m.json": False}
