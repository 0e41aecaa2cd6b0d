"""What software is in a file: Debian's list of packages, a Python distribution's metadata, a Go program's own record.

Only what is there is reported, never what a lock says should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Final, Literal
from urllib.parse import quote

DPKG_STATUS: Final = "var/lib/dpkg/status"
OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_DIST_INFO: Final = re.compile(r"(?:^|/)[^/]+\.dist-info/METADATA$")
_EGG_INFO: Final = re.compile(r"(?:^|/)[^/]+\.egg-info(?:/PKG-INFO)?$")
_ELF: Final = b"\x7fELF"
# Go's debug/buildinfo/buildinfo.go: the record's head, its place, and the form since Go 1.18.
_GO_MAGIC: Final = b"\xff Go buildinf:"
_GO_ALIGNED: Final = 16
_GO_HEADER: Final = 32
_GO_INLINE: Final = 0x2
_GO_SENTINEL: Final = 16
_LONGEST_LICENCE: Final = 100
_DEVELOPED: Final = "(devel)"


@dataclass(frozen=True, slots=True)
class Component:
    """One piece of software.

    Attributes:
        kind: What it is, in CycloneDX's words.
        name: As its own kind of package names it.
        version: Likewise; empty where it says none.
        purl: Its package URL (https://github.com/package-url/purl-spec).
        licence: As it says; empty where it does not.
    """

    kind: Literal["library", "application", "operating-system"]
    name: str
    version: str
    purl: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Which distribution an image is, from its os-release (os-release(5))."""

    id: str = "debian"
    version: str = ""
    title: str = ""


def of_interest(path: str) -> bool:
    """Whether a file may hold a record that is known by its path; programs are known by their first bytes."""
    return path == DPKG_STATUS or path in OS_RELEASE or bool(_DIST_INFO.search(path) or _EGG_INFO.search(path))


def is_program(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a Linux program or library."""
    return head.startswith(_ELF)


def python_distribution(raw: bytes) -> Component | None:
    """What a METADATA file says (https://packaging.python.org/en/latest/specifications/core-metadata/)."""
    headers = BytesHeaderParser(policy=compat32).parsebytes(raw)
    name, version = str(headers.get("Name") or "").strip(), str(headers.get("Version") or "").strip()
    if not name:
        return None
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return Component("library", name, version, _purl("pypi", (normal,), version), _licence(headers))


def debian_packages(raw: bytes, distribution: Distribution) -> Iterator[Component]:
    """Every package that dpkg has installed (dpkg-query(1), deb-control(5))."""
    for stanza in raw.split(b"\n\n"):
        fields = BytesHeaderParser(policy=compat32).parsebytes(stanza.lstrip(b"\n"))
        name, version = str(fields.get("Package") or ""), str(fields.get("Version") or "")
        if not name or not str(fields.get("Status") or "").endswith(" installed"):
            continue
        release = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
        qualifiers = {"arch": str(fields.get("Architecture") or ""), "distro": release}
        yield Component("library", name, version, _purl("deb", (distribution.id, name), version, qualifiers))


def distribution(raw: bytes) -> Distribution:
    """What an os-release file says."""
    pairs = (line.partition("=") for line in raw.decode("utf-8", "replace").splitlines())
    found = {key.strip(): value.strip().strip("\"'") for key, _equals, value in pairs}
    return Distribution(found.get("ID") or "debian", found.get("VERSION_ID", ""), found.get("PRETTY_NAME", ""))


def go_modules(program: bytes) -> tuple[Component, ...]:
    """The modules that a Go program was built from, its main one and Go itself included; empty if it is none."""
    record = _go_record(program)
    if record is None:
        return ()
    toolchain, text = record
    # "go1.24.4", and what it was built with after a blank.
    version = (toolchain.removeprefix("go").split() or [""])[0]
    found = [Component("library", "stdlib", version, _purl("golang", ("stdlib",), version))]
    modules: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        fields = [*line.split("\t"), "", ""]
        if fields[0] in {"mod", "dep"}:
            modules.append((fields[0], fields[1], fields[2]))
        elif fields[0] == "=>" and modules:
            # What was built is the replacement.
            modules[-1] = (modules[-1][0], fields[1], fields[2])
    for role, path, stated in modules:
        known = "" if stated == _DEVELOPED else stated
        kind: Literal["application", "library"] = "application" if role == "mod" else "library"
        parts = tuple(part for part in path.lower().split("/") if part)
        if parts:
            found.append(Component(kind, path, known, _purl("golang", parts, known)))
    return tuple(found)


def _go_record(program: bytes) -> tuple[str, str] | None:
    """Go's version and the list of modules, from where the linker has put them."""
    place = program.find(_GO_MAGIC)
    while place != -1:
        # The magic stands in Go's own code too, but not at such a place, or without the rest.
        if place % _GO_ALIGNED == 0 and len(program) > place + _GO_HEADER and program[place + 15] & _GO_INLINE:
            version, after = _text(program, place + _GO_HEADER)
            modules, _end = _text(program, after)
            if version:
                inner = modules[_GO_SENTINEL:-_GO_SENTINEL] if len(modules) > 2 * _GO_SENTINEL else b""
                return version.decode("utf-8", "replace"), inner.decode("utf-8", "replace")
        place = program.find(_GO_MAGIC, place + 1)
    return None


def _text(raw: bytes, place: int) -> tuple[bytes, int]:
    """Bytes after their length (a varint, as in encoding/binary), and where they end."""
    length = shift = 0
    for number, byte in enumerate(raw[place : place + 10], start=1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint has its highest bit clear
            begin = place + number
            return raw[begin : begin + length], begin + length
    return b"", place


def _licence(headers: object) -> str:
    get = headers.get  # type: ignore[attr-defined]
    for name in ("License-Expression", "License"):
        stated = str(get(name) or "").strip()
        # Some put the whole text of the licence there.
        if stated and len(stated) <= _LONGEST_LICENCE and "\n" not in stated and stated.upper() != "UNKNOWN":
            return stated
    classifiers = [str(one) for one in headers.get_all("Classifier") or ()]  # type: ignore[attr-defined]
    return next((one.rpartition("::")[2].strip() for one in classifiers if one.startswith("License ::")), "")


def _purl(kind: str, parts: tuple[str, ...], version: str, qualifiers: dict[str, str] | None = None) -> str:
    path = "/".join(quote(part, safe=".-_~") for part in parts)
    at = f"@{quote(version, safe='.-_~:')}" if version else ""
    given = "&".join(
        f"{key}={quote(value, safe='.-_~:')}" for key, value in sorted((qualifiers or {}).items()) if value
    )
    return f"pkg:{kind}/{path}{at}" + (f"?{given}" if given else "")
