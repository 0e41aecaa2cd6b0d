"""What a killed engine leaves is told from what is anybody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.process import SubprocessRunner
from harness.procfs import mounts_below, rooted_below
from harness.supply.remains import clear_remains

_MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
90 22 0:50 / /cache/engine/data/overlay2/a/merged rw - overlay none rw,upperdir=/cache/engine/data/overlay2/a/diff
91 22 0:4 net:[1] /state/engine/exec/netns/a\\040b rw - nsfs nsfs rw
92 22 0:4 net:[1] /state/engine/executive rw - nsfs nsfs rw
"""
_CONTAINER = "90 22 0:50 / / rw - overlay overlay rw,lowerdir=/x,upperdir=%s/overlay2/abc/diff,workdir=/y\n"


def test_mounts_in_a_folder_of_the_engine_are_found_in_their_order() -> None:
    assert mounts_below(_MOUNTS, Path("/cache/engine/data"), Path("/state/engine/exec")) == [
        Path("/cache/engine/data/overlay2/a/merged"),
        Path("/state/engine/exec/netns/a b"),
    ]


def test_a_process_is_in_a_container_by_its_root_and_not_by_what_it_sees() -> None:
    data = Path("/cache/engine/data")
    assert rooted_below(_CONTAINER % data, data)
    assert not rooted_below(_CONTAINER % "/cache/engine/database", data)
    assert not rooted_below(_MOUNTS, data)
    assert not rooted_below("", data)


def test_a_program_that_serves_the_killed_engine_is_ended_and_one_that_only_names_its_folder_is_not(
    tmp_path: Path,
) -> None:
    data, runtime = tmp_path / "data", tmp_path / "exec"
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    shim = subprocess.Popen([*sleep, "-address", str(runtime / "containerd" / "containerd.sock")])
    reader = subprocess.Popen([*sleep, str(runtime), str(data)])
    try:
        clear_remains(data, runtime, runner=SubprocessRunner())
        assert shim.wait(5) < 0
        assert reader.poll() is None
    finally:
        for process in (shim, reader):
            process.kill()
            process.wait()
