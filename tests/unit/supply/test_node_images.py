"""What a node has, and what it still needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.model import Engine, Toolchain
from harness.supply.registry import missing_images, node_images

_LISTING = json.dumps(
    {
        "images": [
            {"id": "sha256:aa", "repoTags": ["docker.io/library/postgres:17"], "repoDigests": ["x/import-1@sha256:bb"]},
            {"id": "sha256:cc", "repoTags": ["docker.io/harness/adapter:1"], "repoDigests": []},
            {"id": "sha256:dd", "repoTags": [], "repoDigests": ["docker.io/library/left@sha256:ee"]},
        ]
    }
)
_TOOLCHAIN = Toolchain(
    supply="registry",
    engine=Engine(docker=Path("docker"), host="", ours=False, version="20.10"),
    kind=Path("kind"),
    helm=Path("helm"),
    kubectl=Path("kubectl"),
    node_image="kindest/node:v1.34.11",
    images={"postgres": "postgres:17", "adapter": "harness/adapter:1", "worker": "airflow-dvc-worker:2.0.0"},
    image_digests={},
    preloaded=frozenset(),
    stand_ins=(),
    kubernetes_version="v1.34.11",
)


def test_a_nodes_images_have_the_digests_that_a_pods_status_may_show() -> None:
    assert node_images(_LISTING) == {
        "docker.io/library/postgres:17": ("sha256:aa", "sha256:bb"),
        "docker.io/harness/adapter:1": ("sha256:cc",),
    }


def test_only_what_the_node_lacks_is_loaded() -> None:
    assert missing_images(_TOOLCHAIN, node_images(_LISTING)) == ("airflow-dvc-worker:2.0.0",)


def test_what_is_inside_the_node_image_is_not_loaded() -> None:
    inside = replace(_TOOLCHAIN, preloaded=frozenset({"postgres:17"}))
    assert missing_images(inside, ()) == ("harness/adapter:1", "airflow-dvc-worker:2.0.0")
