"""The secrets of one cluster: generated when it is made, kept beside its kubeconfig with mode 0600, never printed."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import EnvironmentFailed
from harness.names import GIT_HOST
from harness.redaction import Redactor
from harness.services.pki import Authority

_FILE = "secrets.json"
_ADAPTER_HOST = "adapter.harness.svc"


@dataclass(frozen=True, slots=True, repr=False)
class ClusterSecrets:
    """Everything secret in a cluster; its `repr` shows none of it.

    Attributes:
        git_password: Of the Git user that Airflow and the DAG use.
        git_admin_password: Of `harness-admin`, who alone re-seeds.
        postgres_password: Of Airflow's database user.
        airflow_password: Of Airflow's administrator.
        fernet_key: Airflow's, url-safe base64 of 32 bytes.
        api_secret_key: Airflow's.
        jwt_secret: Airflow's.
        s3_secret_key: Of the dummy AWS user on a local cluster.
        ca_certificate: PEM; public, kept here because it belongs to the keys.
        git_certificate: PEM; likewise.
        git_key: PEM.
        adapter_certificate: PEM.
        adapter_key: PEM.
    """

    git_password: str
    git_admin_password: str
    postgres_password: str
    airflow_password: str
    fernet_key: str
    api_secret_key: str
    jwt_secret: str
    s3_secret_key: str
    ca_certificate: str
    git_certificate: str
    git_key: str
    adapter_certificate: str
    adapter_key: str

    @classmethod
    def generate(cls) -> ClusterSecrets:
        """New ones."""
        authority = Authority.create()
        git = authority.issue([GIT_HOST, "git.harness.svc", "localhost", "127.0.0.1"])
        adapter = authority.issue([_ADAPTER_HOST, f"{_ADAPTER_HOST}.cluster.local"])
        return cls(
            git_password=_token(),
            git_admin_password=_token(),
            postgres_password=_token(),
            airflow_password=_token(),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            api_secret_key=_token(),
            jwt_secret=_token(),
            s3_secret_key=_token(),
            ca_certificate=authority.certificate,
            git_certificate=git.certificate,
            git_key=git.key,
            adapter_certificate=adapter.certificate,
            adapter_key=adapter.key,
        )

    @classmethod
    def of_cluster(cls, folder: Path, redactor: Redactor) -> ClusterSecrets:
        """The secrets kept in a cluster's folder, generated there the first time; the redactor learns them.

        Raises:
            EnvironmentFailed: The file is damaged.
        """
        path = folder / _FILE
        if path.exists():
            try:
                found = cls(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise EnvironmentFailed(
                    f"{path} is damaged", next_step="harness down, then run again: the cluster gets new secrets"
                ) from error
        else:
            found = cls.generate()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                json.dump(asdict(found), out)
        redactor.learn(*found.confidential())
        return found

    @staticmethod
    def kept_in(folder: Path) -> bool:
        """Whether a cluster's folder has its secrets by now."""
        return (folder / _FILE).is_file()

    def confidential(self) -> tuple[str, ...]:
        """What must never be seen: everything but certificates."""
        return tuple(value for name, value in asdict(self).items() if not name.endswith("_certificate"))


def _token() -> str:
    return secrets.token_urlsafe(24)
