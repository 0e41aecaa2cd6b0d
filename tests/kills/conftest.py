"""One machine on which run after run is killed; a table of them at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from harness.liveness import is_alive
from harness.settings import resolve

from .points import table
from .stage import Stage
from .strangers import bystanders

_STAGE = pytest.StashKey[Stage]()


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """This machine, with all images built by a run that nobody kills, and a file of somebody else's in the state."""
    settings = resolve()
    runs = settings.state_dir / "runs"
    live = [folder.name for folder in runs.glob("*") if is_alive(folder)]
    assert not live, f"a run is under way, and its things would come and go meanwhile: {', '.join(live)}"
    stage = Stage(settings, tmp_path_factory.mktemp("kills"))
    pytestconfig.stash[_STAGE] = stage
    stage.harness("sweep")
    stage.harness("run")
    stranger = settings.state_dir / f"stranger-{secrets.token_hex(3)}.txt"
    stranger.write_text("not the harness's\n", encoding="utf-8")
    stage.strangers = (stranger,)
    yield stage
    stranger.unlink()


@pytest.fixture(scope="module")
def accompanied(stage: Stage) -> Iterator[Stage]:
    """The machine with somebody else's container and network in the engine, which so stays up between the runs."""
    engines = stage.engines()
    with bystanders(engines.acquire()):
        yield stage
    engines.release(keep=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    stage = config.stash.get(_STAGE, None)
    if stage is not None and stage.rows:
        terminalreporter.section("kill points")
        terminalreporter.write(table(stage.rows))
