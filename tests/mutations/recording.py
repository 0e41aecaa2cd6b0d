"""What real dvc writes, recorded once a session: pointers and objects of two versions of a few data sets.

A row replays it into a repository and bucket of its own, so that no row needs a dvc of its own before the verdict's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import yaml

from .site import BUCKETS, Site

ROWS = b"species,island,mass\nAdelie,Torgersen,3750\nGentoo,Biscoe,5000\nChinstrap,Dream,3733\n"
ROW = b"Gentoo,Biscoe,5700\n"
_CRLF = b"\r\n"


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", _CRLF)


@dataclass(frozen=True)
class Version:
    """One version of a data set.

    Attributes:
        pointer: The pointer's bytes.
        objects: The objects that it names, by key below the remote's prefix.
        version_ids: By the same key, the version ids that stand in the pointer; for version-aware remotes.
    """

    pointer: bytes
    objects: Mapping[str, bytes]
    version_ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Of its only object."""
        (key,) = self.objects
        return key

    @property
    def data(self) -> bytes:
        """Of its only object."""
        return self.objects[self.key]

    def of(self, data: bytes) -> Version:
        """What dvc would have written of other bytes: the same pointer and key with their md5 and size."""
        old, new = _md5(self.data), _md5(data)
        pointer = self.pointer.replace(old.encode(), new.encode())
        pointer = pointer.replace(b"size: %d\n" % len(self.data), b"size: %d\n" % len(data))
        key = self.key.replace(f"{old[:2]}/{old[2:]}", f"{new[:2]}/{new[2:]}")
        return Version(pointer, {key: data})

    def legacy(self) -> Version:
        """As DVC 2 left it: no `hash` in the pointer, the object at the short key."""
        objects = {key.removeprefix("files/md5/"): data for key, data in self.objects.items()}
        return Version(self.pointer.replace(b"  hash: md5\n", b""), objects)


@dataclass(frozen=True)
class Recorded:
    """A data set before and after a run.

    Attributes:
        tracked: The file or folder under DVC, path in the repository.
        before: As seeded.
        after: As a run leaves it.
    """

    tracked: str
    before: Version
    after: Version

    @property
    def pointer_path(self) -> str:
        return f"{self.tracked}.dvc"


_TABLE = "datasets/penguins.csv"
# Path by name; files before a run, and those that it writes. "" is the path itself, others are below it.
_PLAIN = {"table": _TABLE, "crlf": _TABLE, "blob": "models/model.bin", "folder": "data"}
_FILES: tuple[Mapping[str, Mapping[str, bytes]], ...] = (
    {
        "table": {"": ROWS},
        "crlf": {"": crlf(ROWS)},
        "blob": {"": bytes(range(256))},
        "folder": {"a.csv": b"1\r\n", "sub/b.csv": b"2\n"},
    },
    {
        "table": {"": ROWS + ROW},
        "crlf": {"": crlf(ROWS + ROW)},
        "blob": {"": bytes(range(256)) * 2},
        "folder": {"c.csv": b"3\n"},
    },
)


def record(site: Site, token: str) -> Mapping[str, Recorded]:
    """Let real dvc add and push each data set twice, and read what it wrote.

    Raises:
        EnvironmentFailed: dvc failed, or the store does not answer.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        plain, aware = pool.submit(_record_plain, site, token), pool.submit(_record_version_aware, site, token)
        return {**plain.result(), "version-aware": aware.result()}


def _record_plain(site: Site, token: str) -> dict[str, Recorded]:
    dvc = _Session(site, f"{BUCKETS}recording-{token}")
    targets = {name: f"{name}/{path}" for name, path in _PLAIN.items()}
    versions = []
    for written in _FILES:
        for name, files in written.items():
            for below, data in files.items():
                dvc.write(f"{targets[name]}/{below}".rstrip("/"), data)
        versions.append(dvc.save(list(targets.values())))
    return {
        name: Recorded(path, *(_named(pointers[targets[name]], stored) for pointers, stored in versions))
        for name, path in _PLAIN.items()
    }


def _record_version_aware(site: Site, token: str) -> Recorded:
    dvc = _Session(site, f"{BUCKETS}recording-aware-{token}", version_aware=True)
    versions = []
    for data in (ROWS, ROWS + ROW):
        dvc.write(_TABLE, data)
        pointers, _stored = dvc.save([_TABLE])
        versions.append(_at_version(pointers[_TABLE], data))
    return Recorded(_TABLE, *versions)


class _Session:
    """A DVC repository without Git, and a bucket."""

    def __init__(self, site: Site, bucket: str, *, version_aware: bool = False) -> None:
        self._site, self._bucket = site, bucket
        self._folder = site.workspace / bucket
        site.make_bucket(bucket, versioned=version_aware)
        self.write(".dvc/config", remote_config(bucket, "r", "version_aware = true" if version_aware else ""))
        self.write(".dvc/config.local", b"[core]\n    no_scm = true\n")
        self._env = site.dvc.env(site.workspace / f"{bucket}.home")

    def write(self, path: str, data: bytes) -> None:
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / path).write_bytes(data)

    def save(self, targets: list[str]) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        """Add and push; the pointers by target, and all objects by key below the remote's prefix."""
        for command in (["add", "--quiet", *targets], ["push", "--quiet"]):
            self._site.runner.run([self._site.program, *command], cwd=self._folder, env=self._env)
        return {target: (self._folder / f"{target}.dvc").read_bytes() for target in targets}, self._stored()

    def _stored(self) -> Mapping[str, bytes]:
        client = self._site.client
        listed = client.list_objects_v2(Bucket=self._bucket, Prefix="r/").get("Contents", [])
        return {
            str(entry.get("Key")).removeprefix("r/"): client.get_object(Bucket=self._bucket, Key=str(entry.get("Key")))[
                "Body"
            ].read()
            for entry in listed
        }


def remote_config(bucket: str, prefix: str, *options: str) -> bytes:
    """`.dvc/config` with one remote."""
    lines = ["[core]", "    remote = store", "['remote \"store\"']", f"    url = s3://{bucket}/{prefix}"]
    return "\n".join([*lines, *(f"    {option}" for option in options if option), ""]).encode()


STAGES = b"""\
stages:
  report:
    cmd: write report
    outs:
    - report.txt
  index:
    cmd: write index
    outs:
    - index.txt
"""


@dataclass(frozen=True)
class StageOutput:
    """What a stage of `STAGES` has written.

    Attributes:
        stage: Its name, that of the file without its suffix.
        content: The file's.
    """

    stage: str
    content: bytes

    @property
    def key(self) -> str:
        """Below the remote's prefix."""
        md5 = _md5(self.content)
        return f"files/md5/{md5[:2]}/{md5[2:]}"


def lock_of(*outputs: StageOutput) -> bytes:
    """`dvc.lock` with these outputs, as dvc writes it."""
    stages = {
        one.stage: {
            "cmd": f"write {one.stage}",
            "outs": [{"path": f"{one.stage}.txt", "hash": "md5", "md5": _md5(one.content), "size": len(one.content)}],
        }
        for one in outputs
    }
    return yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False).encode()


def _named(pointer: bytes, stored: Mapping[str, bytes]) -> Version:
    """Which of the stored objects a pointer names; by the end of their keys: where they are is for dvc to decide."""

    def find(md5: str) -> str:
        (key,) = (key for key in stored if "".join(key.split("/")[-2:]) == md5)
        return key

    (out,) = yaml.safe_load(pointer)["outs"]
    keys = [find(out["md5"])]
    if out["md5"].endswith(".dir"):
        keys += [find(entry["md5"]) for entry in json.loads(stored[keys[0]])]
    return Version(pointer, {key: stored[key] for key in keys})


def _at_version(pointer: bytes, data: bytes) -> Version:
    (out,) = yaml.safe_load(pointer)["outs"]
    cloud: dict[str, Any] = out["cloud"]
    return Version(pointer, {_TABLE: data}, {_TABLE: cloud["store"]["version_id"]})


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
