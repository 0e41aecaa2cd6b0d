"""toxiproxy's programs, compiled as the packages supply compiles its own: from Go modules, with a go.sum."""

from __future__ import annotations

from pathlib import Path

from harness.environment import Environment
from harness.errors import EnvironmentFailed
from harness.supply.host import read_host
from harness.supply.images import ImageBuilder, Recipe
from harness.supply.inuse import InUse
from harness.supply.locks import LOCKS_FOLDER, KeyLocks
from harness.versions import versions

_SOURCE = Path(__file__).parent / "toxiproxy"


def build_toxiproxy(environment: Environment, into: Path) -> Path:
    """Write `toxiproxy-server` and `toxiproxy-cli` into a new folder; compiled once on a machine.

    Raises:
        EnvironmentFailed: They could not be built.
    """
    if environment.toolchain is None:
        raise EnvironmentFailed("the environment is not up")
    cache_dir, run_id = environment.settings.cache_dir, f"{environment.run_id}-faults"
    locks = KeyLocks(cache_dir / LOCKS_FOLDER, run_id, environment.waiter, environment.status)
    with InUse(cache_dir, run_id, locks=locks).registered() as in_use:
        builder = ImageBuilder(
            engine=environment.toolchain.engine,
            host=read_host(),
            runner=environment.runner,
            scratch=environment.scratch,
            locks=locks,
            in_use=in_use,
        )
        base = builder.base(versions().debian_base, status=environment.status)
        recipe = Recipe("toxiproxy", _SOURCE / "Dockerfile", _SOURCE, {"BASE": base})
        builder.build(recipe, status=environment.status)
        builder.export(recipe, into)
    return into
