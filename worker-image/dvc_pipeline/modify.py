"""`dvc-pipeline modify`: the simulated ETL step."""

from __future__ import annotations

import hashlib
import logging
import os

from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.rows import with_new_rows
from dvc_pipeline.workspace import Workspace

_log = logging.getLogger(__name__)


def modify(config: Config, workspace: Workspace) -> None:
    """Append the run's rows to the data file.

    The new table is always computed from the pulled one, which an earlier try left in place as the beginning of the
    file; so a retry writes the same bytes again and adds nothing.

    Raises:
        PipelineError: There is nothing pulled here, or the file does not begin with what was pulled.
    """
    with workspace.held():
        pulled = workspace.recall()
        if pulled is None:
            raise PipelineError(f"nothing was pulled into {workspace.folder}: clear pull_data to start this run over")
        data = workspace.repository / config.data_file
        try:
            pristine = data.read_bytes()[: pulled.size]
        except FileNotFoundError:
            raise PipelineError(f"{config.data_file} is gone: clear pull_data to start this run over") from None
        if hashlib.md5(pristine, usedforsecurity=False).hexdigest() != pulled.md5:
            raise PipelineError(f"{config.data_file} is not what was pulled: clear pull_data to start this run over")
        table = with_new_rows(pristine, count=config.rows, seed=config.run_id)
        # On the same volume, so that the last step is one rename: the file is the old or the new one, never half.
        unfinished = workspace.folder / "table.new"
        with unfinished.open("wb") as out:
            out.write(table)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(data)
        _log.info("%s has %d new rows, %d bytes now", config.data_file, config.rows, len(table))
