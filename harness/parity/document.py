"""A run as a document: rendered manifests, admitted pods, their environment, claim, DVC configuration, DAG bytes.

What only this one run is called (its id, its prefix, generated suffixes, times, ports) is replaced by what it is, so
that two runs of the same thing give the same document. Nothing else is left out but what is named here. No value of a
Secret gets in; the caller redacts what else is secret.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from harness.redaction import MASK

JsonObject = Mapping[str, Any]

FILE: Final = "parity.json"
SCHEMA: Final = 1
# Shorter ones are words that may stand anywhere.
_SHORTEST_NAME: Final = 6
_GENERATED: Final = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "{uuid}"),
    # https://www.w3.org/TR/trace-context/#traceparent-header
    (re.compile(r"\b[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\b"), "{trace}"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"), "{time}"),
    (re.compile(r"(?<=://)\d{1,3}(?:\.\d{1,3}){3}:\d+"), "{address}:{port}"),
    # The volume of the API's token: plugin/pkg/admission/serviceaccount/admission.go, Kubernetes 1.34.
    (re.compile(r"\bkube-api-access-[a-z0-9]{5}\b"), "kube-api-access-{any}"),
)
# Written on a pod when it is seen to have ended, or by the ReplicaSet that made it; a run may end before.
_LABELS_IN_PASSING: Final = frozenset({"airflow_executor_done", "already_checked", "pod-template-hash"})
# What the adapter notes stands in the pod itself; the other is ours, on a changed image.
_NOTES: Final = frozenset({"harness.adapter/added", "harness.restarted"})
# Where it was put, and an older name of what stands beside it.
_OF_THE_PLACE: Final = frozenset({"nodeName", "serviceAccount"})
_CLAIM_PARTS: Final = ("accessModes", "resources", "storageClassName", "volumeMode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What was seen of a run.

    Attributes:
        run: Id of the run of the harness.
        target: Where it ran, such as "kind".
        versions: Of what must be the same for a comparison to mean anything, by name.
        manifests: Of the release, as they were installed.
        pods: As admitted, by what they are: "executor pull_data", "task pull_data", "component scheduler".
        config_maps: Data by name of those that pods take their environment from.
        secret_keys: Keys by name of such Secrets.
        claim: The claim that the tasks share, as the API server has it; empty where there is none.
        dvc_config: `.dvc/config` as the run found it.
        dags: What names the exact bytes of each file of the DAG folder, by path.
        names: What only this run is called, and what stands for it.
    """

    run: str
    target: str
    versions: Mapping[str, str]
    manifests: Sequence[JsonObject]
    pods: Mapping[str, JsonObject]
    config_maps: Mapping[str, Mapping[str, str]]
    secret_keys: Mapping[str, Sequence[str]]
    claim: JsonObject
    dvc_config: str
    dags: Mapping[str, str]
    names: Mapping[str, str]


def document(parts: Parts) -> dict[str, Any]:
    """What is compared; `run` and `target` say only whose it is."""
    normal = _Normal(parts.names)
    compared = {
        "versions": dict(parts.versions),
        "manifests": {f"{one['kind']} {one['metadata']['name']}": _manifest(one) for one in parts.manifests},
        "pods": {name: _pod(pod) for name, pod in parts.pods.items()},
        "environment": {name: _environments(pod, parts) for name, pod in parts.pods.items()},
        "claim": {part: parts.claim[part] for part in _CLAIM_PARTS if part in parts.claim},
        "repository": {".dvc/config": _dvc_config(parts.dvc_config)},
        "dags": dict(parts.dags),
    }
    return {"schema": SCHEMA, "run": parts.run, "target": parts.target, **normal(compared)}


class _Normal:
    """Replaces what is a run's own, and gives lists of named things a form in which their order does not count."""

    def __init__(self, names: Mapping[str, str]) -> None:
        known = {name: stands for name, stands in names.items() if len(name) >= _SHORTEST_NAME}
        # Longest first: one may be the beginning of another.
        self._names = sorted(known.items(), key=lambda entry: (-len(entry[0]), entry[0]))

    def __call__(self, value: Any, *, field: str = "") -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._words(str(key)): self(item, field=str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._items(list(value), field)
        return value

    def _items(self, items: list[Any], field: str) -> Any:
        key = "mountPath" if field == "volumeMounts" else "name"
        keys = [str(one[key]) for one in items if isinstance(one, Mapping) and key in one]
        if not items or len(set(keys)) != len(items):
            return [self(one) for one in items]
        if field == "initContainers":
            # They run one after another.
            keys = [f"{number} {name}" for number, name in enumerate(keys)]
        rest = ({name: item for name, item in one.items() if name != key} for one in items)
        return {self._words(name): self(one) for name, one in zip(keys, rest, strict=True)}

    def _text(self, text: str) -> Any:
        if text.startswith("{"):
            # A workload that the executor hands to its pod.
            try:
                inner = json.loads(text)
            except ValueError:
                return self._words(text)
            if isinstance(inner, dict):
                return self(inner)
        return self._words(text)

    def _words(self, text: str) -> str:
        for name, stands in self._names:
            text = text.replace(name, stands)
        for shape, stands in _GENERATED:
            text = shape.sub(stands, text)
        return text


def _manifest(manifest: JsonObject) -> JsonObject:
    match manifest["kind"]:
        case "Secret":
            hidden = {
                part: dict.fromkeys(manifest[part], MASK) for part in ("data", "stringData") if manifest.get(part)
            }
            return {**manifest, **hidden}
        case "ConfigMap":
            return {
                **manifest,
                "data": {name: _file(name, text) for name, text in (manifest.get("data") or {}).items()},
            }
        case _:
            return manifest


def _file(name: str, text: str) -> Any:
    """A file in a ConfigMap, by its parts where its form is known: a difference is then a line and not a file."""
    try:
        if name.endswith((".yaml", ".yml")):
            return yaml.safe_load(text)
        if name.endswith(".cfg"):
            return _sections(text)
    except (yaml.YAMLError, configparser.Error):
        return text
    return text


def _sections(text: str) -> dict[str, Any]:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _dvc_config(text: str) -> Any:
    try:
        sections = _sections(text)
    except configparser.Error:
        return text
    return {section: {name: _url(value) for name, value in options.items()} for section, options in sections.items()}


def _url(value: str) -> Any:
    parts = urlsplit(value)
    if parts.scheme != "s3":
        return value
    return {"scheme": parts.scheme, "bucket": parts.netloc, "prefix": parts.path.lstrip("/")}


def _pod(pod: JsonObject) -> dict[str, Any]:
    metadata = pod["metadata"]
    spec = {name: part for name, part in pod["spec"].items() if name not in _OF_THE_PLACE}
    for kind, containers in _containers(spec):
        # What they say of the environment is told by `_environments`, with where it comes from.
        spec[kind] = [
            {name: part for name, part in one.items() if name not in {"env", "envFrom"}} for one in containers
        ]
    return {
        "labels": _without(metadata.get("labels"), _LABELS_IN_PASSING),
        "annotations": _without(metadata.get("annotations"), _NOTES),
        "spec": spec,
    }


def _without(entries: Mapping[str, str] | None, names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in (entries or {}).items() if name not in names}


def _containers(spec: JsonObject) -> Iterator[tuple[str, list[JsonObject]]]:
    for kind in ("initContainers", "containers"):
        if spec.get(kind):
            yield kind, list(spec[kind])


def _environments(pod: JsonObject, parts: Parts) -> dict[str, dict[str, str]]:
    """The variables of each container, as the kubelet will set them: of a Secret, only that it comes from there."""
    return {
        str(one["name"]): {**dict(_from_whole(one, parts)), **dict(_each(one, parts))}
        for _, containers in _containers(pod["spec"])
        for one in containers
    }


def _from_whole(container: JsonObject, parts: Parts) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        before = str(source.get("prefix") or "")
        if reference := source.get("configMapRef"):
            name = str(reference["name"])
            for key, value in parts.config_maps.get(name, {f"(all of ConfigMap {name})": "not read"}).items():
                yield before + key, value
        elif reference := source.get("secretRef"):
            name = str(reference["name"])
            for key in parts.secret_keys.get(name, (f"(all of Secret {name})",)):
                yield before + key, f"from Secret {name}"


def _each(container: JsonObject, parts: Parts) -> Iterator[tuple[str, str]]:
    for entry in container.get("env") or ():
        source = entry.get("valueFrom")
        yield str(entry["name"]), str(entry.get("value") or "") if not source else _sourced(source, parts)


def _sourced(source: JsonObject, parts: Parts) -> str:
    kinds: Mapping[str, Callable[[JsonObject], str]] = {
        "secretKeyRef": lambda at: f"from Secret {at['name']}, key {at['key']}",
        "configMapKeyRef": lambda at: parts.config_maps.get(at["name"], {}).get(
            at["key"], f"from ConfigMap {at['name']}, key {at['key']}"
        ),
        "fieldRef": lambda at: f"from field {at['fieldPath']}",
    }
    kind, at = next(iter(source.items()))
    return kinds[kind](at) if kind in kinds else f"from {json.dumps(source, sort_keys=True)}"
