"""What becomes of it: it is told when it has ended, pods go on without identity, and removing it leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from harness.lookalike.process import GatewayProcess
from harness.lookalike.store import container_of
from harness.names import DVC_SERVICE_ACCOUNT
from harness.process import SubprocessRunner
from harness.settings import resolve
from harness.supply.engine import EngineFolders, EngineSupply
from harness.wait import Waiter

from .conftest import LookAlike, Play, harness


def test_status_tells_that_it_stands_and_up_leaves_it_as_it_is(lookalike: LookAlike) -> None:
    pid = GatewayProcess(lookalike.files).pid()
    told = harness("eks-lookalike", "status", "--cluster", lookalike.name)
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"process {pid}" in told.stdout
    assert lookalike.environment["AWS_ENDPOINT_URL_EKS"] in told.stdout
    again = harness("eks-lookalike", "up", "--cluster", lookalike.name)
    assert again.returncode == 0, again.stdout + again.stderr
    assert GatewayProcess(lookalike.files).pid() == pid
    assert lookalike.files.environment.read_text() in again.stdout


def test_a_run_on_kind_does_not_take_its_cluster(lookalike: LookAlike) -> None:
    refused = harness("run", "--cluster", lookalike.name)
    assert refused.returncode == 4
    assert f"the name {lookalike.name} is taken here, by an EKS look-alike" in refused.stdout
    assert lookalike.folder.is_dir()


def test_sweep_leaves_it_alone(lookalike: LookAlike) -> None:
    swept = harness("sweep")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert lookalike.name not in swept.stdout
    assert GatewayProcess(lookalike.files).pid() is not None


def test_a_container_that_has_the_stores_name_and_is_not_ours_stays_and_nothing_else_does(lookalike: LookAlike) -> None:
    name = f"{lookalike.name}-2"
    image = _docker("image", "ls", "--quiet")[0]
    _docker("create", "--name", container_of(name), image, "true")
    try:
        refused = harness("eks-lookalike", "up", "--cluster", name)
        assert refused.returncode == 3
        assert f"the object store of {name} could not be started" in refused.stderr
        assert "is already in use" in refused.stderr
        assert _in_the_engine(name) == [container_of(name)]
        assert not (lookalike.folder.parent / name).exists()
    finally:
        _docker("rm", "--force", container_of(name))


def test_one_that_was_killed_is_told_with_what_to_do_and_pods_come_without_identity(
    lookalike: LookAlike, play: Play
) -> None:
    pid = GatewayProcess(lookalike.files).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    Waiter().until("its end", GatewayProcess(lookalike.files).pid, ready=lambda found: found is None, timeout=10)
    told = harness("eks-lookalike", "status", "--cluster", lookalike.name)
    assert told.returncode == 3
    assert "has ended, and with it what its account held" in told.stderr
    assert f"next: harness eks-lookalike down --cluster {lookalike.name}, then up" in told.stderr
    failing_open = play("nothing.py", service_account=DVC_SERVICE_ACCOUNT)
    assert failing_open.said == []


def test_down_leaves_nothing(lookalike: LookAlike) -> None:
    gone = harness("eks-lookalike", "down", "--cluster", lookalike.name)
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert not lookalike.folder.exists()
    assert GatewayProcess(lookalike.files).pid() is None
    assert _in_the_engine(lookalike.name) == []
    assert harness("sweep").stdout.strip().endswith("nothing to sweep")


def test_what_a_killed_up_has_begun_is_swept(lookalike: LookAlike) -> None:
    command = [sys.executable, "-m", "harness.cli", "eks-lookalike", "up", "--cluster", lookalike.name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
        try:
            # By then the network, the store and the process are there, and kind is at work.
            process = GatewayProcess(lookalike.files)
            Waiter().until("its process", process.pid, ready=lambda pid: pid is not None, timeout=120, interval=0.1)
        finally:
            up.kill()
    assert process.pid() is not None, "it outlives who has started it"
    swept = harness("sweep")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    for what in ("gateway", "cluster"):
        assert f"removed {what} {lookalike.name}" in swept.stdout
    assert process.pid() is None
    assert not lookalike.folder.exists()
    assert _in_the_engine(lookalike.name) == []


def _docker(*arguments: str) -> list[str]:
    """What docker says, in words; nothing where no engine answers: it was ours, and nothing needs it any more."""
    settings = resolve()
    engines = EngineSupply(
        folders=EngineFolders.below(settings.state_dir, settings.cache_dir),
        runner=SubprocessRunner(),
        waiter=Waiter(),
    )
    engine = engines.answering()
    if engine is None:
        return []
    return SubprocessRunner().run([engine.docker, *arguments], env=engine.env).stdout.split()


def _in_the_engine(name: str) -> list[str]:
    found = _docker("container", "ls", "--all", "--format", "{{.Names}}")
    found += _docker("network", "ls", "--format", "{{.Name}}")
    return [one for one in found if one in {name, container_of(name), f"{name}-control-plane"}]
