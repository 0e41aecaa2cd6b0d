"""Which operation of a service's model a request is.

Query protocol: the `Action` parameter. JSON: the header `X-Amz-Target`. REST: method, path template, literal query
parameters of the template, and the required members that travel in query or headers: that is how PutObject, UploadPart
and CopyObject are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import parse_qsl, unquote

from botocore.model import OperationModel, ServiceModel
from botocore.session import get_session

from harness.lookalike.errors import Problem, Refused

_LABEL: Final = re.compile(r"\{([A-Za-z0-9_.-]+)(\+?)\}")
# Names the operation for tracing only; botocore sends it for some of S3's.
_IGNORED_QUERY: Final = "x-id"


@cache
def service_model(name: str) -> ServiceModel:
    """The model that botocore has of a service, by boto3's name for it."""
    return get_session().get_service_model(name)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation's place in a REST API."""

    operation: OperationModel
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    literals: Mapping[str, str]
    required_query: frozenset[str]
    required_headers: frozenset[str]

    def rank(self, query: Mapping[str, str], headers: Mapping[str, str]) -> int | None:
        """How specifically a request of this path is meant; None if it is not."""
        if any(query.get(name) != value for name, value in self.literals.items()):
            return None
        if not self.required_query <= query.keys() or not self.required_headers <= headers.keys():
            return None
        return 2 * len(self.literals) + len(self.required_query) + len(self.required_headers)


@cache
def _routes(service: str) -> tuple[Route, ...]:
    model = service_model(service)
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: OperationModel) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    labels: list[str] = []
    pieces = _LABEL.split(path)
    # split() leaves text, name, "+" or "", text, ...
    pattern = re.escape(pieces[0])
    for name, greedy, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        labels.append(name)
        pattern += ("(.+)" if greedy else "([^/]+)") + re.escape(text)
    literals = {name: value for name, value in parse_qsl(query, keep_blank_values=True) if name != _IGNORED_QUERY}
    shape = operation.input_shape
    members = {name: shape.members[name].serialization for name in shape.required_members} if shape else {}
    return Route(
        operation,
        re.compile(pattern.removesuffix("/") + "/?"),
        tuple(labels),
        literals,
        frozenset(s["name"] for s in members.values() if s.get("location") == "querystring"),
        frozenset(s["name"].lower() for s in members.values() if s.get("location") == "header"),
    )


def rest_operation(
    service: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[OperationModel, dict[str, str]]:
    """The operation of a REST request, and the decoded labels of its path by their names on the wire.

    Raises:
        Refused: The model has none.
    """
    best: tuple[int, Route, re.Match[str]] | None = None
    for route in _routes(service):
        if route.operation.http["method"] != method or (found := route.pattern.fullmatch(path)) is None:
            continue
        rank = route.rank(query, headers)
        if rank is not None and (best is None or rank > best[0]):
            best = (rank, route, found)
    if best is None:
        raise Refused(Problem.UNKNOWN_OPERATION, f"{service} has no operation {method} {path}")
    _, route, found = best
    return route.operation, {name: unquote(text) for name, text in zip(route.labels, found.groups(), strict=True)}


def query_operation(service: str, form: Mapping[str, str]) -> OperationModel:
    """The operation of a query request.

    Raises:
        Refused: There is no such action, or it is of another version of the API.
    """
    model = service_model(service)
    action, version = form.get("Action", ""), form.get("Version", "")
    if action not in model.operation_names or version != model.api_version:
        raise Refused(Problem.UNKNOWN_OPERATION, f"Could not find operation {action} for version {version}")
    return model.operation_model(action)


def json_operation(service: str, target: str) -> OperationModel:
    """The operation of a JSON request, by its target.

    Raises:
        Refused: There is no such operation, or the target is another service's.
    """
    model = service_model(service)
    prefix, _, name = target.partition(".")
    if prefix != model.metadata["targetPrefix"] or name not in model.operation_names:
        raise Refused(Problem.UNKNOWN_OPERATION, f"{service} has no operation {target}")
    return model.operation_model(name)
