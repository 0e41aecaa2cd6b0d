"""The worker image of another DAG than the shipped one: found in the engine or pulled, and put into the toolchain.

It keeps its own name, the one that the DAG names; its digest becomes what the DAG's pods must show. The harness's own
pod that proves the services keeps the built image ("probe"): a team's image need not hold what that pod runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import SupplyError
from harness.model import Engine, Toolchain
from harness.process import Runner
from harness.supply.pins import Reference, checked_mirrors
from harness.supply.pulling import Puller, PullFailed
from harness.timeline import Timeline
from harness.versions import versions

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WorkerImage:
    """An image in the engine.

    Attributes:
        reference: As the DAG names it.
        digests: By which a pod's status may show it, its own id last.
        pulled: Whether it was pulled now.
    """

    reference: str
    digests: tuple[str, ...]
    pulled: bool


def find_worker(
    reference: str,
    *,
    engine: Engine,
    runner: Runner,
    mirrors: Mapping[str, str],
    status: Callable[[str], None] = lambda _text: None,
) -> WorkerImage:
    """The image: the engine's own if it has one of that name, else pulled.

    Raises:
        SupplyError: It is not in the engine and could not be pulled; says where it was looked for.
        UsageError: A mirror is not a host.
    """
    found = _digests(reference, engine, runner)
    if found:
        return WorkerImage(reference, found, pulled=False)
    wanted = Reference.parse(reference)
    source = wanted.mirrored(checked_mirrors(mirrors))
    status(f"pulling {source}")
    try:
        Puller(engine=engine, runner=runner, status=status).pull(source, wanted=wanted)
    except PullFailed as error:
        raise SupplyError(
            f"the worker image {reference} cannot be had: {error.trouble}",
            evidence={"looked for": f"in the engine's own images, then at {source.host} as {source}", **error.evidence},
            next_step=f"build or load it as {reference} into the engine, or correct --worker-image; {error.next_step}",
        ) from error
    if source.to_pull != reference:
        command: list[str | Path] = [engine.docker, "tag", source.to_pull, reference]
        runner.run(command, env=engine.env, timeout=_SECONDS)
    found = _digests(reference, engine, runner)
    if not found:
        raise SupplyError(f"the engine does not show the worker image {reference} after pulling it")
    return WorkerImage(reference, found, pulled=True)


def other_worker(
    reference: str | None,
    *,
    engine: Engine,
    runner: Runner,
    mirrors: Mapping[str, str],
    timeline: Timeline,
    status: Callable[[str], None] = lambda _text: None,
) -> WorkerImage | None:
    """The image of the DAG's pods, if it is another than the built one: had first, for it may not be to be had.

    Raises:
        SupplyError: It is not in the engine and could not be pulled.
        UsageError: A mirror is not a host.
    """
    if reference is None or reference == versions().images["worker"]:
        return None
    with timeline.phase("worker image") as note:
        image = find_worker(reference, engine=engine, runner=runner, mirrors=mirrors, status=status)
        note(f"{reference}, " + ("pulled" if image.pulled else "the engine's own"))
    return image


def with_worker(toolchain: Toolchain, image: WorkerImage) -> Toolchain:
    """The toolchain with that image as the worker, and the one it had as the probe."""
    images, digests = dict(toolchain.images), dict(toolchain.image_digests)
    in_engine = dict(toolchain.engine_images)
    images |= {"probe": images["worker"], "worker": image.reference}
    in_engine |= {"probe": in_engine["worker"], "worker": image.reference}
    digests |= {"probe": digests["worker"], "worker": image.digests}
    # Of the same name but other content, the copy inside the node image would be the wrong one.
    return replace(
        toolchain,
        images=images,
        image_digests=digests,
        preloaded=toolchain.preloaded - {image.reference},
        engine_images=in_engine,
    )


def _digests(reference: str, engine: Engine, runner: Runner) -> tuple[str, ...]:
    """Repository digests and id of an image; empty if the engine has none of that name."""
    command: list[str | Path] = [engine.docker, "image", "inspect", "--format", "{{json .}}", reference]
    done = runner.run(command, env=engine.env, timeout=_SECONDS, check=False)
    if done.code != 0:
        return ()
    image = json.loads(done.stdout)
    repositories = [entry.partition("@")[2] for entry in image.get("RepoDigests") or ()]
    return tuple(dict.fromkeys([*repositories, str(image["Id"])]))
