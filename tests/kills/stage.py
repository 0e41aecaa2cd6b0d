"""Plays kills: a real run on this machine, killed at a moment, and what is there afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.journal import Journal
from harness.model import Engine
from harness.process import SubprocessRunner
from harness.settings import Settings
from harness.supply.daemon import OwnDaemon
from harness.supply.engine import EngineFolders, EngineSupply
from harness.supply.images import REPOSITORY
from harness.targets.ownership import KIND_LABEL
from harness.wait import Waiter

from .driver import Driven, Ended, NotReached
from .driver import verb as run_verb
from .points import TOOLS, Point, Row, Via, Victim
from .strangers import cluster_of_another_state
from .traces import Difference, Machine, in_engine, settled

CHECKOUT = Path(__file__).parents[2]
# Everything of the slowest phase before it may have to be built.
_REACH_SECONDS = 1800.0
_END_SECONDS = 240.0
_GIVE_UP_SECONDS = 1200.0
# The kernel takes things down a moment after the last process has ended.
_SETTLE_SECONDS = 15.0
_INTERRUPTED, _FAILED, _GREEN = 2, 3, 0


@dataclass(slots=True)
class Stage:
    """Where runs are killed.

    Attributes:
        settings: Folders of the harness on this machine.
        folder: For what the tests need themselves.
        strangers: Files that are not the harness's, of which the bytes count.
        rows: What came of each kill.
    """

    settings: Settings
    folder: Path
    strangers: tuple[Path, ...] = ()
    rows: list[Row] = field(default_factory=list)

    @property
    def env(self) -> Mapping[str, str]:
        """For the harness's programs: this one's, with the checkout's code before an installed one."""
        return {**os.environ, "PYTHONUNBUFFERED": "1"}

    def engines(self) -> EngineSupply:
        """The engines of this machine, as the harness finds them."""
        return EngineSupply(folders=self._engine_folders, runner=SubprocessRunner(), waiter=Waiter())

    def harness(self, verb: str, *flags: str, code: int = 0) -> str:
        """Run a verb to its end; what it said."""
        env = {**self.env, "PYTHONPATH": str(CHECKOUT)}
        return run_verb(verb, *flags, cwd=self.folder, env=env, timeout=1800, code=code)

    def look(self) -> frozenset[str]:
        """The machine while nothing runs, then what its engine holds."""
        machine = Machine(self.settings.state_dir, self.settings.cache_dir, files=self.strangers).look()
        return machine | self._held()

    def settled(self, before: frozenset[str]) -> Difference:
        """What differs, once it differs no less by waiting."""
        return settled(self.look, before, seconds=_SETTLE_SECONDS)

    def kill(self, point: Point, number: signal.Signals, *, via: Via = Via.HARNESS) -> None:
        """Kill a run at a point; fails where it leaves or takes anything."""
        swept = number is signal.SIGKILL
        with self._images_as_before(point), self._aside(point):
            before = self.look()
            with self._missed(point, _how(number, via), before):
                ended = self._play(point, number, via=via)
            if swept:
                self.harness("sweep")
            wanted = -int(number) if swept else _GREEN if point.ending else _INTERRUPTED
            right = ended.code == wanted if via is Via.HARNESS else ended.code not in {None, _GREEN}
            wrong = "" if right else f"exit {ended.code}, not {wanted}"
            self._judge(point, _how(number, via), before, ended, wrong=wrong)

    def kill_engine(self, point: Point, victim: Victim) -> None:
        """Kill the engine under a run, or with it; what is there after a sweep."""
        with self._images_as_before(point), self._aside(point):
            before = self.look()
            with self._missed(point, f"SIGKILL of {victim}", before), self._driven(point) as driven:
                self._reach(driven, point)
                self._kill_engine()
                if victim is Victim.BOTH:
                    driven.signal(signal.SIGKILL, group=False)
                # Without its engine a run waits out what it was waiting for.
                ended = driven.end(timeout=_GIVE_UP_SECONDS)
            self.harness("sweep")
            wanted = -int(signal.SIGKILL) if victim is Victim.BOTH else _FAILED
            wrong = "" if ended.code == wanted else f"exit {ended.code}, not {wanted}"
            self._judge(point, f"SIGKILL of {victim}", before, ended, wrong=wrong)

    def kill_on_kept(self, name: str, point: Point, number: signal.Signals, *flags: str | Path) -> None:
        """Kill a run on a kept cluster at a point: the cluster stays the one it was, and the next run on it is green.

        Args:
            name: Of a cluster that is kept.
            point: Where.
            number: What it is killed by.
            flags: More for the run.
        """
        how = f"{number.name}, kept cluster"
        kept = self._nodes(name)
        assert len(kept) == 1, kept
        with self._driven(point, flags=("--keep", "always", "--cluster", name, *flags)) as driven:
            self._reach(driven, point)
            driven.signal(number, group=number is signal.SIGINT)
            ended = driven.end(timeout=_END_SECONDS)
        if number is signal.SIGKILL:
            self.harness("sweep")
        word = "clean" if self._nodes(name) == kept else "not the same cluster"
        runs = [folder.name for folder in (self.settings.state_dir / "runs").glob("*")]
        word = f"{len(runs)} runs left" if runs else word
        if word == "clean":
            said = self.harness("run", "--keep", "always", "--cluster", name)
            word = "clean" if "reused" in said and self._nodes(name) == kept else "not reused"
        self.rows.append(Row(point.name, how, word, ended.code, ended.seconds))
        lines = "\n".join(ended.lines[-25:])
        assert word == "clean", f"{point.name}, {how}: {word}\nthe run said last:\n{lines}"
        wanted = -int(number) if number is signal.SIGKILL else _INTERRUPTED
        assert ended.code == wanted, f"{point.name}, {how}: exit {ended.code}, not {wanted}\n{lines}"

    def meet(self, engine: Engine) -> None:
        """Meet a cluster of another state folder by its name; fails where anything of it is used or removed."""
        with cluster_of_another_state(engine) as name:
            before = self.look()
            # As a run leaves it that is killed just before it makes its cluster.
            folder = self.settings.state_dir / "clusters" / name
            journal = Journal(self.settings.state_dir / "runs" / f"killed-{secrets.token_hex(3)}" / "journal.jsonl")
            journal.record("cluster", name, host=engine.host, folder=str(folder))
            swept = self.harness("sweep")
            assert f"left network {name} (of run of-another-state)" in swept, swept
            refused = self.harness("run", "--cluster", name, code=_FAILED)
            assert f"the cluster name {name} is in use" in refused, refused
            found = self.settled(before)
            assert not found, f"{found}\n{swept}\n{refused}"

    def _judge(self, point: Point, how: str, before: frozenset[str], ended: Ended, *, wrong: str) -> None:
        found = self.settled(before)
        word = f"{len(found.left)} left, {len(found.gone)} gone" if found else wrong or "clean"
        self.rows.append(Row(point.name, how, word, ended.code, ended.seconds))
        said = "\n".join(ended.lines[-25:])
        assert not found, f"{point.name}, {how}:\n{found}\nthe run said last:\n{said}"
        assert not wrong, f"{point.name}, {how}: {wrong}\nthe run said last:\n{said}"
        again = self.harness("sweep")
        assert "nothing to sweep" in again, again

    @contextlib.contextmanager
    def _missed(self, point: Point, how: str, before: frozenset[str]) -> Iterator[None]:
        """A run that ends elsewhere than was meant is an end like any other: its reason is told, and what it leaves."""
        try:
            yield
        except NotReached as error:
            if not error.ended:
                self.harness("sweep")  # it had to be killed
            found = self.settled(before)
            left = f", {len(found.left)} left, {len(found.gone)} gone" if found else ""
            self.rows.append(Row(point.name, how, f"NOT REACHED{left}", None, 0.0))
            raise AssertionError(
                f"{point.name}, {how}: {error}\nand then there was\n{found or 'nothing left'}"
            ) from error

    def _play(self, point: Point, number: signal.Signals, *, via: Via) -> Ended:
        with self._driven(point, via=via) as driven:
            self._reach(driven, point)
            # A terminal's Ctrl-C goes to all of a job; `kill` goes to one.
            driven.signal(number, group=number is signal.SIGINT or via is Via.MAKE)
            return driven.end(timeout=_END_SECONDS)

    def _reach(self, driven: Driven, point: Point) -> None:
        driven.wait_for(*point.phases, timeout=_REACH_SECONDS)
        if point.after:
            threading.Event().wait(point.after)

    @contextlib.contextmanager
    def _driven(
        self, point: Point, *, via: Via = Via.HARNESS, flags: Sequence[str | Path] = ("--keep", "never")
    ) -> Iterator[Driven]:
        work = self.folder / f"run-{secrets.token_hex(3)}"
        work.mkdir()
        tree = _soiled(work / "tree") if point.dirty else CHECKOUT
        command: list[str | Path] = [sys.executable, "-m", "harness.cli", "run", *flags]
        if via is Via.MAKE:
            command, tree = ["make", "e2e"], CHECKOUT
        env = {**self.env, "HARNESS_EVIDENCE_DIR": str(work / "evidence")}
        if via is Via.HARNESS:
            env["PYTHONPATH"] = str(tree)
        cwd = CHECKOUT if via is Via.MAKE else work
        with Driven(command, cwd=cwd, env=env, log=work / "said.log") as driven:
            yield driven

    def _held(self) -> frozenset[str]:
        engines = self.engines()
        if engines.answering() is None and not self._engine_folders.data.is_dir():
            return frozenset()
        with self._engine() as engine:
            return in_engine(engine, self.env)

    @contextlib.contextmanager
    def _engine(self) -> Iterator[Engine]:
        """The engine; afterwards it runs if it ran before, for the kept cluster that it runs for."""
        engines = self.engines()
        ran = engines.answering() is not None
        try:
            yield engines.acquire()
        finally:
            engines.release(keep=ran)

    def _nodes(self, cluster: str) -> list[str]:
        """The containers of a cluster, each with when it was started."""
        label = f"label={KIND_LABEL}={cluster}"
        found = self._docker("container", "ls", "--all", "--quiet", "--no-trunc", "--filter", label).split()
        return [self._docker("container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", one) for one in found]

    def _images(self) -> frozenset[str]:
        command = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{REPOSITORY}/*"]
        return frozenset(self._docker(*command).split())

    @contextlib.contextmanager
    def _images_as_before(self, point: Point) -> Iterator[None]:
        """Remove what a soiled tree has made: it is of use to nobody."""
        images = self._images() if point.dirty else frozenset[str]()
        try:
            yield
        finally:
            for name in sorted(self._images() - images, reverse=True) if point.dirty else ():
                self._docker("image", "rm", "--force", name)

    @contextlib.contextmanager
    def _aside(self, point: Point) -> Iterator[None]:
        """Put aside what is to be made again, and put it back: whatever the run has made of it by then."""
        if not point.aside:
            yield
        elif point.aside == TOOLS:
            folders = [path for path in (self.settings.cache_dir / TOOLS).iterdir() if (path / "helm").exists()]
            assert folders, "no run has written programs of the host before"
            with tempfile.TemporaryDirectory(dir=self.settings.cache_dir.parent) as aside:
                for path in folders:
                    path.rename(Path(aside, path.name))
                try:
                    yield
                finally:
                    for path in folders:
                        shutil.rmtree(path, ignore_errors=True)
                        Path(aside, path.name).rename(path)
        else:
            images = [name for name in self._images() if name.startswith(f"{REPOSITORY}/{point.aside}:")]
            assert images, f"no run has made {point.aside} before"
            for name in images:
                self._docker("image", "tag", name, _aside_of(name))
                self._docker("image", "rm", name)
            try:
                yield
            finally:
                for name in images:
                    self._docker("image", "tag", _aside_of(name), name)
                    self._docker("image", "rm", _aside_of(name))

    def _docker(self, *arguments: str) -> str:
        with self._engine() as engine:
            return SubprocessRunner().run([engine.docker, *arguments], env=engine.env).stdout

    def _kill_engine(self) -> None:
        daemon = OwnDaemon(self._engine_folders, SubprocessRunner(), Waiter())
        pid = Waiter().until(
            "the engine of this run", daemon.pid, ready=lambda found: found is not None, timeout=20, interval=0.05
        )
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    @property
    def _engine_folders(self) -> EngineFolders:
        return EngineFolders.below(self.settings.state_dir, self.settings.cache_dir)


def _soiled(tree: Path) -> Path:
    """A copy of the checkout in which the services' images have something new."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the developer's own
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, tree / name)
    with (tree / "harness/services/apps/adapter/__init__.py").open("a", encoding="utf-8") as out:
        out.write(f"# {secrets.token_hex(8)}\n")
    return tree


def _aside_of(image: str) -> str:
    return f"{image}-aside"


def _how(number: signal.Signals, via: Via) -> str:
    return number.name if via is Via.HARNESS else f"{number.name} to all of {via}"
