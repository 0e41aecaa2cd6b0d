"""What is broken in the Git server, of the volume and the machine, and what others do. As in `breakages.py`."""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from harness.kubeclient import KubeApiError
from harness.names import AIRFLOW_NAMESPACE, GIT_REPOSITORY, SERVICES_NAMESPACE
from harness.services import s3
from harness.services.git import USERNAME

from .breakages import (
    API_SERVER,
    DAG_PROCESSOR,
    SCHEDULER,
    Part,
    everything_ready,
    pods_of,
    restarts,
)
from .scene import Scene, Stage

_HOOK: Final = f"/srv/git/{GIT_REPOSITORY}/hooks/pre-receive"
_GIT: Final[Part] = (SERVICES_NAMESPACE, "app=git", "git")
_SERVICE_PARTS: Final = tuple(
    (SERVICES_NAMESPACE, f"app={name}", name) for name in ("git", "s3", "postgres", "adapter")
)


def _in_git(stage: Stage, script: str) -> None:
    (pod,) = pods_of(stage, _GIT)
    stage.ready.kube.exec(pod["metadata"]["name"], "git", ["sh", "-euc", script], namespace=SERVICES_NAMESPACE)


@contextmanager
def refused_by_a_hook(scene: Scene) -> Iterator[None]:
    """The server takes no push, for a rule of its own."""
    rule = f"printf '#!/bin/sh\\necho not on a Saturday >&2\\nexit 1\\n' > {_HOOK}; chmod 755 {_HOOK}"
    _in_git(scene.stage, rule)
    try:
        yield
    finally:
        _in_git(scene.stage, f"rm {_HOOK}")


@contextmanager
def other_password(scene: Scene) -> Iterator[None]:
    """The server does not know the pipeline's password any more, until it gets it back."""
    stage = scene.stage
    password = stage.ready.services.git.password.get_secret_value()
    try:
        _set_password(stage, secrets.token_urlsafe(24), until=httpx.codes.UNAUTHORIZED)
        yield
    finally:
        _set_password(stage, password, until=httpx.codes.OK)


def _set_password(stage: Stage, password: str, *, until: int) -> None:
    kube, git = stage.ready.kube, stage.ready.services.git
    data = {f"writer.{USERNAME}": base64.b64encode(password.encode()).decode()}
    kube.core.patch_namespaced_secret("git-users", SERVICES_NAMESPACE, {"data": data})
    # The kubelet looks at a Secret again when it looks at its pod: a change of the pod makes it look now.
    (pod,) = pods_of(stage, _GIT)
    annotation = {"metadata": {"annotations": {"harness.faults/look": secrets.token_hex(4)}}}
    kube.core.patch_namespaced_pod(pod["metadata"]["name"], SERVICES_NAMESPACE, annotation)
    context = ssl.create_default_context(cafile=str(git.ca_file))
    credentials = (git.username, git.password.get_secret_value())
    stage.wait(
        "the Git server to know another password",
        lambda: (
            httpx.get(
                f"{git.outside}/info/refs",
                params={"service": "git-upload-pack"},
                auth=credentials,
                verify=context,
                timeout=5,
                trust_env=False,
            ).status_code
        ),
        ready=lambda status: status == until,
    )


@contextmanager
def rival_commit(scene: Scene) -> Iterator[None]:
    """Somebody else pushes another file between this run's clone and its push."""
    scene.stage.prover.push_change({f"RIVAL-{scene.run_id}.md": "Somebody was faster.\n"})
    yield


@contextmanager
def rival_version(scene: Scene) -> Iterator[None]:
    """Somebody else versions the same data first: object and pointer, as they should be."""
    stage = scene.stage
    look = stage.reader.look()
    table = look.table or b""
    version = table + table.rstrip(b"\n").rpartition(b"\n")[2] + b"\n"
    md5 = hashlib.md5(version, usedforsecurity=False).hexdigest()
    services = stage.ready.services
    key = f"{stage.reader.prefix}/files/md5/{md5[:2]}/{md5[2:]}"
    s3.connect(services.s3).put_object(Bucket=services.s3.bucket, Key=key, Body=version)
    name = Path(stage.reader.tracked_file).name
    pointer = f"outs:\n- md5: {md5}\n  size: {len(version)}\n  hash: md5\n  path: {name}\n"
    stage.prover.push_change({f"{stage.reader.tracked_file}.dvc": pointer})
    scene.rival_rows = 1
    yield


@contextmanager
def second_run(scene: Scene) -> Iterator[None]:
    """Another run of the DAG, asked for while this one is at work."""
    with scene.beside(scene.stage.dag_id):
        yield


@contextmanager
def racing_run(scene: Scene) -> Iterator[None]:
    """The same pipeline as another DAG, as on another Airflow: it comes and goes while this one is about to push."""
    with scene.beside(f"{scene.stage.dag_id}_beside") as ended:
        assert ended() == "success"
        yield


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    """Not one more byte goes onto the volume, until somebody makes room."""
    inside, volume = scene.stage.node.inside, scene.stage.gates.volume
    inside("sh", "-euc", 'fallocate -l "$(( $(stat -f -c "%a * %S" "$1") ))" "$1/ballast"', "fill", volume)
    try:
        yield
    finally:
        inside("rm", f"{volume}/ballast")


@contextmanager
def small_volume(stage: Stage) -> Iterator[None]:
    """The shared volume as a disk of its own size, empty, over the folder that it is otherwise."""
    inside, volume = stage.node.inside, stage.gates.volume
    inside("mount", "-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs", volume)
    try:
        yield
    finally:
        inside("umount", "--lazy", volume)


@contextmanager
def node_restarted(scene: Scene) -> Iterator[None]:
    """The machine goes down without a word and comes up again.

    What LocalStack holds is in its memory; on AWS the store is no part of the machine. So its objects, and nothing
    else, are carried over by us.
    """
    stage = scene.stage
    parts = (*_SERVICE_PARTS, API_SERVER, SCHEDULER, DAG_PROCESSOR)
    before = {part: _restarts(stage, part) for part in parts}
    service = stage.ready.services.s3
    client = s3.connect(service)
    store = {
        entry["Key"]: client.get_object(Bucket=service.bucket, Key=entry["Key"])["Body"].read()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=service.bucket)
        for entry in page.get("Contents", ())
    }
    stage.node.docker("restart")
    yield
    stage.wait("the API server to know again who may do what", partial(_authorised, stage), ready=bool)
    for part in parts:
        stage.wait(
            f"{part[2]} to be started again",
            partial(_restarts, stage, part),
            ready=before[part].__lt__,
        )
    everything_ready(stage)
    s3.prove(service, waiter=stage.waiter)
    for key, body in store.items():
        s3.connect(service).put_object(Bucket=service.bucket, Key=key, Body=body)


def _authorised(stage: Stage) -> bool:
    """An API server that has just started refuses everybody until it has read its roles."""
    try:
        stage.ready.kube.list("Pod", AIRFLOW_NAMESPACE)
    except KubeApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return False
        raise
    return True


def _restarts(stage: Stage, part: Part) -> int:
    return max((restarts(pod, part[2]) for pod in pods_of(stage, part)), default=0)
