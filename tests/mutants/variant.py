"""A DAG folder in which the pipeline is wrong: the DAG under test, its pods in the same image, another program in them.

The program comes with the DAG, as an argument of Python in the pod, and starts the image's own program with one thing
changed. So the image is the one under test (`code.worker-image` holds), neither DAG nor image knows of mutants, and
the commit that is judged is the one that holds the mutant (`code.dag-sha` holds).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
_FILE = "dataset_pipeline.py"
# What a pod runs, in the DAG under test, and in a variant of it.
_REAL = """\
        cmds=["dvc-pipeline"],
        arguments=[task],
"""
_MUTANT = """\
        cmds=["python", "-c"],
        arguments=[PROGRAM, task],
"""
_BEFORE = 'NAMESPACE = "airflow"\n'
# Airflow renders a pod's arguments with Jinja.
_JINJA = ("{{", "{%", "{#")


def program_of(name: str, *, given: Mapping[str, str] | None = None) -> str:
    """The text of a program.

    Args:
        name: Of its file, without ".py".
        given: What stands for "@NAME@" in it, by NAME.

    Raises:
        ValueError: Something that it needs is not given, or Jinja would change it.
    """
    text = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    for key, value in (given or {}).items():
        text = text.replace(f"@{key}@", value)
    if '"@' in text:
        raise ValueError(f"{name}.py needs what nobody gave: {text.partition(chr(34) + '@')[2].partition('@')[0]}")
    if any(mark in text for mark in _JINJA):
        raise ValueError(f"{name}.py holds what Jinja takes for its own")
    return text


def write_variant(dags: Path, program: str, into: Path) -> Path:
    """Copy a DAG folder, with every task's pod running another program.

    Args:
        dags: The DAG folder under test.
        program: Python for the worker image; its first argument is the task.
        into: Where to; must not exist.

    Raises:
        ValueError: The DAG no longer says in the expected words what its pods run.
    """
    shutil.copytree(dags, into, ignore=shutil.ignore_patterns("__pycache__"))
    file = into / _FILE
    text = file.read_text(encoding="utf-8")
    for old, new in ((_REAL, _MUTANT), (_BEFORE, f"{_BEFORE}PROGRAM = {program!r}\n")):
        if text.count(old) != 1:
            raise ValueError(f"{_FILE} holds {text.count(old)} times where 1 is expected: {old.strip()}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    return into
