"""The DAG under test with gates in its pods, and the same pipeline once more under another id."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.variant import write_variant

PROGRAMS = Path(__file__).parent / "programs"
BESIDE = "_beside"
_FILE = "dataset_pipeline.py"
_ID = '    "dataset_pipeline",\n'


def write_gated(dags: Path, into: Path) -> Path:
    """A DAG folder for runs that something happens to.

    Raises:
        ValueError: The DAG no longer says in the expected words what its pods run, or what it is called.
    """
    write_variant(dags, (PROGRAMS / "gated.py").read_text(encoding="utf-8"), into)
    text = (into / _FILE).read_text(encoding="utf-8")
    if text.count(_ID) != 1:
        raise ValueError(f"{_FILE} holds its id {text.count(_ID)} times on a line of its own")
    beside = text.replace(_ID, _ID.replace('",', f'{BESIDE}",'))
    (into / f"dataset_pipeline{BESIDE}.py").write_text(beside, encoding="utf-8")
    return into
