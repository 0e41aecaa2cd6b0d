"""Guards before the first write: the API server that is allowed, consent, what the caller may, storage, whose it is.

All by calls that only read. An empty list allows nothing.
"""

from __future__ import annotations

from typing import Final

from harness.errors import GuardError, UsageError
from harness.existing_settings import ExistingSettings
from harness.kubeapi import KubeApi
from harness.targets.attached.claim import NAMESPACES
from harness.targets.existing.kubeconfig import Context, look_up

_WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob", "Job", "Pod")
_SHOWN: Final = 5


def guarded(settings: ExistingSettings) -> Context:
    """The named context, if the harness may write to its cluster.

    Raises:
        UsageError: There is no such context, or no API server is allowed.
        GuardError: It leads to another than is allowed, or consent is missing.
    """
    found = look_up(settings)
    leads = {f"the context {found.name} leads to": found.server}
    if not settings.servers:
        raise UsageError(
            "existing.servers allows nothing: the harness writes only to API servers that are named there",
            evidence=leads,
            next_step="name it under [tool.harness.existing] in pyproject.toml, or in HARNESS_EXISTING__SERVERS",
        )
    if found.server not in settings.servers:
        raise GuardError(
            f"the context {found.name} does not lead to an API server on the allow-list existing.servers",
            evidence={**leads, "allowed": ", ".join(settings.servers)},
            next_step="check the context and its kubeconfig; change the list only if this is really meant",
        )
    if not settings.consent:
        raise GuardError(
            f"writing to {found.server} needs your consent",
            next_step="give --existing-consent, or set HARNESS_EXISTING__CONSENT=true, once you are sure",
        )
    return found


def refuse_inhabited(kube: KubeApi) -> None:
    """Refuse namespaces with workloads in them that no claim names, whatever their labels say.

    Raises:
        GuardError: Something runs there: an environment of another target, perhaps.
    """
    found = [
        f"{kind} {namespace}/{one['metadata']['name']}"
        for namespace in NAMESPACES
        for kind in _WORKLOADS
        for one in kube.list(kind, namespace)
    ]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise GuardError(
            f"the namespaces {' and '.join(NAMESPACES)} of the cluster are not empty",
            evidence={"in them": ", ".join(found[:_SHOWN]) + more},
            next_step="the harness fills and empties them: name a cluster where nothing else runs there",
        )
