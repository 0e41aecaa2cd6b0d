"""The pinned versions of `versions.toml`, typed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import cast, get_args

from harness.assets import asset
from harness.errors import EnvironmentFailed
from harness.model import ImageName
from harness.settings import APP


@dataclass(frozen=True, slots=True)
class Versions:
    """Pinned versions.

    Attributes:
        kubernetes: Of the control plane, kubelet and kubectl, with its "v".
        eks: Minor of the EKS clusters that are made; one in standard support, which costs a sixth of extended support.
        etcd: Without a "v", as kubeadm writes it (without the "-0" of its image tag).
        coredns: With its "v".
        pause: Of the pause image.
        kind: With its "v".
        helm: With its "v".
        local_path: Of the local-path provisioner, with its "v".
        airflow: Of Apache Airflow.
        chart: Of the official chart.
        debian_base: Suite of every workload image.
        debian_node: Suite of the node image.
        images: Image reference inside the cluster by logical name.
    """

    kubernetes: str
    eks: str
    etcd: str
    coredns: str
    pause: str
    kind: str
    helm: str
    local_path: str
    airflow: str
    chart: str
    debian_base: str
    debian_node: str
    images: Mapping[ImageName, str]


def harness_version() -> str:
    """Of the installed distribution; says so where the code is run without being installed."""
    try:
        return metadata.version(APP)
    except metadata.PackageNotFoundError:
        return "not installed"


def dvc_version() -> str:
    """Of DVC in the worker image, from the image's own lock file.

    Raises:
        EnvironmentFailed: The file does not pin it; the installation is damaged.
    """
    lock = (asset("worker-image") / "requirements.txt").read_text(encoding="utf-8")
    found = re.search(r"^dvc==(\S+)", lock, re.MULTILINE)
    if found is None:
        raise EnvironmentFailed("worker-image/requirements.txt does not pin dvc; reinstall the harness")
    return found[1]


@cache
def versions() -> Versions:
    """Read `versions.toml`.

    Raises:
        EnvironmentFailed: The file lacks an image; the installation is damaged.
    """
    data = tomllib.loads(resources.files("harness").joinpath("versions.toml").read_text(encoding="utf-8"))
    images = cast("dict[ImageName, str]", data["images"])
    # The probe is whatever worker was built.
    missing = set(get_args(ImageName)) - set(images) - {"probe"}
    if missing:
        raise EnvironmentFailed(f"versions.toml names no image for {', '.join(sorted(missing))}")
    kubernetes = data["kubernetes"]
    return Versions(
        kubernetes=kubernetes["version"],
        eks=kubernetes["eks"],
        etcd=kubernetes["etcd"],
        coredns=kubernetes["coredns"],
        pause=kubernetes["pause"],
        kind=kubernetes["kind"],
        helm=kubernetes["helm"],
        local_path=kubernetes["local-path-provisioner"],
        airflow=data["airflow"]["version"],
        chart=data["airflow"]["chart"],
        debian_base=data["debian"]["base"],
        debian_node=data["debian"]["node"],
        images=images,
    )
