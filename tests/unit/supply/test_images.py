from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.supply.images import BuiltImage, Recipe, tree_digest


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    context = tmp_path / "context"
    context.mkdir()
    (context / "program").write_text("echo one")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch")
    parent = BuiltImage("base:1", "sha256:aaa", built=False)
    return Recipe("worker", dockerfile, context, {"BASE": parent}, {"VERSION": "1"})


def test_the_same_inputs_have_the_same_key(recipe: Recipe) -> None:
    assert recipe.key == replace(recipe).key


def test_a_changed_file_changes_the_key(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.context / "program").write_text("echo two")
    assert recipe.key != before


def test_a_changed_executable_bit_changes_the_key(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.context / "program").chmod(0o755)
    assert recipe.key != before


def test_a_rebuilt_parent_changes_the_key(recipe: Recipe) -> None:
    """Debian packages are resolved when a base is made: their versions are part of its id."""
    rebuilt = replace(recipe, parents={"BASE": BuiltImage("base:1", "sha256:bbb", built=True)})
    assert rebuilt.key != recipe.key


@pytest.mark.parametrize("change", [{"args": {"VERSION": "2"}}, {"target": "other"}])
def test_arguments_and_target_are_part_of_the_key(recipe: Recipe, change: dict[str, object]) -> None:
    assert replace(recipe, **change).key != recipe.key  # type: ignore[arg-type]


def test_a_moved_file_changes_the_digest_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("text")
    before = tree_digest(tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert tree_digest(tmp_path) != before


def test_compiled_python_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1")
    before = tree_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/module.pyc").write_bytes(b"\0")
    assert tree_digest(tmp_path) == before
