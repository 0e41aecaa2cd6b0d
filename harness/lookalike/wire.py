"""Requests and answers on the wire: REST-JSON, JSON and query, by botocore's models.

A request is parsed by the operation's input shape, held to that shape, and then written again by botocore's own
serializer: whatever was received and does not come out again is not in the model, and is refused. An answer is held to
the output shape before it is written, and what was written must give the same again in botocore's own parser.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from harness.lookalike import shapes
from harness.lookalike.errors import AwsError, LookAlikeBroken, Problem, Refused, refusal
from harness.lookalike.routing import json_operation, query_operation, rest_operation

_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request as boto3 was called for it.

    Attributes:
        operation: Of the service's model.
        parameters: As they were given to boto3.
    """

    operation: OperationModel
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse(
    service: str, protocol: str, *, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Parsed:
    """The operation and parameters of a request.

    Raises:
        Refused: No such operation, or parameters that the model does not allow.
    """
    if protocol == "query":
        text = body.decode() if headers.get("content-type", "").startswith(_FORM) else query
        form = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
        operation = query_operation(service, form)
        parameters = _from_form(form, operation.input_shape, "") if operation.input_shape else {}
        received: Any = form
    elif protocol == "json":
        operation = json_operation(service, headers.get("x-amz-target", ""))
        document = _document(body)
        parameters = _from_json(document, operation.input_shape) if operation.input_shape else {}
        received = ({}, document)
    else:
        pairs = parse_qsl(query, keep_blank_values=True)
        arguments = {name: [value for of, value in pairs if of == name] for name, _ in pairs}
        operation, labels = rest_operation(service, method, path, dict(pairs), headers)
        document = _document(body)
        parameters = _from_rest(operation.input_shape, labels, arguments, document)
        received = (arguments, document)
    if operation.input_shape is not None:
        if found := shapes.problems_of(parameters, operation.input_shape):
            raise Refused(Problem.INVALID, "; ".join(found))
        _check_nothing_is_left(operation, protocol, parameters, received)
    return Parsed(operation, parameters)


def _check_nothing_is_left(operation: OperationModel, protocol: str, parameters: dict[str, Any], received: Any) -> None:
    """What botocore makes of the parameters must be the request."""
    made: Any = create_serializer(protocol).serialize_to_request(parameters, operation)
    if protocol == "query":
        again: Any = {name: str(value) for name, value in made["body"].items()}
        names = received.keys() ^ again.keys()
    else:
        arguments, document = received
        names = arguments.keys() ^ dict(made.get("query_string") or {}).keys()
        names |= document.keys() ^ (json.loads(made["body"]) if made["body"] else {}).keys()
    if names:
        raise Refused(Problem.INVALID, f"{operation.name} has no parameters {', '.join(sorted(names))}")


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Refused(Problem.INVALID, f"the body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused(Problem.INVALID, "the body must be a JSON object")
    return document


def _from_rest(
    shape: StructureShape | None,
    labels: Mapping[str, str],
    arguments: Mapping[str, list[str]],
    document: dict[str, Any],
) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    members: Mapping[str, Shape] = shape.members if shape else {}
    in_body = {}
    for member, kind in members.items():
        place, name = kind.serialization.get("location"), kind.serialization.get("name", member)
        if place is None:
            in_body[name] = member
        elif place == "uri":
            parameters[member] = _scalar(labels[name], kind)
        elif place == "querystring":
            if name in arguments:
                values = arguments[name]
                if isinstance(kind, ListShape):
                    parameters[member] = [_scalar(one, kind.member) for one in values]
                else:
                    parameters[member] = _scalar(values[-1], kind)
        else:
            raise LookAlikeBroken(f"{member} travels in {place}, which the look-alike does not read")
    for name, value in document.items():
        member = in_body.get(name, name)
        parameters[member] = _from_json(value, members[member]) if name in in_body else value
    return parameters


def _from_json(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        names = {kind.serialization.get("name", member): member for member, kind in shape.members.items()}
        return {
            names.get(key, key): _from_json(item, shape.members[names[key]]) if key in names else item
            for key, item in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_json(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_json(item, shape.value) for key, item in value.items()}
    if shape.type_name == "timestamp" and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    return base64.b64decode(value) if shape.type_name == "blob" else value


def _from_form(form: Mapping[str, str], shape: Shape, prefix: str) -> Any:
    if isinstance(shape, StructureShape):
        found = {}
        for member, kind in shape.members.items():
            inner = f"{prefix}.{kind.serialization.get('name', member)}".lstrip(".")
            if any(key == inner or key.startswith(f"{inner}.") for key in form):
                found[member] = _from_form(form, kind, inner)
        return found
    if isinstance(shape, ListShape):
        items, number = [], 1
        while any(key == (one := f"{prefix}.member.{number}") or key.startswith(f"{one}.") for key in form):
            items.append(_from_form(form, shape.member, one))
            number += 1
        return items
    if prefix not in form or isinstance(shape, MapShape):
        raise Refused(Problem.INVALID, f"{prefix}: has another form than {shape.type_name}")
    return _scalar(form[prefix], shape)


def _scalar(text: str, shape: Shape) -> Any:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "boolean":
                return {"true": True, "false": False}[text]
            case _:
                return text
    except (ValueError, KeyError):
        raise Refused(Problem.INVALID, f"{text!r} is no {shape.type_name}") from None


def answer(protocol: str, operation: OperationModel, output: dict[str, Any], request_id: str) -> Answer:
    """An operation's output on the wire.

    Raises:
        LookAlikeBroken: It is not what botocore's model says, or would be read otherwise than it was meant.
    """
    shapes.hold(output, operation.output_shape, operation.name)
    if protocol == "query":
        made = _xml_answer(operation, output, request_id)
    else:
        body = json.dumps(_to_json(output), separators=(",", ":")).encode()
        status = int(operation.http.get("responseCode", 200))
        made = Answer(status, {"Content-Type": _json_type(protocol), "x-amzn-RequestId": request_id}, body)
    parser: Any = create_parser(protocol)
    read = parser.parse(
        {"status_code": made.status, "headers": made.headers, "body": made.body}, operation.output_shape
    )
    read.pop("ResponseMetadata")
    if read != output:
        raise LookAlikeBroken(f"botocore reads {operation.name}'s answer as {read!r}, meant was {output!r}")
    return made


def failure(protocol: str, error: AwsError, request_id: str, operation: OperationModel | None) -> Answer:
    """A refusal on the wire; where the operation's model has the error, with its status."""
    errors: list[Any] = list(operation.error_shapes) if operation else []
    modelled = {shape.error_code: shape for shape in errors}
    shape = modelled.get(error.code)
    status = error.status
    if shape is not None:
        status = int(shape.metadata.get("error", {}).get("httpStatusCode", status))
        if unknown := error.members.keys() - shape.members.keys():
            raise LookAlikeBroken(f"{error.code} has no members {unknown}")
    if protocol == "query":
        root = ET.Element("ErrorResponse")
        inner = ET.SubElement(root, "Error")
        sender = "Sender" if status < 500 else "Receiver"  # noqa: PLR2004 - where HTTP draws that line
        for name, text in (("Type", sender), ("Code", error.code), ("Message", error.message)):
            ET.SubElement(inner, name).text = text
        ET.SubElement(root, "RequestId").text = request_id
        return Answer(status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, ET.tostring(root))
    if protocol == "rest-xml":
        root = ET.Element("Error")
        for name, text in (("Code", error.code), ("Message", error.message), ("RequestId", request_id)):
            ET.SubElement(root, name).text = text
        return Answer(status, {"Content-Type": "application/xml", "x-amz-request-id": request_id}, ET.tostring(root))
    # REST-JSON has the code in a header, JSON in the body ("AWS JSON 1.1 protocol" of Smithy).
    kind = {"__type": error.code} if protocol == "json" else {}
    body = json.dumps({**kind, **error.members, "message": error.message}).encode()
    headers = {"Content-Type": _json_type(protocol), "x-amzn-RequestId": request_id}
    if protocol != "json":
        headers["x-amzn-ErrorType"] = error.code
    return Answer(status, headers, body)


def _json_type(protocol: str) -> str:
    return "application/x-amz-json-1.1" if protocol == "json" else "application/json"


def in_words_of(protocol: str, refused: Refused) -> AwsError:
    """A refusal before it had a protocol."""
    return refusal(protocol, refused.problem, refused.message)


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else value


def _xml_answer(operation: OperationModel, output: dict[str, Any], request_id: str) -> Answer:
    namespace = str(operation.service_model.metadata["xmlNamespace"])
    root = ET.Element(f"{operation.name}Response", {"xmlns": namespace})
    if (shape := operation.output_shape) is not None:
        _to_xml(ET.SubElement(root, str(shape.serialization["resultWrapper"])), output, shape)
    metadata = ET.SubElement(root, "ResponseMetadata")
    ET.SubElement(metadata, "RequestId").text = request_id
    headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}
    return Answer(200, headers, ET.tostring(root))


def _to_xml(element: ET.Element, value: Any, shape: Shape) -> None:
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            kind = shape.members[name]
            _to_xml(ET.SubElement(element, kind.serialization.get("name", name)), item, kind)
    elif isinstance(shape, ListShape):
        for item in value:
            _to_xml(ET.SubElement(element, "member"), item, shape.member)
    elif isinstance(value, bool):
        element.text = str(value).lower()
    elif isinstance(value, datetime):
        element.text = f"{value:%Y-%m-%dT%H:%M:%SZ}"
    else:
        element.text = str(value)
