"""From settings to a `Toolchain`: which supply, and then everything from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.journal import Journal
from harness.model import Engine, Toolchain
from harness.process import Runner
from harness.settings import S3Backend, Settings, SupplyKind
from harness.supply.cache import Cache
from harness.supply.choose import Choice, ExpectedMinutes, RegistryProbe, choose
from harness.supply.host import read_host
from harness.supply.images import ImageBuilder
from harness.supply.node import NodeImageMaker
from harness.supply.packages import PackagesSupply
from harness.supply.registry import RegistrySupply
from harness.timeline import Timeline
from harness.versions import versions


@dataclass(frozen=True, slots=True)
class Provision:
    """What a run runs with, and how it was come by."""

    toolchain: Toolchain
    choice: Choice


def provision(
    settings: Settings,
    engine: Engine,
    *,
    runner: Runner,
    timeline: Timeline,
    journal: Journal,
    status: Callable[[str], None],
) -> Provision:
    """Choose a supply, say so, and get everything from it.

    Raises:
        SupplyError: Something could not be had. The supply is not changed because of it.
    """
    host = read_host()
    with timeline.phase("supply") as note:
        choice = choose(
            settings.supply,
            RegistryProbe(mirrors=settings.registry_mirror, ca_bundle=host.ca_bundle),
            minutes=ExpectedMinutes(engine=engine, runner=runner, cache_dir=settings.cache_dir),
        )
        note(str(choice))
    builder = ImageBuilder(engine=engine, host=host, runner=runner)
    strict_s3 = settings.s3 is S3Backend.STRICT
    supply: PackagesSupply | RegistrySupply
    if choice.kind is SupplyKind.PACKAGES:
        supply = PackagesSupply(
            engine=engine,
            builder=builder,
            node_maker=NodeImageMaker(engine=engine, runner=runner, journal=journal),
            runner=runner,
            timeline=timeline,
            tools_dir=settings.cache_dir / "tools",
            versions=versions(),
            status=status,
        )
    else:
        supply = RegistrySupply(
            engine=engine,
            builder=builder,
            runner=runner,
            timeline=timeline,
            cache_dir=settings.cache_dir,
            versions=versions(),
            mirrors=settings.registry_mirror,
            status=status,
        )
    toolchain = supply.toolchain(strict_s3=strict_s3)
    _keep_within_budget(settings, engine, {toolchain.node_image, *builder.used}, runner, timeline)
    return Provision(toolchain, choice)


def _keep_within_budget(
    settings: Settings, engine: Engine, in_use: set[str], runner: Runner, timeline: Timeline
) -> None:
    """Note what is in use, and evict the oldest of the rest where the caches are over their budget."""
    cache = Cache(engine=engine, runner=runner, cache_dir=settings.cache_dir)
    cache.touch(in_use)
    if cache.usage().total <= settings.cache_limit_gb * 1e9:
        return
    with timeline.phase("cache eviction") as note:
        evicted = cache.evict(settings.cache_limit_gb, keep=in_use)
        note(f"{(evicted.before - evicted.after) / 1e9:.1f} GB freed of {evicted.before / 1e9:.1f} GB")
