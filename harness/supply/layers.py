"""What is in an image, read from an archive of it (`docker image save`), layer by layer, as a container would see it.

https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md: an upper layer replaces files of a lower one, and
removes them by whiteouts.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from harness.errors import EnvironmentFailed
from harness.supply.inventory import (
    DPKG_STATUS,
    OS_RELEASE,
    Component,
    Distribution,
    debian_packages,
    distribution,
    go_modules,
    is_program,
    of_interest,
    python_distribution,
)

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_HEAD: Final = 4
# What a container engine has unpacked inside a node are other images, which have lists of their own.
_OTHER_IMAGES: Final = "var/lib/containerd/"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an image.

    Attributes:
        created: When it was made, as it says itself.
        distribution: Which distribution it is; None if it is none.
        found: Where each component was found, in the order of their package URLs.
    """

    created: str
    distribution: Distribution | None
    found: Mapping[Component, tuple[str, ...]]


def contents(archive: Path) -> Contents:
    """Read the archive of one image.

    Raises:
        EnvironmentFailed: It is no such archive, or packed in a way that is not understood.
    """
    try:
        with tarfile.open(archive) as saved:
            manifest = json.loads(_read(saved, "manifest.json"))[0]
            config = json.loads(_read(saved, manifest["Config"]))
            records: dict[str, object] = {}
            for layer in manifest["Layers"]:
                stream = saved.extractfile(layer)
                if stream is None:
                    raise EnvironmentFailed(f"{archive.name} lacks the layer {layer}")
                _lay(records, stream)
    except (tarfile.TarError, KeyError, IndexError, ValueError, OSError) as error:
        raise EnvironmentFailed(f"what is in the image cannot be read: {type(error).__name__}: {error}") from error
    return _told(records, created=str(config.get("created") or ""))


def _told(records: Mapping[str, object], *, created: str) -> Contents:
    releases = [records[path] for path in OS_RELEASE if isinstance(records.get(path), Distribution)]
    release = releases[0] if releases and isinstance(releases[0], Distribution) else None
    pairs: list[tuple[Component, str]] = []
    for path, record in records.items():
        if isinstance(record, bytes):
            pairs += [(package, path) for package in debian_packages(record, release or Distribution())]
        elif isinstance(record, tuple):
            pairs += [(component, path) for component in record]
    return Contents(created, release, by_place(pairs))


def _lay(records: dict[str, object], stream: IO[bytes]) -> None:
    """Lay a layer over what is there: what it holds of interest, and what it hides."""
    fresh: dict[str, object] = {}
    with tarfile.open(fileobj=stream, mode="r:*") as layer:
        for member in layer:
            path = str(PurePosixPath(member.name)).removeprefix("./").lstrip("/")
            name = PurePosixPath(path).name
            if name == _OPAQUE:
                _hide(records, str(PurePosixPath(path).parent), itself=False)
            elif name.startswith(_WHITEOUT):
                _hide(records, str(PurePosixPath(path).with_name(name.removeprefix(_WHITEOUT))))
            elif not member.isdir():
                _hide(records, path)
                if member.isreg() and (record := _record(path, member, layer)) is not None:
                    fresh[path] = record
    records |= fresh


def _record(path: str, member: tarfile.TarInfo, layer: tarfile.TarFile) -> object | None:
    """What a file of a layer says of software; None if it says nothing."""
    by_path = of_interest(path)
    if path.startswith(_OTHER_IMAGES) or (not by_path and not member.mode & 0o111):
        return None
    stream = layer.extractfile(member)
    if stream is None:
        return None
    if path == DPKG_STATUS:
        return stream.read()
    if path in OS_RELEASE:
        return distribution(stream.read())
    if by_path:
        component = python_distribution(stream.read())
        return None if component is None else (component,)
    head = stream.read(_HEAD)
    return (go_modules(head + stream.read()) or None) if is_program(head) else None


def _hide(records: dict[str, object], path: str, *, itself: bool = True) -> None:
    below = f"{path}/"
    for known in [known for known in records if known.startswith(below) or (itself and known == path)]:
        del records[known]


def _read(saved: tarfile.TarFile, name: str) -> bytes:
    stream = saved.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream.read()


def of_programs(folder: Path) -> dict[Component, tuple[str, ...]]:
    """The Go modules in the programs of a folder, with the programs that hold them."""
    programs = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]
    return by_place([(component, path.name) for path in programs for component in go_modules(path.read_bytes())])


def by_place(pairs: Iterable[tuple[Component, str]]) -> dict[Component, tuple[str, ...]]:
    """Each component once, by its package URL, with every place where it was found; in the order of those URLs."""
    first: dict[str, Component] = {}
    places: dict[str, set[str]] = {}
    for component, place in sorted(pairs, key=lambda pair: (pair[0].purl, pair[1])):
        first.setdefault(component.purl, component)
        places.setdefault(component.purl, set()).add(place)
    return {component: tuple(sorted(places[purl])) for purl, component in first.items()}
