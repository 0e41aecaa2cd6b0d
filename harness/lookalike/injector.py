"""The pod injector: what EKS's webhook adds to pods whose service account has an association, and no more.

The names, values and order are those of amazon-eks-pod-identity-webhook 0.6 in its container-credentials mode: what a
container sets itself stays; one region variable of its own keeps both of ours away; a pod that has the volume is left
alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

JsonObject = dict[str, Any]

AUDIENCE: Final = "pods.eks.amazonaws.com"
VOLUME: Final = "eks-pod-identity-token"
MOUNT_PATH: Final = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
CREDENTIALS_URI: Final = "http://169.254.170.23/v1/credentials"
TOKEN_SECONDS: Final = 86_400
_REGION: Final = ("AWS_DEFAULT_REGION", "AWS_REGION")
_KEYS: Final = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
_STS: Final = "AWS_STS_REGIONAL_ENDPOINTS"


def patch_for(pod: Mapping[str, Any], region: str) -> list[JsonObject]:
    """The JSON patch (RFC 6902) for a pod whose account has an association."""
    spec = pod["spec"]
    volumes = spec.get("volumes") or []
    if VOLUME in {volume["name"] for volume in volumes}:
        return []
    token = {"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": VOLUME}
    volume = {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}
    patch = _append("/spec/volumes", volumes, volume)
    for path, container in _containers(spec):
        patch += _extend(f"{path}/env", container.get("env"), list(_missing(container, region)))
        mount = {"name": VOLUME, "mountPath": MOUNT_PATH, "readOnly": True}
        patch += _append(f"{path}/volumeMounts", container.get("volumeMounts"), mount)
    return patch


def review(request: Mapping[str, Any], *, region: str, associated: Callable[[str, str], bool]) -> JsonObject:
    """The answer to an AdmissionReview's request; it never refuses a pod.

    Args:
        request: Its `request`.
        region: What pods are told.
        associated: Whether a service account of a namespace has an association.
    """
    response: JsonObject = {"uid": request["uid"], "allowed": True}
    if request.get("operation") != "CREATE" or (request.get("kind") or {}).get("kind") != "Pod":
        return response
    pod = request["object"]
    account = pod["spec"].get("serviceAccountName") or "default"
    if not associated(request["namespace"], account):
        return response
    if patch := patch_for(pod, region):
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return response


def _missing(container: Mapping[str, Any], region: str) -> Iterator[JsonObject]:
    present = {entry["name"] for entry in container.get("env") or []}
    if _STS not in present:
        yield {"name": _STS, "value": "regional"}
    if present.isdisjoint(_REGION):
        for name in _REGION:
            yield {"name": name, "value": region}
    if present.isdisjoint(_KEYS):
        yield {"name": _KEYS[0], "value": CREDENTIALS_URI}
        yield {"name": _KEYS[1], "value": f"{MOUNT_PATH}/{VOLUME}"}


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
