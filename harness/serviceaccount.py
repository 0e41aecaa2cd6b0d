"""The service account of each namespace: it comes a moment after the namespace, and without it no pod is taken."""

from __future__ import annotations

from typing import Final

from harness.errors import EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.wait import Waiter

_SECONDS: Final = 60.0


def await_service_account(kube: KubeApi, waiter: Waiter, namespace: str, *, what: str) -> None:
    """Wait for it. In a new cluster it also proves that the API server answers, and lets its callers in.

    Args:
        kube: The cluster.
        waiter: Waits.
        namespace: Whose.
        what: What is waited for, for messages.

    Raises:
        WaitTimeout: It did not come within a minute; with the last error, where there was one.
    """
    waiter.until(
        what,
        lambda: kube.get("ServiceAccount", "default", namespace),
        ready=lambda found: found is not None,
        describe=lambda found: "there" if found else "no default service account yet",
        timeout=_SECONDS,
        interval=0.2,
        # An API server that has just started refuses everybody until it has read its roles.
        transient=(EnvironmentFailed,),
    )
