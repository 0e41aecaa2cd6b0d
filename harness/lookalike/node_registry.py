"""How the look-alike's node pulls from its registry without pull secrets, as EKS's nodes do from ECR.

The kubelet asks a credential provider, configured by kubeadm; containerd finds the registry at its address in the
cluster's network. All of it is one folder that the node sees::

    registry/
        bin/ecr-credential-provider    the provider
        credential-provider.yaml       which images the kubelet asks it about
        login.json                     what it answers; renewed by the look-alike's process
        certs.d/<host>/hosts.toml      where containerd finds that host
        ca.crt                         who signed the registry's certificate
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.errors import EnvironmentFailed
from harness.lookalike.account import client
from harness.lookalike.hosting import Folder, Keys, Serving, write_private

IN_NODE: Final = "/kind/lookalike/registry"
_PROVIDER: Final = "ecr-credential-provider"
_CONFIGURATION: Final = "credential-provider.yaml"
_LOGIN: Final = "login.json"
_MANIFESTS: Final = Path(__file__).parent / "manifests"
# A login lives twelve hours, a new one may be had at any time.
_RENEWED_AFTER: Final = 3600.0


def write_files(folder: Folder, serving: Serving, authority: str) -> Path:
    """What the node sees, but for the login; the folder that is to be mounted.

    Args:
        folder: Of the look-alike.
        serving: Where it serves.
        authority: PEM certificate that signed its own.
    """
    mounted = folder.below("registry")
    programs = folder.below("registry/bin")
    shutil.copy(Path(__file__).parent / "node" / _PROVIDER, programs / _PROVIDER)
    (programs / _PROVIDER).chmod(0o755)
    (mounted / "ca.crt").write_text(authority, encoding="utf-8")
    found = _render("hosts.toml.j2", url=serving.nodes_registry, authority=f"{IN_NODE}/ca.crt")
    (folder.below(f"registry/certs.d/{serving.registry}") / "hosts.toml").write_text(found, encoding="utf-8")
    asked = _render(f"{_CONFIGURATION}.j2", registry=serving.registry)
    (mounted / _CONFIGURATION).write_text(asked, encoding="utf-8")
    return mounted


def kubeadm_patch() -> str:
    """Has the kubelet ask the provider."""
    arguments = {
        "image-credential-provider-config": f"{IN_NODE}/{_CONFIGURATION}",
        "image-credential-provider-bin-dir": f"{IN_NODE}/bin",
    }
    # As a map: see `harness.lookalike.fittings.kubeadm_patch`.
    registration = {"kubeletExtraArgs": arguments}
    return yaml.safe_dump({"kind": "InitConfiguration", "nodeRegistration": registration}, sort_keys=False)


def containerd_patch() -> str:
    """Has containerd look up where a registry is."""
    return f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{IN_NODE}/certs.d"\n'


class NodeLogin:
    """The node's login to the registry, asked for as the node's role and kept fresh inside `with`."""

    def __init__(self, folder: Folder, serving: Serving, keys: Keys, region: str) -> None:
        self._path = folder.below("registry") / _LOGIN
        self._asked = (keys, serving, region)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="node login", daemon=True)

    def __enter__(self) -> Self:
        """Ask for the first.

        Raises:
            EnvironmentFailed: It is refused.
        """
        self.renew()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def renew(self) -> None:
        """Ask for a new one.

        Raises:
            EnvironmentFailed: It is refused.
        """
        keys, serving, region = self._asked
        ecr = client("ecr", keys, serving, region)
        try:
            data: dict[str, Any] = ecr.get_authorization_token()["authorizationData"][0]
        except (ClientError, BotoCoreError) as error:
            raise EnvironmentFailed("the node gets no login to the registry", evidence={"why": str(error)}) from error
        finally:
            ecr.close()
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        answer = {
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Registry",
            "auth": {serving.registry: {"username": user, "password": password}},
        }
        write_private(self._path, json.dumps(answer))

    def _go_on(self) -> None:
        while not self._ending.wait(_RENEWED_AFTER):
            try:
                self.renew()
            except EnvironmentFailed as error:
                sys.stderr.write(f"{error}\n")  # the one that it has is good for some hours more


def _render(name: str, **values: object) -> str:
    templates = Environment(loader=FileSystemLoader(_MANIFESTS), undefined=StrictUndefined)  # noqa: S701 - YAML and TOML, not HTML; every string goes through `tojson`
    return templates.get_template(name).render(**values) + "\n"
