"""Who it was that tried to get out of the cluster: blocked attempts by pod, and those of one run among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.model import BlockedEgress, PipelineRun, PodEvidence


def named(
    blocked: Iterable[BlockedEgress],
    *,
    followed: Iterable[PodEvidence],
    namespace: str,
    present: Iterable[Mapping[str, Any]],
) -> tuple[BlockedEgress, ...]:
    """The attempts with the names of the pods that had their addresses.

    Args:
        blocked: By address.
        followed: Pods of a run, also those that are gone.
        namespace: Where those were.
        present: Pods that the cluster still knows, as its API has them. An address is given to another pod only after
            all others of the node were in use, so one that is still there, or came last, is the one.
    """
    followed = tuple(followed)
    by_uid = {pod.uid: f"{namespace}/{pod.name}" for pod in followed if pod.uid}
    names = {
        address: f"{namespace}/{pod.name}"
        for pod in followed
        if not pod.host_network
        for address in (*pod.former_addresses, pod.address)
        if address
    }
    for pod in present:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        # One in the node's own network has the node's address, and passes no rule.
        if status.get("podIP") and not (pod.get("spec") or {}).get("hostNetwork"):
            name = by_uid.get(str(metadata.get("uid")), f"{metadata['namespace']}/{metadata['name']}")
            names[str(status["podIP"])] = name
    return tuple(replace(entry, pod=names.get(entry.source, entry.pod)) for entry in blocked)


def since(
    before: Iterable[BlockedEgress] | None, after: Iterable[BlockedEgress] | None
) -> tuple[BlockedEgress, ...] | None:
    """What came after an earlier reading, each with the packets since then; None where nobody watches.

    A node that is started anew counts from nothing: what counts less than before came since then, all of it.
    """
    if before is None or after is None:
        return None
    counted = {_key(entry): entry.packets for entry in before}

    def newer(entry: BlockedEgress) -> int:
        earlier = counted.get(_key(entry), 0)
        return entry.packets - earlier if entry.packets >= earlier else entry.packets

    return tuple(replace(entry, packets=newer(entry)) for entry in after if newer(entry))


def with_blocked(run: PipelineRun, *, namespace: str, blocked: Iterable[BlockedEgress]) -> PipelineRun:
    """A run, each pod of it with what it was kept from, and what no pod is known for.

    Args:
        run: It.
        namespace: Of its pods.
        blocked: What was blocked while it lasted, with the names of pods already (`named`).
    """
    entries = tuple(blocked)
    pods = {
        name: replace(pod, blocked=tuple(entry for entry in entries if entry.pod == f"{namespace}/{pod.name}"))
        for name, pod in run.pods.items()
    }
    return replace(run, pods=pods, watch=replace(run.watch, unnamed=tuple(entry for entry in entries if not entry.pod)))


def _key(entry: BlockedEgress) -> tuple[str, str, str, int | None]:
    return entry.source, entry.destination, entry.protocol, entry.port
