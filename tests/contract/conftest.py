"""Real programs for contract tests, and where they come from."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

from harness.process import which
from harness.settings import APP
from tests import preloaded as programs
from tests.mutations.local import local_site
from tests.mutations.recording import Recorded, record
from tests.mutations.site import Site


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits comes first, or the last worker would do nothing else while all others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """A helm program: CONTRACT_HELM, else the one on PATH, else the one that a supply has put into the cache."""
    if named := os.environ.get("CONTRACT_HELM"):
        return Path(named)
    if found := which("helm"):
        return found
    for cached in _cached("helm"):
        return cached
    pytest.skip("no helm program: set CONTRACT_HELM, put helm on PATH, or run `make e2e` once, which makes one")


def _cached(name: str) -> Iterator[Path]:
    cache = Path(os.environ.get("HARNESS_CACHE_DIR") or platformdirs.user_cache_path(APP))
    for pattern in (f"tools/{name}", f"tools/*/{name}", f"bin/{name}", f"bin/*/{name}"):
        yield from sorted(path for path in cache.glob(pattern) if path.is_file() and os.access(path, os.X_OK))


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Path]:
    """The real dvc, loaded once for all calls of it."""
    with programs.preloaded(programs.DVC) as program:
        yield program


@pytest.fixture(scope="session")
def site(preloaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Git server and an S3 server without a cluster."""
    with local_site(tmp_path_factory.mktemp("site"), preloaded) as local:
        yield local


@pytest.fixture(scope="session")
def recorded(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Recorded]:
    """What dvc recorded on such a site: by the first worker that needs it, for all, since it is a dozen runs of dvc."""
    mine = tmp_path_factory.getbasetemp()
    shared = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "recorded.pickle"
    with FileLock(shared.with_suffix(".lock")):
        if not shared.exists():
            shared.write_bytes(pickle.dumps(dict(record(site, "contract"))))
    found: dict[str, Recorded] = pickle.loads(shared.read_bytes())  # noqa: S301 - our own, of this session
    return found
