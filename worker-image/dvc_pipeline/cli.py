"""The command line: `dvc-pipeline pull|modify|push`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.modify import modify
from dvc_pipeline.programs import Programs
from dvc_pipeline.pull import pull
from dvc_pipeline.push import push
from dvc_pipeline.workspace import Workspace


def main(argv: Sequence[str] | None = None, *, env: Mapping[str, str] | None = None) -> int:
    """Run one task.

    Returns:
        0, or 1 after one line on standard error that says why. (2 is argparse's, for a wrong command line.)
    """
    parser = argparse.ArgumentParser(prog="dvc-pipeline", description="One task of the DAG dataset_pipeline.")
    parser.add_argument("task", choices=("pull", "modify", "push"), help="which one")
    task = parser.parse_args(argv).task
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=f"{task}: %(message)s", force=True)
    programs = Programs(os.environ if env is None else env)
    try:
        config = Config.from_env(programs.env)
        workspace = Workspace.of_run(config.shared, config.run_id)
        if task == "pull":
            pull(config, workspace, programs)
        elif task == "modify":
            modify(config, workspace)
        else:
            push(config, workspace, programs)
    except PipelineError as error:
        return _failed(task, programs.redact(str(error)))
    except OSError as error:
        # A volume that is full or gone, at whatever line: the reader needs its name, not the way there.
        where = "" if error.filename is None else f": {error.filename}"
        return _failed(task, f"{error.strerror or type(error).__name__}{where}")
    return 0


def _failed(task: str, reason: str) -> int:
    sys.stderr.write(f"dvc-pipeline {task}: {reason}\n")
    return 1
