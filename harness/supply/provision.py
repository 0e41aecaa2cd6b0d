"""From settings to a `Toolchain`: which supply, and then everything from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.journal import Journal
from harness.model import Engine, Toolchain
from harness.process import Runner, SubprocessRunner
from harness.processgroup import Scope
from harness.settings import S3Backend, Settings, SupplyKind
from harness.supply.cache import Cache
from harness.supply.choose import Answers, Choice, ExpectedMinutes, RegistryProbe, choose
from harness.supply.host import read_host
from harness.supply.images import ImageBuilder
from harness.supply.inuse import InUse
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.supply.node import NodeImageMaker
from harness.supply.packages import PackagesSupply
from harness.supply.pins import pins
from harness.supply.registry import RegistrySupply
from harness.supply.tools import needed_downloads
from harness.supply.worker import other_worker, with_worker
from harness.timeline import Timeline
from harness.versions import versions
from harness.wait import Waiter


@dataclass(frozen=True, slots=True)
class Provision:
    """What a run runs with, and how it was come by.

    Attributes:
        toolchain: What it runs with.
        choice: Which supply gave it, and why.
        cache_bytes: What all caches take of the disk.
    """

    toolchain: Toolchain
    choice: Choice
    cache_bytes: int


def provision(
    settings: Settings,
    engine: Engine,
    *,
    run_id: str,
    scratch: Path,
    until_end: ExitStack,
    runner: SubprocessRunner,
    timeline: Timeline,
    journal: Journal,
    status: Callable[[str], None],
) -> Provision:
    """Choose a supply, say so, and get everything from it; the worker image first, if it is one of the user's.

    When one part fails, and on an interrupt, the programs that make the others are ended within seconds.

    Args:
        settings: Of the run.
        engine: Where images are.
        run_id: Of the run.
        scratch: A folder of the run.
        until_end: Closed at the run's end: the images that it stands on are registered as in use until then.
        runner: Runs programs.
        timeline: Told of each step.
        journal: Told of containers before they exist.
        status: Told what is going on.

    Raises:
        SupplyError: Something could not be had. The supply is not changed because of it.
    """
    worker = other_worker(
        settings.worker_image,
        engine=engine,
        runner=runner,
        mirrors=settings.registry_mirror,
        timeline=timeline,
        status=status,
    )
    scope = Scope()
    making = runner.within(scope)
    locks = KeyLocks(
        settings.cache_dir / LOCKS_FOLDER,
        run_id,
        Waiter(patience=settings.patience, given_up=lambda: scope.cancelled),
        status,
    )
    in_use = until_end.enter_context(InUse(settings.cache_dir, run_id, locks=locks).registered())
    host = read_host()
    pinned = pins().with_digests(settings.image_digests)

    def probe() -> Answers:
        downloads = needed_downloads(runner, settings.cache_dir)
        return RegistryProbe(mirrors=settings.registry_mirror, ca_bundle=host.ca_bundle, downloads=downloads)()

    with timeline.phase("supply") as note:
        choice = choose(
            settings.supply,
            probe,
            minutes=ExpectedMinutes(engine=engine, runner=runner, cache_dir=settings.cache_dir),
        )
        note(str(choice))
    builder = ImageBuilder(engine=engine, host=host, runner=making, scratch=scratch, locks=locks, in_use=in_use)
    strict_s3 = settings.s3 is S3Backend.STRICT
    if choice.kind is SupplyKind.PACKAGES:
        toolchain = PackagesSupply(
            engine=engine,
            builder=builder,
            node_maker=NodeImageMaker(
                engine=engine,
                runner=making,
                cleanup=runner,
                journal=journal,
                run_id=run_id,
                locks=locks,
                in_use=in_use,
            ),
            timeline=timeline,
            tools_dir=settings.cache_dir / "tools",
            versions=versions(),
            drafts=in_use.drafts,
            locks=locks,
            cancel=scope.cancel,
            status=status,
        ).toolchain(strict_s3=strict_s3)
    else:
        # Pulled images have the names that they have in the cluster: noted before they are looked for.
        in_use.add(*versions().images.values())
        toolchain = RegistrySupply(
            engine=engine,
            builder=builder,
            runner=making,
            cleanup=runner,
            timeline=timeline,
            cache_dir=settings.cache_dir,
            drafts=in_use.drafts,
            versions=versions(),
            mirrors=settings.registry_mirror,
            status=status,
            pinned=pinned,
            locks=locks,
            scope=scope,
        ).toolchain(strict_s3=strict_s3, chart=settings.airflow_chart is None)
    in_use.add(toolchain.node_image)
    cache_bytes = _keep_within_budget(settings, engine, in_use.names, runner, timeline, status)
    return Provision(toolchain if worker is None else with_worker(toolchain, worker), choice, cache_bytes)


def _keep_within_budget(
    settings: Settings,
    engine: Engine,
    in_use: frozenset[str],
    runner: Runner,
    timeline: Timeline,
    status: Callable[[str], None],
) -> int:
    """Note what is in use, and evict the oldest of the rest where the caches exceed their budget; their bytes then."""
    cache = Cache(engine=engine, runner=runner, cache_dir=settings.cache_dir, status=status)
    cache.touch(in_use)
    total = cache.usage().total
    if total <= settings.cache_limit_gb * 1e9:
        return total
    with timeline.phase("cache eviction") as note:
        evicted = cache.evict(settings.cache_limit_gb, keep=in_use)
        note(f"{(evicted.before - evicted.after) / 1e9:.1f} GB freed of {evicted.before / 1e9:.1f} GB")
    return evicted.after
