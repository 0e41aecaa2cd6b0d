"""The secrets of a cluster, as canaries: what nothing else can look like, by name."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

_SHORTEST = 12
# Of a key file: its first line begins like that of any other key of its kind, and what follows is as good as all of it.
_KEY_LINES = slice(1, 4)
_CONFIDENTIAL = ("token", "password", "client-key-data")


class Canaries(Mapping[str, str]):
    """Secrets by name, and their names are all that it shows.

    pytest prints what a failing test was given, to the terminal and into the JUnit file, which is kept.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, others: Mapping[str, str]) -> Canaries:
        return Canaries({**self, **others})

    def __repr__(self) -> str:
        return f"Canaries({', '.join(self._values)})"


def of_cluster(folder: Path, kubeconfig: Path) -> Canaries:
    """Those that the harness generated for a cluster, and the keys to its API server.

    Args:
        folder: The cluster's, with `secrets.json` and `fingerprint.key`.
        kubeconfig: Of the cluster.
    """
    generated = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    found = of_values({name: value for name, value in generated.items() if not name.endswith("_certificate")})
    users = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"]
    for number, user in enumerate(users):
        values = {f"kubeconfig {number} {key}": str(user["user"][key]) for key in _CONFIDENTIAL if key in user["user"]}
        found |= of_values(values)
    return found | of_values({"fingerprint.key": (folder / "fingerprint.key").read_bytes().hex()})


def of_values(values: Mapping[str, str]) -> Canaries:
    """Canaries by name; of a value of several lines, also in base64, some of its lines."""
    return Canaries(
        {
            f"{name}{f' line {number}' if number else ''}": line
            for name, value in values.items()
            for number, line in _lines(value)
            if len(line) >= _SHORTEST
        }
    )


def _lines(value: str) -> Iterator[tuple[int, str]]:
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = value
    lines = [line for line in text.splitlines() if not line.startswith("-----")]
    yield from enumerate(lines[_KEY_LINES], start=2) if "-----BEGIN" in text else [(0, value)]
