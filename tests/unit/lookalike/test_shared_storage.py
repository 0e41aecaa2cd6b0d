"""The stand-in for EFS: the node's provisioner once more, under EFS's name and with a folder that all nodes share."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from harness.assets import package_path
from harness.errors import EnvironmentFailed
from harness.kubeapi import JsonObject
from harness.lookalike import shared_storage

STORAGE = package_path("supply", "images", "node", "files", "kind", "manifests") / "default-storage.yaml"


class Kube:
    """A cluster that has what kind puts there."""

    def __init__(self, *without: str) -> None:
        there = [one for one in yaml.safe_load_all(STORAGE.read_text()) if one["kind"] not in without]
        self.found = {(one["kind"], one["metadata"]["name"]): one for one in there}
        self.applied: dict[str, dict[str, Any]] = {}

    def get(self, kind: str, name: str, namespace: str | None = None) -> JsonObject | None:
        assert namespace == "local-path-storage"
        return self.found.get((kind, name))

    def apply(self, manifests: list[dict[str, Any]], /) -> None:
        self.applied = {one["kind"]: one for one in manifests}


def test_a_second_provisioner_makes_folders_for_the_class_of_efs() -> None:
    kube = Kube()
    shared_storage.apply(kube)
    config, deployment = kube.applied["ConfigMap"], kube.applied["Deployment"]
    first = kube.found["Deployment", "local-path-provisioner"]["spec"]["template"]["spec"]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    provisioner = kube.applied["StorageClass"]["provisioner"]
    name = config["metadata"]["name"]
    further = ["--provisioner-name", provisioner, "--configmap-name", name]
    assert pod["containers"][0]["command"] == [*first["containers"][0]["command"], *further]
    assert [one["configMap"]["name"] for one in pod["volumes"]] == [name]
    assert pod["serviceAccountName"] == first["serviceAccountName"]
    assert list(json.loads(config["data"]["config.json"])) == ["sharedFileSystemPath"]
    assert {"helperPod.yaml", "teardown"} <= set(config["data"])


def test_the_first_provisioner_stays_as_it_is() -> None:
    kube = Kube()
    shared_storage.apply(kube)
    assert list(kube.found.values()) == [one for one in yaml.safe_load_all(STORAGE.read_text()) if one]


def test_a_node_without_a_provisioner_is_an_error() -> None:
    with pytest.raises(EnvironmentFailed, match="no local-path-provisioner in local-path-storage"):
        shared_storage.apply(Kube("Deployment"))
