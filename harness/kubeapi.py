"""The one way to talk to a Kubernetes API server: its objects (`kubeobjects.py`), and what goes on in its pods.

That is a workload's roll-out, a container's log, and a program run in a container.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from kubernetes import client, stream

from harness import portstream, rollout
from harness.errors import CommandFailed, CommandTimeout
from harness.kubeclient import KubeApiError, KubeUnavailable, LogStream, drop
from harness.kubeobjects import JsonObject, KubeObjects
from harness.portstream import PortStream
from harness.wait import Waiter

__all__ = ["JsonObject", "KubeApi", "KubeApiError", "KubeUnavailable", "LogStream", "PortStream"]


class KubeApi(KubeObjects):
    """One cluster, by kubeconfig file and context name. Safe to share between threads; close it when done."""

    def wait_rollout(self, kind: str, name: str, namespace: str, waiter: Waiter, *, timeout: float = 300.0) -> None:
        """Wait until a workload runs as it was last applied; ends at once on a pod state that cannot heal.

        Args:
            kind: Deployment, StatefulSet, DaemonSet or Job (which must succeed).
            name: Of the workload.
            namespace: Where it is; it need not exist yet.
            waiter: How patient to be.
            timeout: Seconds, before the waiter's patience is applied.

        Raises:
            WaitFailed: A pod of the newest revision is in a fatal state, or the Job failed.
            WaitTimeout: Time is up; carries the last state.
        """

        def probe() -> rollout.Rollout:
            workload = self.get(kind, name, namespace)
            if workload is None:
                return rollout.Rollout(complete=False, description="does not exist yet")
            selector = rollout.selector(workload)
            pods = self.list("Pod", namespace, labels=selector) if selector else []
            sets = self.list("ReplicaSet", namespace, labels=selector) if kind == "Deployment" and selector else []
            return rollout.judge(workload, pods=pods, replica_sets=sets, now=datetime.now(UTC))

        waiter.until(
            f"{kind} {namespace}/{name}",
            probe,
            ready=lambda state: state.complete,
            failed=lambda state: state.fault,
            describe=lambda state: state.description,
            timeout=timeout,
            transient=(KubeUnavailable,),
            next_step=f"see the pods and events of namespace {namespace}",
        )

    def exec(self, pod: str, container: str, argv: Sequence[str], *, namespace: str, timeout: float = 30.0) -> str:
        """Run a program in a running container; its standard output.

        Args:
            pod: Pod name.
            container: Container name.
            argv: Program and arguments; no shell, no secrets.
            namespace: Of the pod.
            timeout: Seconds until it must have ended.

        Raises:
            CommandFailed: Exit code other than 0.
            CommandTimeout: It did not end in time; it may still run in the container.
            KubeApiError: There is no such container, or it does not run.
        """
        shown = ("exec", f"{namespace}/{pod}", container, *argv)
        # A client of its own: `stream` swaps a method of the client while it connects (kubernetes 37.0.1,
        # stream/stream.py), which must not hit other threads.
        with client.ApiClient(self._configuration) as own:

            def connect() -> Any:
                return stream.stream(
                    client.CoreV1Api(own).connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    command=list(argv),
                    container=container,
                    stderr=True,
                    stdin=False,
                    stdout=True,
                    tty=False,
                    _preload_content=False,
                )

            session = self._call(" ".join(shown), connect)
            try:
                session.run_forever(timeout=timeout)
                out, err = str(session.read_channel(1)), str(session.read_channel(2))
                if session.is_open():
                    raise CommandTimeout(argv=shown, seconds=timeout, output=err or out)
                code = int(session.returncode)
            finally:
                drop(session)
        if code != 0:
            raise CommandFailed(argv=shown, code=code, stdout=out, stderr=err)
        return out

    def open_port(self, pod: str, port: int, *, namespace: str) -> PortStream:
        """Connect to a port of a pod.

        Args:
            pod: Pod name.
            port: Of one of its containers.
            namespace: Of the pod.

        Raises:
            KubeApiError: There is no such pod, or it may not be reached.
            KubeUnavailable: The server or the kubelet did not answer.
        """
        # A client of its own, as in `exec`.
        with client.ApiClient(self._configuration) as own:

            def open_session() -> Any:
                return stream.stream(
                    client.CoreV1Api(own).connect_get_namespaced_pod_portforward,
                    pod,
                    namespace,
                    ports=str(port),
                    _preload_content=False,
                )

            return self._call(f"port {port} of {namespace}/{pod}", lambda: portstream.connect(open_session, port))

    def pod_logs(
        self,
        pod: str,
        container: str | None = None,
        *,
        namespace: str,
        previous: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
    ) -> str:
        """A container's log so far.

        Args:
            pod: Pod name.
            container: Container name; may be None where the pod has only one.
            namespace: Of the pod.
            previous: Of the container's previous instance.
            tail_lines: Only the last ones.
            timestamps: Put the kubelet's RFC 3339 time before each line.

        Raises:
            KubeApiError: There is no such log (yet).
            KubeUnavailable: The server or the kubelet did not answer.
        """

        def ask() -> Any:
            with self._log_response(pod, container, namespace, previous=previous or None, tail_lines=tail_lines,
                                    timestamps=timestamps or None) as response:  # fmt: skip
                return response.data

        return bytes(self._call(f"log of {namespace}/{pod}", ask)).decode("utf-8", errors="replace")

    def node_log(self, node: str, path: str) -> str:
        """What a node has below /var/log, as its kubelet gives it out: a file, or a folder's names in HTML.

        Args:
            node: Of that name.
            path: Below /var/log; a folder ends in a slash.

        Raises:
            KubeApiError: There is nothing of that name, or this user may not ask nodes.
            KubeUnavailable: The server or the kubelet did not answer.
        """
        address = f"/api/v1/nodes/{quote(node)}/proxy/logs/{quote(path)}"
        ask = partial(self._resources().request, "get", address, serialize=False)
        return bytes(self._call(f"GET {address}", ask).data).decode("utf-8", errors="replace")

    def follow_logs(self, pod: str, container: str, *, namespace: str, read_timeout: float = 300.0) -> LogStream:
        """A container's log from its start, as it is written.

        Args:
            pod: Pod name.
            container: Container name.
            namespace: Of the pod.
            read_timeout: Seconds of silence after which the stream breaks off.

        Raises:
            KubeApiError: There is no such log (yet).
            KubeUnavailable: The server or the kubelet did not answer.
        """
        limits = (self._timeout, read_timeout)
        return LogStream(
            self._call(
                f"log of {namespace}/{pod}",
                lambda: self._log_response(pod, container, namespace, follow=True, _request_timeout=limits),
            )
        )

    def _log_response(self, pod: str, container: str | None, namespace: str, **options: Any) -> Any:
        return self.core.read_namespaced_pod_log(pod, namespace, container=container, _preload_content=False, **options)
