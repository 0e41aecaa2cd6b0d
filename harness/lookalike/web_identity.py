"""STS's AssumeRoleWithWebIdentity: keys of a role for the bearer of a cluster's service account token (IRSA).

AWS verifies such a token by the issuer's public keys; here the cluster that issued it is asked (TokenReview), which
also knows whether its pod still is. The provider in IAM, its audiences, and the role's trust are asked at each call.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from harness.lookalike import policies
from harness.lookalike.eks import Eks
from harness.lookalike.eks_auth import TokenReviewer
from harness.lookalike.errors import AwsError
from harness.lookalike.iam import Iam, Role
from harness.lookalike.policies import Request
from harness.lookalike.service import Account, Output, Parameters
from harness.lookalike.sts import Sessions, hold_spoken, session_policy, vended

_ACTION: Final = "sts:AssumeRoleWithWebIdentity"
_DEFAULT: Final = 3600
_ASSUMED_WITH: Final = frozenset({"RoleArn", "RoleSessionName", "WebIdentityToken", "DurationSeconds", "Policy"})


@dataclass(frozen=True, slots=True)
class WebIdentities:
    """The operation.

    Attributes:
        account: Where.
        iam: Whose providers and roles.
        eks: Whose clusters are the issuers.
        sessions: Vends.
        reviewers: By name of cluster; read at each call.
    """

    account: Account
    iam: Iam
    eks: Eks
    sessions: Sessions
    reviewers: Mapping[str, TokenReviewer]

    def assume(self, q: Parameters) -> Output:
        """Answer.

        Raises:
            AwsError: The token is none, or over, or of nobody that the role trusts; or more is asked than is done here.
        """
        hold_spoken(q, _ASSUMED_WITH)
        claims = _claims(q["WebIdentityToken"])
        url = str(claims.get("iss", ""))
        issuer = url.partition("://")[2]
        provider = self.iam.providers.of_issuer(issuer)
        if provider is None:
            raise _invalid(f"No OpenIDConnect provider found in your account for {url}")
        audience = next((one for one in _audiences(claims) if one in provider.audiences), None)
        if audience is None:
            raise _invalid("Incorrect token audience")
        if float(claims.get("exp", 0)) <= self.account.now().timestamp():
            raise AwsError("ExpiredTokenException", f"Token expired: current date/time must be before {claims['exp']}")
        subject = self._subject(url, q["WebIdentityToken"], audience)
        role = self._role(
            q["RoleArn"], f"Federated:{provider.arn}", {f"{issuer}:aud": audience, f"{issuer}:sub": subject}
        )
        seconds = q.get("DurationSeconds", _DEFAULT)
        if seconds > role.longest_session:
            message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            raise AwsError("ValidationError", message)
        credentials = self.sessions.vend(
            role,
            q["RoleSessionName"],
            lifetime=timedelta(seconds=seconds),
            session_policy=session_policy(q.get("Policy", "")),
        )
        principal = credentials.principal
        return {
            "Credentials": vended(credentials),
            "SubjectFromWebIdentityToken": subject,
            "AssumedRoleUser": {"AssumedRoleId": principal.user_id, "Arn": principal.arn},
            "Provider": provider.arn,
            "Audience": audience,
        }

    def _subject(self, url: str, token: str, audience: str) -> str:
        cluster = self.eks.of_issuer(url)
        reviewer = self.reviewers.get(cluster.name) if cluster else None
        if reviewer is None:
            raise _invalid("Couldn't retrieve verification key from your identity provider")
        reviewed = reviewer.review(token, audience)
        if not reviewed.authenticated:
            raise _invalid(f"The ID Token provided is not a valid JWT: {reviewed.error}")
        return reviewed.username

    def _role(self, arn: str, federated: str, context: Mapping[str, str]) -> Role:
        role = self.iam.role_by_arn(arn)
        if role is None or not policies.trusts(
            policies.parse(role.trust, "trust"), Request(_ACTION, arn, context, frozenset({federated}))
        ):
            raise AwsError("AccessDenied", f"Not authorized to perform {_ACTION}", status=403)
        return role


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidIdentityToken", message)


def _claims(token: str) -> dict[str, Any]:
    """What a token says of itself; nothing of it is verified."""
    try:
        middle = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return dict(claims)
    except (IndexError, ValueError, TypeError, binascii.Error):
        raise _invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        ) from None


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    found = claims.get("aud", [])
    return [str(one) for one in found] if isinstance(found, list) else [str(found)]
