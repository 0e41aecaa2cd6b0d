from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "harness" / "supply" / "images" / "airflow"
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)", re.MULTILINE)
PREFIX = "apache-airflow-providers-"


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def providers(path: Path) -> dict[str, str]:
    return {name.removeprefix(PREFIX): version for name, version in pins(path).items() if name.startswith(PREFIX)}


def test_the_named_list_is_what_the_image_locks() -> None:
    named = tomllib.loads((IMAGE / "providers.toml").read_text())
    assert named["providers"] == providers(IMAGE / "requirements.in") == providers(IMAGE / "requirements.txt")
    assert named["airflow"] == pins(IMAGE / "requirements.txt")["apache-airflow"]
    assert not set(named["providers"]).intersection(named["official"]["missing_here"])


def test_every_pin_of_the_images_carries_a_hash() -> None:
    for lock in (
        *(IMAGE / name for name in ("requirements.txt", "uv.txt")),
        *(ROOT / "worker-image" / name for name in ("requirements.txt", "uv.txt", "build.txt")),
    ):
        entries = re.split(r"\n(?=\S)", lock.read_text().strip())
        unhashed = [entry for entry in entries if not entry.startswith("#") and "--hash=sha256:" not in entry]
        assert unhashed == [], lock


def test_the_pins_that_stand_in_two_files_agree() -> None:
    bootstrap, worker = pins(ROOT / "requirements" / "bootstrap.txt"), ROOT / "worker-image"
    assert pins(worker / "uv.txt")["uv"] == pins(IMAGE / "uv.txt")["uv"] == bootstrap["uv"]
    assert pins(worker / "build.txt")["setuptools"] == pins(worker / "requirements.txt")["setuptools"]
