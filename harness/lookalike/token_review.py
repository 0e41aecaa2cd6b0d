"""What the look-alike asks of a cluster: its TokenReview (EKS Auth, STS), and which role a service account names."""

from __future__ import annotations

from dataclasses import dataclass

from harness.kubeapi import KubeApi, KubeApiError
from harness.lookalike.eks_auth import Reviewed
from harness.lookalike.injector import ROLE_ANNOTATION


@dataclass(frozen=True, slots=True)
class ClusterTokens:
    """Reviews tokens; its identity in the cluster needs `system:auth-delegator`."""

    kube: KubeApi

    def review(self, token: str, audience: str) -> Reviewed:
        """What the cluster says of a token for an audience.

        Raises:
            KubeApiError: It refuses to be asked, or does not answer.
        """
        answer = self.kube.create(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [audience]},
            }
        )
        status = answer.get("status") or {}
        user = status.get("user") or {}
        # Without status.audiences the token is one for the API server itself (TokenReview in the Kubernetes API
        # reference), and not for this audience.
        meant = audience in (status.get("audiences") or [])
        return Reviewed(
            authenticated=bool(status.get("authenticated")) and meant,
            username=str(user.get("username") or ""),
            extra={str(name): list(values) for name, values in (user.get("extra") or {}).items()},
            error=str(status.get("error") or ("" if meant else f"not for {audience}")),
        )


@dataclass(slots=True)
class RolesOfAccounts:
    """The roles that service accounts name in their annotation (IRSA).

    Attributes:
        kube: The cluster; None until it is there.
    """

    kube: KubeApi | None = None

    def __call__(self, namespace: str, account: str) -> str:
        """ARN of the role of a service account; empty for none, and where the cluster does not say."""
        try:
            found = self.kube.get("ServiceAccount", account, namespace) if self.kube else None
        except KubeApiError:
            return ""  # EKS's webhook lets such a pod pass, too
        return str(((found or {}).get("metadata") or {}).get("annotations", {}).get(ROLE_ANNOTATION, ""))
