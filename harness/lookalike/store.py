"""What holds the objects behind the witness: LocalStack, in a container beside the node.

The same image as the store of a kind run, so that the two differ in identity and in nothing else. Pods do not get at
it: it is no service of the cluster, the node lets them out to the witness alone, and no key of it is in the cluster.
(LocalStack itself takes any key. That what arrives was allowed is the witness's part.)
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from harness.errors import CommandFailed, EnvironmentFailed
from harness.journal import expires_at
from harness.lookalike.hosting import Store
from harness.model import Engine
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER
from harness.process import Runner
from harness.wait import Waiter

_PORT: Final = 4566
# Of which look-alike a container is the store. Not by the other labels: a container has those of its image, too.
_LABEL: Final = "harness.store-of"
_SECONDS: Final = 60.0
_READY_SECONDS: Final = 120.0
# As in harness/services/manifests/s3-localstack.yaml.j2.
_ENVIRONMENT: Final = {
    "SERVICES": "s3",
    "EAGER_SERVICE_LOADING": "1",
    "PERSISTENCE": "0",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "GATEWAY_LISTEN": f"0.0.0.0:{_PORT}",
}


def container_of(cluster: str) -> str:
    """Name of the container of a cluster's store."""
    return f"{cluster}-store"


def start(cluster: str, *, image: str, run_id: str, secret: str, engine: Engine, runner: Runner) -> Store:
    """Start the store of a cluster, in the cluster's own network; it answers a while later.

    Raises:
        EnvironmentFailed: The engine does not take it.
    """
    name = container_of(cluster)
    labels = {LABEL_OWNER: OWNER, LABEL_RUN: run_id, LABEL_EXPIRES: expires_at(), _LABEL: cluster}
    words = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
    words += [word for variable, value in _ENVIRONMENT.items() for word in ("--env", f"{variable}={value}")]

    def docker(*arguments: str) -> str:
        return runner.run([engine.docker, *arguments], env=engine.env, timeout=_SECONDS).stdout

    try:
        docker("run", "--detach", "--name", name, "--network", cluster, *words, image)
        form = f'{{{{(index .NetworkSettings.Networks "{cluster}").IPAddress}}}}'
        address = docker("container", "inspect", "--format", form, name).strip()
    except CommandFailed as error:
        raise EnvironmentFailed(
            f"the object store of {cluster} could not be started", evidence=error.evidence
        ) from error
    return Store(f"http://{address}:{_PORT}", "harness", secret)


def remove(cluster: str, *, engine: Engine, runner: Runner) -> None:
    """Remove the store of a cluster; by its exact name and its label: another container of that name is not ours.

    Raises:
        CommandFailed: The engine refused it.
    """
    ours = ("--filter", f"label={_LABEL}={cluster}", "--filter", f"name=^{container_of(cluster)}$")
    listed: list[str | Path] = [engine.docker, "ps", "--all", "--quiet", *ours]
    for container in runner.run(listed, env=engine.env, timeout=_SECONDS).stdout.split():
        gone: list[str | Path] = [engine.docker, "rm", "--force", "--volumes", container]
        runner.run(gone, env=engine.env, timeout=_SECONDS)


def wait(store: Store, waiter: Waiter) -> None:
    """Wait until the store answers.

    Raises:
        WaitTimeout: It does not.
    """
    where = urlsplit(store.url)

    def state() -> str:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
        try:
            connection.request("GET", "/_localstack/health")
            return str(json.loads(connection.getresponse().read()).get("services", {}).get("s3"))
        finally:
            connection.close()

    waiter.until(
        "the object store of the look-alike",
        state,
        ready=lambda found: found in {"running", "available"},
        timeout=_READY_SECONDS,
        transient=(OSError, ValueError, AttributeError, http.client.HTTPException),
        next_step="docker logs of its container, <cluster>-store",
    )
