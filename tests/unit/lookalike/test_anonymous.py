"""No transcript holds a secret, or says whose account it was; what belongs together in it still does."""

from __future__ import annotations

import pytest

from harness.lookalike.anonymous import Anonymous
from harness.redaction import MASK, Redactor

# An account's, as AWS's own page on account identifiers has it.
CANONICAL = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"


def test_an_account_has_one_stand_in_throughout() -> None:
    anonymous = Anonymous()
    assert (
        anonymous.text("arn:aws:eks:us-west-2:987654321098:cluster/a") == "arn:aws:eks:us-west-2:111122223333:cluster/a"
    )
    assert anonymous.text("123456789012 and 987654321098") == "444455556666 and 111122223333"
    assert anonymous.value({"Account": "987654321098"}) == {"Account": "111122223333"}


def test_what_is_a_stand_in_already_stays() -> None:
    anonymous = Anonymous()
    once = anonymous.text("arn:aws:sts::987654321098:assumed-role/nightly/alice@corp.example vpc-0123456789abcdef0")
    assert anonymous.text(once) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("arn:aws:sts::987654321098:assumed-role/nightly/alice@corp.example", "assumed-role/nightly/"),
        ("arn:aws:iam::987654321098:user/alice.smith", ":user/user-1"),
        ("AROAJQABLZS4A3QDU576Q", "AROAEXAMPLE0000000001"),
        ("subnet-0bb1c79de3EXAMPLE and subnet-0bb1c79de3a1b2c3d", "subnet-00000000000000001"),
        ("https://DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD.gr7.us-west-2.eks.amazonaws.com", "0001.gr7.us-west-2"),
        ("203.0.113.77/32", "192.0.2.1/32"),
        ("mail bob@corp.example", "mail user-1@example.invalid"),
        (f"id {CANONICAL}.", f"id {1:064x}."),
        (f'{{"CanonicalUser":"{CANONICAL}"}}', f'{{"CanonicalUser":"{1:064x}"}}'),
    ],
)
def test_what_names_a_thing_of_the_account_gets_a_stand_in(text: str, shown: str) -> None:
    said = Anonymous().text(text)
    assert shown in said
    theirs = ("alice", "9876543210", "JQABLZS4A3QDU576Q", "0bb1c79de3a1", "DDDDDDDD", "203.0.113.77", "bob", CANONICAL)
    assert [one for one in theirs if one in said] == []


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024",
        "x-amz-credential=AKIDEXAMPLE%2F20261121%2Fus-east-1%2Fiam%2Faws4_request",
        "Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024",
        "IQoJb3JpZ2luX2VjE" + "Aa1/+" * 60 + "==",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl",
        "k8s-aws-v1.aHR0cHM6Ly9zdHMudXMtd2VzdC0yLmFtYXpvbmF3cy5jb20v",
    ],
)
def test_a_secret_is_masked_by_what_it_looks_like(secret: str) -> None:
    said = Anonymous().text(f"before {secret}, after")
    assert MASK in said
    assert secret.partition("=")[2] not in said or "=" not in secret.rstrip("=")
    assert secret not in said
    assert said.startswith("before ")
    assert said.endswith(", after")


def test_a_secret_of_the_run_is_masked_wherever_it_stands() -> None:
    redactor = Redactor()
    redactor.learn("correct-horse-battery")
    value = {"tags": {"note": "is correct-horse-battery"}, "items": ["correct-horse-battery", 7, None]}
    assert Anonymous(redactor).value(value) == {"tags": {"note": f"is {MASK}"}, "items": [MASK, 7, None]}


@pytest.mark.parametrize(
    "text",
    [
        "nightly/harness-20261121-114111-3a07/files/md5/33/f2033b38061e9fd8b473afe1c657ba",
        "arn:aws:s3:::team-dvc/nightly/*",
        "v1.50.1-eksbuild.1",
        "2026-11-21T19:53:57+00:00",
        "0.0.0.0/0",
        "https://127.0.0.1:6443",
        "Airflow-DVCS3Role",
        f"sha256:{CANONICAL}",
        f"team/airflow@sha256:{CANONICAL}",
    ],
)
def test_what_a_replay_needs_stays(text: str) -> None:
    assert Anonymous().text(text) == text
