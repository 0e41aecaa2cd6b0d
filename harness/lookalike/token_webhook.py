"""The API server's token webhook: who the bearer of a `k8s-aws-v1.` token is.

The rules for the presigned URL inside are those of aws-iam-authenticator (pkg/token/token.go): scheme, host, path, the
only parameters that there may be, the signed cluster header, 15 minutes. The signature is verified here, as STS would;
nobody is asked. Then the cluster's access entries say which user and groups the principal is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from harness.lookalike.eks import Eks
from harness.lookalike.errors import Refused
from harness.lookalike.principals import Principal
from harness.lookalike.service import Account
from harness.lookalike.sigv4 import HttpRequest, Verifier, claim_of

JsonObject = dict[str, Any]

PREFIX: Final = "k8s-aws-v1."
CLUSTER_HEADER: Final = "x-k8s-aws-id"
_LONGEST: Final = 1024 * 4
_PARAMETERS: Final = frozenset({
    "action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token",
    "x-amz-signature", "x-amz-signedheaders",
})  # fmt: skip
_MOST_SECONDS: Final = 900
_RAW_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+")


class NotAuthenticated(Exception):
    """Why a token is nobody's."""


@dataclass(frozen=True, slots=True)
class TokenWebhook:
    """Answers TokenReviews of one cluster's API server."""

    cluster: str
    account: Account
    verifier: Verifier
    eks: Eks

    def review(self, request: Mapping[str, Any]) -> JsonObject:
        """The answer to a TokenReview (authentication.k8s.io/v1)."""
        status: JsonObject
        try:
            status = {"authenticated": True, "user": self._user(self.principal(str(request["spec"]["token"])))}
        except (NotAuthenticated, Refused) as error:
            status = {"authenticated": False, "error": str(error)}
        return {"apiVersion": request["apiVersion"], "kind": "TokenReview", "status": status}

    def principal(self, token: str) -> Principal:
        """Who made a token for this cluster.

        Raises:
            NotAuthenticated: It is none, or its URL is not one that a token has.
            Refused: Its signature is not good.
        """
        url = _url_in(token)
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.netloc not in self._hosts() or parts.path != "/":
            raise NotAuthenticated(
                f"unexpected scheme, host or path in the presigned URL: {parts.scheme}://{parts.netloc}"
            )
        query = _parameters(parts.query)
        if query.get("action") != "GetCallerIdentity":
            raise NotAuthenticated("unexpected action parameter in the presigned URL")
        if CLUSTER_HEADER not in query.get("x-amz-signedheaders", "").lower().split(";"):
            raise NotAuthenticated(f"client did not sign the {CLUSTER_HEADER} header")
        expires = query.get("x-amz-expires", "")
        if not expires.isdecimal() or int(expires) > _MOST_SECONDS:
            raise NotAuthenticated("invalid X-Amz-Expires parameter in the presigned URL")
        headers = {"host": parts.netloc, CLUSTER_HEADER: self.cluster}
        made = HttpRequest("GET", parts.path, parts.query, headers)
        claim = claim_of(made)
        if claim is None or claim.service != "sts":
            raise NotAuthenticated("the URL is not presigned for STS")
        return self.verifier.verify(made, claim).principal

    def _hosts(self) -> frozenset[str]:
        return frozenset({"sts.amazonaws.com", f"sts.{self.account.region}.amazonaws.com"})

    def _user(self, principal: Principal) -> JsonObject:
        entry = self.eks.access_entry(self.cluster, principal.iam_arn)
        if entry is None:
            raise NotAuthenticated(f"{principal.iam_arn} has no access entry in {self.cluster}")
        username = entry.username or principal.arn
        name = username.replace("{{SessionName}}", principal.session_name.replace("@", "-"))
        return {
            "username": name,
            "uid": f"aws-iam-authenticator:{principal.account}:{principal.user_id.partition(':')[0]}",
            "groups": list(entry.groups),
            "extra": {
                "arn": [principal.arn],
                "canonicalArn": [principal.iam_arn],
                "principalId": [principal.user_id.partition(":")[0]],
                "sessionName": [principal.session_name],
            },
        }


def _url_in(token: str) -> str:
    if len(token) > _LONGEST or not token.startswith(PREFIX):
        raise NotAuthenticated(f"the token does not begin with {PREFIX}, or is too long")
    raw = token.removeprefix(PREFIX)
    try:
        if not _RAW_BASE64.fullmatch(raw):
            raise NotAuthenticated("the token is no unpadded base64")
        return base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise NotAuthenticated("the token is no unpadded base64") from None


def _parameters(query: str) -> dict[str, str]:
    pairs = [(name.lower(), value) for name, value in parse_qsl(query, keep_blank_values=True)]
    names = [name for name, _ in pairs]
    if unknown := set(names) - _PARAMETERS:
        raise NotAuthenticated(f"parameters that a token may not have: {', '.join(sorted(unknown))}")
    if len(names) != len(set(names)):
        raise NotAuthenticated("a parameter with several values")
    return dict(pairs)
