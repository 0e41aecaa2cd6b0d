"""Bills of materials: what is truly in each image of the caches, in the programs of the host and beside the harness.

CycloneDX 1.6 as JSON (https://cyclonedx.org/docs/1.6/json/). Written here and not by a library: it is one flat list of
components, and the libraries for it would bring five packages into the environment that every user installs. A contract
test holds the result against the format's own schema.

The same image gives the same bytes: its serial number comes from its id, its time is the one at which it was made.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

from harness.model import Engine
from harness.process import Runner
from harness.supply.cache import CachedImage
from harness.supply.inventory import Component, Distribution, python_distribution
from harness.supply.layers import Contents, by_place, contents, of_programs

SPEC: Final = "1.6"
_SCHEMA: Final = f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json"
_NAMESPACE: Final = uuid.UUID("6f2b7a4e-6d0e-4b8e-9a53-5f0f0c9f2d11")
_SAVE_SECONDS: Final = 900
_UNFIT: Final = re.compile(r"[^A-Za-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a bill is of.

    Attributes:
        kind: In CycloneDX's words.
        name: Of the image, the programs or the package.
        version: Likewise.
        key: What the serial number is made of: other content, other key.
        created: When it was made, ISO 8601; empty where nobody knows.
    """

    kind: Literal["container", "application"]
    name: str
    version: str
    key: str
    created: str = ""


def bill(
    subject: Subject,
    found: Mapping[Component, tuple[str, ...]],
    *,
    tool_version: str,
    distribution: Distribution | None = None,
) -> dict[str, Any]:
    """A bill of materials as plain values.

    Args:
        subject: What it is of.
        found: Where each component was found.
        tool_version: Of the harness.
        distribution: Which distribution an image is.
    """
    components = [_component(component, places) for component, places in found.items()]
    if distribution is not None:
        title = {"description": distribution.title} if distribution.title else {}
        components.insert(
            0,
            {
                "type": "operating-system",
                "bom-ref": f"os:{distribution.id}-{distribution.version}",
                "name": distribution.id,
                "version": distribution.version,
                **title,
            },
        )
    root = f"{subject.kind}:{subject.name}"
    told = {"timestamp": subject.created} if subject.created else {}
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, subject.key)}",
        "version": 1,
        "metadata": {
            **told,
            "tools": {"components": [{"type": "application", "name": "airflow-dvc-harness", "version": tool_version}]},
            "component": {
                "type": subject.kind,
                "bom-ref": root,
                "name": subject.name,
                "version": subject.version,
            },
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def of_image(image: CachedImage, *, engine: Engine, runner: Runner, scratch: Path) -> Contents:
    """What is in an image.

    Args:
        image: In the engine.
        engine: Where it is.
        runner: Runs docker.
        scratch: Has room for the whole image; nothing is left in it.

    Raises:
        EnvironmentFailed: It cannot be had from the engine, or not be read.
    """
    archive = scratch / "image.tar"
    try:
        command: list[str | Path] = [engine.docker, "image", "save", "--output", archive, image.id]
        runner.run(command, env=engine.env, timeout=_SAVE_SECONDS)
        return contents(archive)
    finally:
        archive.unlink(missing_ok=True)


def write_images(
    folder: Path,
    images: tuple[CachedImage, ...],
    *,
    engine: Engine,
    runner: Runner,
    scratch: Path,
    tool_version: str,
    say: Callable[[str], None],
) -> list[Path]:
    """Write a bill for each image; returns the files.

    Raises:
        EnvironmentFailed: An image cannot be read.
        OSError: A file cannot be written.
    """
    written = []
    for image in images:
        name = image.names[0] if image.names else image.id
        inside = of_image(image, engine=engine, runner=runner, scratch=scratch)
        subject = Subject("container", name, image.id, image.id, inside.created)
        made = bill(subject, inside.found, tool_version=tool_version, distribution=inside.distribution)
        written.append(write(folder, name, made))
        say(f"{written[-1].name}: {len(inside.found)} components")
    return written


def write_programs(folder: Path, tools: Path, *, tool_version: str) -> list[Path]:
    """Write a bill for each set of programs of the host; returns the files.

    Raises:
        OSError: One cannot be read, or a file not written.
    """
    written = []
    for place in sorted(path for path in tools.iterdir() if path.is_dir()) if tools.is_dir() else []:
        found = of_programs(place)
        if found:
            subject = Subject("application", "host-programs", place.name, f"tools {place.name}")
            written.append(
                write(folder, f"host-programs-{place.name}", bill(subject, found, tool_version=tool_version))
            )
    return written


def write_harness(folder: Path, *, tool_version: str) -> Path:
    """Write the bill of the Python environment that the harness runs in; returns the file.

    Raises:
        OSError: It cannot be written.
    """
    texts = [one.read_text("METADATA") or one.read_text("PKG-INFO") for one in metadata.distributions()]
    components = [python_distribution(text.encode()) for text in texts if text]
    ordered = by_place([(one, one.name) for one in components if one is not None])
    key = "environment " + " ".join(one.purl for one in ordered)
    subject = Subject("application", "airflow-dvc-harness", tool_version, key)
    return write(folder, "airflow-dvc-harness", bill(subject, ordered, tool_version=tool_version))


def write(folder: Path, name: str, document: Mapping[str, Any]) -> Path:
    """Write a bill under a name that fits a file; returns its path.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_UNFIT.sub('_', name)}.cdx.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def _component(component: Component, places: tuple[str, ...]) -> dict[str, Any]:
    licence = {"licenses": [{"license": {"name": component.licence}}]} if component.licence else {}
    return {
        "type": component.kind,
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
        **licence,
        "evidence": {"occurrences": [{"location": place} for place in places]},
    }
