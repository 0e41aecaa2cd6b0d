"""Rendered manifests of an Airflow chart, indexed for questions: objects, pods, containers, airflow.cfg."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from harness.names import RELEASE


@dataclass(frozen=True)
class Container:
    """One container of one pod spec.

    Attributes:
        owner: Whose pod it is, such as "Deployment airflow-scheduler" or "pod template".
        pod: The whole pod spec.
        spec: The container's own part of it.
        init: Whether it is an init container.
    """

    owner: str
    pod: Mapping[str, Any]
    spec: Mapping[str, Any]
    init: bool

    def __str__(self) -> str:
        return f"{self.owner}, container {self.name}"

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])

    @property
    def image(self) -> str:
        """Its image reference."""
        return str(self.spec.get("image", ""))

    @property
    def pull_policy(self) -> str:
        """Its pull policy; empty if none is set."""
        return str(self.spec.get("imagePullPolicy", ""))

    @property
    def words(self) -> list[str]:
        """Command and arguments."""
        return [str(word) for key in ("command", "args") for word in self.spec.get(key) or ()]

    @property
    def plain_env(self) -> dict[str, str]:
        """Variables whose value is written out."""
        return {each["name"]: str(each["value"]) for each in self.spec.get("env") or () if "value" in each}

    @property
    def secret_env(self) -> dict[str, tuple[str, str]]:
        """Variables out of Secrets: name -> (Secret, key). Optional references are left out: they may be missing."""
        return {
            each["name"]: (reference["name"], reference["key"])
            for each in self.spec.get("env") or ()
            if (reference := (each.get("valueFrom") or {}).get("secretKeyRef")) and not reference.get("optional")
        }

    @property
    def mounts(self) -> dict[str, Mapping[str, Any]]:
        """Volume mounts by path."""
        return {mount["mountPath"]: mount for mount in self.spec.get("volumeMounts") or ()}

    @property
    def volume_secrets(self) -> set[str]:
        """Names of the Secrets that it mounts."""
        mounted = {mount["name"] for mount in self.mounts.values()}
        return {
            volume["secret"]["secretName"]
            for volume in self.pod.get("volumes") or ()
            if "secret" in volume and volume["name"] in mounted
        }


class Rendering:
    """What a chart rendered.

    Args:
        manifests: Kubernetes objects.
    """

    def __init__(self, manifests: Sequence[Mapping[str, Any]]) -> None:
        self.manifests = tuple(manifests)

    @cached_property
    def names(self) -> set[tuple[str, str]]:
        """Kind and name of every object."""
        return {(manifest["kind"], manifest["metadata"]["name"]) for manifest in self.manifests}

    def get(self, kind: str, name: str) -> Mapping[str, Any]:
        """The object of that kind and name; empty if there is none."""
        for manifest in self.manifests:
            if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name):
                return manifest
        return {}

    @cached_property
    def pod_template(self) -> Mapping[str, Any]:
        """The pod that the executor starts for each task; empty if there is none."""
        text = self._config_map.get("pod_template_file.yaml", "")
        template = yaml.safe_load(text)
        return template if isinstance(template, dict) else {}

    @cached_property
    def config(self) -> Mapping[tuple[str, str], str]:
        """airflow.cfg as Airflow reads it: (section, option) -> value."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(self._config_map.get("airflow.cfg", ""))
        return {(section, option): value for section in parser.sections() for option, value in parser[section].items()}

    @cached_property
    def pods(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Every pod spec with its owner, the executor's pod template among them."""
        found = [
            (f"{manifest['kind']} {manifest['metadata']['name']}", manifest["spec"]["template"]["spec"])
            for manifest in self.manifests
            if "template" in manifest.get("spec", {})
        ]
        if self.pod_template:
            found.append(("pod template", self.pod_template["spec"]))
        return found

    @cached_property
    def containers(self) -> list[Container]:
        """Every container of every pod, init containers too."""
        return [container for owner, pod in self.pods for container in _containers(owner, pod)]

    @cached_property
    def git_sync(self) -> list[Container]:
        """The git-sync containers."""
        return [container for container in self.containers if container.name in {"git-sync", "git-sync-init"}]

    @cached_property
    def airflow(self) -> list[Container]:
        """The containers that run Airflow: all others."""
        return [container for container in self.containers if container not in self.git_sync]

    @cached_property
    def _config_map(self) -> Mapping[str, str]:
        data: Mapping[str, str] = self.get("ConfigMap", f"{RELEASE}-config").get("data") or {}
        return data


def _containers(owner: str, pod: Mapping[str, Any]) -> Iterator[Container]:
    for key in ("initContainers", "containers"):
        for spec in pod.get(key) or ():
            yield Container(owner, pod, spec, init=key == "initContainers")
