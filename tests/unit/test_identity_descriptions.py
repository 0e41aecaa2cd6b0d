"""What the tests of identity (`tests/identity`) find in descriptions: add-ons of a cluster may be somebody in AWS."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.contract.canary.known import Canaries
from tests.identity.descriptions import VOLUME, with_identity, with_keys

KEYS = Canaries({"runner's key": "AKIAQWERTZUIOPASDFGH", "runner's secret": "s" * 40})
OTHERS_KEY = "AKIAYXCVBNMASDFGHJKL"
# What EKS's webhook adds to the pods of an associated account: with `autoApplyPodIdentityAssociations` of eksctl to
# those of the add-ons (eksctl 0.230, pkg/actions/addon/create.go).
ADDED = {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": {"path": VOLUME}}]}}
# The controller of the EBS driver has both variables, from a Secret that may be absent (aws-ebs-csi-driver 1.64,
# charts/aws-ebs-csi-driver/templates/controller.yaml).
FROM_A_SECRET = {
    "name": "AWS_ACCESS_KEY_ID",
    "valueFrom": {"secretKeyRef": {"name": "aws-secret", "key": "key_id", "optional": True}},
}


def pod(namespace: str, account: str = "default", *, env: Any = (), volumes: Any = ()) -> dict[str, Any]:
    containers = [{"name": "main", "env": list(env)}]
    spec = {"serviceAccountName": account, "containers": containers, "volumes": list(volumes)}
    return {"metadata": {"name": f"{namespace}-{account}", "namespace": namespace}, "spec": spec}


def test_pods_of_add_ons_and_of_other_teams_may_be_somebody_in_aws() -> None:
    pods = [
        pod("kube-system", "aws-node", volumes=[ADDED]),
        pod("kube-system", "ebs-csi-controller-sa", env=[FROM_A_SECRET], volumes=[ADDED]),
        pod("team", env=[{"name": "AWS_ACCESS_KEY_ID", "value": OTHERS_KEY}]),
    ]
    assert with_identity(pods) == []
    assert with_keys(pods, KEYS) == {}


def test_in_our_namespaces_nobody_but_the_dvc_pods_may() -> None:
    associated = pod("airflow", "airflow-dvc-sa", volumes=[ADDED])
    assert with_identity([associated, pod("airflow"), pod("harness")]) == []
    others = [pod("airflow", volumes=[ADDED]), pod("harness", "airflow-dvc-sa", volumes=[ADDED])]
    assert with_identity([associated, *others]) == ["airflow-default", "harness-airflow-dvc-sa"]


@pytest.mark.parametrize("namespace", ["airflow", "harness"])
@pytest.mark.parametrize("env", [FROM_A_SECRET, {"name": "OTHER", "value": OTHERS_KEY}])
def test_in_our_namespaces_no_variable_may_hold_a_key_and_nothing_may_look_like_one(
    namespace: str, env: dict[str, Any]
) -> None:
    assert list(with_keys([pod(namespace, env=[env]), pod(namespace, "none")], KEYS)) == [f"{namespace}-default"]


@pytest.mark.parametrize("namespace", ["airflow", "harness", "kube-system", "team"])
@pytest.mark.parametrize("name", list(KEYS))
def test_a_key_of_a_session_is_found_in_any_pod_and_any_form(namespace: str, name: str) -> None:
    encoded = base64.b64encode(f"x{KEYS[name]}".encode()).decode()
    assert with_keys([pod(namespace, env=[{"name": "OTHER", "value": encoded}])], KEYS) == {
        f"{namespace}-default": {name}
    }
