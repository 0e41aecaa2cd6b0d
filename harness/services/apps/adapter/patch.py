"""What the adapter adds to a pod, as a pure function from a pod to a JSON patch (RFC 6902).

What a container sets itself in `env` stays, and is listed as kept. What it has from `envFrom` is not in the pod; an
added variable goes before one of that name there (Kubernetes API, Container, `envFrom`: "Values defined by an Env with
a duplicate key will take precedence"), and that it may is noted. Everything added is noted in an annotation on the
pod, which is where the difference between a local and a real cluster is read from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ANNOTATION = "harness.adapter/added"
_VOLUME = "harness-git-ca"


class ConfigurationError(ValueError):
    """The adapter's configuration has the wrong form."""


@dataclass(frozen=True)
class Configuration:
    """What is added.

    Attributes:
        env: Environment variables of every container, by name.
        identities: Environment variables of the containers of pods with a service account, by its name: what such a
            pod would get from the cloud for that account, and no other pod.
        ca_config_map: ConfigMap with the Git server's authority under the key `ca.crt`; empty adds none.
        ca_path: File at which containers find it.
        pull_policy: Pull policy of every container; empty leaves it.
        images: Image to use by the exact image that a container names.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ca_config_map: str = ""
    ca_path: str = "/etc/harness/ca.crt"
    pull_policy: str = ""
    images: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Configuration:
        """Read the JSON form.

        Raises:
            ConfigurationError: Not JSON, unknown keys, or wrong types.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the adapter's configuration is wrong: {error}") from error


@dataclass(frozen=True)
class Patch:
    """A JSON patch and, for the reader, what it adds and what it left alone.

    Attributes:
        operations: The patch; empty if the pod needs nothing.
        added: Such as "base: env AWS_REGION".
        kept: What a container sets itself, in the same form.
    """

    operations: list[dict[str, Any]]
    added: list[str]
    kept: list[str]


def patch_for(pod: Mapping[str, Any], configuration: Configuration) -> Patch:
    """What to add to a pod; nothing to one that already has it all (the API server may ask twice)."""
    operations: list[dict[str, Any]] = []
    added: list[str] = []
    kept: list[str] = []
    spec = pod["spec"]
    env = {**configuration.env, **configuration.identities.get(_account(spec), {})}
    if configuration.ca_config_map and _VOLUME not in _names(spec.get("volumes")):
        volume = {"name": _VOLUME, "configMap": {"name": configuration.ca_config_map}}
        operations += _append("/spec/volumes", spec.get("volumes"), volume)
    for path, container in _containers(spec):
        name = container["name"]
        for change in _container_changes(path, container, env, configuration):
            if change.operations or change.note:
                operations += change.operations
                added.append(f"{name}: {change.what}")
            else:
                kept.append(f"{name}: {change.what}")
    if added:
        note = json.dumps(added, separators=(",", ":"))
        annotations = (pod.get("metadata") or {}).get("annotations")
        if annotations is None:
            operations.append({"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: note}})
        else:
            earlier = json.loads(annotations.get(ANNOTATION, "[]"))
            note = json.dumps([*earlier, *added], separators=(",", ":"))
            operations.append({"op": "add", "path": f"/metadata/annotations/{_escaped(ANNOTATION)}", "value": note})
    return Patch(operations, added, kept)


@dataclass(frozen=True)
class _Change:
    what: str
    operations: list[dict[str, Any]]
    note: bool = False


def _container_changes(
    path: str, container: Mapping[str, Any], env: Mapping[str, str], configuration: Configuration
) -> Iterator[_Change]:
    wanted = dict(env)
    if configuration.ca_config_map:
        wanted["GIT_SSL_CAINFO"] = configuration.ca_path
    present = {entry["name"]: entry for entry in container.get("env") or []}
    missing = [{"name": name, "value": value} for name, value in wanted.items() if name not in present]
    if missing and not container.get("env"):
        yield _Change("env " + ", ".join(entry["name"] for entry in missing), [_add(f"{path}/env", missing)])
    else:
        for entry in missing:
            yield _Change(f"env {entry['name']}", [_add(f"{path}/env/-", entry)])
    if missing and container.get("envFrom"):
        yield _Change("env before envFrom", [], note=True)
    for name, value in wanted.items():
        if name in present and present[name].get("value") != value:
            yield _Change(f"env {name}", [])
    if configuration.ca_config_map and _VOLUME not in _names(container.get("volumeMounts")):
        mount = {"name": _VOLUME, "mountPath": configuration.ca_path, "subPath": "ca.crt", "readOnly": True}
        mounts = container.get("volumeMounts")
        yield _Change(f"file {configuration.ca_path}", _append(f"{path}/volumeMounts", mounts, mount))
    policy = configuration.pull_policy
    if policy and container.get("imagePullPolicy") != policy:
        yield _Change(f"pull policy {policy}", [_add(f"{path}/imagePullPolicy", policy)])
    image = configuration.images.get(container.get("image", ""))
    if image is not None:
        yield _Change(f"image {image}", [{"op": "replace", "path": f"{path}/image", "value": image}])


def _account(spec: Mapping[str, Any]) -> str:
    """The pod's service account; the API server has filled in the default by the time it asks, and the old name too."""
    return str(spec.get("serviceAccountName") or "default")


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or []):
            yield f"/spec/{kind}/{number}", container


def _append(path: str, present: object, value: object) -> list[dict[str, Any]]:
    return [_add(f"{path}/-", value)] if present else [_add(path, [value])]


def _add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _names(entries: list[Mapping[str, Any]] | None) -> set[str]:
    return {str(entry["name"]) for entry in entries or []}


def _escaped(key: str) -> str:
    """A key as RFC 6901 writes it in a pointer."""
    return key.replace("~", "~0").replace("/", "~1")
