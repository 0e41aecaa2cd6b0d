"""Why a run failed: collects the bundle while everything still exists, and names the likeliest causes."""

from __future__ import annotations

from harness.diagnostics.collect import HelmAccess, Sources, collect
from harness.diagnostics.diagnose import diagnose
from harness.environment import Environment, Ready
from harness.services import s3

_SHOWN = 3


def explain(environment: Environment, error: BaseException | None) -> tuple[str, ...]:
    """Write the bundle into the run's evidence folder and return the likeliest causes, a line each.

    Never raises an `Exception`: what cannot be collected is listed in the bundle itself.
    """
    ready = environment.ready
    kube = environment.kube
    sources = Sources(
        error=error,
        kube=kube,
        helm=_helm(environment),
        bucket=(lambda: _bucket(ready)) if ready is not None else None,
        journal=environment.journal.path,
        transcript=environment.evidence / "commands.log",
        settings=environment.settings.model_dump(mode="json"),
    )
    collected = collect(environment.evidence / "bundle", sources, redactor=environment.redactor)
    if error is None:
        # A red verdict explains itself; the bundle is there for whoever wants more.
        return ()
    return tuple(str(found) for found in diagnose(collected.evidence)[:_SHOWN])


def _helm(environment: Environment) -> HelmAccess | None:
    if environment.cluster is None or environment.toolchain is None:
        return None
    return HelmAccess(runner=environment.runner, helm=environment.toolchain.helm, cluster=environment.cluster)


def _bucket(ready: Ready) -> str:
    store = s3.connect(ready.services.s3)
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=ready.services.s3.bucket)
    found = (f"{entry['Size']:>12} {entry['Key']}" for page in pages for entry in page.get("Contents", []))
    return "\n".join(found)
