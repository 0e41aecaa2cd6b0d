"""Helm values: read, merged as Helm merges them, and checked against a chart before Helm runs.

Helm's own check is not enough: the schema of the official chart (1.22.0) lets unknown keys pass at the root, under
`workers.kubernetes` and in some thirty more places, so a misspelt key is silently ignored. Here every key must be
known to the chart's defaults or its schema, except inside maps that are free by nature (config, labels, resources).
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from jsonschema.exceptions import ValidationError
from jsonschema.validators import validator_for

from harness.errors import ValuesError

Values = dict[str, Any]
KeyPath = tuple[str | int, ...]

# Where the two charts take secrets in plain text. They are left out of the digest, which is shown and stored.
_SECRET_KEYS: tuple[tuple[str, ...], ...] = (
    ("fernetKey",),
    ("apiSecretKey",),
    ("jwtSecret",),
    ("webserverSecretKey",),
    ("extraSecrets",),
    ("data", "brokerUrl"),
    ("data", "metadataConnection", "pass"),
    ("data", "resultBackendConnection", "pass"),
    ("createUserJob", "defaultUser", "password"),
    ("webserver", "defaultUser", "password"),
    ("registry", "connection"),
    ("dags", "gitSync", "sshKey"),
    ("redis", "password"),
    ("flower", "password"),
    ("postgresql", "auth"),
    ("elasticsearch", "connection"),
    ("opensearch", "connection"),
)
# Of the same name in different places: up to here the first is a fair guess.
_FEW = 2
_MEND = "mend {}, or leave it out after --values"
# Read by Helm itself and handed to every subchart; no chart declares them.
_HELM_KEYS = frozenset({"global", "tags"})


@dataclass(frozen=True, slots=True)
class ChartContract:
    """What values a chart takes.

    Attributes:
        title: The chart as the reader knows it, such as "airflow 1.22.0 (official)".
        defaults: Its values.yaml, with those of its subcharts under their names.
        schema: Its values.schema.json; empty when it has none.
        embedded: Whether it is the embedded chart, which takes fewer keys than the one it stands in for.
    """

    title: str
    defaults: Mapping[str, Any]
    schema: Mapping[str, Any]
    embedded: bool


@dataclass(frozen=True, slots=True)
class ValuesFile:
    """One values file.

    Attributes:
        path: As it was named.
        values: What it holds.
        lines: Line of each key, counted from 1.
    """

    path: Path
    values: Values
    lines: Mapping[KeyPath, int]


@dataclass(slots=True)
class _Problems:
    """Problems by the place they are at."""

    files: Sequence[ValuesFile]
    found: dict[str, str] = field(default_factory=dict)

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem, under the last file that sets the key: its value is the one that counts."""
        key = dotted(path)
        for source in reversed(self.files):
            if path in source.lines:
                key = f"{source.path}:{source.lines[path]} {key}"
                break
        else:
            key = f"{key} (set in no file)"
        self.found.setdefault(key, text)


class _Loader(yaml.SafeLoader):
    """YAML as Helm reads it: dates stay text, keys become text, a bare y or n is a boolean like yes and no."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        mapping = super().construct_mapping(node, deep=deep)
        return {key if isinstance(key, str) else json.dumps(key): value for key, value in mapping.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def read_values(path: Path) -> ValuesFile:
    """Read one values file; an empty one holds nothing.

    Raises:
        ValuesError: There is no such file, it is not YAML, or not a map at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ValuesError(
            f"cannot read the values file {path.absolute()}: {why}", next_step="correct the path after --values"
        ) from error
    except UnicodeDecodeError as error:
        raise ValuesError(f"{path} is not a text file: {error}", next_step=_MEND.format(path)) from error
    try:
        # In this order: reading resolves merge keys in place, after which keys do stand twice.
        lines = dict(_lines(yaml.compose(text, Loader=_Loader), ()))
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        said = str(error).replace("<unicode string>", str(path))
        raise ValuesError(
            f"{path} is not YAML that Helm takes", evidence={"parser": said}, next_step=_MEND.format(path)
        ) from error
    except RecursionError as error:
        raise ValuesError(
            f"{path} is nested too deeply, or an alias in it stands for what holds it", next_step=_MEND.format(path)
        ) from error
    if values is None:
        return ValuesFile(path, {}, {})
    if not isinstance(values, dict):
        raise ValuesError(
            f"{path} holds a {_type_name(values)} at the top; values are a map of keys", next_step=_MEND.format(path)
        )
    return ValuesFile(path, values, lines)


def load_values(files: Sequence[Path]) -> Values:
    """Values files merged in order, as Helm merges several `-f`.

    Maps merge, anything else replaces. A null stays: laid over a chart's defaults it deletes the key there.

    Raises:
        ValuesError: See `read_values`.
    """
    return _merged([read_values(path).values for path in files])


def effective_values(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> Values:
    """What the chart's templates see: the defaults with the values over them, nulls deleting default keys."""
    result = copy.deepcopy(dict(defaults))
    for key, value in values.items():
        default = result.get(key)
        if value is None and key in result:
            del result[key]
        elif isinstance(value, Mapping) and isinstance(default, Mapping):
            result[key] = effective_values(default, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def check_values(files: Sequence[Path], contract: ChartContract) -> Values:
    """Check values files against a chart and return the effective values.

    Raises:
        ValuesError: Unknown keys or wrong types. Every one is named, by file, line and dotted key, with the nearest
            known key; values themselves are not shown, they may be secret.
    """
    sources = [read_values(path) for path in files]
    problems = _Problems(sources)
    merged = _merged([source.values for source in sources])
    known = sorted(set(_known_keys(contract.schema, contract.defaults, contract.schema, ())))
    for path, siblings in _unknown_keys(merged, contract.schema, contract.defaults, contract.schema, ()):
        problems.add(path, _unknown(path, siblings, known, contract))
    effective = effective_values(contract.defaults, merged)
    validator = validator_for(dict(contract.schema))(dict(contract.schema))
    for error in validator.iter_errors(effective):
        # The walk above finds these too, and more of them, with better words.
        if error.validator != "additionalProperties":
            problems.add(tuple(error.absolute_path), _violation(error, contract))
    if problems.found:
        raise ValuesError(
            f"the values do not fit the chart {contract.title}",
            evidence=problems.found,
            next_step=(
                "correct these keys, or give the official chart with --airflow-chart (a folder, an archive, a URL or "
                "an oci:// reference)"
                if contract.embedded
                else "correct these keys; `helm show values` on the chart lists those it takes"
            ),
        )
    return effective


def values_digest(values: Mapping[str, Any]) -> str:
    """sha256 over the values as canonical JSON, secrets left out: "sha256:<hex>"."""
    public = copy.deepcopy(dict(values))
    for path in _SECRET_KEYS:
        parent: Any = public
        for key in path[:-1]:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
    return "sha256:" + hashlib.sha256(canonical(public)).hexdigest()


def canonical(values: Mapping[str, Any]) -> bytes:
    """The values as canonical JSON."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def dotted(path: KeyPath) -> str:
    """A path as Helm users write it, such as `apiServer.service.ports[0].nodePort`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _merged(layers: Sequence[Values]) -> Values:
    result: Values = {}
    for layer in layers:
        _overlay(result, layer)
    return result


def _overlay(below: Values, above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _overlay(below[key], value)
        else:
            below[key] = copy.deepcopy(value)


def _lines(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Line of each key; a key that stands twice is an error, since a guess would drop what someone wrote."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen and name != "<<":
                raise yaml.MarkedYAMLError(problem=f"key {name} stands twice, in lines {seen[name]} and {line}")
            seen[name] = line
            yield (*path, name), line
            yield from _lines(value, (*path, name))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index))


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a `$ref` of the form "#/a/b" points to; an empty one for "anything"."""
    while isinstance(schema, Mapping) and str(schema.get("$ref", "")).startswith("#/"):
        target: Any = root
        for part in str(schema["$ref"])[2:].split("/"):
            target = target[part]
        schema = target
    return schema if isinstance(schema, Mapping) else {}


def _children(schema: Mapping[str, Any], default: Any) -> dict[str, tuple[Any, Any]] | None:
    """Schema and default of each known key of a map; None when its keys are free."""
    properties = schema.get("properties", {})
    defaults = default if isinstance(default, Mapping) else {}
    if not properties and (not defaults or "additionalProperties" in schema):
        return None
    names = [*properties, *(name for name in defaults if name not in properties)]
    return {name: (properties.get(name, {}), defaults.get(name)) for name in names}


def _unknown_keys(
    values: Any, schema: Any, default: Any, root: Mapping[str, Any], path: KeyPath
) -> Iterator[tuple[KeyPath, Sequence[str]]]:
    """Each key that neither the schema nor the defaults know, with the known keys beside it."""
    schema = _resolved(schema, root)
    if isinstance(values, list):
        for index, item in enumerate(values):
            yield from _unknown_keys(item, schema.get("items", {}), None, root, (*path, index))
    if not isinstance(values, dict):
        return
    children = _children(schema, default)
    if children is None:
        return
    for key, value in values.items():
        if key in children:
            yield from _unknown_keys(value, *children[key], root, (*path, key))
        elif not schema.get("additionalProperties") and not (not path and key in _HELM_KEYS):
            yield (*path, key), tuple(children)


def _known_keys(schema: Any, default: Any, root: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, (child, below) in (_children(_resolved(schema, root), default) or {}).items():
        yield ".".join((*path, name))
        # Kubernetes' own types nest without end (a volume in a template in a claim ...).
        if "$ref" not in child or child["$ref"].count(".") == 0:
            yield from _known_keys(child, below, root, (*path, name))


def _unknown(path: KeyPath, siblings: Sequence[str], known: Sequence[str], contract: ChartContract) -> str:
    parent, name = dotted(path[:-1]), str(path[-1])
    near = [f"{parent}.{key}" if parent else key for key in difflib.get_close_matches(name, siblings, n=1, cutoff=0.7)]
    # Its parent was left out; where many could be meant (every component has an `env`), a guess would mislead.
    below = [key for key in known if key.endswith(f".{dotted(path)}")]
    near += below if len(below) <= _FEW else []
    near += difflib.get_close_matches(dotted(path), known, n=1, cutoff=0.85)
    hint = f"; did you mean {near[0]}?" if near else ""
    if contract.embedded:
        return f"the embedded chart does not take this key, it needs the official one{hint}"
    return f"unknown key{hint}"


def _violation(error: ValidationError, contract: ChartContract) -> str:
    rule = str(error.validator)
    if rule == "type":
        return f"expected {_joined(error.validator_value)}, found {_type_name(error.instance)}"
    if rule in {"const", "enum"}:
        allowed = _joined([json.dumps(value) for value in _listed(error.validator_value)])
        return f"must be {allowed}" + (" in the embedded chart" if contract.embedded else "")
    if rule == "required":
        present = error.instance if isinstance(error.instance, dict) else {}
        missing = [str(name) for name in _listed(error.validator_value) if name not in present]
        return f"lacks {', '.join(missing)}"
    if rule in {"minLength", "minItems"}:
        return "must not be empty"
    return f"breaks the rule {rule} {json.dumps(error.validator_value)[:120]}"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _joined(value: Any) -> str:
    return " or ".join(map(str, _listed(value)))


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "map"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
