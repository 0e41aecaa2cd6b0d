"""DVC remotes on S3: `.dvc/config`, object keys, folder manifests. Pure functions over bytes.

Layouts, as dvc 3.67.1 was seen to write and read them:

- DVC 3 (`hash: md5`): `<prefix>/files/md5/<first 2 digits>/<other 30>`, a folder's manifest with `.dir` behind it;
- legacy (no `hash`): `<prefix>/<first 2>/<other 30>`;
- version-aware remotes: `<prefix>/<path in the repository>` at a version id. Not content-addressed.
"""

from __future__ import annotations

import configparser
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.dvc.dvcfile import PointerError
from harness.dvc.pointer import Member, Output, Pointer, Version, check_relpath

_SECTION = re.compile(r"""'?remote\s+"(?P<name>[^"]+)"'?""")
_MD5 = re.compile(r"[0-9a-f]{32}")
_HOPS = 5


class RemoteError(ValueError):
    """The DVC configuration names no usable S3 remote; the message is the reason."""


class ManifestError(ValueError):
    """These bytes are no folder manifest; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one object lies.

    Attributes:
        bucket: Bucket.
        key: Key.
        version_id: The object version; None for the current one.
    """

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        version = f" (version {self.version_id})" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"


@dataclass(frozen=True, slots=True)
class Remote:
    """One S3 remote.

    Attributes:
        name: In small letters: capitals do not tell remotes apart (dvc 3.67.1, `fs/__init__.py`: `get_fs_config`).
        bucket: Bucket.
        prefix: Key prefix without slashes at its ends; may be empty.
        version_aware: Whether files lie under their own paths, told apart by version id.
    """

    name: str
    bucket: str
    prefix: str
    version_aware: bool = False

    @property
    def url(self) -> str:
        """The remote as DVC writes it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """What a `.dvc/config` says about remotes.

    Attributes:
        default: Name of the default remote (`core.remote`).
        options: Options by remote name in small letters, values as written.
    """

    default: str | None
    options: Mapping[str, Mapping[str, str]]

    def remote(self, name: str | None = None) -> Remote:
        """The remote of that name, or the default one.

        Raises:
            RemoteError: There is none, or it is not on S3.
        """
        name = name or self.default
        if name is None:
            raise RemoteError("it names no default remote (core.remote)")
        name = name.lower()
        options = self._options(name)
        url, path = options.get("url", ""), ""
        for _ in range(_HOPS):
            if not url.startswith("remote://"):
                break
            base, _, below = url.removeprefix("remote://").partition("/")
            path = posixpath.join(below, path)
            url = self._options(base).get("url", "")
        if not url.startswith("s3://"):
            raise RemoteError(f"remote {name!r} is at {url or 'no url'}, not on S3")
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise RemoteError(f"remote {name!r} has no bucket in its url {url}")
        aware = any(
            options.get(flag, "").lower() in ("true", "1", "yes", "on") for flag in ("version_aware", "worktree")
        )
        return Remote(name, bucket, posixpath.join(prefix, path).strip("/"), aware)

    def _options(self, name: str) -> Mapping[str, str]:
        if name.lower() not in self.options:
            raise RemoteError(f"there is no remote {name!r} in it")
        return self.options[name.lower()]


@dataclass(frozen=True, slots=True)
class NamedObject:
    """One object that a pointer names.

    Attributes:
        label: Path in the repository of the file it holds; for a manifest the folder with a slash behind it.
        address: Where it must lie.
        md5: What its bytes must hash to.
        size: Bytes, if the pointer states them for this one object.
        legacy: Whether line ends are made Unix ones before hashing.
        manifest: Whether it is a folder's manifest.
    """

    label: str
    address: Address
    md5: str
    size: int | None
    legacy: bool
    manifest: bool = False


@dataclass(frozen=True, slots=True)
class Naming:
    """Everything that a pointer names.

    Attributes:
        objects: In the pointer's order; a folder's manifest before its members.
        unread: Manifests whose members are not known, because their bytes were not at hand.
        problems: What keeps objects from being named, as sentences.
    """

    objects: tuple[NamedObject, ...]
    unread: tuple[Address, ...] = ()
    problems: tuple[str, ...] = field(default=())


def parse_config(data: bytes) -> RemoteConfig:
    """Parse a `.dvc/config`.

    Raises:
        RemoteError: It cannot be read.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    try:
        # DVC's reader gives indentation no meaning; configparser would take it for a continued value.
        parser.read_string("\n".join(line.strip() for line in data.decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, configparser.Error) as error:
        raise RemoteError(f"it cannot be read ({' '.join(str(error).split())})") from None
    sections: dict[str, dict[str, str]] = {}
    default = ""
    for section in parser.sections():
        if _unquote(section.strip()) == "core":
            default = parser.get(section, "remote", fallback="")
        match = _SECTION.fullmatch(section.strip())
        if match is not None:
            sections[match["name"].lower()] = {key: _unquote(value) for key, value in parser.items(section)}
    return RemoteConfig(_unquote(default) or None, sections)


def object_key(prefix: str, md5: str, *, legacy: bool, is_dir: bool = False) -> str:
    """Key of the object with this md5 under a remote's prefix."""
    suffix = ".dir" if is_dir else ""
    return posixpath.join(prefix, "" if legacy else "files/md5", md5[:2], md5[2:] + suffix)


def parse_manifest(data: bytes) -> tuple[tuple[str, str], ...]:
    """The files of a folder's manifest as (path below the folder, md5).

    Raises:
        ManifestError: These bytes are no manifest.
    """
    try:
        entries = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(f"it is not JSON ({error})") from None
    if not isinstance(entries, list):
        raise ManifestError("it is not a list of files")
    members = []
    for entry in entries:
        md5 = entry.get("md5") if isinstance(entry, dict) else None
        if not isinstance(md5, str) or not _MD5.fullmatch(md5):
            raise ManifestError(f"the entry {entry!r} has no md5 of 32 lower-case digits")
        try:
            members.append((check_relpath(entry.get("relpath"), "the manifest"), md5))
        except PointerError as error:
            raise ManifestError(str(error)) from None
    if len({relpath for relpath, _ in members}) != len(members):
        raise ManifestError("it names the same file twice")
    return tuple(members)


def name_objects(pointer: Pointer, config: RemoteConfig, manifests: Mapping[Address, bytes]) -> Naming:
    """Every object that the pointer names, at the address that its layout implies.

    Args:
        pointer: The pointer.
        config: The DVC configuration at the same commit.
        manifests: Bytes of the folder manifests that could be read, by address.
    """
    objects: list[NamedObject] = []
    unread: list[Address] = []
    problems: list[str] = []
    for out in pointer.outs:
        if not out.pushed:
            continue
        try:
            if out.files is not None:
                objects.extend(_members_at_versions(out, out.files, config))
                continue
            if out.version is not None:
                objects.append(_at_version(out.path, out.md5, out.size, out.version, config, legacy=out.legacy))
                continue
            remote = config.remote(out.remote)
        except RemoteError as error:
            problems.append(f"{out.path}: .dvc/config: {error}")
            continue
        if remote.version_aware:
            problems.append(f"{out.path}: remote {remote.name!r} is version-aware, but the pointer has no version id")
            continue
        head = _content_addressed(out, remote)
        objects.append(head)
        if not out.is_dir:
            continue
        if head.address not in manifests:
            unread.append(head.address)
            continue
        try:
            members = parse_manifest(manifests[head.address])
        except ManifestError as error:
            problems.append(f"{out.path}: the manifest at {head.address} is unusable: {error}")
            continue
        objects.extend(_member(out, remote, relpath, md5) for relpath, md5 in members)
    return Naming(tuple(objects), tuple(unread), tuple(problems))


def _content_addressed(out: Output, remote: Remote) -> NamedObject:
    key = object_key(remote.prefix, out.md5, legacy=out.legacy, is_dir=out.is_dir)
    return NamedObject(
        label=f"{out.path}/" if out.is_dir else out.path,
        address=Address(remote.bucket, key),
        md5=out.md5,
        size=None if out.is_dir else out.size,
        legacy=out.legacy,
        manifest=out.is_dir,
    )


def _member(out: Output, remote: Remote, relpath: str, md5: str) -> NamedObject:
    key = object_key(remote.prefix, md5, legacy=out.legacy)
    return NamedObject(f"{out.path}/{relpath}", Address(remote.bucket, key), md5, None, out.legacy)


def _members_at_versions(out: Output, files: tuple[Member, ...], config: RemoteConfig) -> list[NamedObject]:
    named = []
    for member in files:
        if member.version is None:
            raise RemoteError(f"the pointer has no version id for its file {member.relpath}: dvc push did not happen")
        label = f"{out.path}/{member.relpath}"
        named.append(_at_version(label, member.md5, member.size, member.version, config, legacy=out.legacy))
    return named


def _at_version(
    label: str, md5: str, size: int | None, version: Version, config: RemoteConfig, *, legacy: bool
) -> NamedObject:
    remote = config.remote(version.remote)
    address = Address(remote.bucket, posixpath.join(remote.prefix, label), version.version_id)
    return NamedObject(label, address, md5, size, legacy)


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in ("'", '"')
    return value[1:-1] if quoted else value
