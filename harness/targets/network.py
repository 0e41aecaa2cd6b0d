"""The network of a kind cluster: made before kind does, for kind's own would carry no label of ours."""

from __future__ import annotations

from harness.errors import EnvironmentFailed
from harness.journal import expires_at
from harness.model import Engine
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER
from harness.process import Runner

_SECONDS = 60


def make_network(name: str, *, run_id: str, engine: Engine, runner: Runner) -> None:
    """Make it, with the labels that say whose the cluster is and when its time is over.

    Raises:
        CommandFailed: The engine refused it: there is one of that name, perhaps.
    """
    labels = {LABEL_OWNER: OWNER, LABEL_RUN: run_id, LABEL_EXPIRES: expires_at()}
    words = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
    _docker(engine, runner, "network", "create", "--driver", "bridge", *words, name)


def gateway_of(name: str, *, engine: Engine, runner: Runner) -> str:
    """Address of this machine in it.

    Raises:
        EnvironmentFailed: The engine does not say.
    """
    found = _docker(engine, runner, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", name)
    if not found.strip():
        raise EnvironmentFailed(f"the engine does not say which address this machine has in the network {name}")
    return found.strip()


def _docker(engine: Engine, runner: Runner, *arguments: str) -> str:
    return runner.run([engine.docker, *arguments], env=engine.env, timeout=_SECONDS).stdout
