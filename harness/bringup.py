"""The two halves of filling a cluster, step by step: the services with the run's seed in them, then Airflow.

Each step is one phase of the run, and can be made again on a cluster that has it already. `fill` takes them in order,
side by side where they do not depend on each other.
"""

from __future__ import annotations

import secrets as random
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from harness.airflow.api import AirflowApi, AirflowUnavailable
from harness.airflow.release import ReleaseInstaller, ReleasePlan
from harness.errors import EnvironmentFailed, HarnessError, WaitAbandoned, WaitFailed
from harness.kubeapi import KubeApi
from harness.model import AirflowRelease, Cluster, ImageName, Seeded, Services, Toolchain
from harness.names import AIRFLOW_NAMESPACE, GIT_URL
from harness.pipeline.gitsync import ProcessorCheckout
from harness.pipeline.inputs import Inputs
from harness.pipeline.seed import Seed, SeedPlan, build_seed
from harness.podstate import fatal_reason
from harness.process import Runner
from harness.services import git, s3
from harness.services.deploy import ServicesDeployer
from harness.services.secrets import ClusterSecrets
from harness.settings import Settings
from harness.timeline import Timeline
from harness.wait import Waiter

# Name in the official chart 1.22.0: templates/api-server/api-server-deployment.yaml.
_API_SERVER = "component=api-server"


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


def fill(
    filling: ServicesBringUp,
    airflow: AirflowBringUp,
    services: Services,
    seed: Seed,
    plan: ReleasePlan,
    *,
    gave_up: threading.Event,
) -> AirflowRelease:
    """Fill a cluster on which everything is applied.

    Args:
        filling: Brings the services up.
        airflow: Installs Airflow.
        services: How they are reached.
        seed: What they are seeded with.
        plan: What is installed.
        gave_up: Set as soon as one part has failed, which ends the waits of the others.

    Raises:
        HarnessError: The first cause, if several parts failed.
    """

    def give_up_on_failure(part: Future[None]) -> None:
        if part.exception() is not None:
            gave_up.set()

    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="up") as pool:
        repository = pool.submit(filling.git, services, seed)
        parts = (pool.submit(filling.s3, services, seed), repository)
        for part in parts:
            part.add_done_callback(give_up_on_failure)
        try:
            filling.adapter()
            # Airflow's pods end when they find no database, and wait longer after each end: only when a pod has
            # shown that names resolve and services answer is it their time.
            filling.proof_from_a_pod(services)
            repository.result()
            release = airflow.install(plan)
            for part in parts:
                part.result()
        except BaseException as error:
            gave_up.set()
            if not isinstance(error, HarnessError):
                raise
            # Of several failures the first cause is the one to show: what gave up because of it is not.
            raise next((first for part in parts if (first := _cause(part))), error) from None
    return release


def _cause(part: Future[None]) -> HarnessError | None:
    """The error of a part that failed by itself, if it has one by now."""
    error = part.exception() if part.done() else None
    return error if isinstance(error, HarnessError) and not isinstance(error, WaitAbandoned) else None


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
