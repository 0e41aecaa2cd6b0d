"""What descriptions say of identity: whom Pod Identity has added something to, and keys that stand there.

A cluster has pods of others, who may be somebody in AWS, too: of those nothing is asked but that no key of these tests
is in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, SERVICES_NAMESPACE
from tests.contract.canary.known import Canaries
from tests.contract.canary.scan import leaks

VOLUME = "eks-pod-identity-token"
OURS = (AIRFLOW_NAMESPACE, SERVICES_NAMESPACE)

_KEY_VARIABLES = re.compile(
    rb"AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)|aws_(?:access_key_id|secret_access_key)"
)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
_KEY_SHAPE = re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")


def with_identity(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of pods of our namespaces that have what Pod Identity adds, and are not those of the DVC account."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        if _is_ours(pod) and not _is_associated(pod) and VOLUME in json.dumps(pod["spec"])
    ]


def with_keys(pods: Iterable[Mapping[str, Any]], keys: Canaries) -> dict[str, set[str]]:
    """Names of pods in whose description one of our keys is; in our namespaces also a variable that holds any key."""
    found = {}
    for pod in pods:
        text = json.dumps(pod).encode()
        if seen := seen_in(text, keys) if _is_ours(pod) else leaks(text, keys):
            found[pod["metadata"]["name"]] = seen
    return found


def _is_ours(pod: Mapping[str, Any]) -> bool:
    return pod["metadata"]["namespace"] in OURS


def _is_associated(pod: Mapping[str, Any]) -> bool:
    whose = (pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName"))
    return whose == (AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT)


def seen_in(text: bytes, keys: Canaries) -> set[str]:
    """What of keys is in there: one of ours in whatever form, a variable that holds one, or what looks like one."""
    found = leaks(text, keys)
    found |= {match.decode() for match in _KEY_VARIABLES.findall(text)}
    return found | {"what has the form of a key" for _ in _KEY_SHAPE.findall(text)}
