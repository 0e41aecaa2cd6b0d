"""The second half of filling a cluster: Airflow, installed and waited for until it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from harness.airflow.api import AirflowApi, AirflowUnavailable
from harness.airflow.release import ReleaseInstaller, ReleasePlan
from harness.errors import EnvironmentFailed, WaitAbandoned, WaitFailed
from harness.kubeapi import KubeApi
from harness.model import AirflowRelease, Cluster
from harness.names import AIRFLOW_NAMESPACE
from harness.pipeline.gitsync import ProcessorCheckout
from harness.podstate import fatal_reason
from harness.process import Runner
from harness.services.secrets import ClusterSecrets
from harness.timeline import Timeline
from harness.wait import Waiter

# Name in the official chart 1.22.0: templates/api-server/api-server-deployment.yaml.
_API_SERVER = "component=api-server"


@dataclass(frozen=True, slots=True)
class AirflowBringUp:
    """Installs Airflow and waits until it answers.

    Attributes:
        cluster: The cluster.
        kube: Its API.
        helm: The helm program.
        helm_home: Folder for Helm's own files.
        secrets: Of the cluster.
        timeline: Told of every phase.
        runner: Runs Helm.
        waiter: How patient to be.
    """

    cluster: Cluster
    kube: KubeApi
    helm: Path
    helm_home: Path
    secrets: ClusterSecrets
    timeline: Timeline
    runner: Runner
    waiter: Waiter

    def install(self, plan: ReleasePlan) -> AirflowRelease:
        """Install what is planned, unless it is there already.

        Raises:
            WaitFailed: A pod is in a state that cannot heal; with git-sync's own words where it is the reason.
            EnvironmentFailed: Helm refused it, or Airflow does not answer.
        """
        installer = ReleaseInstaller(
            cluster=self.cluster,
            kube=self.kube,
            helm=self.helm,
            helm_home=self.helm_home,
            runner=self.runner,
            waiter=self.waiter,
        )
        with self.timeline.phase("helm install") as note:
            recovered = installer.recover() if self.cluster.reused else ""
            changed = installer.install(plan)
            words = [recovered] if recovered else []
            note("; ".join([*words, f"changed: {', '.join(changed)}" if changed else "reused"]))
        password = SecretStr(self.secrets.airflow_password)
        with self.timeline.phase("Airflow ready"):
            try:
                installer.wait_ready()
            except WaitAbandoned:
                raise
            except WaitFailed as error:
                raise self._with_the_cause(error) from error
            url = f"http://127.0.0.1:{self.cluster.ports['airflow']}"
            with AirflowApi(url, "admin", password, waiter=self.waiter) as api:
                version = self._first_answer(api)
        return AirflowRelease(
            url=url,
            username="admin",
            password=password,
            version=version,
            chart=plan.chart.title,
            values_digest=plan.digest,
            namespace=AIRFLOW_NAMESPACE,
        )

    def _first_answer(self, api: AirflowApi) -> str:
        """The version, once the API says it. A pod of it that cannot come to work ends the wait."""

        def look() -> tuple[str, str]:
            try:
                return api.version(), ""
            except AirflowUnavailable as error:
                return "", error.message

        def fault(seen: tuple[str, str]) -> str | None:
            pods = () if seen[0] else self.kube.list("Pod", AIRFLOW_NAMESPACE, labels=_API_SERVER)
            return next(
                (reason for pod in pods if (reason := fatal_reason(pod, now=datetime.now(UTC))) is not None), None
            )

        version, _ = self.waiter.until(
            "Airflow's API",
            look,
            ready=lambda seen: bool(seen[0]),
            failed=fault,
            describe=lambda seen: seen[0] or seen[1],
            timeout=120,
            next_step="harness logs airflow",
        )
        return version

    def _with_the_cause(self, error: WaitFailed) -> WaitFailed:
        """The same error, led by what git-sync said: a container that crashed has not told why."""
        try:
            said = ProcessorCheckout(self.kube, AIRFLOW_NAMESPACE).fault()
        except EnvironmentFailed as further:
            error.evidence["git-sync's log"] = further.message
            return error
        if said is None:
            return error
        caused = WaitFailed(what=error.what, reason=said, next_step=error.next_step)
        caused.evidence.update({"the pod": error.reason, **error.evidence})
        return caused
