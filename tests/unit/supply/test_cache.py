"""What counts as ours, and what may go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import CommandFailed, EnvironmentFailed, UsageError
from harness.model import Engine
from harness.supply.cache import Cache, _bytes
from harness.supply.inuse import IN_USE_KEY, InUse, live_runs
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.registry_images import PULLED_FILE, Ledger
from tests.fakes import Call, FakeRunner

_MB = 10**6


@dataclass
class Image:
    names: list[str]
    labelled: bool = False
    unique: int = 100
    containers: int = 0
    created: str = "2026-01-01 00:00:00 +0000 UTC"


@dataclass
class Docker(FakeRunner):
    """An engine with these images (sizes in MB) and a build cache of 500 MB."""

    images: dict[str, Image]
    build: int = 500
    pruned: list[tuple[str, ...]] = field(default_factory=list)
    busy: int = 0

    def answer(self, call: Call) -> str:
        words = tuple(call.argv[1:])
        if words[:2] == ("system", "df") and self.busy:
            self.busy -= 1
            said = "Error response from daemon: a disk usage operation is already running"
            raise CommandFailed(argv=call.argv, code=1, stdout="", stderr=said)
        if words[:3] == ("system", "df", "--verbose"):
            return json.dumps({"Images": [row for key, image in self.images.items() for row in _rows(key, image)]})
        if words[:2] == ("system", "df"):
            whole = sum(image.unique for image in self.images.values())
            rows = [{"Type": "Images", "Size": f"{whole}MB"}, {"Type": "Build Cache", "Size": f"{self.build}MB"}]
            return "\n".join(map(json.dumps, rows))
        if words[:2] == ("image", "ls"):
            return "\n".join(key for key, image in self.images.items() if image.labelled)
        if words[:2] == ("image", "rm"):
            return self._remove(words[2])
        if words[:2] == ("builder", "prune"):
            self.pruned.append(words)
            self.build = 0
        return ""

    def _remove(self, name: str) -> str:
        for key, image in list(self.images.items()):
            if name in image.names or name == key:
                image.names = [other for other in image.names if other != name]
                if not image.names:
                    del self.images[key]
                return ""
        raise CommandFailed(argv=["docker"], code=1, stdout="", stderr=f"No such image: {name}")


def _rows(key: str, image: Image) -> list[dict[str, str]]:
    return [
        {
            "ID": key,
            "Repository": name.rpartition(":")[0] or "<none>",
            "Tag": name.rpartition(":")[2] or "<none>",
            "Size": f"{image.unique}MB",
            "UniqueSize": f"{image.unique}MB",
            "Containers": str(image.containers),
            "CreatedAt": image.created,
        }
        for name in image.names or [""]
    ]


def cache(docker: Docker, folder: Path, *, ours: bool = True, day: int = 1) -> Cache:
    engine = Engine(docker=Path("docker"), host="", ours=ours, version="20.10")
    return Cache(engine, docker, folder, now=lambda: datetime(2026, 2, day, tzinfo=UTC))


def test_an_engine_that_measures_for_another_run_is_asked_again(tmp_path: Path) -> None:
    docker = Docker({"a": Image(["airflow-dvc-harness/a:1"])}, build=0, busy=2)
    assert [image.names for image in cache(docker, tmp_path).usage().images] == [("airflow-dvc-harness/a:1",)]
    assert docker.busy == 0


def test_the_least_recently_used_image_goes_first_and_no_more_than_needed(tmp_path: Path) -> None:
    docker = Docker({key: Image([f"airflow-dvc-harness/{key}:1"]) for key in ("a", "b", "c")}, build=0)
    cache(docker, tmp_path, day=3).touch(["airflow-dvc-harness/a:1"])
    cache(docker, tmp_path, day=2).touch(["airflow-dvc-harness/b:1"])
    result = cache(docker, tmp_path).evict(0.150)
    assert result.removed == ("airflow-dvc-harness/c:1", "airflow-dvc-harness/b:1")
    assert (result.before, result.after) == (300 * _MB, 100 * _MB)


def test_below_the_limit_nothing_goes(tmp_path: Path) -> None:
    docker = Docker({"a": Image(["airflow-dvc-harness/a:1"])})
    assert cache(docker, tmp_path).evict(1).removed == ()
    assert docker.pruned == []


def test_what_is_in_use_or_not_ours_never_goes(tmp_path: Path) -> None:
    docker = Docker(
        {
            "kept": Image(["airflow-dvc-harness/kept:1"]),
            "running": Image(["airflow-dvc-harness/running:1"], containers=1),
            "foreign": Image(["postgres:17"]),
            "ours": Image([], labelled=True),
        }
    )
    result = cache(docker, tmp_path).evict(0, keep=frozenset({"airflow-dvc-harness/kept:1"}))
    assert set(docker.images) == {"kept", "running", "foreign"}
    assert result.removed == ("ours", "build cache")


def test_an_image_that_the_registry_supply_pulled_is_ours_as_long_as_it_still_is_that_image(tmp_path: Path) -> None:
    Ledger(tmp_path / PULLED_FILE).write(**{"apache/airflow:3.3.2": "pulled", "postgres:17": "before"})
    docker = Docker({"pulled": Image(["apache/airflow:3.3.2"]), "after": Image(["postgres:17"])}, build=0)
    cache(docker, tmp_path).clear()
    assert set(docker.images) == {"after"}


def test_an_image_with_a_name_of_somebody_elses_only_loses_ours(tmp_path: Path) -> None:
    docker = Docker({"shared": Image(["airflow-dvc-harness/a:1", "mine:1"])}, build=0)
    cache(docker, tmp_path).evict(0)
    assert docker.images["shared"].names == ["mine:1"]


def test_the_build_cache_of_an_engine_that_is_not_ours_neither_counts_nor_goes(tmp_path: Path) -> None:
    docker = Docker({})
    theirs = cache(docker, tmp_path, ours=False)
    assert theirs.usage().total == 0
    theirs.clear()
    assert docker.pruned == []
    assert cache(docker, tmp_path).usage().build_cache_bytes == 500 * _MB


def test_clearing_removes_folders_and_keeps_the_digests_on_record(tmp_path: Path) -> None:
    for name in ("tools/kind-1/kind", "downloads/x.part", "registry-digests.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x" * 1000)
    subject = cache(Docker({}, build=0), tmp_path)
    assert subject.usage().folders == {"tools": 1000, "downloads": 1000, "helm": 0}
    assert subject.clear().removed == ("tools/", "downloads/")
    assert (tmp_path / "registry-digests.json").exists()


@pytest.mark.parametrize(("text", "size"), [("0B", 0), ("33.19kB", 33190), ("1.06GB", 1060 * _MB), ("2.5 MB", 2500000)])
def test_dockers_sizes_are_understood(text: str, size: int) -> None:
    assert _bytes(text) == size


def test_a_size_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(EnvironmentFailed, match="not understood"):
        _bytes("many")


# A run that lives, uses an image, and ends when its standard input does.
_RUN = """
import sys
from pathlib import Path
from harness.supply.inuse import InUse

with InUse(Path(sys.argv[1]), "other-run").registered() as in_use:
    in_use.add("airflow-dvc-harness/used:1")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _RUN, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_another_live_run_uses_is_not_evicted(tmp_path: Path, other_run: subprocess.Popen[str]) -> None:
    docker = Docker({key: Image([f"airflow-dvc-harness/{key}:1"]) for key in ("used", "old")}, build=0)
    assert cache(docker, tmp_path).evict(0).removed == ("airflow-dvc-harness/old:1",)
    other_run.kill()
    other_run.wait()
    assert cache(docker, tmp_path).evict(0).removed == ("airflow-dvc-harness/used:1",)
    assert list((tmp_path / "in-use").iterdir()) == []


def test_the_caches_are_not_cleared_under_a_live_run(tmp_path: Path, other_run: subprocess.Popen[str]) -> None:
    docker = Docker({"old": Image(["airflow-dvc-harness/old:1"])})
    with pytest.raises(UsageError, match=f"in use by run other-run .process {other_run.pid}"):
        cache(docker, tmp_path).clear()
    assert set(docker.images) == {"old"}
    other_run.communicate("")
    assert cache(docker, tmp_path).clear().removed == ("airflow-dvc-harness/old:1", "build cache")


def test_a_run_registers_an_image_only_when_nobody_removes_images(tmp_path: Path) -> None:
    """Else it would find an image and lose it: an eviction that has read the register must end first."""
    with InUse(tmp_path, "run").registered() as in_use, ThreadPoolExecutor(1) as pool:
        with KeyLocks(tmp_path / LOCKS_FOLDER).holding(IN_USE_KEY, "removing"):
            adding = pool.submit(in_use.add, "image:1")
            with pytest.raises(TimeoutError):
                adding.result(0.5)
            assert live_runs(tmp_path)[0].names == frozenset()
        adding.result(5)
        assert live_runs(tmp_path)[0].names == {"image:1"}
    assert live_runs(tmp_path) == ()
