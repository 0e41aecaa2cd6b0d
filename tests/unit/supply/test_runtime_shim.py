from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.diagnostics import doctor
from harness.supply import runtime_shim
from harness.supply.runtime_shim import granted, rewrite, trim, withheld

FULL = "Name:\tsh\nCapBnd:\t000001ffffffffff\n"
WITHOUT_SYS_RESOURCE = "Name:\tsh\nCapBnd:\t000001fffeffffff\n"


def test_a_full_bounding_set_withholds_nothing() -> None:
    assert withheld(FULL) == frozenset()


def test_the_withheld_capability_is_named() -> None:
    assert withheld(WITHOUT_SYS_RESOURCE) == {"CAP_SYS_RESOURCE"}


def test_a_status_without_a_bounding_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="CapBnd"):
        granted("Name:\tsh\n")


def test_only_what_the_host_lacks_is_dropped() -> None:
    process = {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": []}}

    trimmed = trim(process, granted(WITHOUT_SYS_RESOURCE))

    assert trimmed == {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []}}


@pytest.mark.parametrize("option", [["--bundle", "{folder}"], ["-b", "{folder}"], ["--bundle={folder}"]])
def test_the_configuration_of_a_new_container_is_trimmed(tmp_path: Path, option: list[str]) -> None:
    config = tmp_path / "config.json"
    process = {"args": ["sh"], "capabilities": {"bounding": ["CAP_SYS_RESOURCE"]}}
    config.write_text(json.dumps({"process": process, "hostname": "h"}))
    arguments = ["--root", "/run", "create", *(part.format(folder=tmp_path) for part in option), "id"]

    rewrite(arguments, granted(WITHOUT_SYS_RESOURCE))

    assert json.loads(config.read_text()) == {
        "process": {"args": ["sh"], "capabilities": {"bounding": []}},
        "hostname": "h",
    }


def test_the_process_of_an_exec_is_trimmed(tmp_path: Path) -> None:
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"args": ["sh"], "capabilities": {"effective": ["CAP_SYS_RESOURCE", "CAP_KILL"]}}))

    rewrite(["exec", "--process", str(process), "id"], granted(WITHOUT_SYS_RESOURCE))

    assert json.loads(process.read_text())["capabilities"] == {"effective": ["CAP_KILL"]}


def test_other_commands_touch_no_file(tmp_path: Path) -> None:
    rewrite(["--root", str(tmp_path), "state", "id"], frozenset())

    assert list(tmp_path.iterdir()) == []


def test_doctor_knows_the_same_capabilities() -> None:
    assert list(doctor.CAPABILITIES) == list(runtime_shim.CAPABILITIES)
