"""The kind node from the inside and the outside: its containers, its disk, and itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CommandFailed, EnvironmentFailed
from harness.kubeapi import JsonObject, KubeApi
from harness.model import Engine
from harness.names import AIRFLOW_NAMESPACE, SHARED_CLAIM
from harness.process import Runner
from harness.targets.egress import Inside, inside_node

_CTR = ("ctr", "--namespace", "k8s.io", "tasks")
_SECONDS = 90.0


@dataclass(frozen=True)
class Node:
    """Attributes:
    name: Its container.
    engine: Where that runs.
    runner: Runs docker.
    """

    name: str
    engine: Engine
    runner: Runner

    @property
    def inside(self) -> Inside:
        """Runs programs in it, as root."""
        return inside_node(self.name, engine=self.engine, runner=self.runner)

    def docker(self, verb: str) -> None:
        """`pause`, `unpause` or `restart` it."""
        # A container's own stop signal takes systemd to a tidy end; a machine that fails has no time for one.
        how = ("--time", "0") if verb == "restart" else ()
        self.runner.run([self.engine.docker, verb, *how, self.name], env=self.engine.env, timeout=_SECONDS)

    def state(self) -> str:
        """Of its container: "running" or "paused"."""
        inspect: list[str | Path] = [
            self.engine.docker,
            "container",
            "inspect",
            "--format",
            "{{.State.Status}}",
            self.name,
        ]
        return self.runner.run(inspect, env=self.engine.env, timeout=_SECONDS).stdout.strip()

    def copy_in(self, folder: Path, into: str) -> None:
        """Copy the files of a folder into one of the node, made if it is not there."""
        self.inside("mkdir", "-p", into)
        self.runner.run(
            [self.engine.docker, "cp", f"{folder}/.", f"{self.name}:{into}"], env=self.engine.env, timeout=_SECONDS
        )

    def task(self, verb: str, pod: JsonObject, container: str) -> None:
        """`pause` or `resume` a container of a pod, or `kill` it as the kernel would."""
        how = ("--signal", "SIGKILL") if verb == "kill" else ()
        self.inside(*_CTR, verb, *how, container_id(pod, container))

    def task_state(self, pod: JsonObject, container: str) -> str:
        """Of a container of a pod as containerd has it: "RUNNING", "PAUSED", "STOPPED"; "GONE" if it has none."""
        return self._task(pod, container)[1]

    def refusals(self, pod: JsonObject, container: str) -> int | None:
        """How many connections of a pod were refused so far, as its own network stack counts; None if it is gone."""
        pid, _ = self._task(pod, container)
        try:
            return refused(self.inside("cat", f"/proc/{pid}/net/snmp")) if pid else None
        except CommandFailed:
            return None  # it has ended between the two looks

    def _task(self, pod: JsonObject, container: str) -> tuple[str, str]:
        """PID in the node, and state."""
        wanted = container_id(pod, container)
        rows = (line.split() for line in self.inside(*_CTR, "ls").splitlines())
        return next(((row[1], row[2]) for row in rows if row[:1] == [wanted]), ("", "GONE"))


def refused(counters: str) -> int:
    """How many connections were refused, by the kernel's counters of one network namespace (`/proc/PID/net/snmp`).

    By a reset, as from a port where nobody listens: `AttemptFails`. By an ICMP message, as the node's rules answer for
    a Service that nobody is behind: `InDestUnreachs`, and not the other (seen on Linux 6.18, over a pair of veth).
    """
    found: dict[str, dict[str, str]] = {}
    lines = [line.split() for line in counters.splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found[names[0]] = dict(zip(names[1:], values[1:], strict=True))
    return int(found["Tcp:"]["AttemptFails"]) + int(found["Icmp:"]["InDestUnreachs"])


@contextmanager
def not_whole(folder: Path) -> Iterator[None]:
    """Have a cluster taken for one that is not whole while it is being broken on purpose.

    What a session breaks, it mends; one that is killed cannot. A hook that refuses pushes, a Service that points
    nowhere, a part that stands still would stay in a kept cluster. The next run of anybody makes it anew instead.

    Args:
        folder: Of the cluster, with its `cluster.json`; a run goes by the node image in there.
    """
    file = folder / "cluster.json"
    whole = file.read_text(encoding="utf-8")
    _replace(file, json.dumps({**json.loads(whole), "node_image": "none: tests/faults was at work"}))
    try:
        yield
    finally:
        _replace(file, whole)


def _replace(file: Path, text: str) -> None:
    """At once: who is killed meanwhile leaves the one or the other."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def container_id(pod: JsonObject, container: str) -> str:
    """As containerd knows it; raises `EnvironmentFailed` where the pod has no such container that was started."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == container and status.get("containerID"):
            return str(status["containerID"]).removeprefix("containerd://")
    raise EnvironmentFailed(f"pod {pod['metadata']['name']} has no container {container} that was started")


def shared_volume(kube: KubeApi) -> str:
    """Where the claim that the tasks share lies on the node's disk; `EnvironmentFailed` where it lies nowhere."""
    claim = kube.get("PersistentVolumeClaim", SHARED_CLAIM, AIRFLOW_NAMESPACE) or {}
    volume = kube.get("PersistentVolume", str((claim.get("spec") or {}).get("volumeName"))) or {}
    spec = volume.get("spec") or {}
    path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
    if not path:
        raise EnvironmentFailed(f"the claim {SHARED_CLAIM} is on no folder of the node")
    return str(path)


@dataclass(frozen=True)
class Gates:
    """Points at which a pod of a run waits; see `programs/gated.py`.

    Attributes:
        inside: Runs programs in the node.
        volume: The shared volume's folder there.
    """

    inside: Inside
    volume: str

    def close(self, run_id: str, gate: str) -> None:
        """Before the run begins."""
        self.inside("mkdir", "-p", f"{self.volume}/gates/{run_id}")
        self.inside("touch", f"{self.volume}/gates/{run_id}/{gate}")

    def open(self, run_id: str, gate: str) -> None:
        self.inside("rm", "-f", f"{self.volume}/gates/{run_id}/{gate}")
