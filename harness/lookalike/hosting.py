"""The files of one hosted look-alike: below its cluster's folder, what its process is told and what it tells.

::

    <cluster>/lookalike/
        gateway.json     what the process serves (0600: it holds the store's key)
        serving.json     where it serves, once it does
        keys.json        the keys that it has made, by user (0600)
        attached.json    how to get into the cluster, once it is there
        calls.jsonl      the recorded calls
        faults.json      failures to come, if somebody writes it (`faults.py`)
        gateway.log      what it says
        env              the environment in which AWS's SDKs, and the harness, talk to it
        api-server/      mounted into the node: where the API server has tokens reviewed
        node/            mounted into the node: the keys of the node's role
        registry/        mounted into the node: where it pulls from, and its login
        layers/          what was pushed to the registry
        aws/             AWS's two configuration files, for the runner and the administrator (0600)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import EnvironmentFailed

# Users of the account, by the names of their profiles.
ADMINISTRATOR: Final = "administrator"
RUNNER: Final = "runner"
NODE: Final = "node"


@dataclass(frozen=True, slots=True)
class Store:
    """What holds the objects of S3, and the key that only the witness has.

    Attributes:
        url: Where it answers.
        access_key: The key.
        secret_key: Its secret.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a process serves.

    Attributes:
        address: This machine's, in the cluster's own network: nothing else is listened on.
        account: Twelve digits.
        region: The region.
        cluster: Name of the cluster.
        version: Its Kubernetes minor.
        tags: Of the cluster.
        addons: Version by name of the cluster's add-ons.
        users: Identity policy by name of a user.
        store: What holds the objects.
    """

    address: str
    account: str
    region: str
    cluster: str
    version: str
    tags: Mapping[str, str]
    addons: Mapping[str, str]
    users: Mapping[str, Mapping[str, Any]]
    store: Store

    @classmethod
    def read(cls, folder: Folder) -> Hosted:
        """What a folder's process is told.

        Raises:
            EnvironmentFailed: The file is missing or damaged.
        """
        found = folder.load(folder.configuration)
        try:
            return cls(**{**found, "store": Store(**found["store"])})
        except (TypeError, KeyError) as error:
            raise _damaged(folder.configuration, error) from None


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a process serves.

    Attributes:
        pid: The process.
        control: URL for EKS, EKS Auth, IAM and ECR; and all others.
        data: URL for STS and S3: all that pods may reach.
        webhooks: URL of the token webhook and the injector.
        registry: Host that names of images in the registry begin with: on this machine's loopback, which container
            engines take without a certificate that they know.
        nodes_registry: URL of the same registry in the cluster's own network.
    """

    pid: int
    control: str
    data: str
    webhooks: str
    registry: str = ""
    nodes_registry: str = ""

    @property
    def endpoints(self) -> dict[str, str]:
        """The environment in which AWS's SDKs talk to it ("Service-specific endpoints" in the AWS SDKs guide)."""
        control = {f"AWS_ENDPOINT_URL_{name}": self.control for name in ("EKS", "EKS_AUTH", "IAM", "ECR")}
        return control | {f"AWS_ENDPOINT_URL_{name}": self.data for name in ("STS", "S3")}


@dataclass(frozen=True, slots=True)
class Keys:
    """Long-term keys of a user.

    Attributes:
        arn: The user.
        access_key_id: AKIA...
        secret_access_key: What signs.
    """

    arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attached:
    """How to get into the cluster, and what EKS says of it.

    Attributes:
        kubeconfig: File with the context, of an administrator of the cluster.
        context: Name of the context.
        endpoint: URL of the API server.
        authority: PEM certificate that signed the API server's.
    """

    kubeconfig: str
    context: str
    endpoint: str
    authority: str


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one look-alike; everything in it goes with the cluster."""

    path: Path

    @classmethod
    def of_cluster(cls, folder: Path) -> Folder:
        """That of the cluster with this folder."""
        return cls(folder / "lookalike")

    @property
    def configuration(self) -> Path:
        """What the process is told."""
        return self.path / "gateway.json"

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.path / "gateway.log"

    @property
    def calls(self) -> Path:
        """The recorded calls."""
        return self.path / "calls.jsonl"

    @property
    def faults(self) -> Path:
        """Failures to come, for tests."""
        return self.path / "faults.json"

    @property
    def environment(self) -> Path:
        """To be sourced by a shell."""
        return self.path / "env"

    def below(self, name: str) -> Path:
        """A folder in it, made if it is not there, for the owner only."""
        found = self.path / name
        found.mkdir(parents=True, exist_ok=True, mode=0o700)
        return found

    def host(self, hosted: Hosted) -> None:
        """Say what the process is to serve."""
        write_private(self.configuration, json.dumps(asdict(hosted), indent=1))

    def tell(self, serving: Serving) -> None:
        """Say where it serves: the process's own word, its last before it does."""
        write_private(self.path / "serving.json", json.dumps(asdict(serving)))

    def serving(self) -> Serving | None:
        """Where it serves, or has served; None if it has never come so far.

        Raises:
            EnvironmentFailed: The file is damaged.
        """
        path = self.path / "serving.json"
        return Serving(**self.load(path)) if path.exists() else None

    def keep(self, keys: Mapping[str, Keys]) -> None:
        """Keep the users' keys."""
        write_private(self.path / "keys.json", json.dumps({name: asdict(one) for name, one in keys.items()}))

    def keys(self) -> dict[str, Keys]:
        """The users' keys.

        Raises:
            EnvironmentFailed: There are none yet, or the file is damaged.
        """
        return {name: Keys(**one) for name, one in self.load(self.path / "keys.json").items()}

    def attach(self, attached: Attached) -> None:
        """Say that the cluster is there, and how to get in."""
        write_private(self.path / "attached.json", json.dumps(asdict(attached)))

    def attached(self) -> Attached | None:
        """How to get into the cluster; None while it is not there.

        Raises:
            EnvironmentFailed: The file is damaged.
        """
        path = self.path / "attached.json"
        return Attached(**self.load(path)) if path.exists() else None

    @staticmethod
    def load(path: Path) -> dict[str, Any]:
        """A file of the folder.

        Raises:
            EnvironmentFailed: It is missing or damaged.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None
        if not isinstance(found, dict):
            raise _damaged(path, TypeError("no object"))
        return found


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner only; whole, or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(path)


def _damaged(path: Path, error: Exception) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{path} is missing or damaged",
        evidence={"why": f"{type(error).__name__}: {error}"},
        next_step="harness eks-lookalike down, then up: the account begins anew",
    )
