"""The two halves of filling a cluster, step by step: the services with the run's seed in them, then Airflow.

Each step is one phase of the run, and can be made again on a cluster that has it already. Which steps go side by side,
and what happens when one of them fails, is the composition's affair (`harness/environment.py`).
"""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from harness.airflow.api import AirflowApi
from harness.airflow.release import ReleaseInstaller, ReleasePlan
from harness.errors import EnvironmentFailed, WaitAbandoned, WaitFailed
from harness.kubeapi import KubeApi
from harness.model import AirflowRelease, Cluster, ImageName, Seeded, Services, Toolchain
from harness.names import AIRFLOW_NAMESPACE, GIT_URL
from harness.pipeline.gitsync import ProcessorCheckout
from harness.pipeline.inputs import Inputs
from harness.pipeline.seed import Seed, SeedPlan, build_seed
from harness.process import Runner
from harness.services import git, s3
from harness.services.deploy import ServicesDeployer
from harness.services.secrets import ClusterSecrets
from harness.settings import Settings
from harness.timeline import Timeline
from harness.wait import Waiter


@dataclass(frozen=True, slots=True)
class Seeder:
    """Makes the repository and the bucket prefix of a run.

    Attributes:
        settings: Of the run.
        inputs: What it starts from.
        run_id: Stands in the prefix.
        scratch: Folder for what is made on the way.
        runner: Runs git.
        waiter: Waits for the Git server.
    """

    settings: Settings
    inputs: Inputs
    run_id: str
    scratch: Path
    runner: Runner
    waiter: Waiter

    def build(self, services: Services) -> Seed:
        """A fresh seed on disk, with a prefix of its own."""
        scratch = self.scratch / f"seed-{random.token_hex(4)}"
        scratch.mkdir()
        plan = SeedPlan(
            template=self.inputs.template,
            dags=self.inputs.dags,
            data=self.inputs.data,
            tracked_file=self.settings.tracked_file,
            bucket=services.s3.bucket,
            prefix=f"runs/{self.run_id}/{random.token_hex(3)}",
            branch=self.settings.policy.branch,
        )
        return build_seed(plan, scratch=scratch, runner=self.runner)

    def push(self, seed: Seed, services: Services) -> None:
        """Make the repository what the seed is.

        Raises:
            EnvironmentFailed: The Git server does not answer or refused it.
        """
        client = git.GitClient(services.git)
        try:
            client.wait_ready(self.waiter)
            client.reseed(seed.bundle)
        finally:
            client.close()

    def put(self, seed: Seed, services: Services) -> None:
        """Put the seed's data where its pointer says."""
        client = s3.connect(services.s3)
        for key, path in seed.objects.items():
            with path.open("rb") as body:
                client.put_object(Bucket=services.s3.bucket, Key=key, Body=body)

    def fresh(self, services: Services, timeline: Timeline) -> Seeded:
        """Seed anew on an environment that is up.

        Raises:
            EnvironmentFailed: The Git server or the object store refused it.
        """
        seed = self.build(services)
        with timeline.phase("seeding"):
            self.push(seed, services)
            self.put(seed, services)
        return seed.seeded


@dataclass(frozen=True, slots=True)
class ServicesBringUp:
    """Brings the services of one cluster up, seeded.

    Attributes:
        deployer: Of the cluster's services.
        seeder: Of the run.
        timeline: Told of every phase.
        kube: The cluster.
        waiter: How patient to be.
    """

    deployer: ServicesDeployer
    seeder: Seeder
    timeline: Timeline
    kube: KubeApi
    waiter: Waiter

    def apply(self) -> None:
        """Hand everything to the API server, once it answers."""
        with self.timeline.phase("services applied"):
            self.waiter.until(
                "the Kubernetes API",
                lambda: self.kube.get("ServiceAccount", "default", "default"),
                ready=lambda found: found is not None,
                describe=lambda found: "ready" if found else "no default service account yet",
                timeout=60,
                interval=0.2,
                transient=(EnvironmentFailed,),
            )
            self.deployer.apply(pipeline_config(self.seeder.settings))

    def git(self, services: Services, seed: Seed) -> None:
        """The Git server, with the seed's repository in it."""
        with self.timeline.phase("Git server, seeded"):
            # First the rollout: what answers before it may be the pod of an earlier run, about to go.
            self.deployer.wait("git")
            self.seeder.push(seed, services)

    def s3(self, services: Services, seed: Seed) -> None:
        """The object store, proven by a round trip, with the seed's data in it."""
        with self.timeline.phase("S3, seeded"):
            self.deployer.wait("s3")
            s3.prove(services.s3, waiter=self.waiter)
            self.seeder.put(seed, services)

    def adapter(self) -> None:
        """The adapter, whom every pod made after it passes."""
        with self.timeline.phase("adapter"):
            self.deployer.wait("adapter")

    def proof_from_a_pod(self, services: Services) -> None:
        """A pod made like the DAG's finds names, Git, S3 and the database."""
        with self.timeline.phase("services from a pod"):
            self.deployer.prove_from_a_pod(services.s3.bucket)


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
                version = self.waiter.until(
                    "Airflow's API",
                    api.version,
                    ready=bool,
                    timeout=120,
                    transient=(EnvironmentFailed,),
                    next_step="harness logs airflow",
                )
        return AirflowRelease(
            url=url,
            username="admin",
            password=password,
            version=version,
            chart=plan.chart.title,
            values_digest=plan.digest,
            namespace=AIRFLOW_NAMESPACE,
        )

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


def pipeline_config(settings: Settings) -> Mapping[str, str]:
    """The ConfigMap that the guide's team makes for its pipeline."""
    author = settings.policy.authors[0] if settings.policy.authors else "airflow@example.invalid"
    return {
        "GIT_REPO": GIT_URL,
        "GIT_BRANCH": settings.policy.branch,
        "DVC_DATA_FILE": settings.tracked_file,
        "GIT_AUTHOR_NAME": "Airflow",
        "GIT_AUTHOR_EMAIL": author,
    }


def service_images(toolchain: Toolchain) -> Mapping[ImageName, str]:
    """The images of the services; the pod that proves them runs the harness's own worker, whatever the DAG runs."""
    return {**toolchain.images, "worker": toolchain.images.get("probe", toolchain.images["worker"])}
