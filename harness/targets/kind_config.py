"""The configuration file that kind makes a cluster from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.names import NODE_PORTS
from harness.targets.additions import Additions
from harness.targets.egress import POD_NETWORK, SERVICE_NETWORK
from harness.versions import versions


def render(*, ports: Mapping[str, int], run_id: str, own_network: bool, additions: Additions) -> str:
    """The file's text.

    Args:
        ports: Port on the host's loopback by service name.
        run_id: Of the run; the node's label.
        own_network: Whether the node image has a network plug-in of its own.
        additions: What the cluster has besides.
    """
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
    return templates.get_template("kind-cluster.yaml.j2").render(
        ports=ports,
        node_ports=NODE_PORTS,
        run_id=run_id,
        own_network=own_network,
        pod_network=str(POD_NETWORK),
        service_network=str(SERVICE_NETWORK),
        coredns=versions().coredns,
        kubeadm_patches=str(Path(__file__).parent / "kubeadm"),
        mounts=[(str(mount.host), mount.node) for mount in additions.mounts],
        patches=list(additions.kubeadm),
        containerd=list(additions.containerd),
    )
