"""`dvc-pipeline pull`: a fresh clone and the data that it points to."""

from __future__ import annotations

import logging

from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.pointer import read_pointer
from dvc_pipeline.programs import Programs
from dvc_pipeline.workspace import Pulled, Workspace, fingerprint

_log = logging.getLogger(__name__)


def pull(config: Config, workspace: Workspace, programs: Programs) -> None:
    """Clone the branch into the run's folder and pull the data file; starts over if something is there already.

    Raises:
        PipelineError: The clone or the pull failed, or the file is not the one that the pointer names.
    """
    with workspace.held():
        workspace.start_over()
        clone = ("clone", "--quiet", "--single-branch", "--no-tags", "--branch", config.branch)
        programs.git(*clone, "--", config.repository, str(workspace.repository), cwd=workspace.folder)
        base = programs.git("rev-parse", "HEAD", cwd=workspace.repository).strip()
        _log.info("cloned branch %s at %s", config.branch, base)

        pointer = read_pointer(workspace.repository / config.pointer)
        programs.dvc("pull", str(config.pointer), cwd=workspace.repository)
        data = workspace.repository / config.data_file
        md5, size = fingerprint(data)
        if not pointer.matches(data, md5):
            raise PipelineError(f"{config.data_file} is not what its pointer says: md5 {md5}, expected {pointer.md5}")
        workspace.remember(Pulled(base=base, md5=md5, size=size))
        _log.info("pulled %s: md5 %s, %d bytes", config.data_file, md5, size)
