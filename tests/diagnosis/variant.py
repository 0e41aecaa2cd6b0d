"""A DAG folder with a mistake in it: the DAG under test with some of its words replaced."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from .table import Variant

_FILE = "dataset_pipeline.py"


def write_variant(dags: Path, variant: Variant, into: Path, *, given: Mapping[str, str]) -> Path:
    """Copy a DAG folder with the variant's mistake.

    Args:
        dags: The DAG folder under test.
        variant: What is to be wrong.
        into: Where to; must not exist.
        given: What stands for "@NAME@" in the edits, by NAME.

    Raises:
        ValueError: The DAG no longer holds a text that is to be replaced exactly once.
    """
    shutil.copytree(dags, into, ignore=shutil.ignore_patterns("__pycache__"))
    file = into / _FILE
    text = file.read_text(encoding="utf-8")
    for old, new in variant.edits:
        if text.count(old) != 1:
            raise ValueError(f"{_FILE} holds {text.count(old)} times where 1 is expected: {old.strip()}")
        text = text.replace(old, told(new, given))
    file.unlink()
    (into / variant.file).write_text(text, encoding="utf-8")
    for name, content in variant.files.items():
        (into / name).write_text(content, encoding="utf-8")
    return into


def told(text: str, given: Mapping[str, str]) -> str:
    """The text with what is given for each "@NAME@"."""
    for name, value in given.items():
        text = text.replace(f"@{name}@", value)
    return text
