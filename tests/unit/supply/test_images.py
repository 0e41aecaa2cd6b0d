from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from harness import procfs
from harness.errors import SupplyError
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.supply import debian
from harness.supply.debian import install
from harness.supply.host import HostConfiguration
from harness.supply.images import BuiltImage, ImageBuilder, Recipe, tree_digest
from harness.supply.inuse import InUse
from harness.supply.locks import KeyLocks


class FakeEngine(Protocol):
    """See conftest.py."""

    @property
    def engine(self) -> Engine: ...
    @property
    def runner(self) -> SubprocessRunner: ...
    def said(self, name: str) -> list[str]: ...


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    context = tmp_path / "context"
    context.mkdir()
    (context / "program").write_text("echo one")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch")
    parent = BuiltImage("base:1", "sha256:aaa", built=False)
    return Recipe("worker", dockerfile, context, {"BASE": parent}, {"VERSION": "1"})


def test_the_same_inputs_have_the_same_key(recipe: Recipe) -> None:
    assert recipe.key == replace(recipe).key


def test_a_changed_file_changes_the_key(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.context / "program").write_text("echo two")
    assert recipe.key != before


def test_a_changed_executable_bit_changes_the_key(recipe: Recipe) -> None:
    before = recipe.key
    (recipe.context / "program").chmod(0o755)
    assert recipe.key != before


def test_a_rebuilt_parent_changes_the_key(recipe: Recipe) -> None:
    """Debian packages are resolved when a base is made: their versions are part of its id."""
    rebuilt = replace(recipe, parents={"BASE": BuiltImage("base:1", "sha256:bbb", built=True)})
    assert rebuilt.key != recipe.key


@pytest.mark.parametrize("change", [{"args": {"VERSION": "2"}}, {"target": "other"}])
def test_arguments_and_target_are_part_of_the_key(recipe: Recipe, change: dict[str, object]) -> None:
    assert replace(recipe, **change).key != recipe.key  # type: ignore[arg-type]


def test_a_moved_file_changes_the_digest_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("text")
    before = tree_digest(tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert tree_digest(tmp_path) != before


def test_compiled_python_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1")
    before = tree_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/module.pyc").write_bytes(b"\0")
    assert tree_digest(tmp_path) == before


@pytest.fixture
def builder(tmp_path: Path, fake_engine: FakeEngine) -> ImageBuilder:
    """On a machine whose PATH has no mmdebstrap, with an engine that has no base yet."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ca_bundle = tmp_path / "ca.crt"
    ca_bundle.touch()
    return ImageBuilder(
        engine=fake_engine.engine,
        host=HostConfiguration("http://mirror.invalid/debian", None, ca_bundle, {"SECRET": "value"}),
        runner=fake_engine.runner,
        scratch=scratch,
        locks=KeyLocks(tmp_path / "locks"),
        in_use=InUse(tmp_path / "cache", "run"),
    )


@pytest.mark.parametrize(("user", "why"), [(1000, "needs root"), (0, "not Debian")])
def test_a_base_without_mmdebstrap_is_an_error_where_it_cannot_be_installed(
    builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, why: str
) -> None:
    monkeypatch.setattr(debian, "program_path", lambda: str(tmp_path / "bin"))
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with InUse(tmp_path / "cache", "run").registered(), pytest.raises(SupplyError, match=why) as caught:
        builder.base("sid")
    assert "not on PATH" in str(caught.value)
    assert "apt-get install mmdebstrap" in caught.value.next_step


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something of the machine's, which an mmdebstrap on PATH mounts before it is killed, as it does /sys."""
    system, program = tmp_path / "sys", tmp_path / "programs" / "mmdebstrap"
    system.mkdir()
    program.parent.mkdir()
    mounting = f'mkdir "$TMPDIR/sys" && mount --bind {system} "$TMPDIR/sys" && touch {system}/mounted'
    program.write_text(f"#!/bin/sh\n{mounting}\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return system


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's mmdebstrap mounts without a namespace of its own")
def test_what_mmdebstrap_mounts_is_mounted_for_itself_alone(
    machine: Path, builder: ImageBuilder, tmp_path: Path
) -> None:
    """One that is killed would leave this machine's /sys mounted in a folder that is then removed."""
    with InUse(tmp_path / "cache", "run").registered(), pytest.raises(SupplyError, match="could not be made"):
        builder.base("sid")
    assert procfs.mounts_below(procfs.mounts(), tmp_path) == []
    assert (machine / "mounted").exists()


def test_mmdebstrap_is_installed_where_it_is_missing_and_nothing_else_is(
    builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_engine: FakeEngine
) -> None:
    programs, log = tmp_path / "bin", tmp_path / "apt.log"
    made = f'#!/bin/sh\necho "$*" >>{log}\n'
    (programs / "apt-get").write_text(
        f"{made}case $* in *install*) printf '#!/bin/sh\\necho \"$4\" >{log}.archive\\n' >{programs}/mmdebstrap; "
        f"/bin/chmod +x {programs}/mmdebstrap;; esac\n"
    )
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setattr(debian, "program_path", lambda: str(programs))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    runner = fake_engine.runner
    install(["mmdebstrap"], runner=runner, status=lambda _text: None, refused=lambda why, _more: SupplyError(why))
    assert [line.split()[2] for line in log.read_text().splitlines()] == ["update", "install"]
    assert log.read_text().splitlines()[1].endswith("--no-install-recommends mmdebstrap")
    assert debian.lacking({"mmdebstrap": "mmdebstrap"}) == []


def test_what_a_build_needs_while_it_lasts_is_in_the_runs_own_folder_and_gone_afterwards(
    builder: ImageBuilder, recipe: Recipe, tmp_path: Path, fake_engine: FakeEngine
) -> None:
    with InUse(tmp_path / "cache", "run").registered():
        assert builder.build(recipe).built
        assert not builder.build(recipe).built
    (build,) = [call for call in fake_engine.said("calls") if call.startswith("build ")]
    assert f"src={tmp_path / 'scratch'}/" in build
    assert "value" not in build
    assert list((tmp_path / "scratch").iterdir()) == []
    assert len(fake_engine.said("builds")) == 1


def test_a_build_in_an_engine_of_ours_leaves_nothing_in_the_users_docker_folder(
    recipe: Recipe, tmp_path: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "theirs"))
    (tmp_path / "scratch").mkdir()
    for ours in (True, False):
        engine = replace(fake_engine.engine, ours=ours)
        maker = ImageBuilder(
            engine=engine,
            host=HostConfiguration("http://mirror.invalid/debian", None, tmp_path / "ca.crt", {}),
            runner=fake_engine.runner,
            scratch=tmp_path / "scratch",
            locks=KeyLocks(tmp_path / "locks"),
            in_use=InUse(tmp_path / "cache", "run"),
        )
        with InUse(tmp_path / "cache", "run").registered():
            maker.build(replace(recipe, args={"OURS": str(ours)}))
    own, theirs = fake_engine.said("configurations")
    assert own == str(tmp_path / "scratch" / "docker-client")
    assert json.loads((Path(own) / "config.json").read_text()) == {
        "cliPluginsExtraDirs": [str(tmp_path / "theirs" / "cli-plugins")]
    }
    assert theirs == str(tmp_path / "theirs")
