"""The objects of one cluster, read and written: one kubeconfig file, one context by name, never the ambient one.

A thin, typed face over the official Python client. Objects are plain JSON (`dict`, camelCase keys), because the
generated models are strict and change with every release; the generated API groups are there for what is not
covered (`core`, `apps`, `batch`). Every request has a timeout; every failure is an error of `harness.errors`.
"""

from __future__ import annotations

import builtins
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import urllib3
from kubernetes import client, dynamic
from kubernetes.dynamic.exceptions import ResourceNotFoundError, ResourceNotUniqueError

from harness.errors import EnvironmentFailed
from harness.kubeclient import BoundedClient, KubeApiError, KubeUnavailable, LogStream, configuration, refused

JsonObject = dict[str, Any]
Result = TypeVar("Result")

FIELD_MANAGER: Final = "harness"
REQUEST_TIMEOUT: Final = 20.0
_API_VERSIONS: Final[Mapping[str, str]] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
}
_NOT_FOUND = 404


class KubeObjects:
    """One cluster, by kubeconfig file and context name. Safe to share between threads; close it when done.

    Attributes:
        core: Generated client of the core group; its calls return models and raise the client's own exceptions.
        apps: Likewise, group apps.
        batch: Likewise, group batch.
        host: Address of the API server.
    """

    def __init__(self, kubeconfig: Path, context: str, *, timeout: float = REQUEST_TIMEOUT) -> None:
        """Open; makes no request.

        Args:
            kubeconfig: File with the context. `KUBECONFIG` and `~/.kube/config` are never read.
            context: Name of the context in that file; the file's current context does not matter.
            timeout: Seconds for each request.

        Raises:
            EnvironmentFailed: The file cannot be read or has no such context.
        """
        self._configuration = configuration(kubeconfig, context)
        self._context = context
        self._timeout = timeout
        self._folder = kubeconfig.parent
        self._client: Any = BoundedClient(self._configuration, timeout)
        self._dynamic: Any = None
        self.host: str = self._configuration.host
        self.core: Any = client.CoreV1Api(self._client)
        self.apps: Any = client.AppsV1Api(self._client)
        self.batch: Any = client.BatchV1Api(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def version(self) -> str:
        """What the API server calls itself, such as `v1.34.4`.

        Raises:
            KubeUnavailable: It does not answer.
        """
        return str(self.raw("GET", "/version")["gitVersion"])

    def raw(self, method: str, path: str) -> JsonObject:
        """Any request without a body, by path; the answer as JSON.

        Raises:
            KubeApiError: The server refused it.
            KubeUnavailable: It did not answer, or not now.
        """
        what = f"{method} {path}"
        return self._call(what, lambda: self._resources().request(method.lower(), path, serializer=_plain))

    def get(self, kind: str, name: str, namespace: str | None = None, *, api_version: str = "") -> JsonObject | None:
        """One object, or None where there is none of that name.

        Raises:
            KubeApiError: The server refused the request.
            KubeUnavailable: It did not answer, or not now.
        """

        def ask() -> JsonObject:
            return self._resource(kind, api_version).get(name=name, namespace=namespace, serializer=_plain)  # type: ignore[no-any-return]

        try:
            return self._call(f"get {kind} {name}", ask)
        except KubeApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def list(
        self, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = "", api_version: str = ""
    ) -> builtins.list[JsonObject]:
        """All objects of a kind that match the selectors, in one namespace or (None) in all.

        Raises:
            KubeApiError: The server refused the request.
            KubeUnavailable: It did not answer, or not now.
        """

        def ask() -> JsonObject:
            return self._resource(kind, api_version).get(  # type: ignore[no-any-return]
                namespace=namespace, label_selector=labels or None, field_selector=fields or None, serializer=_plain
            )

        return list(self._call(f"list {kind}", ask).get("items") or [])

    def create(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> JsonObject:
        """Create one object, or ask a question that is put as one (TokenReview, SubjectAccessReview).

        A dry run goes through admission and makes nothing.

        Returns:
            The object as the server answers it.

        Raises:
            KubeApiError: The server refused it; status 409 where there is one of that name.
            KubeUnavailable: It did not answer, or not now.
        """
        kind = str(manifest["kind"])

        def ask() -> JsonObject:
            resource = self._resource(kind, str(manifest.get("apiVersion") or ""))
            namespace = (manifest.get("metadata") or {}).get("namespace")
            dry = {"dry_run": "All"} if dry_run else {}
            return resource.create(body=dict(manifest), namespace=namespace, serializer=_plain, **dry)  # type: ignore[no-any-return]

        return self._call(f"create {kind}", ask)

    def apply(
        self, manifests: Iterable[Mapping[str, Any]], *, manager: str = FIELD_MANAGER
    ) -> builtins.list[JsonObject]:
        """Server-side apply, in the given order, taking over conflicting fields.

        Args:
            manifests: Objects as in YAML files; empty documents are passed over.
            manager: Field manager: what it applied before and not now is taken away, what others set is not.

        Returns:
            The objects as the server holds them now.

        Raises:
            KubeApiError: The server refused one; the message names it.
            KubeUnavailable: It did not answer, or not now.
        """
        return [self._apply(manifest, manager) for manifest in manifests if manifest]

    def _apply(self, manifest: Mapping[str, Any], manager: str) -> JsonObject:
        kind = str(manifest.get("kind") or "")
        metadata = manifest.get("metadata") or {}
        name = str(metadata.get("name") or "")
        if not kind or not name:
            raise EnvironmentFailed("a manifest has no kind or no name", evidence={"its keys": ", ".join(manifest)})

        def ask() -> JsonObject:
            resource = self._resource(kind, str(manifest.get("apiVersion") or ""))
            return self._resources().server_side_apply(  # type: ignore[no-any-return]
                resource,
                body=dict(manifest),
                name=name,
                namespace=_namespace_for(resource, metadata),
                field_manager=manager,
                force_conflicts=True,
                serializer=_plain,
            )

        return self._call(f"apply {kind} {name}", ask)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, api_version: str = "") -> bool:
        """Delete one object with what it owns, in the background; False if there was none.

        Raises:
            KubeApiError: The server refused it.
            KubeUnavailable: It did not answer, or not now.
        """

        def ask() -> JsonObject:
            return self._resource(kind, api_version).delete(  # type: ignore[no-any-return]
                name=name, namespace=namespace, propagation_policy="Background", serializer=_plain
            )

        try:
            self._call(f"delete {kind} {name}", ask)
        except KubeApiError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    def watch(self, kind: str, namespace: str, *, labels: str, resource_version: str, seconds: int) -> LogStream:
        """Open one watch; each line of the stream is one event (`{"type": ..., "object": ...}`) in JSON.

        Args:
            kind: Of the objects, in the core group.
            namespace: Where.
            labels: Label selector.
            resource_version: Where to begin, from `list_with_version` or an earlier event.
            seconds: After which the server ends the watch.

        Raises:
            KubeApiError: The server refused it; status 410 when the version is too old.
            KubeUnavailable: It did not answer, or not now.
        """

        def ask() -> Any:
            return self._resource(kind, "").get(
                namespace=namespace,
                label_selector=labels,
                resource_version=resource_version,
                watch=True,
                allow_watch_bookmarks=True,
                timeout_seconds=seconds,
                serialize=False,
                _request_timeout=(self._timeout, seconds + self._timeout),
            )

        return LogStream(self._call(f"watch {kind}", ask))

    def list_with_version(self, kind: str, namespace: str, *, labels: str) -> tuple[builtins.list[JsonObject], str]:
        """The objects of a kind, and the version of the list to begin a watch at; errors as `list`."""

        def ask() -> JsonObject:
            return self._resource(kind, "").get(namespace=namespace, label_selector=labels, serializer=_plain)  # type: ignore[no-any-return]

        answer = self._call(f"list {kind}", ask)
        return list(answer.get("items") or []), str(answer["metadata"]["resourceVersion"])

    def _resources(self) -> Any:
        if self._dynamic is None:
            # Discovery keeps a file in the system's folder for temporary files, keyed by address alone: another
            # cluster's, if a port comes round again. Ours lives as long as the discovery itself, and with the cluster's
            # other files, where also that of a killed run is found.
            discover: Any = dynamic.DynamicClient  # carries no types
            with tempfile.TemporaryDirectory(prefix="discovery-", dir=self._folder) as folder:
                self._dynamic = discover(self._client, cache_file=str(Path(folder) / "cache.json"))
        return self._dynamic

    def _resource(self, kind: str, api_version: str) -> Any:
        wanted = api_version or _API_VERSIONS.get(kind, "v1")
        return self._resources().resources.get(api_version=wanted, kind=kind)

    def _call(self, what: str, ask: Callable[[], Result]) -> Result:
        try:
            return ask()
        except client.ApiException as error:
            raise refused(what, error, context=self._context) from error
        except (ResourceNotFoundError, ResourceNotUniqueError) as error:
            raise KubeApiError(
                f"{what}: the cluster knows no such kind",
                status=_NOT_FOUND,
                next_step="see the apiVersion; a kind of your own needs its definition applied first",
            ) from error
        except (urllib3.exceptions.HTTPError, OSError, json.JSONDecodeError) as error:
            raise KubeUnavailable(
                f"{what}: the API server at {self.host} does not answer: {error}",
                status=0,
                next_step="see that the cluster runs and that nothing else has taken its port",
            ) from error


def _namespace_for(resource: Any, metadata: Mapping[str, Any]) -> str | None:
    if not resource.namespaced:
        return None
    return str(metadata.get("namespace") or "default")


def _plain(_client: Any, data: JsonObject) -> JsonObject:
    return data
