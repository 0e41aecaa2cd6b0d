"""How the nodes of a cluster that is attached to come by the images: they hold them, or pull them from a registry.

The images are the supply's, as on kind. Into ECR the harness puts them itself (`eks/ecr.py`). Whoever names another
registry has pushed them from this engine, which then knows what each is called there, and by which digest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.errors import CommandFailed, EnvironmentFailed
from harness.imagenames import below
from harness.model import Toolchain
from harness.process import Runner

# What makes the volumes of a cluster of the harness's own; any other has its own storage classes.
VOLUMES: Final = frozenset({"path-helper"})
# What is not on AWS: that, and the object store.
LOCAL: Final = VOLUMES | {"localstack", "strict-s3"}
_SECONDS: Final = 60.0


def without_local(toolchain: Toolchain) -> Toolchain:
    """The toolchain without what is not on AWS."""
    return without(toolchain, LOCAL)


def without(toolchain: Toolchain, absent: Collection[str]) -> Toolchain:
    """The toolchain without images that do not run on a target, so that nobody reads that they ran there."""
    gone = {reference for name, reference in toolchain.images.items() if name in absent}
    return replace(
        toolchain,
        images={name: reference for name, reference in toolchain.images.items() if name not in absent},
        image_digests={name: ids for name, ids in toolchain.image_digests.items() if name not in absent},
        stand_ins=tuple(
            one for one in toolchain.stand_ins if not any(one.replaces.endswith(reference) for reference in gone)
        ),
    )


def mapped(toolchain: Toolchain, registry: str | None) -> Mapping[str, str]:
    """What nodes call each image, by its reference; nothing where they hold them under their own names."""
    if registry is None:
        return {}
    return {reference: below(registry, reference) for reference in toolchain.images.values()}


def with_digests(toolchain: Toolchain, names: Mapping[str, str], *, runner: Runner) -> Toolchain:
    """The toolchain with the digests that pods show of images from a registry.

    Args:
        toolchain: Of the supply.
        names: As `mapped` gives them.
        runner: Runs docker.

    Raises:
        EnvironmentFailed: The engine does not know an image under its name there.
    """
    digests = dict(toolchain.image_digests)
    for name, reference in toolchain.images.items():
        if reference in names:
            pushed = _pushed(toolchain, reference, names[reference], runner)
            # The image's own id stays the last: reports call it by that.
            digests[name] = tuple(dict.fromkeys((*pushed, *toolchain.image_digests[name])))
    return replace(toolchain, image_digests=digests)


def _pushed(toolchain: Toolchain, reference: str, there: str, runner: Runner) -> list[str]:
    engine = toolchain.engine
    command: list[str | Path] = [engine.docker, "image", "inspect", "--format", "{{json .RepoDigests}}", there]
    try:
        said = runner.run(command, env=engine.env, timeout=_SECONDS).stdout
    except CommandFailed as error:
        raise _unknown(reference, there, error.stderr.strip()) from error
    repository = there.rpartition(":")[0]
    found = [one.partition("@")[2] for one in json.loads(said) or () if one.partition("@")[0] == repository]
    if not found:
        raise _unknown(reference, there, "it was never pushed from this engine, or pulled by it")
    return found


def _unknown(reference: str, there: str, why: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the container engine does not know {there}, so nobody could tell whether a pod runs that image",
        evidence={"why": why},
        next_step=f"docker tag {reference} {there} && docker push {there}; or docker pull {there}",
    )
