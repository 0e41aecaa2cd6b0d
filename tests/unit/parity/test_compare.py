"""Each difference is found once, where it is."""

from __future__ import annotations

from typing import Any

import pytest

from harness.parity.compare import Difference, differences


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [Difference(("a",), "1", "2")]),
        ({"a": 1}, {"a": "1"}, [Difference(("a",), "1", '"1"')]),
        # To Python they are the same.
        ({"a": 1}, {"a": True}, [Difference(("a",), "1", "true")]),
        ({"a": {"b": 1}}, {"a": {}}, [Difference(("a", "b"), "1", None)]),
        ({}, {"a": {"c": 1, "b": 2}}, [Difference(("a",), None, '{"b": 2, "c": 1}')]),
        ({"a": None}, {}, [Difference(("a",), "null", None)]),
        ({"a": None}, {"a": None}, []),
        ({"a": {}}, {"a": []}, [Difference(("a",), "{}", "[]")]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [Difference(("a", "1"), "2", "3")]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [Difference(("a", "0"), "1", "2"), Difference(("a", "1"), "2", "1")]),
        ({"a": [1]}, {"a": [1, 2]}, [Difference(("a",), "[1]", "[1, 2]")]),
        ({"a": "xy"}, {"a": ["x", "y"]}, [Difference(("a",), '"xy"', '["x", "y"]')]),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, [Difference(("a",), "1", "2"), Difference(("b",), "1", "2")]),
    ],
)  # fmt: skip
def test_a_difference_is_told_at_the_deepest_place_that_both_have(
    left: Any, right: Any, found: list[Difference]
) -> None:
    assert list(differences({"x": left}, {"x": right})) == [
        Difference(("x", *one.path), one.left, one.right) for one in found
    ]


def test_what_a_document_says_of_itself_is_no_difference() -> None:
    assert differences({"run": "a", "target": "kind", "schema": 1}, {"run": "b", "target": "eks", "schema": 1}) == ()


def test_further_in_such_a_name_is_like_any_other() -> None:
    assert len(differences({"pods": {"run": "a"}}, {"pods": {"run": "b"}})) == 1


def test_a_difference_is_told_in_one_line() -> None:
    assert str(Difference(("pods", "task", "x"), '"a"', None)) == 'pods / task / x: "a" -> nothing'
    assert str(Difference(("x",), None, "1")) == "x: nothing -> 1"
