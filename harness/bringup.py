"""Filling a cluster, step by step: the services with the run's seed in them, then Airflow (`airflow_bringup.py`).

Each step is one phase of the run, and can be made again on a cluster that has it already. `fill` takes them in order,
side by side where they do not depend on each other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.airflow.release import ReleasePlan
from harness.airflow_bringup import AirflowBringUp
from harness.errors import HarnessError, WaitAbandoned
from harness.kubeapi import KubeApi
from harness.model import AirflowRelease, ImageName, Services, Toolchain
from harness.names import GIT_URL
from harness.pipeline.seed import Seed
from harness.seeding import Seeder
from harness.serviceaccount import await_service_account
from harness.services import s3
from harness.services.deploy import ServicesDeployer
from harness.settings import Settings
from harness.timeline import Timeline
from harness.wait import Waiter


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
            await_service_account(self.kube, self.waiter, "default", what="the Kubernetes API")
            self.deployer.apply(pipeline_config(self.seeder.settings))

    def git(self, services: Services, seed: Seed) -> None:
        """The Git server, with the seed's repository in it; on one outside of the cluster the run's branch."""
        with self.timeline.phase("Git server, seeded" if services.git.ours else "Git branch, seeded"):
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
        with self.timeline.phase("services from a pod") as note:
            note(self.deployer.prove_from_a_pod(services.s3))


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
        "GIT_REPO": settings.git.remote or GIT_URL,
        "GIT_BRANCH": settings.policy.branch,
        "DVC_DATA_FILE": settings.tracked_file,
        "GIT_AUTHOR_NAME": "Airflow",
        "GIT_AUTHOR_EMAIL": author,
    }


def service_images(toolchain: Toolchain) -> Mapping[ImageName, str]:
    """The images of the services; the pod that proves them runs the harness's own worker, whatever the DAG runs."""
    return {**toolchain.images, "worker": toolchain.images.get("probe", toolchain.images["worker"])}
