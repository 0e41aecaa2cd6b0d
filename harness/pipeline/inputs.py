"""What the user gave, checked before anything is started: DAG folder, data set, repository, the dvc of the verdict."""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from harness.assets import asset
from harness.errors import UsageError
from harness.pipeline.dagfiles import DagFiles, check_dag_id, check_made, check_tracked_file, read_dag_files
from harness.pipeline.remoteconfig import check_remote
from harness.settings import Settings

DAGS = "dags"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run starts from, all of it there.

    Attributes:
        dags: The DAG folder under test.
        files: What its files say.
        data: The data set.
        template: Folder with the repository's other files.
        dvc: The dvc program that the verdict's clean clone uses.
    """

    dags: Path
    files: DagFiles
    data: Path
    template: Path
    dvc: Path


def check_inputs(settings: Settings, *, dvc: Path | None = None) -> Inputs:
    """Find and check everything that can be checked without a cluster.

    Args:
        settings: Of the run.
        dvc: The dvc program; by default the one beside this Python.

    Raises:
        UsageError: Something is missing or cannot be used; names it and what to do.
    """
    if shutil.which("git") is None:
        raise UsageError("there is no git on PATH, and every run needs it", next_step="install git, or correct PATH")
    template = settings.repository or asset("fixtures") / "repository"
    if not template.is_dir():
        raise UsageError(f"there is no folder {template}", next_step="name the repository's folder with --repository")
    files = read_dag_files(_dags(settings, template))
    check_dag_id(files, settings.dag_id)
    check_made(files, settings.dag_id)
    check_tracked_file(files, settings.tracked_file)
    if settings.repository is not None:
        _check_pointer(template, settings.tracked_file)
        check_remote(template)
    return Inputs(files.folder, files, _data(settings, template), template, dvc_program(dvc))


def dvc_program(program: Path | None = None) -> Path:
    """The dvc beside this Python.

    Raises:
        UsageError: There is none.
    """
    found = program or Path(sysconfig.get_path("scripts")) / "dvc"
    if not found.exists():
        raise UsageError(
            f"there is no dvc beside this Python ({found}), and the verdict needs one for its clean clone",
            next_step="install airflow-dvc-harness[dvc]",
        )
    return found


def _dags(settings: Settings, template: Path) -> Path:
    if settings.dags is not None:
        return settings.dags
    own = template / DAGS
    return own if own.is_dir() else asset("dags")


def _data(settings: Settings, template: Path) -> Path:
    if (template / settings.tracked_file).is_dir():
        raise UsageError(
            f"{settings.tracked_file} is a folder in {template}, and a run starts from one tracked file",
            next_step="name a file with --tracked-file",
        )
    if settings.data is not None:
        if not settings.data.is_file():
            raise UsageError(f"there is no data file {settings.data}", next_step="name the file with --data")
        return settings.data
    if settings.repository is None:
        return asset("fixtures") / "data" / "penguins.csv"
    own = template / settings.tracked_file
    if not own.is_file():
        raise UsageError(
            f"{settings.repository} holds the pointer of {settings.tracked_file}, but not the file itself",
            next_step="`dvc pull` it there, or name another file to start from with --data",
        )
    return own


def _check_pointer(template: Path, tracked_file: str) -> None:
    if (template / f"{tracked_file}.dvc").is_file():
        return
    pointers = sorted(
        path.relative_to(template).as_posix().removesuffix(".dvc")
        for path in template.rglob("*.dvc")
        if path.is_file() and ".dvc" not in path.relative_to(template).parent.parts
    )
    raise UsageError(
        f"{tracked_file} is not under DVC in {template}: there is no {tracked_file}.dvc",
        evidence={"under DVC there": ", ".join(pointers) or "nothing"},
        next_step="name the tracked file with --tracked-file, or put it under DVC with `dvc add`",
    )
