"""Values files are read and merged as Helm does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.airflow.chart_values import effective_values, load_values, read_values, values_digest
from harness.errors import ValuesError

LEAVES = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
MAPS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def write(folder: Path, *texts: str) -> list[Path]:
    paths = []
    for index, text in enumerate(texts):
        path = folder / f"values-{index}.yaml"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def test_maps_merge_and_lists_replace(tmp_path: Path) -> None:
    files = write(tmp_path, "a: {b: 1, c: [1, 2]}\n", "a: {c: [3], d: 4}\n")
    assert load_values(files) == {"a": {"b": 1, "c": [3], "d": 4}}


def test_a_null_in_a_later_file_deletes_the_default(tmp_path: Path) -> None:
    values = load_values(write(tmp_path, "a: {b: 1}\n", "a: {b: null}\n"))
    assert values == {"a": {"b": None}}
    assert effective_values({"a": {"b": 0, "c": 2}}, values) == {"a": {"c": 2}}


def test_a_null_for_a_key_without_default_stays() -> None:
    assert effective_values({}, {"a": None}) == {"a": None}


def test_a_null_for_a_map_deletes_the_whole_map() -> None:
    assert effective_values({"a": {"b": 1}}, {"a": None}) == {}


@given(defaults=MAPS, values=MAPS)
def test_laying_values_over_defaults_twice_changes_nothing_more(
    defaults: dict[str, Any], values: dict[str, Any]
) -> None:
    once = effective_values(defaults, values)
    assert effective_values(once, values) == once


@given(defaults=MAPS, values=MAPS)
def test_merging_leaves_its_inputs_alone(defaults: dict[str, Any], values: dict[str, Any]) -> None:
    before = values_digest(defaults), values_digest(values)
    effective_values(defaults, values)
    assert (values_digest(defaults), values_digest(values)) == before


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert load_values(write(tmp_path, "# nothing\n")) == {}


def test_dates_stay_text_as_in_helm(tmp_path: Path) -> None:
    assert load_values(write(tmp_path, "day: 2026-11-21\n")) == {"day": "2026-11-21"}


def test_anchors_and_merge_keys_are_understood(tmp_path: Path) -> None:
    text = "base: &base {x: 1, z: 2}\nother: {<<: *base, z: 3}\n"
    assert load_values(write(tmp_path, text))["other"] == {"x": 1, "z": 3}


def test_keys_are_text_as_in_helm(tmp_path: Path) -> None:
    values = load_values(write(tmp_path, "labels: {1: a, b: c}\n"))
    assert values == {"labels": {"1": "a", "b": "c"}}
    assert values_digest(values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "stands twice, in lines 1 and 2"),
        ("a: [1\n", "is not YAML"),
        ("a: &a\n  b: *a\n", "an alias in it stands for what holds it"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("- a\n", "holds a list at the top"),
        ("{a: 1}: b\n", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_values_is_named(tmp_path: Path, text: str, says: str) -> None:
    (path,) = write(tmp_path, text)
    with pytest.raises(ValuesError) as caught:
        read_values(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValuesError, match=r"gone\.yaml"):
        read_values(tmp_path / "gone.yaml")


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert values_digest({"a": 1, "b": {"c": 2, "d": 3}}) == values_digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_digest_depends_on_every_value() -> None:
    assert values_digest({"a": 1}) != values_digest({"a": "1"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"fernetKey": "x"}, {"fernetKey": "y"}),
        ({"data": {"metadataConnection": {"pass": "x"}}}, {"data": {"metadataConnection": {"pass": "y"}}}),
        ({"extraSecrets": {"s": {"stringData": "x"}}}, {"extraSecrets": {"s": {"stringData": "y"}}}),
    ],
)
def test_the_digest_leaves_secrets_out(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert values_digest(one) == values_digest(other)
