"""What the registry supply pulls and downloads, as `registry-images.toml` pins it; image references; mirrors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, cast

from harness.assets import package_path
from harness.errors import SupplyError, UsageError
from harness.imagenames import DOCKER_HUB, official, split_host
from harness.model import PulledName

ToolName = Literal["kind", "helm", "kubectl"]

# Other spellings of Docker Hub, as they stand in mirror settings and old configuration files.
_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# A registry host, with a port, with a path below it where the mirror serves several registries.
_MIRROR = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?(?:/[a-z0-9._/-]+)?")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference in full.

    Grammar: https://github.com/distribution/reference/blob/v0.6.0/reference.go

    Attributes:
        host: Registry host with its port; "docker.io" where the reference names none.
        path: Repository in that registry; "library/postgres" for "postgres".
        tag: Without its colon; empty if only a digest is given.
        digest: "sha256:...", or None.
    """

    host: str
    path: str
    tag: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference.

        Raises:
            SupplyError: The text is none.
        """
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise SupplyError(f"{text} is not an image reference: {digest!r} is no sha256 digest")
        host, remainder = split_host(name)
        path, _colon, tag = remainder.partition(":")
        if not path or (not tag and not digest):
            raise SupplyError(f"{text} is not an image reference with a tag or a digest")
        if host in _HUB_ALIASES:
            host = DOCKER_HUB
        return cls(host, official(host, path), tag, digest or None)

    @property
    def repository(self) -> str:
        """Host and path, without tag and digest."""
        return f"{self.host}/{self.path}"

    @property
    def to_pull(self) -> str:
        """As `docker pull` takes it: by digest where there is one, else by tag."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def mirrored(self, mirrors: Mapping[str, str]) -> Reference:
        """The same image at the mirror of its registry; unchanged where there is none. The digest stays."""
        mirror = mirrors.get(self.host)
        if mirror is None:
            return self
        host, _slash, prefix = mirror.partition("/")
        return replace(self, host=host, path=f"{prefix.strip('/')}/{self.path}".lstrip("/"))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class Download:
    """A program to download for one platform.

    Attributes:
        url: Where it is.
        sha256: Of the file at that URL, 64 hexadecimal digits.
        member: Path inside the file, which then is a gzipped tar archive; None if the file is the program itself.
    """

    url: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class ToolPin:
    """A program that a run needs.

    Attributes:
        name: Of the program.
        version: What is downloaded, without a "v".
        at_least: Oldest version from PATH that will do.
        below: First version from PATH that will not.
        downloads: By platform, such as "linux-amd64".
    """

    name: ToolName
    version: str
    at_least: str
    below: str
    downloads: Mapping[str, Download]


@dataclass(frozen=True, slots=True)
class ChartPin:
    """The official Airflow chart.

    Attributes:
        version: Of the chart.
        download: Its archive.
    """

    version: str
    download: Download


@dataclass(frozen=True, slots=True)
class Pins:
    """The whole of `registry-images.toml`."""

    images: Mapping[PulledName, Reference]
    tools: Mapping[ToolName, ToolPin]
    chart: ChartPin

    @property
    def kubernetes(self) -> str:
        """Version of Kubernetes in the node image, such as "v1.34.11"."""
        return self.images["node"].tag

    def with_digests(self, digests: Mapping[PulledName, str]) -> Pins:
        """The same with digests that the user vouches for (`image_digests`), over those of the file.

        Args:
            digests: "sha256:..." by name, of the image or of its multi-platform index.
        """
        pinned = {name: replace(self.images[name], digest=digest) for name, digest in digests.items()}
        return replace(self, images={**self.images, **pinned})


@cache
def pins() -> Pins:
    """Read `registry-images.toml`."""
    data = tomllib.loads(package_path("supply", "registry-images.toml").read_text(encoding="utf-8"))
    images = {
        cast("PulledName", name): replace(Reference.parse(image["reference"]), digest=image.get("digest"))
        for name, image in data["images"].items()
    }
    chart = data["chart"]
    return Pins(
        images,
        {cast("ToolName", name): _tool(name, tool) for name, tool in data["tools"].items()},
        ChartPin(chart["version"], Download(chart["url"], chart["sha256"])),
    )


def _tool(name: str, data: Mapping[str, Any]) -> ToolPin:
    downloads = {
        platform: Download(value["url"], value["sha256"], value.get("member"))
        for platform, value in data.items()
        if isinstance(value, Mapping)
    }
    return ToolPin(cast("ToolName", name), data["version"], data["at-least"], data["below"], downloads)


def checked_mirrors(mirrors: Mapping[str, str]) -> dict[str, str]:
    """The `--registry-mirror` map, with Docker Hub under its one name.

    Args:
        mirrors: Registry host to mirror: "mirror.example:5000" or, with a path, "mirror.example/docker-hub".

    Raises:
        UsageError: An entry is no host, or carries a scheme.
    """
    for source, mirror in mirrors.items():
        if not _MIRROR.fullmatch(source) or "/" in source or not _MIRROR.fullmatch(mirror):
            raise UsageError(
                f"--registry-mirror {source}={mirror} cannot be used",
                next_step="write hosts without a scheme, such as docker.io=mirror.example:5000",
            )
    return {DOCKER_HUB if source in _HUB_ALIASES else source: mirror for source, mirror in mirrors.items()}
