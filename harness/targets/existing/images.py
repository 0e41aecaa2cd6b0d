"""Whether the nodes of a cluster have a run's images or can pull them, and whether those are the run's: asked of a pod.

By a pod's status, for who may write into two namespaces need not be allowed to look into nodes. One node answers, the
one that the pod came to; where nodes hold images under their own names, all have to hold the same.
"""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi, KubeUnavailable
from harness.model import Toolchain
from harness.names import LABEL_OWNER, LABEL_RUN, OWNER, SERVICES_NAMESPACE
from harness.podstate import fatal_state
from harness.serviceaccount import await_service_account
from harness.wait import Waiter

_MANIFEST: Final = Path(__file__).with_name("images.yaml.j2")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# Of the first pull of all of them, some GB.
_SECONDS: Final = 900.0


def as_nodes_have(
    toolchain: Toolchain,
    kube: KubeApi,
    waiter: Waiter,
    *,
    names: Mapping[str, str],
    run: str,
    trusted: bool,
) -> Toolchain:
    """Hold a node to have the images of a run; the toolchain with the digests that pods show of them.

    Args:
        toolchain: With the digests that are known here.
        kube: The cluster; its namespaces are taken.
        waiter: How patient to be.
        names: What nodes call an image, by its reference, where that is another name.
        run: Id of the run.
        trusted: Whether to take what the node shows for the run's images, whatever is known here.

    Raises:
        EnvironmentFailed: The node cannot have some, or has others; names each.
        WaitFailed: The pod cannot come to a node.
    """
    wanted = {name: names.get(reference, reference) for name, reference in toolchain.images.items()}
    shown = _shown({str(name): image for name, image in wanted.items()}, kube, waiter, run)
    others = {
        wanted[name]: f"there {', '.join(sorted(_digests(shown[name])))}; here {', '.join(known)}"
        for name, known in toolchain.image_digests.items()
        if name in wanted and not _digests(shown[name]) & set(known)
    }
    if others and not trusted:
        raise EnvironmentFailed(
            "the nodes have other images under these names than were made here: nobody could tell what the pods run",
            evidence=others,
            next_step="load them into the nodes again, or name a registry (existing.registry); with "
            "existing.trust_node_images the pods are held to what the nodes have",
        )
    digests = {name: tuple(sorted(_digests(shown[name]))) if wanted.get(name) in others else known
               for name, known in toolchain.image_digests.items()}  # fmt: skip
    return replace(toolchain, image_digests=digests)


def _shown(wanted: Mapping[str, str], kube: KubeApi, waiter: Waiter, run: str) -> Mapping[str, str]:
    """What the pod's status says that each container's image is."""
    pod = f"harness-images-{random.token_hex(4)}"
    templates = Environment(loader=FileSystemLoader(_MANIFEST.parent), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
    labels = {LABEL_OWNER: OWNER, LABEL_RUN: run}
    text = templates.get_template(_MANIFEST.name).render(name=pod, labels=labels, images=wanted)
    account = f"the service account of namespace {SERVICES_NAMESPACE}"
    await_service_account(kube, waiter, SERVICES_NAMESPACE, what=account)
    kube.create(yaml.safe_load(text))
    try:
        found = waiter.until(
            "the images of the run on a node",
            lambda: kube.get("Pod", pod, SERVICES_NAMESPACE) or {},
            ready=lambda found: len(_images(found)) + len(_refused(found)) == len(wanted),
            failed=_stuck,
            describe=lambda found: f"{len(_images(found))} of {len(wanted)} there",
            timeout=_SECONDS,
            transient=(KubeUnavailable,),
            next_step=f"see the events of namespace {SERVICES_NAMESPACE}",
        )
    finally:
        kube.delete("Pod", pod, SERVICES_NAMESPACE)
    if refused := _refused(found):
        raise EnvironmentFailed(
            "a node cannot have all images of the run",
            evidence={wanted[name]: why for name, why in refused.items()},
            next_step="push them to a registry that the nodes pull from (existing.registry), or load them into the "
            "nodes",
        )
    return _images(found)


def _statuses(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (pod.get("status") or {}).get("containerStatuses") or []
    return found


def _images(pod: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["imageID"] for one in _statuses(pod) if one.get("imageID")}


def _refused(pod: Mapping[str, Any]) -> dict[str, str]:
    """Why a container has no image, by its name; the kubelet's own words."""
    waiting = {one["name"]: (one.get("state") or {}).get("waiting") or {} for one in _statuses(pod)
               if not one.get("imageID")}  # fmt: skip
    return {
        name: f"{said['reason']}: {said.get('message') or 'no reason given'}"
        for name, said in waiting.items()
        if "Image" in str(said.get("reason"))
    }


def _stuck(pod: Mapping[str, Any]) -> str | None:
    """Why the pod as a whole does not come to run; what becomes of its containers is not asked."""
    state = fatal_state(pod, now=datetime.now(UTC))
    return state.text if state is not None and not state.container else None


def _digests(shown: str) -> set[str]:
    return set(_DIGEST.findall(shown))
