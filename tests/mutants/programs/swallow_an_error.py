"""The data task fails and says so, and its exit code is lost, as behind `|| true`: Airflow sees three successes."""

import sys

from dvc_pipeline import cli
from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.workspace import Workspace


def modify(_config: Config, _workspace: Workspace) -> None:
    """Fail before anything is written."""
    raise PipelineError("the source of the new rows does not answer")


vars(cli)["modify"] = modify
cli.main()
sys.exit(0)
