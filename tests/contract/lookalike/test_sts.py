"""Sessions of roles by AssumeRole: trust and identity policies together, how long, and who they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from tests.contract.lookalike.conftest import ACCOUNT, Client
from tests.contract.lookalike.test_signatures import refusal_of

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"
GIVEN = {"RoleArn": ROLE, "RoleSessionName": "nightly"}


def make_role(client: Client, principal: str, **statement: Any) -> None:
    one = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    trust = {"Version": "2012-10-17", "Statement": [{**one, **statement}]}
    client("iam").create_role(RoleName="ci", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=7200)


def test_trust_in_the_account_leaves_it_to_the_callers_policies(
    client: Client, limited: Callable[..., Credentials]
) -> None:
    make_role(client, f"arn:aws:iam::{ACCOUNT}:root")
    assert refusal_of(client("sts", limited("s3:*")).assume_role, **GIVEN) == ("AccessDenied", 403)
    made = client("sts", limited("sts:AssumeRole", resource=ROLE)).assume_role(**GIVEN)
    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/nightly"


def test_trust_in_the_caller_itself_is_enough(client: Client, limited: Callable[..., Credentials]) -> None:
    make_role(client, f"arn:aws:iam::{ACCOUNT}:user/limited")
    client("sts", limited("s3:*")).assume_role(**GIVEN)


def test_trust_in_the_role_of_a_session_lifts_no_limit_of_it(client: Client, cloud: Cloud) -> None:
    make_role(client, f"arn:aws:iam::{ACCOUNT}:role/first")
    first = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": first})
    made = client("iam").create_role(RoleName="first", AssumeRolePolicyDocument=trust)["Role"]["Arn"]

    def session(**narrowed: str) -> Any:
        answer = client("sts").assume_role(RoleArn=made, RoleSessionName="session", **narrowed)
        return client("sts", cloud.store.find(answer["Credentials"]["AccessKeyId"]))

    session().assume_role(**GIVEN)
    only = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    assert refusal_of(session(Policy=only).assume_role, **GIVEN) == ("AccessDenied", 403)


def test_trust_in_another_is_none(client: Client) -> None:
    make_role(client, f"arn:aws:iam::{ACCOUNT}:user/somebody")
    assert refusal_of(client("sts").assume_role, **GIVEN) == ("AccessDenied", 403)


def test_a_role_that_is_not_there_is_denied_as_any_other(client: Client) -> None:
    assert refusal_of(client("sts").assume_role, **GIVEN) == ("AccessDenied", 403)


def test_trust_may_depend_on_the_sessions_name(client: Client) -> None:
    make_role(client, ACCOUNT, Condition={"StringLike": {"sts:RoleSessionName": "nightly-*"}})
    assert refusal_of(client("sts").assume_role, **GIVEN) == ("AccessDenied", 403)
    client("sts").assume_role(RoleArn=ROLE, RoleSessionName="nightly-7")


def test_trust_may_depend_on_the_external_id(client: Client) -> None:
    make_role(client, ACCOUNT, Condition={"StringEquals": {"sts:ExternalId": "42"}})
    assert refusal_of(client("sts").assume_role, **GIVEN) == ("AccessDenied", 403)
    assert refusal_of(client("sts").assume_role, **GIVEN, ExternalId="43") == ("AccessDenied", 403)
    client("sts").assume_role(**GIVEN, ExternalId="42")


@pytest.mark.parametrize(
    "more", [{"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AWSDenyAll"}]}, {"SourceIdentity": "ann"}]
)
def test_what_would_narrow_or_mark_a_session_is_not_passed_over(client: Client, more: dict[str, Any]) -> None:
    make_role(client, ACCOUNT)
    assert refusal_of(client("sts").assume_role, **GIVEN, **more) == ("NotImplemented", 501)


def test_tags_need_leave_of_their_own(client: Client, limited: Callable[..., Credentials], cloud: Cloud) -> None:
    make_role(client, ACCOUNT)
    tagged = {**GIVEN, "Tags": [{"Key": "team", "Value": "ml"}]}
    assert refusal_of(client("sts", limited("sts:AssumeRole")).assume_role, **tagged) == ("AccessDenied", 403)
    made = client("sts", limited("sts:AssumeRole", "sts:TagSession")).assume_role(**tagged)
    found = cloud.store.find(made["Credentials"]["AccessKeyId"])
    assert found is not None
    assert found.principal.tags == {"team": "ml"}


@pytest.mark.parametrize("seconds", [899, 7201, 43_201])
def test_a_session_may_not_last_longer_than_its_role_says(client: Client, seconds: int) -> None:
    make_role(client, ACCOUNT)
    sts = client("sts", parameter_validation=False)
    assert refusal_of(sts.assume_role, **GIVEN, DurationSeconds=seconds) == ("ValidationError", 400)
    sts.assume_role(**GIVEN, DurationSeconds=7200)


def test_a_chained_session_lasts_an_hour_at_most(client: Client, cloud: Cloud) -> None:
    make_role(client, ACCOUNT)
    grant = {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE}}
    client("iam").put_role_policy(RoleName="ci", PolicyName="p", PolicyDocument=json.dumps(grant))
    first = cloud.store.find(client("sts").assume_role(**GIVEN)["Credentials"]["AccessKeyId"])
    chained = client("sts", first).assume_role
    assert refusal_of(chained, **GIVEN, DurationSeconds=3601) == ("ValidationError", 400)
    chained(**GIVEN, DurationSeconds=3600)


def test_a_session_policy_narrows_the_session(client: Client, cloud: Cloud) -> None:
    make_role(client, ACCOUNT)
    everything = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    client("iam").put_role_policy(RoleName="ci", PolicyName="p", PolicyDocument=json.dumps(everything))
    only = {"Statement": {"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*"}}
    made = client("sts").assume_role(**GIVEN, Policy=json.dumps(only))
    keys = cloud.store.find(made["Credentials"]["AccessKeyId"])
    client("iam", keys).list_roles()
    assert refusal_of(client("iam", keys).get_role, RoleName="ci") == ("AccessDenied", 403)
    bad = {**GIVEN, "Policy": "{}x"}
    assert refusal_of(client("sts").assume_role, **bad) == ("MalformedPolicyDocument", 400)
