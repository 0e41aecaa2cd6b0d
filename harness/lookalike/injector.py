"""The pod injector: what EKS's webhook adds to pods whose service account has an association, and no more.

The names, values and order are those of amazon-eks-pod-identity-webhook 0.6 in its container-credentials mode: what a
container sets itself stays; one region variable of its own keeps both of ours away; a pod that has the volume is left
alone. For a service account that names a role in its annotation, and has no association, it is IRSA's mode. A pod's own
annotations name containers that are left out and the token's seconds (`parsePodAnnotations` in pkg/handler/handler.go);
whole pods are left out by a label, which the webhook's configuration asks for.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

JsonObject = dict[str, Any]

AUDIENCE: Final = "pods.eks.amazonaws.com"
VOLUME: Final = "eks-pod-identity-token"
MOUNT_PATH: Final = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
CREDENTIALS_URI: Final = "http://169.254.170.23/v1/credentials"
TOKEN_SECONDS: Final = 86_400
# The least that an API server gives out.
_LEAST_SECONDS: Final = 600
ROLE_ANNOTATION: Final = "eks.amazonaws.com/role-arn"
_SKIPPED_ANNOTATION: Final = "eks.amazonaws.com/skip-containers"
_SECONDS_ANNOTATION: Final = "eks.amazonaws.com/token-expiration"
_REGION: Final = ("AWS_DEFAULT_REGION", "AWS_REGION")
_STS: Final = "AWS_STS_REGIONAL_ENDPOINTS"


@dataclass(frozen=True, slots=True)
class Mode:
    """What is added to pods.

    Attributes:
        volume: With the token.
        audience: Of the token.
        path: Of the token in the volume.
        mounted: Where the volume is.
        keys: The variables that lead to keys; where a container has one of them, none is added.
    """

    volume: str
    audience: str
    path: str
    mounted: str
    keys: Mapping[str, str]


POD_IDENTITY: Final = Mode(
    VOLUME,
    AUDIENCE,
    VOLUME,
    MOUNT_PATH,
    {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": CREDENTIALS_URI,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{MOUNT_PATH}/{VOLUME}",
    },
)
_IRSA_PATH: Final = "/var/run/secrets/eks.amazonaws.com/serviceaccount"


def irsa(role_arn: str) -> Mode:
    """Of a service account that names a role."""
    keys = {"AWS_ROLE_ARN": role_arn, "AWS_WEB_IDENTITY_TOKEN_FILE": f"{_IRSA_PATH}/token"}
    return Mode("aws-iam-token", "sts.amazonaws.com", "token", _IRSA_PATH, keys)


def patch_for(pod: Mapping[str, Any], region: str, mode: Mode = POD_IDENTITY) -> list[JsonObject]:
    """The JSON patch (RFC 6902) for a pod whose account has a role."""
    spec = pod["spec"]
    volumes = spec.get("volumes") or []
    if mode.volume in {volume["name"] for volume in volumes}:
        return []
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    token = {"audience": mode.audience, "expirationSeconds": _seconds(annotations), "path": mode.path}
    volume = {"name": mode.volume, "projected": {"sources": [{"serviceAccountToken": token}]}}
    patch = _append("/spec/volumes", volumes, volume)
    skipped = _skipped(annotations)
    for path, container in _containers(spec):
        if container["name"] in skipped:
            continue
        patch += _extend(f"{path}/env", container.get("env"), list(_missing(container, region, mode.keys)))
        mount = {"name": mode.volume, "mountPath": mode.mounted, "readOnly": True}
        patch += _append(f"{path}/volumeMounts", container.get("volumeMounts"), mount)
    return patch


def review(
    request: Mapping[str, Any],
    *,
    region: str,
    associated: Callable[[str, str], bool],
    role_of: Callable[[str, str], str] = lambda _namespace, _account: "",
) -> JsonObject:
    """The answer to an AdmissionReview's request; it never refuses a pod.

    Args:
        request: Its `request`.
        region: What pods are told.
        associated: Whether a service account of a namespace has an association.
        role_of: ARN of the role that a service account of a namespace names; empty for none.
    """
    response: JsonObject = {"uid": request["uid"], "allowed": True}
    if request.get("operation") != "CREATE" or (request.get("kind") or {}).get("kind") != "Pod":
        return response
    pod = request["object"]
    account = pod["spec"].get("serviceAccountName") or "default"
    if associated(request["namespace"], account):
        mode = POD_IDENTITY
    elif role := role_of(request["namespace"], account):
        mode = irsa(role)
    else:
        return response
    if patch := patch_for(pod, region, mode):
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return response


def _seconds(annotations: Mapping[str, str]) -> int:
    try:
        return max(int(annotations[_SECONDS_ANNOTATION]), _LEAST_SECONDS)
    except (KeyError, ValueError):
        return TOKEN_SECONDS


def _skipped(annotations: Mapping[str, str]) -> frozenset[str]:
    """Names of containers; none where the annotation is no line of CSV."""
    try:
        return frozenset(next(csv.reader([annotations.get(_SKIPPED_ANNOTATION, "")], strict=True), ()))
    except csv.Error:
        return frozenset()


def _missing(container: Mapping[str, Any], region: str, keys: Mapping[str, str]) -> Iterator[JsonObject]:
    present = {entry["name"] for entry in container.get("env") or []}
    if _STS not in present:
        yield {"name": _STS, "value": "regional"}
    if present.isdisjoint(_REGION):
        for name in _REGION:
            yield {"name": name, "value": region}
    if present.isdisjoint(keys):
        for name, value in keys.items():
            yield {"name": name, "value": value}


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or []):
            yield f"/spec/{kind}/{number}", container


def _append(path: str, present: object, value: object) -> list[JsonObject]:
    return _extend(path, present, [value])


def _extend(path: str, present: object, values: list[Any]) -> list[JsonObject]:
    if present:
        return [{"op": "add", "path": f"{path}/-", "value": value} for value in values]
    return [{"op": "add", "path": path, "value": values}] if values else []
