"""Policies as IAM evaluates them: Deny first, then Allow; patterns, conditions, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.lookalike.policies import MalformedPolicy, Request, allowed, parse, trusts


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **more}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def ask(action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", **context: Any) -> Request:
    return Request(action, resource, {key.replace("_", ":"): value for key, value in context.items()})


def test_nothing_is_allowed_by_nothing() -> None:
    assert not allowed(ask(), identity=[])


def test_a_deny_wins_over_an_allow_wherever_it_stands() -> None:
    yes, no = policy(statement()), policy(statement("Deny"))
    assert allowed(ask(), identity=[yes])
    assert not allowed(ask(), identity=[yes, no])
    assert not allowed(ask(), identity=[yes], boundary=policy(statement(), statement("Deny")))
    everybody = policy(statement("Deny", Principal="*"))
    assert not allowed(ask(), identity=[yes], resource=everybody)


def test_boundary_and_session_must_allow_too() -> None:
    yes, other = policy(statement()), policy(statement(Action="s3:PutObject"))
    assert allowed(ask(), identity=[yes], boundary=yes, session=yes)
    assert not allowed(ask(), identity=[yes], boundary=other)
    assert not allowed(ask(), identity=[yes], session=other)


SESSION, ROLE, ACCOUNT = "arn:aws:sts::1:assumed-role/r/s", "arn:aws:iam::1:role/r", "arn:aws:iam::1:root"


@pytest.mark.parametrize(
    ("principal", "alone", "beside_identity", "within_limits", "beside_limits"),
    [
        ({"AWS": SESSION}, True, True, True, True),
        ("*", True, True, True, True),
        ({"AWS": "*"}, True, True, True, True),
        ({"AWS": ROLE}, True, True, True, False),
        ({"AWS": ACCOUNT}, False, True, False, False),
        ({"AWS": "arn:aws:iam::1:role/other"}, False, True, False, False),
    ],
)
def test_a_resources_policy_allows_by_whom_it_names(
    principal: object, alone: object, beside_identity: object, within_limits: object, beside_limits: object
) -> None:
    named, yes, other = policy(statement(Principal=principal)), policy(statement()), policy(statement(Action="s3:P*"))
    by = Request(
        "s3:GetObject", "arn:aws:s3:::b/k", {}, *(frozenset({f"AWS:{one}"}) for one in (SESSION, ROLE, ACCOUNT))
    )
    assert allowed(by, identity=[], resource=named) is alone
    assert allowed(by, identity=[yes], resource=named) is beside_identity
    assert allowed(by, identity=[], boundary=yes, session=yes, resource=named) is within_limits
    assert allowed(by, identity=[], boundary=other, resource=named) is beside_limits
    assert allowed(by, identity=[], session=other, resource=named) is beside_limits


@pytest.mark.parametrize("name", [SESSION, ROLE, ACCOUNT])
def test_a_resources_policy_denies_by_any_name_of_the_caller(name: str) -> None:
    no = policy(statement("Deny", Principal={"AWS": name}))
    by = Request(
        "s3:GetObject", "arn:aws:s3:::b/k", {}, *(frozenset({f"AWS:{one}"}) for one in (SESSION, ROLE, ACCOUNT))
    )
    assert not allowed(by, identity=[policy(statement())], resource=no)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"Action": "S3:getobject"}, True),
        ({"Action": "s3:Get*"}, True),
        ({"Action": ["s3:PutObject", "s3:GetO?ject"]}, True),
        ({"Action": "s3:Get"}, False),
        ({"Resource": "arn:aws:s3:::B/*"}, False),
        ({"Resource": "arn:aws:s3:::b/[k]"}, False),
        ({"Resource": "*"}, True),
    ],
)
def test_actions_have_no_case_and_resources_do(change: dict[str, Any], outcome: object) -> None:
    assert allowed(ask(), identity=[policy(statement(**change))]) is outcome


def test_not_action_and_not_resource_mean_all_others() -> None:
    others = {"Effect": "Allow", "NotAction": "s3:Get*", "NotResource": "arn:aws:s3:::b/*"}
    assert not allowed(ask(), identity=[policy(others)])
    assert not allowed(ask("s3:PutObject"), identity=[policy(others)])
    assert allowed(ask("s3:PutObject", "arn:aws:s3:::c/k"), identity=[policy(others)])


@pytest.mark.parametrize(
    ("condition", "context", "outcome"),
    [
        ({"StringEquals": {"aws:x": ["a", "b"]}}, {"aws_x": "b"}, True),
        ({"StringEquals": {"AWS:X": "b"}}, {"aws_x": "b"}, True),
        ({"StringEquals": {"aws:x": "b"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:x": "b"}}, {}, True),
        ({"StringEqualsIfExists": {"aws:x": "b"}}, {"aws_x": "c"}, False),
        ({"StringNotEquals": {"aws:x": ["a", "b"]}}, {"aws_x": "b"}, False),
        ({"StringNotEquals": {"aws:x": "b"}}, {}, True),
        ({"StringLike": {"aws:x": "team-*"}}, {"aws_x": "team-ml"}, True),
        ({"StringLike": {"aws:x": "team-*"}}, {"aws_x": "Team-ml"}, False),
        ({"ArnLike": {"aws:x": "arn:aws:iam::*:role/r"}}, {"aws_x": "arn:aws:iam::1:role/r"}, True),
        ({"ArnNotEquals": {"aws:x": "arn:aws:iam::1:role/r"}}, {"aws_x": "arn:aws:iam::1:role/r"}, False),
        ({"Bool": {"aws:x": True}}, {"aws_x": "true"}, True),
        ({"Bool": {"aws:x": "false"}}, {"aws_x": "true"}, False),
        ({"Null": {"aws:x": "true"}}, {}, True),
        ({"Null": {"aws:x": "false"}}, {}, False),
        ({"ForAllValues:StringEquals": {"aws:x": ["a", "b"]}}, {"aws_x": ("a", "b")}, True),
        ({"ForAllValues:StringEquals": {"aws:x": ["a"]}}, {"aws_x": ("a", "b")}, False),
        ({"ForAllValues:StringEquals": {"aws:x": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"aws:x": ["a"]}}, {"aws_x": ("a", "b")}, True),
        ({"ForAnyValue:StringEquals": {"aws:x": ["a"]}}, {}, False),
        ({"NumericLessThanEquals": {"aws:x": "10"}}, {"aws_x": "9"}, True),
        ({"StringEquals": {"aws:x": "a", "aws:y": "b"}}, {"aws_x": "a"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], outcome: object) -> None:
    assert allowed(ask(**context), identity=[policy(statement(Condition=condition))]) is outcome


@pytest.mark.parametrize(
    ("change", "context", "outcome"),
    [
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, {"x": "k"}, True),
        ({"Resource": "arn:aws:s3:::b/${AWS:principaltag/X}"}, {"x": "k"}, True),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}*"}, {"x": "j"}, False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, {}, False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, {"x": ("k", "l")}, False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x, 'k'}"}, {}, True),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x, 'k'}"}, {"x": "j"}, False),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}"}, {"x": "*"}, False),
        ({"Resource": "arn:aws:s3:::b/${*}"}, {}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/y": "${aws:PrincipalTag/x}"}}}, {"x": "a", "y": "a"}, True),
        (
            {"Condition": {"StringLike": {"aws:PrincipalTag/y": "${aws:PrincipalTag/x}/*"}}},
            {"x": "a", "y": "a/b"},
            True,
        ),
        ({"Condition": {"StringLike": {"aws:PrincipalTag/y": "${aws:PrincipalTag/x}"}}}, {"x": "*", "y": "b"}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/y": "${*}${?}${$}"}}}, {"y": "*?$"}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/y": "${aws:PrincipalTag/x}"}}}, {"y": "a"}, False),
        ({"Condition": {"StringNotEquals": {"aws:PrincipalTag/y": "${aws:PrincipalTag/x}"}}}, {"y": "a"}, True),
    ],
)
def test_a_variable_is_what_the_request_says(change: dict[str, Any], context: dict[str, Any], outcome: object) -> None:
    by = Request(
        "s3:GetObject", "arn:aws:s3:::b/k", {f"aws:PrincipalTag/{key}": value for key, value in context.items()}
    )
    given = parse(json.dumps(policy(statement(**change))))
    assert allowed(by, identity=[given]) is outcome
    denied = parse(json.dumps(policy(statement(), {**statement("Deny"), **change})))
    assert allowed(by, identity=[denied]) is not outcome


def test_before_2012_a_variable_is_text() -> None:
    texts = statement(Resource="arn:aws:s3:::b/${aws:PrincipalTag/x}")
    for old in ({"Version": "2008-10-17", "Statement": texts}, {"Statement": texts}):
        by = Request("s3:GetObject", "arn:aws:s3:::b/k", {"aws:PrincipalTag/x": "k"})
        assert not allowed(by, identity=[parse(json.dumps(old))])
        assert allowed(ask(resource="arn:aws:s3:::b/${aws:PrincipalTag/x}"), identity=[parse(json.dumps(old))])


def test_trust_names_a_service_and_may_be_denied() -> None:
    trust = policy({"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:*"})
    by = Request("sts:AssumeRole", "arn", {}, frozenset({"Service:pods.eks.amazonaws.com"}))
    assert trusts(trust, by)
    denied = {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}
    assert not trusts(policy(*trust["Statement"], denied), by)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"Version": "2013-01-01", "Statement": []},
        policy({"Effect": "Allow", "Resource": "*"}),
        policy(statement(NotAction="s3:*")),
        {"Version": "2012-10-17"},
        {"Version": "2012-10-17", "Statement": [], "Statements": []},
        policy({"Effect": "Allow", "Action": "*"}),
        policy(statement(NotResource="*")),
        policy(statement(Resource=[])),
        policy(statement(Resource="b/*")),
        policy(statement(Action="Banana")),
        policy(statement(Action=[])),
        policy(statement(Action="s3:${aws:userid}")),
        policy(statement(Principal="*")),
        policy(statement(Surprise=1)),
        policy(statement(Condition={"DateLessThan": {"aws:userid": "2020"}})),
        policy(statement(Condition={"StringEquals": "a"})),
        policy(statement(Condition=["StringEquals"])),
        policy(statement(Condition={"NumericEquals": {"aws:userid": "${aws:userid}"}})),
        policy(statement(Condition={"Null": {"aws:userid": "${aws:userid}"}})),
        policy(statement(Condition={"StringEquals": {"aws:userid": "${aws:userid"}})),
        policy(statement(Condition={"StringEquals": {"aws:userid": "${aws:userid,z}"}})),
        policy(statement(Resource="arn:aws:s3:::${}/k")),
        policy(statement(Resource="arn:aws:s3:::${aws:SourceIp}/k")),
        policy(statement(Resource="arn:aws:s3:::${aws:TagKeys}/k")),
        policy(statement(Condition={"Bool": {"aws:SecureTransport": "false"}})),
        policy(statement(Condition={"StringEquals": {"s3:ExistingObjectTag/a": "b"}})),
        policy(statement(Condition={"StringEquals": {"aws:PrincipalTag/${aws:userid}": "b"}})),
        policy(statement(Condition={"StringEquals": {"aud": "sts.amazonaws.com"}})),
        policy(statement(Resource="arn:aws:iam::${aws:PrincipalAccount}:role/r")),
    ],
)
def test_what_is_not_understood_is_refused(document: Any) -> None:
    with pytest.raises(MalformedPolicy):
        parse(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        {"Resource": "*"},
        {"NotResource": "*"},
        {"Principal": "pods.eks.amazonaws.com"},
        {"Principal": {}},
        {"Principal": {"AWS": "arn:aws:iam::111122223333:role/*"}},
        {"Principal": {"AWS": "me"}},
        {"Principal": {"CanonicalUser": "1"}},
    ],
)
def test_what_is_no_trust_is_refused(change: dict[str, Any]) -> None:
    one = {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    parse(json.dumps(policy(one)), "trust")
    with pytest.raises(MalformedPolicy):
        parse(json.dumps(policy({**one, **change})), "trust")


def test_a_buckets_policy_names_resources_and_principals() -> None:
    parse(json.dumps(policy(statement(Principal="*"))), "bucket")
    for less in ({"Effect": "Allow", "Principal": "*", "Action": "s3:*"}, statement()):
        with pytest.raises(MalformedPolicy):
            parse(json.dumps(policy(less)), "bucket")


@pytest.mark.parametrize(
    "key", ["s3:X-Amz-Storage-Class", "aws:PrincipalTag/a b", "oidc.eks.us-west-2.amazonaws.com/id/ABC:sub"]
)
def test_a_condition_on_what_requests_have_is_taken(key: str) -> None:
    parse(json.dumps(policy(statement(Condition={"StringEquals": {key: "a"}}))))
