"""EKS Auth: keys for a pod, against the token of its service account.

"AssumeRoleForPodIdentity" in the EKS Auth API reference. The token is verified by the cluster itself (TokenReview:
signature, audience, and that the pod still is); then the association, then the role's trust, at each call.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from harness.lookalike import policies
from harness.lookalike.associations import SERVICE, Association
from harness.lookalike.eks import Eks
from harness.lookalike.errors import AwsError
from harness.lookalike.iam import Iam, Role
from harness.lookalike.policies import Request
from harness.lookalike.principals import Credentials, Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, Service, tag_context
from harness.lookalike.sts import Sessions

AUDIENCE: Final = SERVICE
# Hours for which EKS vends; a role's own maximum is not asked ("EKS Pod Identity" in the EKS user guide).
LIFETIME: Final = timedelta(hours=6)
_ACCOUNT: Final = re.compile(r"system:serviceaccount:(?P<namespace>[^:]+):(?P<name>[^:]+)")
_POD: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_NAME_LIMIT: Final = 64
_NOT_IN_NAMES: Final = re.compile(r"[^\w+=,.@-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the cluster says of a token.

    Attributes:
        authenticated: Whether it is one of the cluster's, for the audience, and its pod and account still are.
        username: Such as "system:serviceaccount:airflow:airflow-dvc-sa".
        extra: Pod name and uid, among others.
        error: Why not.
    """

    authenticated: bool
    username: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)
    error: str = ""


class TokenReviewer(Protocol):
    """The cluster's TokenReview."""

    def review(self, token: str, audience: str) -> Reviewed:
        """What the cluster says of a token for an audience.

        Raises:
            EnvironmentFailed: The cluster does not answer.
        """


class EksAuth(Service):
    """The service; there is one operation."""

    name = "eks-auth"

    def __init__(
        self,
        account: Account,
        iam: Iam,
        eks: Eks,
        sessions: Sessions,
        reviewers: Mapping[str, TokenReviewer],
        *,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        """Begin.

        Args:
            account: Where.
            iam: Whose roles.
            eks: Whose associations.
            sessions: Vends.
            reviewers: By name of cluster; read at each call, so one may be added later.
            lifetime: Of what is vended.
        """
        self._account = account
        self._iam = iam
        self._eks = eks
        self._sessions = sessions
        self._reviewers = reviewers
        self._lifetime = lifetime
        self.operations = {
            "AssumeRoleForPodIdentity": Operation(
                self._assume, lambda q: [Check("eks-auth:AssumeRoleForPodIdentity", eks.arn(q["clusterName"]))]
            )
        }

    def _assume(self, _caller: Principal, q: Parameters) -> Output:
        cluster = self._eks.cluster(q["clusterName"])
        reviewed = self._review(cluster.name, q["token"])
        found = _ACCOUNT.fullmatch(reviewed.username)
        if found is None:
            raise AwsError("InvalidTokenException", "The token is not of a service account")
        pod, uid = (_one(reviewed.extra, key) for key in (_POD, _POD_UID))
        association = self._eks.associations.find(cluster.name, found["namespace"], found["name"])
        if association is None:
            message = f"No association found for service account {found['namespace']}/{found['name']}"
            raise AwsError("ResourceNotFoundException", message, status=404)
        tags = (
            {}
            if association.disable_session_tags
            else _session_tags(self._eks.arn(cluster.name), association, pod, uid)
        )
        role = self._trusting_role(association, tags)
        credentials = self._sessions.vend(
            role,
            session_name(cluster.name, pod),
            lifetime=self._lifetime,
            tags=tags,
            session_policy=policies.parse(association.policy) if association.policy else None,
        )
        return _output(association, credentials)

    def _review(self, cluster: str, token: str) -> Reviewed:
        reviewer = self._reviewers.get(cluster)
        if reviewer is None:
            raise AwsError("ServiceUnavailableException", f"nothing reviews tokens of {cluster} yet", status=503)
        if (expiry := _expiry(token)) is None:
            raise AwsError("InvalidTokenException", "The token is no JSON web token")
        if expiry <= self._account.now().timestamp():
            raise AwsError("ExpiredTokenException", "The token included in the request is expired")
        reviewed = reviewer.review(token, AUDIENCE)
        if not reviewed.authenticated:
            raise AwsError("InvalidTokenException", f"The token included in the request is invalid: {reviewed.error}")
        return reviewed

    def _trusting_role(self, association: Association, tags: Mapping[str, str]) -> Role:
        """The association's role, which must be there and trust the service for this cluster and these tags now."""
        role = self._iam.role_by_arn(association.role_arn)
        if role is None:
            raise _not_authorised("sts:AssumeRole", association.role_arn)
        context = {
            **tag_context(tags),
            "aws:SourceAccount": self._account.number,
            "aws:SourceArn": self._eks.arn(association.cluster),
        }
        trust = policies.parse(role.trust, "trust")
        for action in ("sts:AssumeRole", *(("sts:TagSession",) if tags else ())):
            if not policies.trusts(trust, Request(action, role.arn, context, frozenset({f"Service:{SERVICE}"}))):
                raise _not_authorised(action, role.arn)
        return role


def _not_authorised(action: str, role: str) -> AwsError:
    return AwsError("AccessDeniedException", f"{SERVICE} is not authorized to perform: {action} on resource: {role}")


def session_name(cluster: str, pod: str) -> str:
    """Such as "eks-mlops-push-data-x7-<uuid>"; AWS documents the form and the 64 characters, not how it shortens."""
    random = str(uuid.uuid4())
    room = _NAME_LIMIT - len("eks---") - len(random)
    shown_pod = pod[: max(room // 2, room - len(cluster))]
    return _NOT_IN_NAMES.sub("-", f"eks-{cluster[: room - len(shown_pod)]}-{shown_pod}-{random}")


def _session_tags(cluster_arn: str, association: Association, pod: str, uid: str) -> dict[str, str]:
    """The six ("Grant Pods access to AWS resources based on tags" in the EKS user guide); all are transitive."""
    return {
        "eks-cluster-arn": cluster_arn,
        "eks-cluster-name": association.cluster,
        "kubernetes-namespace": association.namespace,
        "kubernetes-service-account": association.service_account,
        "kubernetes-pod-name": pod,
        "kubernetes-pod-uid": uid,
    }


def _output(association: Association, credentials: Credentials) -> Output:
    principal = credentials.principal
    return {
        "subject": {"namespace": association.namespace, "serviceAccount": association.service_account},
        "audience": AUDIENCE,
        "podIdentityAssociation": {
            "associationArn": association.arn,
            "associationId": association.association_id,
        },
        "assumedRoleUser": {"arn": principal.arn, "assumeRoleId": principal.user_id},
        "credentials": {
            "sessionToken": credentials.session_token,
            "secretAccessKey": credentials.secret_access_key,
            "accessKeyId": credentials.access_key_id,
            "expiration": credentials.expiration,
        },
    }


def _one(extra: Mapping[str, list[str]], key: str) -> str:
    values = extra.get(key) or []
    if len(values) != 1:
        raise AwsError("InvalidTokenException", f"The token is not bound to a pod ({key})")
    return values[0]


def _expiry(token: str) -> float | None:
    """When a token says that it ends, seconds since the epoch; None if it is no JWT. Nothing of it is verified."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7519)
        return None
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
