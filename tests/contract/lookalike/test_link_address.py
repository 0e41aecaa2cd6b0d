"""The agent's address, given to a link by the real kernel, in a network namespace of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.lookalike.node import link_address
from harness.process import which

PROGRAM = Path(link_address.__file__)
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _alone(script: str) -> subprocess.CompletedProcess[str]:
    unshare = which("unshare", path=_PATH)
    if os.geteuid() != 0 or unshare is None or which("ip", path=_PATH) is None:
        pytest.skip("making a network namespace takes root, util-linux and iproute2")
    return subprocess.run(
        [str(unshare), "--net", "sh", "-ec", script, sys.executable, str(PROGRAM)],
        env={"PATH": _PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_loopback_link_gets_the_address_once_however_often_it_is_asked() -> None:
    again = '"$0" -I "$1" 169.254.170.23 >/dev/null;'
    done = _alone(f"ip link set lo up; {again} {again} ip -json -4 address show dev lo")
    assert done.returncode == 0, done.stderr
    (link,) = json.loads(done.stdout)
    found = [(one["local"], one["prefixlen"]) for one in link["addr_info"]]
    assert found == [("127.0.0.1", 8), ("169.254.170.23", 32)]


def test_without_the_right_the_kernel_refuses_and_that_is_told() -> None:
    done = _alone(
        "exec setpriv --bounding-set -net_admin --inh-caps -net_admin --reuid 65534 --clear-groups "
        '"$0" -I "$1" 169.254.170.23'
    )
    assert done.returncode != 0
    assert "Operation not permitted" in done.stderr
