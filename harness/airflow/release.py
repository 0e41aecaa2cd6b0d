"""The Airflow release: installed by Helm, waited for by our own rules, known by a fingerprint of its inputs."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.airflow.chart import Chart, helm_environment
from harness.airflow.chart_values import canonical, values_digest
from harness.errors import CommandFailed, CommandTimeout, EnvironmentFailed
from harness.kubeapi import KubeApi
from harness.model import Cluster
from harness.names import AIRFLOW_NAMESPACE, RELEASE, SERVICES_NAMESPACE
from harness.process import Runner
from harness.wait import Waiter

_HELM_SECONDS = 120
_STATUS_SECONDS = 30
_ROLLOUT_SECONDS = 600.0
_FINGERPRINT = "harness-release"
_KEY_FILE = "fingerprint.key"
_DATABASE = "app=postgres"
# In the order in which they come up, so that the first one that is stuck is the one that is named.
_JOBS = (f"{RELEASE}-run-airflow-migrations", f"{RELEASE}-create-user")
_DEPLOYMENTS = (f"{RELEASE}-api-server", f"{RELEASE}-scheduler", f"{RELEASE}-dag-processor")


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What is installed.

    Attributes:
        chart: The chart, already checked.
        files: Values files in order, already checked.
        values: The same, merged.
        images: Digests of the images that the release's pods run; a new one restarts them.
        key: Of the cluster's fingerprints (`fingerprint_key`).
    """

    chart: Chart
    files: Sequence[Path]
    values: Mapping[str, object]
    images: Mapping[str, tuple[str, ...]]
    key: bytes

    @property
    def digest(self) -> str:
        """sha256 over the effective values, secrets left out: for the reader."""
        return values_digest(self.values)

    @property
    def fingerprint(self) -> dict[str, str]:
        """What decides whether an installed release is still the wanted one, by input."""
        return {
            "chart": self.chart.digest,
            "values": self._all_values(),
            "images": json.dumps({name: list(ids) for name, ids in self.images.items()}, sort_keys=True),
        }

    def _all_values(self) -> str:
        """Over the effective values, secrets too: a changed password is a changed input.

        With a key that never leaves this machine, since the fingerprint is kept in the cluster, where a plain digest
        would let a weak secret be guessed.
        """
        return "hmac-sha256:" + hmac.new(self.key, canonical(self.values), hashlib.sha256).hexdigest()


def fingerprint_key(folder: Path) -> bytes:
    """The key of a cluster's fingerprints: made the first time, mode 0600, gone with the cluster's folder."""
    path = folder / _KEY_FILE
    if not path.exists():
        fresh = path.with_name(f"{_KEY_FILE}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
        fresh.replace(path)
    return path.read_bytes()


class ReleaseInstaller:
    """Installs the release of one cluster."""

    def __init__(
        self, *, cluster: Cluster, kube: KubeApi, helm: Path, helm_home: Path, runner: Runner, waiter: Waiter
    ) -> None:
        self._cluster = cluster
        self._kube = kube
        self._helm = helm
        self._home = helm_home
        self._runner = runner
        self._waiter = waiter

    def recover(self) -> str:
        """Make a release usable again whose last Helm was killed; Helm itself refuses every further change to it.

        Returns:
            What was done, for the reader; empty where there was nothing to do.

        Raises:
            EnvironmentFailed: Helm does not answer, or could not put it right.
        """
        state, revision = self._helm_state()
        if not state.startswith("pending-") and state != "uninstalling":
            return ""
        self._kube.delete("ConfigMap", _FINGERPRINT, AIRFLOW_NAMESPACE)
        self._delete_jobs()
        if state in {"pending-upgrade", "pending-rollback"} and revision > 1:
            try:
                self._run_helm("rollback", RELEASE, "--timeout", f"{_HELM_SECONDS}s")
            except (CommandFailed, CommandTimeout) as error:
                # What it would go back to may be broken as well; all that it holds is made again.
                self._uninstall(state)
                return f"removed the release that a killed Helm left {state} (no way back: {error.message})"
            else:
                return f"rolled the release back that a killed Helm left {state}"
        self._uninstall(state)
        return f"removed the release that a killed Helm left {state}"

    def install(self, plan: ReleasePlan) -> tuple[str, ...]:
        """Install or upgrade, unless the installed release has the same inputs.

        Returns:
            The names of the inputs that changed; empty when the release was left alone. A fresh installation
            names all of them.

        Raises:
            EnvironmentFailed: Helm refused it.
        """
        known = self._fingerprint()
        wanted = {**plan.fingerprint, "database": self._database()}
        changed = tuple(name for name, value in wanted.items() if known.get(name) != value)
        if not changed:
            return ()
        # Until it is through, nothing is known of the release: an upgrade that was broken off is neither old nor new.
        self._kube.delete("ConfigMap", _FINGERPRINT, AIRFLOW_NAMESPACE)
        # Jobs cannot be changed, and without hooks Helm would try to.
        self._delete_jobs()
        command = self._command(
            "upgrade", RELEASE, plan.chart.path, "--install",
            # The chart's notes print the administrator's password.
            "--hide-notes", "--timeout", f"{_HELM_SECONDS}s",
        )  # fmt: skip
        for path in plan.files:
            command += ["--values", path]
        try:
            self._runner.run(command, env=helm_environment(self._home), timeout=_HELM_SECONDS + 30)
        except (CommandFailed, CommandTimeout) as error:
            raise EnvironmentFailed(
                f"Helm could not install {plan.chart.title}",
                evidence=error.evidence,
                next_step="harness logs airflow; harness status",
            ) from error
        # A component that has seen the old database does not set up a new one (roles, connections) by itself.
        if known and ({"images", "database"} & set(changed)):
            self._restart()
        self._remember(wanted)
        return changed

    def wait_ready(self) -> None:
        """Wait until migrations and first user are through and every component runs as installed.

        Raises:
            WaitFailed: A pod is in a state that cannot heal; at once, with its reason.
            WaitTimeout: It took too long; carries the last state.
        """
        for name in _JOBS:
            if self._kube.get("Job", name, AIRFLOW_NAMESPACE) is not None:
                self._kube.wait_rollout("Job", name, AIRFLOW_NAMESPACE, self._waiter, timeout=_ROLLOUT_SECONDS)
        for name in _DEPLOYMENTS:
            self._kube.wait_rollout("Deployment", name, AIRFLOW_NAMESPACE, self._waiter, timeout=_ROLLOUT_SECONDS)

    def _helm_state(self) -> tuple[str, int]:
        """Status and revision of the release; empty and 0 where there is none."""
        done = self._runner.run(
            self._command("status", RELEASE, "--output", "json"),
            env=helm_environment(self._home),
            timeout=_STATUS_SECONDS,
            check=False,
        )
        if done.code != 0:
            if "not found" in done.stderr:
                return "", 0
            raise EnvironmentFailed(
                f"Helm cannot tell the state of the release {RELEASE}",
                evidence={"it said": done.stderr.strip()[-500:]},
                next_step="harness status",
            )
        try:
            # The document also holds the release's values: nothing else of it is kept.
            document = json.loads(done.stdout)
            return str(document["info"]["status"]), int(document["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFailed(f"`helm status` answers in a form that is not known: {error}") from error

    def _uninstall(self, state: str) -> None:
        try:
            self._run_helm("uninstall", RELEASE, "--no-hooks", "--wait", "--timeout", f"{_HELM_SECONDS}s")
        except (CommandFailed, CommandTimeout) as error:
            raise EnvironmentFailed(
                f"the Airflow release was left {state} by a killed Helm, and could not be removed",
                evidence=error.evidence,
                next_step=f"harness down --cluster {self._cluster.name}, then run again",
            ) from error

    def _run_helm(self, *arguments: str) -> None:
        self._runner.run(self._command(*arguments), env=helm_environment(self._home), timeout=_HELM_SECONDS + 30)

    def _command(self, *arguments: str | Path) -> list[str | Path]:
        """A Helm command on our own release, in our own cluster."""
        return [
            self._helm, *arguments, "--namespace", AIRFLOW_NAMESPACE,
            "--kubeconfig", self._cluster.kubeconfig, "--kube-context", self._cluster.context,
        ]  # fmt: skip

    def _delete_jobs(self) -> None:
        for job in _JOBS:
            self._kube.delete("Job", job, AIRFLOW_NAMESPACE)

    def _database(self) -> str:
        """Which database it is: its data lives as long as its pod, so another pod is an empty database."""
        pods = self._kube.list("Pod", SERVICES_NAMESPACE, labels=_DATABASE)
        return ",".join(
            sorted(str(pod["metadata"]["uid"]) for pod in pods if not pod["metadata"].get("deletionTimestamp"))
        )

    def _fingerprint(self) -> dict[str, str]:
        found = self._kube.get("ConfigMap", _FINGERPRINT, AIRFLOW_NAMESPACE)
        return dict(found.get("data") or {}) if found else {}

    def _remember(self, fingerprint: Mapping[str, str]) -> None:
        metadata = {"name": _FINGERPRINT, "namespace": AIRFLOW_NAMESPACE}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(fingerprint)}
        self._kube.apply([manifest])

    def _restart(self) -> None:
        """A changed image under the same name starts nothing by itself; a changed pod template does."""
        note = {"annotations": {"harness.restarted": secrets.token_hex(4)}}
        for name in _DEPLOYMENTS:
            self._kube.apps.patch_namespaced_deployment(
                name, AIRFLOW_NAMESPACE, {"spec": {"template": {"metadata": note}}}
            )
