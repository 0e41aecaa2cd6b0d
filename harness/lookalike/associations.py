"""Pod Identity associations: which role the pods of a service account get."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from harness.lookalike import policies
from harness.lookalike.errors import AwsError
from harness.lookalike.iam import Iam
from harness.lookalike.policies import MalformedPolicy, Request
from harness.lookalike.principals import Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, page, tag_context

SERVICE: Final = "pods.eks.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Association:
    """One association."""

    cluster: str
    namespace: str
    service_account: str
    role_arn: str
    arn: str
    association_id: str
    created: datetime
    modified: datetime
    disable_session_tags: bool = False
    policy: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> Output:
        """As the list has it."""
        return {
            "clusterName": self.cluster,
            "namespace": self.namespace,
            "serviceAccount": self.service_account,
            "associationArn": self.arn,
            "associationId": self.association_id,
        }

    def described(self) -> Output:
        """As `DescribePodIdentityAssociation` answers."""
        more = {"policy": self.policy} if self.policy else {}
        return {
            **self.summary(),
            "roleArn": self.role_arn,
            "tags": dict(self.tags),
            "createdAt": self.created,
            "modifiedAt": self.modified,
            "disableSessionTags": self.disable_session_tags,
            **more,
        }


class Associations:
    """Those of all clusters.

    The order of a role's checks and the words of `InvalidParameterException` are not documented; that a role must be
    there and trust the service is ("Assign an IAM role to a Kubernetes service account" in the EKS user guide).
    """

    def __init__(self, account: Account, iam: Iam) -> None:
        self._account = account
        self._iam = iam
        self._known: dict[str, Association] = {}
        self._tokens: dict[str, tuple[dict[str, Any], str]] = {}

    def find(self, cluster: str, namespace: str, service_account: str) -> Association | None:
        """The association of a service account."""
        wanted = (cluster, namespace, service_account)
        return next((a for a in self if (a.cluster, a.namespace, a.service_account) == wanted), None)

    def __iter__(self) -> Iterator[Association]:
        return iter(list(self._known.values()))

    def by_arn(self, arn: str) -> Association | None:
        """The association with an ARN."""
        return next((a for a in self if a.arn == arn), None)

    def retag(self, association: Association, tags: Mapping[str, str]) -> None:
        """Give an association these tags and no others."""
        self._known[association.association_id] = replace(association, tags=dict(tags))

    def operations(self, hold_cluster: Callable[[str], object]) -> dict[str, Operation]:
        """EKS's operations on them.

        Args:
            hold_cluster: Raises where there is no cluster of a name.
        """

        def after_cluster(handle: Callable[[Parameters], Output]) -> Callable[[Principal, Parameters], Output]:
            def handled(_caller: Principal, q: Parameters) -> Output:
                hold_cluster(q["clusterName"])
                return handle(q)

            return handled

        def on_association(operation: str) -> Callable[[Parameters], Sequence[Check]]:
            def checks(q: Parameters) -> Sequence[Check]:
                arn = self._arn(q["clusterName"], q["associationId"])
                known = self._known.get(q["associationId"])
                context = tag_context(known.tags if known else {}, "aws:ResourceTag")
                passing = self._passing(q["roleArn"]) if "roleArn" in q else []
                return [Check(f"eks:{operation}", arn, context), *passing]

            return checks

        return {
            "CreatePodIdentityAssociation": Operation(after_cluster(self._create), self._create_checks),
            "ListPodIdentityAssociations": Operation(
                after_cluster(self._list),
                lambda q: [Check("eks:ListPodIdentityAssociations", self._cluster_arn(q))],
            ),
            "DescribePodIdentityAssociation": Operation(
                after_cluster(lambda q: {"association": self._get(q).described()}),
                on_association("DescribePodIdentityAssociation"),
            ),
            "UpdatePodIdentityAssociation": Operation(
                after_cluster(self._update), on_association("UpdatePodIdentityAssociation")
            ),
            "DeletePodIdentityAssociation": Operation(
                after_cluster(self._delete), on_association("DeletePodIdentityAssociation")
            ),
        }  # fmt: skip

    def _arn(self, cluster: str, association_id: str) -> str:
        return self._account.arn("eks", f"podidentityassociation/{cluster}/{association_id}")

    def _cluster_arn(self, q: Parameters) -> str:
        return self._account.arn("eks", f"cluster/{q['clusterName']}")

    def _passing(self, role_arn: str) -> list[Check]:
        # "iam:PassRole and iam:GetRole" (the EKS user guide, as above).
        return [Check("iam:PassRole", role_arn, {"iam:PassedToService": SERVICE}), Check("iam:GetRole", role_arn)]

    def _create_checks(self, q: Parameters) -> Sequence[Check]:
        cluster = self._cluster_arn(q)
        context = tag_context(q.get("tags", {}))
        tagging = [Check("eks:TagResource", self._arn(q["clusterName"], "*"), context)] if q.get("tags") else []
        return [Check("eks:CreatePodIdentityAssociation", cluster, context), *tagging, *self._passing(q["roleArn"])]

    def _create(self, q: Parameters) -> Output:
        cluster, namespace, name = q["clusterName"], q["namespace"], q["serviceAccount"]
        request_token = q.get("clientRequestToken", "")
        if request_token in self._tokens:
            earlier, made = self._tokens[request_token]
            if earlier == dict(q) and made in self._known:
                return {"association": self._known[made].described()}
        if taken := self.find(cluster, namespace, name):
            message = f"Association already exists: {taken.association_id}"
            raise AwsError("ResourceInUseException", message, status=409)
        self._check_role(q["roleArn"])
        _check_extras(q)
        letters = string.ascii_lowercase + string.digits
        association_id = "a-" + "".join(secrets.choice(letters) for _ in range(17))
        now = self._account.moment()
        association = Association(
            cluster, namespace, name, q["roleArn"], self._arn(cluster, association_id), association_id, now, now,
            q.get("disableSessionTags", False), q.get("policy", ""), dict(q.get("tags", {})),
        )  # fmt: skip
        self._known[association_id] = association
        if request_token:
            self._tokens[request_token] = (dict(q), association_id)
        return {"association": association.described()}

    def _list(self, q: Parameters) -> Output:
        found = [
            association.summary()
            for association in self
            if association.cluster == q["clusterName"]
            and q.get("namespace") in {None, association.namespace}
            and q.get("serviceAccount") in {None, association.service_account}
        ]
        items, following = page(found, size=q.get("maxResults"), token=q.get("nextToken"))
        return {"associations": items, **({"nextToken": following} if following else {})}

    def _get(self, q: Parameters) -> Association:
        association = self._known.get(q["associationId"])
        if association is None or association.cluster != q["clusterName"]:
            message = f"The association {q['associationId']} does not exist in cluster {q['clusterName']}"
            raise AwsError("ResourceNotFoundException", message, status=404)
        return association

    def _update(self, q: Parameters) -> Output:
        association = self._get(q)
        role = q.get("roleArn", association.role_arn)
        self._check_role(role)
        _check_extras({"disableSessionTags": association.disable_session_tags, **q})
        changed = replace(
            association,
            role_arn=role,
            disable_session_tags=q.get("disableSessionTags", association.disable_session_tags),
            policy=q.get("policy", association.policy),
            modified=self._account.moment(),
        )
        self._known[association.association_id] = changed
        return {"association": changed.described()}

    def _delete(self, q: Parameters) -> Output:
        association = self._known.pop(self._get(q).association_id)
        return {"association": association.described()}

    def _check_role(self, arn: str) -> None:
        role = self._iam.role_by_arn(arn)
        if role is None:
            raise AwsError("InvalidParameterException", f"Role provided in the request does not exist: {arn}")
        trust = policies.parse(role.trust, "trust")
        # Conditions of the trust are met, or not, at each vending; here only that the service is trusted at all.
        bare = {
            **trust,
            "Statement": [{**s, "Condition": {}} for s in _many(trust.get("Statement", [])) if s["Effect"] == "Allow"],
        }
        for action in ("sts:AssumeRole", "sts:TagSession"):
            if not policies.trusts(bare, Request(action, arn, {}, frozenset({f"Service:{SERVICE}"}))):
                message = f"Trust policy of role {arn} does not allow {SERVICE} to {action}"
                raise AwsError("InvalidParameterException", message)


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_extras(q: Parameters) -> None:
    if q.get("targetRoleArn"):
        message = "the look-alike does not chain to a target role in another account"
        raise AwsError("NotImplemented", message, status=501)
    if policy := q.get("policy"):
        if not q.get("disableSessionTags"):
            raise AwsError("InvalidParameterException", "A session policy needs disableSessionTags")
        try:
            policies.parse(policy)
        except MalformedPolicy as error:
            raise AwsError("InvalidParameterException", str(error)) from None
