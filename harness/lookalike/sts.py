"""STS: who am I, and sessions of roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from harness.lookalike import policies
from harness.lookalike.authorisation import Authorisation
from harness.lookalike.errors import AwsError
from harness.lookalike.iam import Role
from harness.lookalike.policies import MalformedPolicy, Policy, Request
from harness.lookalike.principals import PARTITION, Credentials, CredentialStore, Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, Service, tag_context

_DEFAULT: Final = 3600
# "Role chaining limits your session to a maximum of one hour" (STS API reference, AssumeRole).
_LONGEST_CHAINED: Final = 3600
_ASSUMED_WITH: Final = frozenset({"RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "Tags", "ExternalId"})


@dataclass(frozen=True, slots=True)
class Sessions:
    """Vends keys for sessions of roles; who may have them is decided by its callers."""

    account: Account
    store: CredentialStore

    def vend(
        self,
        role: Role,
        name: str,
        *,
        lifetime: timedelta,
        tags: Mapping[str, str] | None = None,
        session_policy: Policy | None = None,
    ) -> Credentials:
        """Keys of a new session of a role."""
        arn = f"arn:{PARTITION}:sts::{self.account.number}:assumed-role/{role.name}/{name}"
        principal = Principal(
            arn, role.arn, f"{role.role_id}:{name}", self.account.number, role.name, name,
            {**role.tags, **(tags or {})}, session_policy,
        )  # fmt: skip
        return self.store.vend(principal, self.account.moment() + lifetime)


class Sts(Service):
    """The service."""

    name = "sts"

    def __init__(
        self,
        account: Account,
        authorisation: Authorisation,
        sessions: Sessions,
        web_identity: Callable[[Parameters], Output],
    ) -> None:
        """Begin.

        Args:
            account: Where.
            authorisation: Asks policies.
            sessions: Vends.
            web_identity: Does AssumeRoleWithWebIdentity.
        """
        self._account = account
        self._authorisation = authorisation
        self._sessions = sessions
        self.operations = {
            # "No permissions are required to perform this operation" (STS API reference, GetCallerIdentity).
            "GetCallerIdentity": Operation(_identity, lambda _q: []),
            # Who may is decided by trust and identity policies together, once the role is known: in the handler.
            "AssumeRole": Operation(self._assume, lambda _q: []),
            # Asked without a signature: the token says who asks.
            "AssumeRoleWithWebIdentity": Operation(lambda _c, q: web_identity(q), lambda _q: []),
        }

    def _assume(self, caller: Principal, q: Parameters) -> Output:
        hold_spoken(q, _ASSUMED_WITH)
        role = self._authorisation.iam.role_by_arn(q["RoleArn"])
        tags = {tag["Key"]: tag["Value"] for tag in q.get("Tags", [])}
        context = {**tag_context(tags), "sts:RoleSessionName": q["RoleSessionName"]}
        if "ExternalId" in q:
            context["sts:ExternalId"] = q["ExternalId"]
        if role is None:
            # As for a role that is there and not for the caller: AWS does not tell which.
            raise _not_authorised(caller, "sts:AssumeRole", q["RoleArn"])
        for action in ("sts:AssumeRole", *(("sts:TagSession",) if tags else ())):
            if not self._may(caller, role, self._authorisation.request(caller, Check(action, role.arn, context))):
                raise _not_authorised(caller, action, role.arn)
        seconds = q.get("DurationSeconds", _DEFAULT)
        longest = _LONGEST_CHAINED if caller.role_name else role.longest_session
        if seconds > longest:
            message = f"The requested DurationSeconds exceeds the {longest} s that this session may last."
            raise AwsError("ValidationError", message)
        credentials = self._sessions.vend(
            role,
            q["RoleSessionName"],
            lifetime=timedelta(seconds=seconds),
            tags=tags,
            session_policy=session_policy(q.get("Policy", "")),
        )
        return {
            "Credentials": vended(credentials),
            "AssumedRoleUser": {
                "AssumedRoleId": credentials.principal.user_id, "Arn": credentials.principal.arn
            },
        }  # fmt: skip

    def _may(self, caller: Principal, role: Role, request: Request) -> bool:
        """Trust that names the caller is enough within an account; trust in the account leaves it to its policies."""
        trust = policies.parse(role.trust, "trust")
        iam = self._authorisation.iam
        return policies.trusts(trust, request) and policies.allowed(
            request,
            identity=iam.identity_policies(caller.role_name) if caller.role_name else caller.policies,
            boundary=iam.boundary(caller.role_name) if caller.role_name else None,
            session=caller.session_policy,
            resource=trust,
        )


def hold_spoken(q: Parameters, known: frozenset[str]) -> None:
    """Refuse what would narrow or mark a session, and is not done here.

    Raises:
        AwsError: There is such a parameter.
    """
    if unknown := q.keys() - known:
        message = f"the look-alike does not know {', '.join(sorted(unknown))} of a session; it is in AWS's model"
        raise AwsError("NotImplemented", message, status=501)


def vended(credentials: Credentials) -> dict[str, Any]:
    """Keys as STS answers them."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": credentials.expiration,
    }


def _not_authorised(caller: Principal, action: str, role: str) -> AwsError:
    message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {role}"
    return AwsError("AccessDenied", message, status=403)


def _identity(caller: Principal, _q: Parameters) -> Output:
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}


def session_policy(text: str) -> Policy | None:
    """What narrows a session, by its text; None for nothing.

    Raises:
        AwsError: It is no policy.
    """
    if not text:
        return None
    try:
        return policies.parse(text)
    except MalformedPolicy as error:
        raise AwsError("MalformedPolicyDocument", str(error)) from None
