"""The look-alike's Pod Identity agent for a replay: in this process, on loopback, asked as a pod asks it."""

from __future__ import annotations

import base64
import http.client
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from harness.lookalike.account import Plan
from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.eks_auth import Reviewed
from harness.lookalike.hosting import write_private
from harness.lookalike.node.pod_identity_agent import Configuration, serve
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT

_CLUSTER: Final = "of-the-agent"
_ROLE: Final = "of-the-agent"
_SECONDS: Final = 10


class _Pods:
    """A cluster that knows one pod's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def review(self, token: str, audience: str) -> Reviewed:
        """Whether it is that one."""
        del audience
        return Reviewed(
            authenticated=token == self._token,
            username=f"system:serviceaccount:{AIRFLOW_NAMESPACE}:{DVC_SERVICE_ACCOUNT}",
            extra={
                "authentication.kubernetes.io/pod-name": ["probe"],
                "authentication.kubernetes.io/pod-uid": ["00000000-0000-4000-8000-000000000000"],
            },
        )


def _token() -> str:
    """In the form of a service account's, of an hour; who it is of is the cluster's to say."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
    middle = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{middle}.c2lnbmF0dXJl"


@dataclass(frozen=True, slots=True)
class StagedAgent:
    """An agent that answers.

    Attributes:
        address: Host and port.
        token: Of a pod whose service account has an association.
    """

    address: str
    token: str

    def asked(self, way: str) -> tuple[int, str, list[str]]:
        """What it answers: status, content type, and the members of an answer that is JSON.

        Args:
            way: As `harness/services/probe/probe.py` names how it asks.
        """
        given = {"own": self.token, "none": None, "garbage": "garbage", "bearer": f"Bearer {self.token}"}[way]
        connection = http.client.HTTPConnection(self.address, timeout=_SECONDS)
        try:
            connection.request("GET", "/v1/credentials", headers={} if given is None else {"Authorization": given})
            response = connection.getresponse()
            body, kind = response.read(), response.getheader("Content-Type", "")
        finally:
            connection.close()
        return response.status, kind, sorted(json.loads(body)) if kind.startswith("application/json") else []


@contextmanager
def agent_of(cloud: Cloud, url: str, iam: Any, eks: Any) -> Iterator[StagedAgent]:
    """An agent of a cluster of its own, with an association, while the block runs.

    Args:
        cloud: The look-alike's account.
        url: Where it answers.
        iam: A client of it that may do everything.
        eks: Likewise.
    """
    token = _token()
    cloud.eks.add_cluster(Cluster(_CLUSTER, "https://127.0.0.1:6443", "PEM", cloud.account.moment()))
    cloud.reviewers[_CLUSTER] = _Pods(token)
    trust = json.dumps(Plan(_CLUSTER).document("dvc-trust"))
    role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    eks.create_pod_identity_association(
        clusterName=_CLUSTER, namespace=AIRFLOW_NAMESPACE, serviceAccount=DVC_SERVICE_ACCOUNT, roleArn=role
    )
    node = cloud.user(_CLUSTER, ADMINISTRATOR)
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "node.json"
        write_private(keys, json.dumps({"AccessKeyId": node.access_key_id, "SecretAccessKey": node.secret_access_key}))
        server = serve(
            Configuration(
                cluster=_CLUSTER,
                region=cloud.account.region,
                endpoint=url,
                credentials=str(keys),
                listen="127.0.0.1:0",
                hosts=("127.0.0.1",),
            )
        )
        thread = threading.Thread(target=server.serve_forever, name="agent", daemon=True)
        thread.start()
        try:
            yield StagedAgent(f"127.0.0.1:{server.server_port}", token)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
