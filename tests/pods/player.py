"""Runs a program in a pod of the worker image, to its end, and gives back what it said and the pod as admitted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.kubeapi import KubeApi, KubeUnavailable
from harness.names import AIRFLOW_NAMESPACE
from harness.podstate import OVER, fatal_reason
from harness.wait import Waiter

HERE = Path(__file__).parent
_SECONDS = 120.0


@dataclass(frozen=True)
class Played:
    """A pod that has ended: its name, the spec that was admitted, what it said."""

    name: str
    spec: Mapping[str, Any]
    said: Any


def rendered(template: Path, **values: object) -> dict[str, Any]:
    templates = Environment(loader=FileSystemLoader(template.parent), undefined=StrictUndefined, autoescape=False)  # noqa: S701 - YAML
    found: dict[str, Any] = yaml.safe_load(templates.get_template(template.name).render(**values))
    return found


def play(
    kube: KubeApi, image: str, program: Path, *, service_account: str, argument: object, **values: object
) -> Played:
    """Run it; what it printed last, as JSON.

    Args:
        kube: The cluster.
        image: The worker image.
        program: A file; its source goes into the pod.
        service_account: Whom the pod runs as.
        argument: What the program gets, as JSON.
        values: Further ones of `pod.yaml.j2`: "env", "claim", "group".
    """
    name = f"{program.stem}-{secrets.token_hex(4)}"
    settings: dict[str, object] = {"env": {}, "claim": "", "group": 0, **values}
    manifest = rendered(
        HERE / "pod.yaml.j2",
        name=name,
        image=image,
        service_account=service_account,
        program=program.read_text(),
        argument=json.dumps(argument),
        **settings,
    )
    kube.apply([manifest])
    ended = Waiter().until(
        f"pod {name}",
        lambda: kube.get("Pod", name, AIRFLOW_NAMESPACE) or {},
        ready=lambda pod: (pod.get("status") or {}).get("phase") in OVER,
        failed=lambda pod: fatal_reason(pod, now=datetime.now(UTC)) if pod else None,
        describe=lambda pod: str((pod.get("status") or {}).get("phase")),
        timeout=_SECONDS,
        transient=(KubeUnavailable,),
    )
    said = kube.pod_logs(name, "program", namespace=AIRFLOW_NAMESPACE)
    assert ended["status"]["phase"] == "Succeeded", said
    return Played(name, ended["spec"], json.loads(said.splitlines()[-1]))
