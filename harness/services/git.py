"""The Git server's client side: proof that it answers, re-seeding, and repositories for a while."""

from __future__ import annotations

import json
import ssl
from datetime import datetime
from pathlib import Path

import httpx

from harness.errors import EnvironmentFailed
from harness.model import GitService, Push
from harness.names import GIT_REPOSITORY
from harness.wait import Waiter

ADMIN = "harness-admin"
USERNAME = "airflow"
_READY_SECONDS = 120.0
_REQUEST_SECONDS = 60.0


class GitClient:
    """Talks to the server as `harness-admin`, over TLS with the cluster's own authority."""

    def __init__(self, service: GitService) -> None:
        """Nothing is asked yet.

        Raises:
            EnvironmentFailed: The server is not the harness's own, which alone has such a user.
        """
        if service.admin_password is None:
            raise EnvironmentFailed(f"nobody is {ADMIN} at {service.outside}")
        self._service = service
        root = service.outside.removesuffix(f"/{GIT_REPOSITORY}")
        self._http = httpx.Client(
            base_url=root,
            auth=(ADMIN, service.admin_password.get_secret_value()),
            verify=ssl.create_default_context(cafile=service.ca_file and str(service.ca_file)),
            timeout=_REQUEST_SECONDS,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def wait_ready(self, waiter: Waiter) -> None:
        """Wait until the repository can be listed with the credentials that Airflow will use.

        Raises:
            WaitTimeout: It does not answer.
            WaitFailed: It refuses the credentials.
        """
        credentials = (self._service.username, self._service.password.get_secret_value())
        waiter.until(
            "the Git server",
            lambda: (
                self._http.get(
                    f"/{GIT_REPOSITORY}/info/refs", params={"service": "git-upload-pack"}, auth=credentials, timeout=5
                ).status_code
            ),
            ready=lambda status: status == httpx.codes.OK,
            failed=lambda status: "it refuses the generated credentials" if status in {401, 403} else None,
            describe=lambda status: f"answers with status {status}",
            timeout=_READY_SECONDS,
            interval=0.2,
            transient=(httpx.TransportError,),
            next_step="harness logs git",
        )

    def reseed(self, bundle: Path, *, repository: str = GIT_REPOSITORY) -> None:
        """Make a repository exactly what a Git bundle holds, on the server's side, all refs at once.

        Args:
            bundle: The bundle.
            repository: Which one; by default the pipeline's, with which a new run begins: the server then removes
                all scratch repositories. A scratch repository (`scratch-<name>.git`) is made if it is not there.

        Raises:
            EnvironmentFailed: The server refused it; carries its answer.
        """
        with bundle.open("rb") as body:
            answer = self._http.post(
                f"/-/reseed/{repository}", content=body, headers={"Content-Length": str(bundle.stat().st_size)}
            )
        self._check(answer, "take a new repository")

    def remove(self, repository: str) -> None:
        """Remove a scratch repository, if it is there.

        Raises:
            EnvironmentFailed: The server refused it; carries its answer.
        """
        answer = self._http.delete(f"/-/repositories/{repository}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._check(answer, f"remove {repository}")

    def pushes(self, *, repository: str = GIT_REPOSITORY) -> tuple[Push, ...]:
        """The pushes to a repository since it was last made anew, in their order.

        Raises:
            EnvironmentFailed: The server does not answer, or refused it; carries its answer.
        """
        what = "tell its pushes"
        try:
            answer = self._http.get("/-/pushes")
        except httpx.TransportError as error:
            raise EnvironmentFailed(
                f"the Git server was to {what}, and does not answer",
                evidence={"what happened": str(error)},
                next_step="harness logs git",
            ) from error
        self._check(answer, what)
        noted = (entry for entry in map(json.loads, answer.text.splitlines()) if entry["repository"] == repository)
        found: list[Push] = []
        for entry in noted:
            if entry["event"] == "push":
                time = datetime.fromisoformat(entry["time"])
                found.append(Push(entry["ref"], entry["before"], entry["after"], time))
            else:
                found.clear()
        return tuple(found)

    @staticmethod
    def _check(answer: httpx.Response, what: str) -> None:
        if answer.is_error:
            raise EnvironmentFailed(
                f"the Git server refused to {what} (status {answer.status_code})",
                evidence={"it said": answer.text[:500]},
                next_step="harness logs git",
            )
