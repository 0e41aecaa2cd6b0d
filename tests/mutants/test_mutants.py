"""The pipeline done wrong, on the cluster: each mutant is red by its own check and for its own reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.environment import Ready
from harness.process import SubprocessRunner
from tests.mutations.played import Played, assert_green, assert_killed
from tests.mutations.table import Row
from tests.outside import CONTROL_PORT, Outside

from .table import CONTROL, MUTANTS

pytestmark = pytest.mark.e2e


def test_the_pipeline_run_in_the_same_way_is_green(play: Callable[[Row], Played]) -> None:
    """Without it a red mutant proves nothing: the way in which they are run might be what is red."""
    assert_green(CONTROL.name, {CONTROL.name: play(CONTROL)})


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(play: Callable[[Row], Played], name: str) -> None:
    assert_killed(name, {name: play(MUTANTS[name])})


def test_no_packet_of_a_pod_got_out_though_the_node_itself_gets_there(ready: Ready, outside: Outside) -> None:
    """Comes last: the host has counted what was meant for it during all those runs."""
    engine, node = ready.toolchain.engine, f"{ready.cluster.name}-control-plane"
    call = f"read -r -t 5 -n 3 answer < /dev/tcp/{outside.address}/{CONTROL_PORT}; echo $answer"
    done = SubprocessRunner().run([engine.docker, "exec", node, "bash", "-c", call], env=engine.env, timeout=20)
    assert done.stdout.strip() == "yes"
    seen = outside.seen()
    assert {where for where in seen if where.endswith(f"/{CONTROL_PORT}")} == {f"6/{CONTROL_PORT}"}
    assert {where: count for where, count in seen.items() if not where.endswith(f"/{CONTROL_PORT}")} == {}
