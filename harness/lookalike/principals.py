"""Who calls: long-term keys of users and vended sessions of roles.

ARNs and ids have AWS's forms ("IAM identifiers" in the IAM user guide): a session is
`arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` with the user id `ROLEID:SESSION`; its keys begin with ASIA.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

PARTITION: Final = "aws"
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE62: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def unique_id(prefix: str) -> str:
    """An id as IAM makes them: AIDA (user), AROA (role), AKIA (key), ASIA (key of a session), and 17 more."""
    return prefix + "".join(secrets.choice(_BASE32) for _ in range(17))


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    Attributes:
        arn: What `GetCallerIdentity` says: a user, or a session of a role.
        iam_arn: The user or role itself: `aws:PrincipalArn`, and what a policy names.
        user_id: AIDA..., or AROA...:session.
        account: Twelve digits.
        role_name: Of a session; empty for a user.
        session_name: Of a session; empty for a user.
        tags: Of the session or user: `aws:PrincipalTag/...`.
        session_policy: What narrows a session further; None for nothing.
        policies: Identity policies of a user; those of a role are read from IAM at each call.
        service: Name of the AWS service, for calls that a service makes on its own; else empty.
    """

    arn: str
    iam_arn: str
    user_id: str
    account: str
    role_name: str = ""
    session_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    session_policy: Mapping[str, Any] | None = None
    policies: tuple[Mapping[str, Any], ...] = ()
    service: str = ""


# Who asks what needs no signature.
NOBODY: Final = Principal("", "", "", "")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys and whose they are.

    Attributes:
        access_key_id: AKIA... or ASIA...
        secret_access_key: What signs.
        session_token: Must be sent along; empty for long-term keys.
        expiration: When a session ends; None for long-term keys.
        principal: Whose.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    principal: Principal
    session_token: str = field(default="", repr=False)
    expiration: datetime | None = None


class CredentialStore:
    """All keys that the look-alike knows; safe between threads."""

    def __init__(self) -> None:
        self._known: dict[str, Credentials] = {}
        self._lock = threading.Lock()

    def find(self, access_key_id: str) -> Credentials | None:
        """The keys with this id."""
        with self._lock:
            return self._known.get(access_key_id)

    def add_user(self, name: str, account: str, policies: tuple[Mapping[str, Any], ...]) -> Credentials:
        """Long-term keys of a new user with these identity policies."""
        arn = f"arn:{PARTITION}:iam::{account}:user/{name}"
        principal = Principal(arn, arn, unique_id("AIDA"), account, policies=policies)
        return self._keep(Credentials(unique_id("AKIA"), _secret(40), principal))

    def vend(self, principal: Principal, expiration: datetime) -> Credentials:
        """Keys of a session that ends then."""
        return self._keep(Credentials(unique_id("ASIA"), _secret(40), principal, _secret(356), expiration))

    def _keep(self, credentials: Credentials) -> Credentials:
        with self._lock:
            self._known[credentials.access_key_id] = credentials
        return credentials


def _secret(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))
