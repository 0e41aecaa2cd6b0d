"""Puts the services into a cluster: secrets first, then the adapter, Git, Postgres and S3 side by side.

Where the object store or the Git server is outside of the cluster, there is none to put there, and no key of the
former either.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets as random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import SecretStr

from harness import awstap
from harness.assets import package_path
from harness.kubeapi import JsonObject, KubeApi, KubeUnavailable
from harness.model import Cluster, GitService, ImageName, S3Service, Services
from harness.names import (
    AIRFLOW_NAMESPACE,
    DVC_SERVICE_ACCOUNT,
    GIT_CREDENTIALS_SECRET,
    GIT_REPOSITORY,
    GIT_URL,
    NODE_PORTS,
    POSTGRES_HOST,
    S3_URL,
    SERVICES_NAMESPACE,
)
from harness.podstate import fatal_reason
from harness.services import git, s3
from harness.services.secrets import ClusterSecrets
from harness.settings import S3Backend
from harness.wait import Waiter

_GIT_CA = "harness-git-ca"
_ROLLOUT_SECONDS = 180.0
_PROBE_SECONDS = 90.0
# For the pod itself to be scheduled, started and seen.
_POD_SECONDS = 60.0


class ServicesDeployer:
    """Deploys the services of one cluster. Applying what is there already changes nothing."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        folder: Path,
        kube: KubeApi,
        secrets: ClusterSecrets,
        images: Mapping[ImageName, str],
        backend: S3Backend,
        waiter: Waiter,
        git_service: GitService | None = None,
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._kube = kube
        self._secrets = secrets
        self._images = images
        self._backend = backend
        self._waiter = waiter
        self._foreign_git = git_service
        self._templates = Environment(  # noqa: S701 - YAML, not HTML; every string goes through `tojson`
            loader=FileSystemLoader(package_path("services", "manifests")), undefined=StrictUndefined
        )

    def services(self) -> Services:
        """How the services are reached; they need not be up yet."""
        ca_file = self._folder / "ca.crt"
        ca_file.write_text(self._secrets.ca_certificate, encoding="utf-8")
        ports = self._cluster.ports
        own = GitService(
            inside=GIT_URL,
            outside=f"https://127.0.0.1:{ports['git']}/{GIT_REPOSITORY}",
            ca_file=ca_file,
            username=git.USERNAME,
            password=SecretStr(self._secrets.git_password),
            admin_password=SecretStr(self._secrets.git_admin_password),
        )
        return Services(git=self._foreign_git or own, s3=self._s3())

    def _s3(self) -> S3Service:
        if (bucket := self._cluster.bucket) is not None:
            return s3.outside(bucket)
        return S3Service(
            inside=S3_URL,
            outside=f"http://127.0.0.1:{self._cluster.ports['s3']}",
            bucket=f"dvc-{self._cluster.name}",
            region=s3.REGION,
            access_key=s3.ACCESS_KEY,
            secret_key=SecretStr(self._secrets.s3_secret_key),
            backend=s3.title(self._backend),
        )

    def apply(self, pipeline: Mapping[str, str]) -> None:
        """Hand everything to the API server; returns before anything runs.

        Args:
            pipeline: The pipeline's configuration, as its ConfigMap has it.

        Raises:
            EnvironmentFailed: The API server refused an object.
        """
        self._kube.apply(_documents((package_path("services", "manifests") / "namespaces.yaml").read_text()))
        self._kube.apply(self._secret_manifests())
        adapter = self._adapter_config()
        digest = hashlib.sha256(json.dumps(adapter, sort_keys=True).encode()).hexdigest()
        ca_bundle = base64.b64encode(self._secrets.ca_certificate.encode()).decode()
        self._kube.apply(
            [
                *self._git_server(),
                *self._render("postgres", image=self._image("postgres")),
                *self._object_store(),
                *self._render(
                    "adapter",
                    image=self._image("adapter"),
                    config=json.dumps(adapter),
                    digest=digest,
                    ca_bundle=ca_bundle,
                ),
                *self._render(
                    "pipeline",
                    pipeline=dict(pipeline),
                    ca_certificate=self._git_authorities,
                    storage_class=self._cluster.storage_class,
                    access=self._cluster.claim_access,
                ),
            ]
        )

    def _git_server(self) -> list[Mapping[str, Any]]:
        if self._foreign_git is not None:
            return []
        return self._render("git", image=self._image("git-server"), node_port=self._node_port("git"))

    @property
    def _git_authorities(self) -> str:
        """In PEM, for pods; empty where those of their images do."""
        if self._foreign_git is None:
            return self._secrets.ca_certificate
        return self._foreign_git.ca_file.read_text(encoding="ascii") if self._foreign_git.ca_file else ""

    def _object_store(self) -> list[Mapping[str, Any]]:
        if self._cluster.bucket is not None:
            return []
        if self._backend is S3Backend.LOCALSTACK:
            return self._render("s3-localstack", image=self._image("localstack"), node_port=self._node_port("s3"))
        return self._render("s3-strict", image=self._image("strict-s3"), node_port=self._node_port("s3"))

    def _node_port(self, service: str) -> int | None:
        """Where the node gives a service out; None where a forward leads to it, and nothing is opened on nodes."""
        return None if self._cluster.forwarded else NODE_PORTS[service]

    def wait(self, name: str) -> None:
        """Wait until one service's pod is ready: "adapter", "git", "postgres" or "s3".

        What is outside of the cluster has no pod, and is not waited for.

        Raises:
            WaitFailed: Its pod is in a state that cannot heal.
            WaitTimeout: It took too long.
        """
        if (name == "s3" and self._cluster.bucket is not None) or (name == "git" and self._foreign_git is not None):
            return
        self._kube.wait_rollout("Deployment", name, SERVICES_NAMESPACE, self._waiter, timeout=_ROLLOUT_SECONDS)

    def prove_from_a_pod(self, store: S3Service) -> str:
        """Prove Git, S3 and Postgres from a pod that is made like the DAG's: image, account, credentials, adapter.

        Returns:
            What each took, in the pod's words.

        Raises:
            WaitFailed: The pod failed, with its own words, or cannot come to run.
            WaitTimeout: It took too long.
        """
        name = f"harness-probe-{random.token_hex(4)}"
        # Only a cluster whose objects are outside of it has an agent that pods get their keys from.
        recorded = self._cluster.bucket is not None and not self._cluster.irsa and awstap.somebody_listens()
        program = package_path("services", "probe", "probe.py").read_text(encoding="utf-8")
        manifests = self._render(
            "probe",
            name=name,
            program=program,
            image=self._image("worker"),
            bucket=store.bucket,
            root=store.probes,
            postgres=f"{POSTGRES_HOST}:5432",
            seconds=round(_PROBE_SECONDS * self._waiter.patience),
            agent=recorded,
        )
        # A ready adapter is not yet one that the API server reaches: its service address comes up a little later.
        self._waiter.until(
            "the API server to reach the adapter",
            lambda: self._kube.apply(manifests),
            ready=bool,
            describe=lambda _objects: "reached",
            timeout=_ROLLOUT_SECONDS,
            transient=(KubeUnavailable,),
            next_step="harness logs adapter",
        )

        def failed(pod: JsonObject) -> str | None:
            if (pod.get("status") or {}).get("phase") == "Failed":
                said = self._kube.pod_logs(name, "probe", namespace=AIRFLOW_NAMESPACE).strip()
                return said.splitlines()[-1] if said else "the pod failed without a word"
            return fatal_reason(pod, now=datetime.now(UTC))

        try:
            self._waiter.until(
                "Git, S3 and Postgres from inside a pod",
                lambda: self._kube.get("Pod", name, AIRFLOW_NAMESPACE) or {},
                ready=lambda pod: (pod.get("status") or {}).get("phase") == "Succeeded",
                failed=failed,
                describe=lambda pod: f"pod {name} is {(pod.get('status') or {}).get('phase', 'not there')}",
                timeout=_PROBE_SECONDS + _POD_SECONDS,
                transient=(KubeUnavailable,),
                next_step=self._reach_advice(name),
            )
            said = self._kube.pod_logs(name, "probe", namespace=AIRFLOW_NAMESPACE).splitlines()
            for line in said:
                if recorded and line.startswith("{"):
                    awstap.tell_of_agent(line)
            return said[-1].removeprefix("round trip: ") if said else ""
        finally:
            self._kube.delete("Pod", name, AIRFLOW_NAMESPACE)

    def _reach_advice(self, pod: str) -> str:
        if self._foreign_git is None:
            return f"harness logs {pod}"
        # Own services stand beside the pods; what goes out to a foreign one somebody may deny.
        return f"where it is Git: see that pods reach {self._foreign_git.outside} (on a local cluster: egress_allow)"

    def _image(self, name: ImageName) -> str:
        """What a pod outside of the adapter's reach must call an image, for the node to have it."""
        reference = self._images[name]
        return self._cluster.mapped_images.get(reference, reference)

    def _adapter_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "ca_config_map": _GIT_CA if self._git_authorities else "",
            "pull_policy": "IfNotPresent",
        }
        if self._cluster.mapped_images:
            config["images"] = dict(self._cluster.mapped_images)
        if (bucket := self._cluster.bucket) is not None:
            # EKS gives pods region and keys; only what stands for AWS somewhere else has to be told.
            env = {"AWS_ENDPOINT_URL_S3": bucket.endpoint} if bucket.endpoint else {}
            env |= self._cluster.pod_environment
            return config | ({"env": env} if env else {})
        return config | {
            "env": {"AWS_ENDPOINT_URL_S3": S3_URL, "AWS_REGION": s3.REGION, "AWS_DEFAULT_REGION": s3.REGION},
            # Dummy keys of a store that lives and dies with the cluster, for the account that has an identity on AWS
            # and no other: a DAG that has lost its account must fail here as it would there. The probe has it, too.
            "identities": {
                DVC_SERVICE_ACCOUNT: {
                    "AWS_ACCESS_KEY_ID": s3.ACCESS_KEY,
                    "AWS_SECRET_ACCESS_KEY": self._secrets.s3_secret_key,
                }
            },
        }

    def _secret_manifests(self) -> Iterable[Mapping[str, Any]]:
        secrets = self._secrets
        credentials = {"USERNAME": git.USERNAME, "PASSWORD": secrets.git_password}
        if (foreign := self._foreign_git) is not None:
            credentials = {"USERNAME": foreign.username, "PASSWORD": foreign.password.get_secret_value()}
        else:
            yield from self._git_server_secrets()
        yield _secret(
            SERVICES_NAMESPACE,
            "adapter-tls",
            {"tls.crt": secrets.adapter_certificate, "tls.key": secrets.adapter_key},
        )
        yield _secret(SERVICES_NAMESPACE, "postgres", {"password": secrets.postgres_password})
        # The guide's secret, with its four keys: the old and the new names of git-sync.
        yield _secret(
            AIRFLOW_NAMESPACE,
            GIT_CREDENTIALS_SECRET,
            {f"{prefix}_{key}": value for prefix in ("GIT_SYNC", "GITSYNC") for key, value in credentials.items()},
        )
        connection = f"postgresql://airflow:{secrets.postgres_password}@{POSTGRES_HOST}:5432/airflow"
        yield _secret(AIRFLOW_NAMESPACE, "airflow-metadata", {"connection": connection})
        yield _secret(AIRFLOW_NAMESPACE, "airflow-fernet-key", {"fernet-key": secrets.fernet_key})
        yield _secret(AIRFLOW_NAMESPACE, "airflow-api-secret-key", {"api-secret-key": secrets.api_secret_key})
        yield _secret(AIRFLOW_NAMESPACE, "airflow-jwt-secret", {"jwt-secret": secrets.jwt_secret})
        yield _secret(AIRFLOW_NAMESPACE, "airflow-admin", {"password": secrets.airflow_password})

    def _git_server_secrets(self) -> Iterable[Mapping[str, Any]]:
        secrets = self._secrets
        yield _secret(SERVICES_NAMESPACE, "git-tls", {"tls.crt": secrets.git_certificate, "tls.key": secrets.git_key})
        users = {f"writer.{git.USERNAME}": secrets.git_password, f"admin.{git.ADMIN}": secrets.git_admin_password}
        yield _secret(SERVICES_NAMESPACE, "git-users", users)

    def _render(self, template: str, /, **values: object) -> list[Mapping[str, Any]]:
        return _documents(self._templates.get_template(f"{template}.yaml.j2").render(**values))


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> Mapping[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


def _documents(text: str) -> list[Mapping[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]
