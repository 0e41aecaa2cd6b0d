"""IAM's OIDC providers: issuers of tokens whose bearers a role may trust."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from harness.lookalike.errors import AwsError
from harness.lookalike.principals import Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, tag_context


@dataclass(slots=True)
class Provider:
    """A provider; its ARN ends in the issuer, without its scheme."""

    issuer: str
    arn: str
    created: datetime
    audiences: list[str]
    tags: dict[str, str] = field(default_factory=dict)


class Providers:
    """Those of the account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, Provider] = {}

    def find(self, arn: str) -> Provider | None:
        """A provider by ARN."""
        return self._known.get(arn)

    def of_issuer(self, issuer: str) -> Provider | None:
        """The provider of an issuer, without its scheme."""
        return self.find(self._arn(issuer))

    def operations(self) -> dict[str, Operation]:
        """IAM's operations on them."""

        def on(operation: str, handle: Callable[[Provider, Parameters], Output]) -> Operation:
            def handled(_caller: Principal, q: Parameters) -> Output:
                return handle(self._there(q["OpenIDConnectProviderArn"]), q)

            def checks(q: Parameters) -> list[Check]:
                arn = q["OpenIDConnectProviderArn"]
                known = self.find(arn)
                context = tag_context(_tags(q)) | tag_context(known.tags if known else {}, "aws:ResourceTag")
                return [Check(f"iam:{operation}", arn, context)]

            return Operation(handled, checks)

        handlers: Mapping[str, Callable[[Provider, Parameters], Output]] = {
            "GetOpenIDConnectProvider": self._described,
            "DeleteOpenIDConnectProvider": self._delete,
            "AddClientIDToOpenIDConnectProvider": self._add_audience,
            "TagOpenIDConnectProvider": self._tag,
            "UntagOpenIDConnectProvider": self._untag,
        }

        def listed(_caller: Principal, _q: Parameters) -> Output:
            return {"OpenIDConnectProviderList": [{"Arn": arn} for arn in self._known]}

        return {
            "CreateOpenIDConnectProvider": Operation(self._create, self._create_checks),
            "ListOpenIDConnectProviders": Operation(listed, lambda _q: [Check("iam:ListOpenIDConnectProviders", "*")]),
            **{name: on(name, handle) for name, handle in handlers.items()},
        }

    def _arn(self, issuer: str) -> str:
        return self._account.arn("iam", f"oidc-provider/{issuer}")

    def _there(self, arn: str) -> Provider:
        if (provider := self.find(arn)) is None:
            raise AwsError("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", status=404)
        return provider

    def _create_checks(self, q: Parameters) -> list[Check]:
        context, arn = tag_context(_tags(q)), self._arn(_issuer(q["Url"]))
        tagging = [Check("iam:TagOpenIDConnectProvider", arn, context)] if q.get("Tags") else []
        return [Check("iam:CreateOpenIDConnectProvider", arn, context), *tagging]

    def _create(self, _caller: Principal, q: Parameters) -> Output:
        if urlsplit(q["Url"]).scheme != "https":
            raise AwsError("ValidationError", "The url must begin with https://")
        issuer = _issuer(q["Url"])
        arn = self._arn(issuer)
        if arn in self._known:
            message = f"Provider with url {q['Url']} already exists."
            raise AwsError("EntityAlreadyExists", message, status=409)
        audiences = list(q.get("ClientIDList", []))
        self._known[arn] = Provider(issuer, arn, self._account.moment(), audiences, _tags(q))
        return {"OpenIDConnectProviderArn": arn, **({"Tags": q["Tags"]} if q.get("Tags") else {})}

    def _delete(self, provider: Provider, _q: Parameters) -> Output:
        del self._known[provider.arn]
        return {}

    @staticmethod
    def _described(provider: Provider, _q: Parameters) -> Output:
        return {
            "Url": provider.issuer,
            "ClientIDList": list(provider.audiences),
            "ThumbprintList": [],
            "CreateDate": provider.created,
            "Tags": [{"Key": key, "Value": value} for key, value in provider.tags.items()],
        }

    @staticmethod
    def _add_audience(provider: Provider, q: Parameters) -> Output:
        if q["ClientID"] not in provider.audiences:
            provider.audiences.append(q["ClientID"])
        return {}

    @staticmethod
    def _tag(provider: Provider, q: Parameters) -> Output:
        provider.tags.update(_tags(q))
        return {}

    @staticmethod
    def _untag(provider: Provider, q: Parameters) -> Output:
        for key in q["TagKeys"]:
            provider.tags.pop(key, None)
        return {}


def _issuer(url: str) -> str:
    return url.partition("://")[2]


def _tags(q: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in q.get("Tags", [])}
