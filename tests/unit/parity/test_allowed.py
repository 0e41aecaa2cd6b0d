"""The list of what may differ: what is on it is let through there and in that form only, and all else is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import EnvironmentFailed
from harness.lookalike import injector
from harness.parity.allowed import Parity, allow_list, parse, weigh
from harness.parity.compare import Difference, differences

from .runs import ECR, ON_LOOK_ALIKE, WITH_REGISTRY, changed, on_eks, on_kind

NAMES = ["bucket", "prefix", "region", "Git URL", "image names", "storage class", "S3 endpoint", "Git CA",
         "keys of the local store", "Pod Identity", "way in"]  # fmt: skip
TASK = "task push_data"
ENVIRONMENT = ("environment", TASK, "base")
TOKEN_MOUNT = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
IMAGE = ("pods", TASK, "spec", "containers", "base", "image")
MOUNTS = ("pods", TASK, "spec", "containers", "base", "volumeMounts")
REMOTE = ("repository", ".dvc/config", "'remote \"storage\"'")


def weighed(left: dict[str, Any], right: dict[str, Any]) -> Parity:
    return weigh(differences(left, right), allow_list())


def test_the_list_has_what_the_design_lets_differ_each_with_its_reason() -> None:
    assert [one.what for one in allow_list()] == NAMES
    assert [one.what for one in allow_list() if not one.because] == []


@pytest.mark.parametrize(
    ("options", "unseen"),
    [
        ({}, ["prefix", "Git URL", "image names", "Git CA"]),
        ({"root": "team/e2e/"}, ["Git URL", "image names", "Git CA"]),
        ({"adapter": ON_LOOK_ALIKE}, ["prefix", "Git URL", "image names", "Git CA"]),
        ({"adapter": WITH_REGISTRY}, ["prefix", "Git URL", "Git CA"]),
    ],
)
def test_a_run_on_kind_and_one_on_eks_differ_in_what_may_differ_alone(options: Any, unseen: list[str]) -> None:
    found = weighed(on_kind(), on_eks(**options))
    assert found.unintended == ()
    assert [one.what for one in found.unseen] == unseen
    assert [one.what for one, _ in found.allowed] == [name for name in NAMES if name not in unseen]


def test_by_irsa_pods_have_what_its_webhook_adds_and_their_own_way_to_sts() -> None:
    by_irsa = injector.irsa("arn:aws:iam::111122223333:role/Airflow-DVCS3Role")
    led = replace(ON_LOOK_ALIKE, env={**ON_LOOK_ALIKE.env, "AWS_ENDPOINT_URL_STS": "http://192.0.2.1:4000"})
    found = weighed(on_kind(), on_eks(mode=by_irsa, adapter=led))
    assert found.unintended == ()
    assert {"Pod Identity", "S3 endpoint"} <= {one.what for one, _ in found.allowed}


@pytest.mark.parametrize(
    ("name", "to"),
    [("AWS_ROLE_ARN", "arn:aws:iam::1:user/somebody"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/tmp/token")],  # noqa: S108
)
def test_anything_else_under_the_names_of_irsa_is_found(name: str, to: str) -> None:
    eks = changed(on_eks(), *ENVIRONMENT, name, to=to)
    assert [one.path for one in weighed(on_kind(), eks).unintended] == [(*ENVIRONMENT, name)]


def test_a_repository_of_the_teams_own_needs_no_authority_of_ours() -> None:
    eks, url = on_eks(), "https://github.com/team/mlops.git"
    eks = changed(eks, *ENVIRONMENT, "GIT_REPO", to=url)
    eks = changed(eks, *ENVIRONMENT, "GIT_SSL_CAINFO", to=None)
    eks = changed(eks, *MOUNTS, "/etc/harness/ca.crt", to=None)
    eks = changed(eks, "pods", TASK, "spec", "volumes", "harness-git-ca", to=None)
    found = weighed(on_kind(), eks)
    assert found.unintended == ()
    assert {"Git URL", "Git CA"} & {one.what for one in found.unseen} == set()


def test_a_claim_of_efs_is_for_many_and_of_a_class_of_its_own() -> None:
    eks = changed(on_eks(), "claim", "accessModes", to=["ReadWriteMany"])
    found = weighed(on_kind(), changed(eks, "claim", "storageClassName", to="efs"))
    assert found.unintended == ()
    (those,) = [those for one, those in found.allowed if one.what == "storage class"]
    assert [one.place for one in those] == ["claim / accessModes / 0", "claim / storageClassName"]


# What is wrong on EKS, each the one thing that is, and where it must be found.
WRONG: dict[str, tuple[tuple[str, ...], Any]] = {
    "another DAG": (("dags", "dags/dataset_pipeline.py"), "3b18e512, 5124 bytes, mode 100644"),
    "a DAG file more": (("dags", "dags/other.py"), "aaaaaaaa, 1 bytes, mode 100644"),
    "a DAG file less": (("dags", "dags/dataset_pipeline.py"), None),
    "another chart": (("versions", "chart"), "airflow 1.22.0 (official)"),
    "another Kubernetes": (("versions", "kubernetes"), "1.35"),
    "a key in a pod": ((*ENVIRONMENT, "AWS_ACCESS_KEY_ID"), "[redacted]"),
    "kind's own secret in a pod": ((*ENVIRONMENT, "AWS_SECRET_ACCESS_KEY"), "[redacted]x"),
    "a session token in a pod": ((*ENVIRONMENT, "AWS_SESSION_TOKEN"), "[redacted]"),
    "a profile in a pod": ((*ENVIRONMENT, "AWS_PROFILE"), "team"),
    "a variable less": ((*ENVIRONMENT, "SHARED_DIR"), None),
    "a variable with another value": ((*ENVIRONMENT, "SHARED_DIR"), "/other"),
    "no region for a pod with an identity": ((*ENVIRONMENT, "AWS_REGION"), None),
    "a region that is none": ((*ENVIRONMENT, "AWS_DEFAULT_REGION"), "here"),
    "an identity for the executor": (
        ("environment", "executor push_data", "base", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        "http://169.254.170.23/v1/credentials",
    ),
    "a token for the executor": (
        ("pods", "executor push_data", "spec", "volumes", "eks-pod-identity-token"),
        {"projected": {"defaultMode": 420, "sources": []}},
    ),
    "the very token of a DVC pod for the executor": (
        ("pods", "executor push_data", "spec", "volumes", "eks-pod-identity-token"),
        on_eks()["pods"][TASK]["spec"]["volumes"]["eks-pod-identity-token"],
    ),
    "another agent": ((*ENVIRONMENT, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), "http://169.254.169.254/v1/credentials"),
    "another token file": ((*ENVIRONMENT, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), "/tmp/token"),  # noqa: S108
    "a token for another audience": (
        ("pods", TASK, "spec", "volumes", "eks-pod-identity-token", "projected", "sources"),
        [{"serviceAccountToken": {"audience": "x", "expirationSeconds": 86400, "path": "eks-pod-identity-token"}}],
    ),
    "a token that may be written over": ((*MOUNTS, TOKEN_MOUNT, "readOnly"), False),
    "a token somewhere else": ((*MOUNTS, "/token"), {"name": "eks-pod-identity-token", "readOnly": True}),
    "another account": (("pods", TASK, "spec", "serviceAccountName"), "default"),
    "another command": (("pods", TASK, "spec", "containers", "base", "args"), ["pull"]),
    "another image": (IMAGE, "registry.example/team/airflow:3.3.2"),
    "another tag here": (IMAGE, "airflow-dvc-worker:latest"),
    "another tag in a registry": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker:2.0.1"),
    "another tag in ECR": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker:1.0.0-1a2b3c4d5e6f"),
    "a tag that goes on": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker:2.0.0-deadbeef"),
    "no tag in a registry": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker"),
    "a digest in a registry": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker@sha256:{'0' * 64}"),
    "a digest beside the tag": (IMAGE, f"{ECR}/mlops/airflow-dvc-worker:2.0.0@sha256:{'0' * 64}"),
    "another's image of that name": (
        ("pods", "executor push_data", "spec", "containers", "base", "image"), f"{ECR}/mlops/another/airflow:3.3.2"
    ),
    "another pull policy": (("pods", TASK, "spec", "containers", "base", "imagePullPolicy"), "Always"),
    "a root user": (("pods", TASK, "spec", "securityContext"), {"runAsUser": 0}),
    "a container more": (("pods", TASK, "spec", "containers", "sidecar"), {"image": "x"}),
    "a label": (("pods", TASK, "labels", "dag_id"), "other"),
    "an annotation": (("pods", TASK, "annotations", "sidecar"), "injected"),
    "a pod less": (("pods", TASK), None),
    "a volume of the node": (("pods", TASK, "spec", "volumes", "host"), {"hostPath": {"path": "/"}}),
    "a manifest more": (("manifests", "Role extra"), {"kind": "Role"}),
    "a manifest less": (("manifests", "ConfigMap airflow-config"), None),
    "Airflow configured otherwise": (
        ("manifests", "ConfigMap airflow-config", "data", "airflow.cfg", "core", "parallelism"), "1",
    ),
    "a way in for the world": (("manifests", "Service airflow-api-server", "spec", "type"), "LoadBalancer"),
    "another port": (("manifests", "Service airflow-api-server", "spec", "ports", "api-server", "port"), 80),
    "an endpoint that is no URL": ((*ENVIRONMENT, "AWS_ENDPOINT_URL_S3"), "user:password@host"),
    "an endpoint in the repository": ((*REMOTE, "endpointurl"), "http://s3:4566"),
    "another remote": ((*REMOTE, "url", "scheme"), "gs"),
    "a prefix that is not the run's": ((*REMOTE, "url", "prefix"), "store"),
    "no bucket": ((*REMOTE, "url", "bucket"), ""),
    "another timeout": ((*REMOTE, "read_timeout"), "5"),
    "a claim that may only be read": (("claim", "accessModes"), ["ReadOnlyMany"]),
    "a claim of two modes": (("claim", "accessModes"), ["ReadWriteMany", "ReadWriteOnce"]),
    "no storage class": (("claim", "storageClassName"), ""),
    "a repository without TLS": ((*ENVIRONMENT, "GIT_REPO"), "http://git.example/mlops.git"),
    "a password in the repository's URL": ((*ENVIRONMENT, "GIT_REPO"), "https://u:p@git.example/mlops.git"),
    "no certificate check": ((*ENVIRONMENT, "GIT_SSL_NO_VERIFY"), "true"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_whatever_else_differs_is_found_where_it_is(case: str) -> None:
    path, to = WRONG[case]
    found = weighed(on_kind(), changed(on_eks(), *path, to=to))
    assert found.unintended, case
    # Of a list, the entry in it.
    assert all(one.path[: len(path)] == path or one.path == path[: len(one.path)] for one in found.unintended), (
        found.unintended
    )


def test_a_claim_for_many_on_kind_is_not_what_efs_explains() -> None:
    kind = changed(on_kind(), "claim", "accessModes", to=["ReadWriteMany"])
    assert [one.path for one in weighed(kind, on_eks()).unintended] == [("claim", "accessModes", "0")]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ((*ENVIRONMENT, "AWS_ENDPOINT_URL_S3"), "http://elsewhere:4566"),
        ((*ENVIRONMENT, "AWS_REGION"), "eu-west-1"),
        ((*ENVIRONMENT, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), "http://169.254.170.23/v1/other"),
        ((*REMOTE, "url", "bucket"), "somebodys"),
        ((*REMOTE, "url", "prefix"), "runs/of another"),
        (("claim", "storageClassName"), "gp3x"),
        (("manifests", "Service airflow-api-server", "spec", "type"), "LoadBalancer"),
    ],
)
def test_kind_must_have_its_own_there_too(path: tuple[str, ...], to: str) -> None:
    found = weighed(changed(on_kind(), *path, to=to), on_eks(root="team/"))
    assert [one.path for one in found.unintended] == [path]


def test_the_wrong_way_round_nothing_is_allowed() -> None:
    found = weighed(on_eks(), on_kind())
    assert found.allowed == ()
    assert found.unintended == differences(on_eks(), on_kind())


def test_without_a_list_every_difference_is_unintended() -> None:
    one = Difference(("a",), "1", "2")
    assert weigh([one], ()).unintended == (one,)


ONE = """
[[allowed]]
what = "this"
because = "of that"
[[allowed.where]]
at = {at}
{rest}
"""


@pytest.mark.parametrize(
    ("at", "path", "covered"),
    [
        ('["a", "b"]', ("a", "b"), True),
        ('["a", "b"]', ("a", "b", "c"), False),
        ('["a", "b"]', ("a",), False),
        ('["a", "*"]', ("a", "anything / at all"), True),
        ('["a", "*"]', ("a",), False),
        ('["a", "task *"]', ("a", "task x"), True),
        ('["a", "task *"]', ("a", "executor task x"), False),
        ('["a.b"]', ("axb",), False),
        ('["**", "x"]', ("x",), True),
        ('["**", "x"]', ("a", "b", "x"), True),
        ('["**", "x"]', ("a", "x", "b"), False),
        ('["a", "**"]', ("a",), True),
        ('["a", "**", "x", "**"]', ("a", "b", "x", "c", "d"), True),
        ('["a", "**", "x", "**"]', ("a", "b", "c"), False),
    ],
)
def test_a_place_is_said_segment_by_segment(at: str, path: tuple[str, ...], covered: bool) -> None:  # noqa: FBT001
    allowed = parse(ONE.format(at=at, rest="kind = '1'\neks = '2'"))
    assert (weigh([Difference(path, "1", "2")], allowed).unintended == ()) is covered


@pytest.mark.parametrize(
    ("rest", "left", "right", "covered"),
    [
        ("kind = '1'", "1", None, True),
        ("kind = '1'", "1", "2", False),
        ("kind = '1'", "11", None, False),
        ("eks = '2'", None, "2", True),
        ("eks = '2'", "1", "2", False),
        ("kind = '.'\neks = '.'", "1", "2", True),
        ("kind = '.'\neks = '.'", None, "2", False),
        ("kind = '.'\neks = '.'\nboth = '(.)\\n\\1.?'", "1", "2", False),
        ("kind = '.'\neks = '..'\nboth = '(.)\\n\\1.'", "1", "12", True),
    ],
)
def test_what_may_be_there_is_said_for_either_side_and_for_both(
    rest: str,
    left: str | None,
    right: str | None,
    covered: bool,  # noqa: FBT001 - pytest's form
) -> None:
    allowed = parse(ONE.format(at='["a"]', rest=rest))
    assert (weigh([Difference(("a",), left, right)], allowed).unintended == ()) is covered


def test_what_two_entries_cover_counts_for_the_first() -> None:
    twice = ONE.format(at='["a"]', rest="kind = '1'")
    found = weigh([Difference(("a",), "1", None)], parse(twice + twice.replace('"this"', '"other"')))
    assert [(one.what, len(those)) for one, those in found.allowed] == [("this", 1)]
    assert [one.what for one in found.unseen] == ["other"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "allowed = 1",
        "[[allowed]]\nwhat = 'x'",
        ONE.format(at='["a"]', rest=""),
        ONE.format(at='["a"]', rest="kind = '('"),
        ONE.format(at='["a"]', rest="kinds = '1'"),
        ONE.format(at='["a"]', rest="kind = 1"),
        ONE.format(at='["a"]', rest="kind = '1'").replace("because", "why"),
        ONE.format(at='["a"]', rest="kind = '1'").replace("because", "why = 1\nbecause"),
        "[[allowed]",
    ],
)
def test_a_list_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(EnvironmentFailed, match="the list of what may differ cannot be read"):
        parse(text)
