"""The process that is the look-alike of one cluster: `python -m harness.lookalike.serving <folder>/gateway.json`.

It outlives the command that starts it, and ends by a signal. The account lives in it and ends with it; what others are
told stands in the folder (`hosting.py`).
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from harness.errors import HarnessError
from harness.kubeapi import KubeApi
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.hosting import NODE, Attached, Folder, Hosted, Keys, Serving
from harness.lookalike.node_registry import NodeLogin
from harness.lookalike.registry_server import RegistryServer
from harness.lookalike.server import Server
from harness.lookalike.token_review import ClusterTokens, RolesOfAccounts
from harness.lookalike.token_webhook import TokenWebhook
from harness.lookalike.webhooks import Webhooks
from harness.lookalike.witness import Backend
from harness.wait import Waiter

# What pods may ask for: who they are, and their objects.
DATA: Final = frozenset({"sts", "s3"})
# A cluster that is not there by then does not come.
_CLUSTER_SECONDS: Final = 3600.0


def main(configuration: str) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        configuration: Path of the folder's `gateway.json`.
    """
    # What this machine is set to in AWS is no business of the look-alike's: botocore would read its profile.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # before any thread: they all leave these to `sigwait`
    folder = Folder(Path(configuration).parent)
    try:
        with ExitStack() as until_end:
            _serve(folder, Hosted.read(folder), until_end)
            signal.sigwait(ending)
    except (HarnessError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def _serve(folder: Folder, hosted: Hosted, until_end: ExitStack) -> None:
    store = Backend(hosted.store.url, hosted.store.access_key, hosted.store.secret_key)
    cloud = Cloud(number=hosted.account, region=hosted.region, backend=store, record=folder.calls, faults=folder.faults)
    made = {name: cloud.user(name, dict(policy)) for name, policy in hosted.users.items()}
    folder.keep({name: Keys(one.principal.arn, one.access_key_id, one.secret_access_key) for name, one in made.items()})
    cluster = Cluster(
        hosted.cluster, "", "", cloud.account.moment(), version=hosted.version, status="CREATING",
        tags=dict(hosted.tags), addons=dict(hosted.addons),
    )  # fmt: skip
    cloud.eks.add_cluster(cluster)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder.path / "tls.crt", folder.path / "tls.key")
    any_port = (hosted.address, 0)
    control = until_end.enter_context(Server(cloud.gateway, any_port))
    data = until_end.enter_context(Server(cloud.gateway, any_port, only=DATA))
    roles = RolesOfAccounts()
    webhooks = until_end.enter_context(
        Webhooks(
            hosted.cluster,
            account=cloud.account,
            eks=cloud.eks,
            tokens=TokenWebhook(hosted.cluster, cloud.account, cloud.verifier, cloud.eks),
            address=any_port,
            tls=tls,
            role_of=roles,
        )
    )
    registry = cloud.registry(folder.below("layers"))
    nodes = until_end.enter_context(RegistryServer(registry, any_port, tls=tls))
    engines = until_end.enter_context(RegistryServer(registry, ("127.0.0.1", 0), tls=tls))
    cloud.ecr.endpoint = engines.url
    serving = Serving(os.getpid(), control.url, data.url, webhooks.url, engines.host, nodes.url)
    until_end.enter_context(NodeLogin(folder, serving, folder.keys()[NODE], hosted.region))
    folder.tell(serving)
    threading.Thread(target=_attach, args=(folder, cloud, cluster, roles), name="cluster", daemon=True).start()


def _attach(folder: Folder, cloud: Cloud, cluster: Cluster, roles: RolesOfAccounts) -> None:
    """Wait for the cluster; from then on it is ACTIVE, and its tokens can be reviewed."""

    def found(attached: Attached | None) -> bool:
        return attached is not None

    attached = Waiter().until("the cluster", folder.attached, ready=found, timeout=_CLUSTER_SECONDS, interval=0.2)
    if attached is not None:
        roles.kube = KubeApi(Path(attached.kubeconfig), attached.context)
        cloud.reviewers[cluster.name] = ClusterTokens(roles.kube)
        cluster.endpoint, cluster.authority, cluster.status = attached.endpoint, attached.authority, "ACTIVE"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
