from __future__ import annotations

from pathlib import Path

import pytest
from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.modify import modify
from dvc_pipeline.workspace import Pulled, Workspace, fingerprint

TABLE = b"name,size\r\nAnn,1\r\nBen,2\r\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    env = {"GIT_REPO": "https://git.example/x.git", "PIPELINE_RUN_ID": "run", "SHARED_DIR": str(tmp_path)}
    return Config.from_env({**env, "DVC_DATA_FILE": "data/x.csv"})


@pytest.fixture
def space(config: Config) -> Workspace:
    space = Workspace.of_run(config.shared, config.run_id)
    data = space.repository / config.data_file
    data.parent.mkdir(parents=True)
    data.write_bytes(TABLE)
    md5, size = fingerprint(data)
    space.remember(Pulled(base="b", md5=md5, size=size))
    return space


def test_a_retry_adds_no_second_row(config: Config, space: Workspace) -> None:
    modify(config, space)
    once = (space.repository / config.data_file).read_bytes()
    modify(config, space)
    assert (space.repository / config.data_file).read_bytes() == once
    assert once.startswith(TABLE)
    assert once.count(b"\r\n") == TABLE.count(b"\r\n") + 1


def test_a_try_that_died_half_way_leaves_the_file_whole_and_the_next_one_right(
    config: Config, space: Workspace
) -> None:
    (space.folder / "table.new").write_bytes(b"half a ta")
    modify(config, space)
    assert (space.repository / config.data_file).read_bytes().startswith(TABLE)
    assert not (space.folder / "table.new").exists()


def test_a_file_that_is_not_what_was_pulled_is_refused(config: Config, space: Workspace) -> None:
    (space.repository / config.data_file).write_bytes(b"something else")
    with pytest.raises(PipelineError, match="clear pull_data"):
        modify(config, space)


def test_without_a_pull_there_is_nothing_to_modify(config: Config, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="nothing was pulled"):
        modify(config, Workspace.of_run(tmp_path, "another"))
