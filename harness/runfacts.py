"""What `verdict.json` says of a run besides the verdict: what ran, on what, from which seed."""

from __future__ import annotations

from datetime import UTC, datetime

from harness import dvc
from harness.environment import Ready
from harness.model import BlockedEgress, PipelineRun, Seeded
from harness.pipeline.differences import differences
from harness.settings import Settings


def run_facts(
    ready: Ready,
    settings: Settings,
    run: PipelineRun,
    seeded: Seeded,
    *,
    started: datetime,
    blocked: tuple[BlockedEgress, ...] | None,
) -> dvc.RunFacts:
    """The facts of a run that is over now.

    Args:
        ready: The environment that it ran on.
        settings: Of the run of the harness.
        run: The DAG run.
        seeded: What it started from.
        started: Just before the trigger.
        blocked: What its pods tried to reach outside the cluster; None where nobody watched.
    """
    toolchain = ready.toolchain
    images = {
        str(name): dvc.ImageFacts(reference=reference, id=toolchain.image_digests[name][-1])
        for name, reference in toolchain.images.items()
    }
    return dvc.RunFacts(
        run_id=run.outcome.run_id,
        dag_id=run.outcome.dag_id,
        target=settings.target.value,
        supply=toolchain.supply,
        s3_backend=ready.services.s3.backend,
        airflow=ready.release.version,
        kubernetes=ready.cluster.kubernetes_version,
        chart=ready.release.chart,
        values_digest=ready.release.values_digest,
        images=images,
        seed_sha=seeded.sha,
        branch=seeded.branch,
        remote=f"s3://{ready.services.s3.bucket}/{seeded.prefix}",
        stand_ins=toolchain.stand_ins,
        started=started,
        finished=datetime.now(UTC),
        added=differences(run.pods.values()),
        blocked=blocked,
    )
