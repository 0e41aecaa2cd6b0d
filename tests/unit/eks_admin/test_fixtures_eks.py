"""What stands in fixtures/eks: one set of policies, and CloudFormation, Terraform and documentation that keep to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from harness.eks_admin.things import Marks, State
from harness.eks_policies import PolicyName, differences, document
from harness.imagenames import split_host
from harness.lookalike import policies
from harness.lookalike.fittings import RUNNERS, _render
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, SERVICES_NAMESPACE
from harness.targets.attached.images import LOCAL
from harness.targets.eks.ecr import lifecycle
from harness.versions import versions

ROOT = Path(__file__).parents[3]
EKS = ROOT / "fixtures" / "eks"
NAMES = get_args(PolicyName)
TRUSTS = {"dvc-trust", "dvc-trust-irsa", "runner-trust"}
VALUES = {
    "partition": "aws", "account": "111122223333", "region": "eu-central-1", "cluster": "mlops", "bucket": "team-dvc",
    "keys": "nightly/", "role": "Airflow-DVCS3Role", "issuer": "oidc.example/id/1", "repository": "team/pipeline",
    "subject": "environment:eks-e2e", "repositories": "airflow-dvc-harness",
}  # fmt: skip
# The same names as CloudFormation has them.
PARAMETERS = {
    "AWS::Partition": "partition", "AWS::AccountId": "account", "AWS::Region": "region", "ClusterName": "cluster",
    "BucketName": "bucket", "KeyPrefix": "keys", "GitHubRepository": "repository", "GitHubSubject": "subject",
    "RepositoryPrefix": "repositories",
}  # fmt: skip


def statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_no_pod_of_a_cluster_that_is_made_is_its_node_by_instance_metadata() -> None:
    config = yaml.safe_load((EKS / "mlops-cluster.yaml").read_text())
    groups = [*config["managedNodeGroups"], *config.get("nodeGroups", ())]
    assert groups
    assert [group["name"] for group in groups if group.get("disablePodIMDS") is not True] == []


def test_each_file_is_a_policy_by_name() -> None:
    assert {path.stem for path in (EKS / "policies").iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_one_and_its_statements_have_names_of_their_own(name: PolicyName) -> None:
    policy = document(name, VALUES)
    policies.parse(json.dumps(policy), "trust" if name in TRUSTS else "identity")
    sids = [one["Sid"] for one in statements(policy)]
    assert len(set(sids)) == len(sids)
    assert "$" not in json.dumps(policy)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRUSTS])
def test_a_policy_names_actions_and_resources_and_no_wildcard_for_either(name: PolicyName) -> None:
    for one in statements(document(name, VALUES)):
        assert not [action for action in listed(one["Action"]) if "*" in action]
        # These have no resource ("Actions, resources, and condition keys" for Amazon ECR, and for IAM).
        if one["Action"] not in ("ecr:GetAuthorizationToken", "iam:ListRoles"):
            assert all(resource.startswith("arn:aws:") for resource in listed(one["Resource"]))


def test_nobody_but_one_repository_and_subject_is_the_runner() -> None:
    (one,) = statements(document("runner-trust", VALUES))
    assert one["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:team/pipeline:environment:eks-e2e",
    }


def test_a_difference_is_told_by_line_and_order_and_names_are_none() -> None:
    wanted = document("dvc-s3", VALUES)
    (one,) = statements(wanted)
    same = {**wanted, "Statement": {**one, "Sid": "Other", "Action": one["Action"][::-1]}}
    assert differences(wanted, same) == []
    more = {**wanted, "Statement": [{**one, "Action": [*one["Action"], "s3:PutBucketPolicy"]}]}
    assert [line.strip() for line in differences(wanted, more) if line.startswith("+ ")] == [
        '+    "s3:PutBucketPolicy",'
    ]


# CloudFormation


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, as (function, argument)."""


def _short(loader: Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {f"Fn::{suffix}": loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {f"Fn::{suffix}": loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", _short)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((EKS / "cloudformation.yaml").read_text(), Loader)  # noqa: S506 - a SafeLoader
    return found


def filled(value: Any) -> Any:
    """A part of the template with its parameters filled in."""
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: VALUES[PARAMETERS[found[1]]], value["Fn::Sub"])
        if set(value) == {"Fn::Ref"} and value["Fn::Ref"] in PARAMETERS:
            return VALUES[PARAMETERS[value["Fn::Ref"]]]
        return {key: filled(one) for key, one in value.items()}
    return [filled(one) for one in value] if isinstance(value, list) else value


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Each function of the template with its argument."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key.startswith("Fn::"):
                yield key, one
            yield from parts(one)
    elif isinstance(value, list):
        for one in value:
            yield from parts(one)


@pytest.mark.parametrize(
    ("resource", "policy", "name"),
    [("DvcRole", "", "dvc-trust"), ("DvcRole", "Airflow-DVCS3Policy", "dvc-s3"), ("RunnerRole", "", "runner-trust"),
     ("RunnerRole", "run", "runner"), ("RunnerRole", "images", "runner-images")],
)  # fmt: skip
def test_cloudformation_has_the_same_statements(
    template: dict[str, Any], resource: str, policy: str, name: PolicyName
) -> None:
    properties = template["Resources"][resource]["Properties"]
    inline = {one["PolicyName"]: one["PolicyDocument"] for one in properties["Policies"]}
    found = filled(inline[policy] if policy else properties["AssumeRolePolicyDocument"])
    assert differences(document(name, VALUES), found) == []
    assert [one["Sid"] for one in statements(found)] == [one["Sid"] for one in statements(document(name, VALUES))]


def test_cloudformation_has_no_policy_besides(template: dict[str, Any]) -> None:
    roles = {name: one for name, one in template["Resources"].items() if one["Type"] == "AWS::IAM::Role"}
    assert {name: len(one["Properties"]["Policies"]) for name, one in roles.items()} == {"DvcRole": 1, "RunnerRole": 2}
    assert "ManagedPolicyArns" not in str(roles)


def test_cloudformation_names_nothing_that_it_has_not(template: dict[str, Any]) -> None:
    pseudo = {"AWS::Partition", "AWS::AccountId", "AWS::Region", "AWS::NoValue"}
    known = {*template["Parameters"], *template["Resources"], *pseudo}
    assert not template["Parameters"].keys() & template["Resources"].keys()
    used = set()
    for function, argument in parts(template):
        match function:
            case "Fn::Sub":
                used |= set(re.findall(r"\$\{([^}]+)\}", argument))
            case "Fn::Ref":
                used.add(argument)
            case "Fn::GetAtt":
                used.add(argument.partition(".")[0])
            case "Fn::If":
                assert argument[0] in template["Conditions"]
    assert used <= known
    assert template["Parameters"].keys() <= used, "each parameter is for something"


def test_cloudformation_has_no_alias_which_it_would_not_take() -> None:
    events = list(yaml.parse((EKS / "cloudformation.yaml").read_text(), Loader))
    assert not [one for one in events if isinstance(one, yaml.AliasEvent) or getattr(one, "anchor", None)]


def test_what_cloudformation_makes_has_the_guides_names_and_is_closed(template: dict[str, Any]) -> None:
    made = filled(template["Resources"])
    assert made["DvcRole"]["Properties"]["RoleName"] == "Airflow-DVCS3Role"
    association = made["Association"]["Properties"]
    assert (association["Namespace"], association["ServiceAccount"]) == (AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT)
    assert set(made["Bucket"]["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert made["RunnerAccess"]["Properties"]["KubernetesGroups"] == [RUNNERS]


# The kinds of what `harness eks` looks after; of roles the one of the DVC pods, by its name.
KEPT = {
    "AWS::S3::Bucket": "aws_s3_bucket",
    "AWS::IAM::Role": "aws_iam_role",
    "AWS::EKS::PodIdentityAssociation": "aws_eks_pod_identity_association",
    "AWS::ECR::Repository": "aws_ecr_repository",
}


def test_what_cloudformation_makes_is_meant_for_the_harness_by_its_tags(template: dict[str, Any]) -> None:
    kept = {name: one for name, one in template["Resources"].items() if one["Type"] in KEPT and name != "RunnerRole"}
    assert {one["Type"] for one in kept.values()} == set(KEPT)
    tags = {name: {tag["Key"]: tag["Value"] for tag in one["Properties"].get("Tags", [])} for name, one in kept.items()}
    states = {name: Marks(VALUES["cluster"]).read(one).state for name, one in tags.items()}
    assert states == dict.fromkeys(kept, State.ADOPTED)


def test_what_terraform_makes_is_meant_for_the_harness_by_its_tags(terraform: str) -> None:
    resources = re.findall(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', terraform, re.DOTALL | re.MULTILINE)
    kept = {kind: body for kind, name, body in resources if kind in KEPT.values() and name != "runner"}
    assert set(kept) == set(KEPT.values())
    assert [kind for kind, body in kept.items() if not re.search(r"^  tags += local\.tags$", body, re.MULTILINE)] == []
    (tags,) = re.findall(r"^  tags += \{(.*)\}$", terraform, re.MULTILINE)
    assert Marks(VALUES["cluster"]).read(dict(re.findall(r'"([^"]+)" = "([^"]+)"', tags))).state is State.ADOPTED


def images() -> set[str]:
    """The repositories of what nodes of EKS pull, without their prefix."""
    return {split_host(ref)[1].rpartition(":")[0] for name, ref in versions().images.items() if name not in LOCAL}


def test_each_repository_keeps_the_same_number_of_images(template: dict[str, Any]) -> None:
    made = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::ECR::Repository"]
    rules = json.loads(lifecycle())
    assert [json.loads(one["LifecyclePolicy"]["LifecyclePolicyText"]) for one in made] == [rules] * len(made)


def test_each_image_has_a_repository(template: dict[str, Any], terraform: str) -> None:
    made = [filled(one) for one in template["Resources"].values() if one["Type"] == "AWS::ECR::Repository"]
    assert {one["Properties"]["RepositoryName"].partition("/")[2] for one in made} == images()
    (listing,) = re.findall(r"for_each = toset\(\[(.*?)\]\)", terraform, re.DOTALL)
    assert set(re.findall(r'"([^"]+)"', listing)) == images()


# Terraform: its policies are the files themselves; what is held is that it takes them, and fills in all that they ask.


@pytest.fixture(scope="module")
def terraform() -> str:
    return (EKS / "terraform" / "main.tf").read_text()


def test_terraform_takes_the_policies_from_the_files(terraform: str) -> None:
    taken = re.findall(r'= templatefile\("\$\{local\.policies\}/([a-z0-9-]+)\.json", local\.names\)', terraform)
    assert sorted(taken) == ["dvc-s3", "dvc-trust", "runner", "runner-images", "runner-trust"]
    policies_given = re.findall(r"^\s*(?:assume_role_policy|policy)\s*= (\S+?)\(", terraform, re.MULTILINE)
    # The one that is none of IAM's is the life cycle of images.
    assert sorted(policies_given) == ["file", *["templatefile"] * len(taken)]
    assert 'file("${path.module}/../lifecycle.json")' in terraform
    (path,) = re.findall(r'policies = "\$\{path\.module\}/(.+)"', terraform)
    assert (EKS / "terraform" / path).resolve() == EKS / "policies"


def test_terraform_fills_in_all_that_they_ask_for(terraform: str) -> None:
    (block,) = re.findall(r"names = \{(.*?)\n  \}", terraform, re.DOTALL)
    given = set(re.findall(r"^\s+(\w+)\s+=", block, re.MULTILINE))
    taken = re.findall(r"local\.policies\}/([a-z0-9-]+)\.json", terraform)
    asked = {
        name for one in taken for name in re.findall(r"\$\{(\w+)\}", (EKS / "policies" / f"{one}.json").read_text())
    }
    assert asked == given


def test_terraform_declares_each_variable_that_it_uses(terraform: str) -> None:
    declared = re.findall(r'^variable "(\w+)"', (EKS / "terraform" / "variables.tf").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bvar\.(\w+)", terraform)) == set(declared)


@pytest.mark.parametrize("name", ["main.tf", "variables.tf"])
def test_terraforms_brackets_are_closed(name: str) -> None:
    text = re.sub(r'"(?:[^"\\]|\\.)*"|#.*', "", (EKS / "terraform" / name).read_text())
    for opening, closing in ("{}", "[]", "()"):
        assert text.count(opening) == text.count(closing)


# What is in the cluster


def test_the_look_alikes_cluster_has_what_a_team_is_to_prepare() -> None:
    mine = [one for one in yaml.safe_load_all((EKS / "cluster-access.yaml").read_text()) if one]
    theirs = _render(
        "runner-access.yaml.j2", group=RUNNERS, airflow=AIRFLOW_NAMESPACE, services=SERVICES_NAMESPACE,
        service_account=DVC_SERVICE_ACCOUNT,
    )  # fmt: skip
    assert mine == list(theirs)


def test_the_documentation_names_each_policy() -> None:
    told = (ROOT / "docs" / "how-to" / "eks.md").read_text()
    assert [name for name in NAMES if f"policies/{name}.json" not in told] == []
