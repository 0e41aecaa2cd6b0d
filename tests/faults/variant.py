"""The DAG under test with gates in its pods, and the same pipeline once more under another id."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.variant import write_variant

PROGRAMS = Path(__file__).parent / "programs"
BESIDE = "_beside"
_FILE = "dataset_pipeline.py"
_ID = '    "dataset_pipeline",\n'
# How long a failed try is waited for says nothing of what it leaves, and twenty rows would wait.
_DELAY, _AT_ONCE = '"retry_delay": timedelta(seconds=10)', '"retry_delay": timedelta(seconds=1)'


def write_gated(dags: Path, into: Path) -> Path:
    """A DAG folder for runs that something happens to.

    Raises:
        ValueError: The DAG no longer says in the expected words what its pods run, what it is called, or when it
            tries again.
    """
    write_variant(dags, (PROGRAMS / "gated.py").read_text(encoding="utf-8"), into)
    text = (into / _FILE).read_text(encoding="utf-8")
    for once in (_ID, _DELAY):
        if text.count(once) != 1:
            raise ValueError(f"{_FILE} holds {text.count(once)} times where 1 is expected: {once.strip()}")
    text = text.replace(_DELAY, _AT_ONCE)
    (into / _FILE).write_text(text, encoding="utf-8")
    beside = text.replace(_ID, _ID.replace('",', f'{BESIDE}",'))
    (into / f"dataset_pipeline{BESIDE}.py").write_text(beside, encoding="utf-8")
    return into
