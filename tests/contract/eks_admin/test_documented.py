"""The commands by which docs/eks-lookalike.md has a reader try `harness eks`, played against such an account."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import pytest
from botocore import xform_name

from harness.errors import ExitCode
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import Home, policies
from tests.contract.lookalike.conftest import CLUSTER, Client

PAGE = Path(__file__).parents[3] / "docs" / "eks-lookalike.md"
ROLE = "Airflow-DVCS3Role"
SET = re.compile(r"(\w+)=\$\((.*)\)")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8").partition("### Trying")[2], re.DOTALL)[:2]


@pytest.fixture
def filled(home: Home, client: Client, admin: Credentials, enter: Callable[[Credentials], None]) -> Home:
    """As `harness.lookalike.account.prepare` leaves it, for the administrator."""
    enter(admin)
    trust, policy = (json.dumps(policies(name, bucket=home.bucket)) for name in ("dvc-trust", "dvc-s3"))
    role = client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client("iam").put_role_policy(RoleName=ROLE, PolicyName="Airflow-DVCS3Policy", PolicyDocument=policy)
    client("eks").create_pod_identity_association(
        clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=role
    )
    client("s3").create_bucket(Bucket=home.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return home


def aws(words: list[str], client: Client) -> str:
    """What `aws SERVICE OPERATION --FLAG VALUE …` does; flags are the names of its parameters, with dashes."""
    service, operation, *flags = words
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    assert given.pop("--profile") == "administrator"
    # Names and numbers alone, as the page has them.
    query, _text = re.findall(r"\w+", given.pop("--query", "")), given.pop("--output", "text")
    one = client(service)
    method = operation.replace("-", "_")
    members = one.meta.service_model.operation_model(one.meta.method_to_api_mapping[method]).input_shape.members
    names = {f"--{xform_name(name, '-')}": name for name in members}
    answer: Any = getattr(one, method)(**{names[flag]: value for flag, value in given.items()})
    for step in query:
        answer = answer[int(step) if step.isdigit() else step]
    return str(answer)


def harness(words: list[str], filled: Home) -> ExitCode:
    """What `harness eks VERB …` does, as the administrator."""
    verb, *flags = words
    given = list(zip(flags[::2], flags[1::2], strict=True))
    assert given[0] == ("--eks-profile", "administrator")
    adopt = frozenset(value for flag, value in given[1:] if flag == "--adopt")
    does: dict[str, Callable[[], Any]] = {
        "status": filled.status, "create": lambda: filled.create(adopt=adopt), "delete": filled.delete,
    }  # fmt: skip
    code: ExitCode = does[verb]()
    return code


def play(block: str, filled: Home, client: Client) -> dict[str, ExitCode]:
    """By verb of `harness eks`, how it ended."""
    variables, ended = {"HARNESS_EKS__BUCKET": filled.bucket, "HARNESS_EKS__CLUSTER": CLUSTER}, {}
    for line in block.splitlines():
        kept = SET.fullmatch(line)
        words = shlex.split(Template(kept[2] if kept else line).substitute(variables))
        if words[:2] == ["harness", "eks"]:
            ended[words[2]] = harness(words[2:], filled)
        else:
            assert words[0] == "aws"
            said = aws(words[1:], client)
            variables |= {kept[1]: said} if kept else {}
    return ended


def test_what_the_account_has_is_adopted_and_let_go(filled: Home, client: Client) -> None:
    ended = play(BLOCKS[0], filled, client)
    assert ended == {"status": ExitCode.ENVIRONMENT_FAILED, "create": ExitCode.GREEN, "delete": ExitCode.GREEN}
    assert client("iam").get_role(RoleName=ROLE)
    assert client("eks").list_pod_identity_associations(clusterName=CLUSTER)["associations"]


def test_what_is_removed_first_is_made_and_removed_again(filled: Home, client: Client) -> None:
    assert play(BLOCKS[1], filled, client) == {"create": ExitCode.GREEN, "delete": ExitCode.GREEN}
    assert client("iam").list_roles()["Roles"] == []
    assert client("eks").list_pod_identity_associations(clusterName=CLUSTER)["associations"] == []
    assert client("s3").head_bucket(Bucket=filled.bucket)
