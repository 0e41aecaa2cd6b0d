"""One proven run: seed, wait until the DAG is ready, run it, and judge what it left behind."""

from __future__ import annotations

import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import dvc
from harness.airflow.runids import new_run_id
from harness.assets import asset
from harness.environment import Environment, Ready
from harness.errors import UsageError
from harness.model import PipelineRun, Seeded
from harness.names import AIRFLOW_NAMESPACE
from harness.pipeline.gitsync import ProcessorCheckout
from harness.pipeline.imports import files_naming
from harness.pipeline.pods import PodFollower
from harness.pipeline.readiness import wait_for_dag
from harness.pipeline.trigger import run_pipeline
from harness.services import s3

TASKS = ("pull_data", "modify_data", "push_data")


@dataclass(frozen=True, slots=True)
class Proof:
    """A run and what the oracle says of it.

    Attributes:
        run: The run.
        verdict: What was found.
        expectation: What was expected.
        before: The state before the run.
        evidence: The state after it.
        file: Where `verdict.json` was written.
    """

    run: PipelineRun
    verdict: dvc.Verdict
    expectation: dvc.Expectation
    before: dvc.Snapshot
    evidence: dvc.Evidence
    file: Path


class Prover:
    """Runs the pipeline on an environment that is up, and judges each run."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._ready: Ready = environment.ready or environment.up()
        self._seeded: Seeded | None = None

    def prove(
        self,
        *,
        reseed: bool = True,
        conf: Mapping[str, Any] | None = None,
        changes: bool = True,
        with_logical_date: bool = True,
        before_trigger: Callable[[], object] = lambda: None,
    ) -> Proof:
        """Run the DAG once and judge it.

        Args:
            reseed: Start from a fresh repository and prefix; otherwise from where the last run left off.
            conf: The run's configuration.
            changes: Whether a new version is expected.
            with_logical_date: Whether the run gets a logical date.
            before_trigger: Called when everything is ready, just before the trigger.

        Raises:
            EnvironmentFailed: The run could not be carried out; says nothing about the DAG.
        """
        environment = self._environment
        seeded = self._start_from(reseed=reseed)
        expectation = self._expectation(seeded, changes=changes)
        with tempfile.TemporaryDirectory(prefix="proof-", dir=environment.scratch) as workspace:
            gatherer = self._gatherer(expectation, Path(workspace))
            before = gatherer.snapshot()
            if before.tip is not None:
                # After an earlier run the branch has moved on; that tip is now the code under test.
                seeded = replace(seeded, sha=before.tip)
                expectation = self._expectation(seeded, changes=changes)
                gatherer = self._gatherer(expectation, Path(workspace))
            self._wait_for_dag(seeded)
            before_trigger()
            started = datetime.now(UTC)
            run = self._run(seeded, conf, with_logical_date=with_logical_date)
            with environment.timeline.phase("verdict"):
                evidence = gatherer.evidence(before, outcome=run.outcome, pods=run.pods.values())
                verdict = dvc.judge(expectation, evidence)
        self._seeded = seeded
        environment.verdicts.append(verdict)
        number = len(environment.verdicts)
        name = "verdict.json" if number == 1 else f"verdict-{number}.json"
        file = environment.evidence / name
        facts = self._facts(run, seeded, started)
        dvc.write_verdict(file, verdict, facts, environment.redactor)
        return Proof(run, verdict, expectation, before, evidence, file)

    def push_foreign_dag_change(self) -> str:
        """Commit a change to the DAG folder as somebody else, straight to the branch; returns the new tip.

        Raises:
            EnvironmentFailed: The Git server refused it.
        """
        environment, services = self._environment, self._ready.services
        branch = environment.settings.policy.branch
        env = self._access().env
        with tempfile.TemporaryDirectory(prefix="foreign-", dir=environment.scratch) as scratch:
            clone = Path(scratch) / "clone"
            run = environment.runner.run
            run(["git", "clone", "--quiet", "--depth", "1", "--branch", branch, services.git.outside, clone], env=env)
            (clone / "dags" / "FOREIGN.md").write_text("A change that is not under test.\n", encoding="utf-8")
            git = ["git", "-C", str(clone), "-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid"]
            run([*git, "add", "--all"], env=env)
            run([*git, "commit", "--quiet", "--message", "Change the DAG folder"], env=env)
            run([*git, "push", "--quiet", "origin", branch], env=env)
            return run([*git, "rev-parse", "HEAD"], env=env).stdout.strip()

    def _access(self) -> dvc.GitAccess:
        git = self._ready.services.git
        return dvc.GitAccess(url=git.outside, username=git.username, password=git.password, ca_file=git.ca_file)

    def _start_from(self, *, reseed: bool) -> Seeded:
        if reseed or self._seeded is None:
            return self._environment.reseed()
        return self._seeded

    def _wait_for_dag(self, seeded: Seeded) -> None:
        environment = self._environment
        dag_id = environment.settings.dag_id
        folder = environment.settings.dags or asset("dags")
        with environment.timeline.phase("DAG ready"):
            wait_for_dag(
                self._ready.api,
                dag_id,
                seeded.sha,
                ProcessorCheckout(self._ready.kube, AIRFLOW_NAMESPACE),
                waiter=environment.waiter,
                dag_files=files_naming(folder, dag_id),
            )

    def _run(self, seeded: Seeded, conf: Mapping[str, Any] | None, *, with_logical_date: bool) -> PipelineRun:
        environment = self._environment
        follower = PodFollower(self._ready.kube, AIRFLOW_NAMESPACE, new_run_id(), redactor=environment.redactor)
        with environment.timeline.phase("DAG run") as note, follower:
            run = run_pipeline(
                self._ready.api,
                follower,
                seeded,
                environment.settings.dag_id,
                waiter=environment.waiter,
                conf=conf,
                with_logical_date=with_logical_date,
            )
            self._keep_logs(follower, run)
            note(run.outcome.state)
        return run

    def _keep_logs(self, follower: PodFollower, run: PipelineRun) -> None:
        folder = self._environment.evidence / "logs" / run.outcome.run_id
        folder.mkdir(parents=True, exist_ok=True)
        for pod in run.pods:
            for container, lines in follower.logs(pod).items():
                (folder / f"{pod}.{container}.log").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def _expectation(self, seeded: Seeded, *, changes: bool) -> dvc.Expectation:
        settings = self._environment.settings
        return dvc.Expectation(
            policy=settings.policy,
            seeded=seeded,
            bucket=self._ready.services.s3.bucket,
            tracked_file=settings.tracked_file,
            executor_shas=frozenset({seeded.sha}),
            image_ids=frozenset(self._ready.toolchain.image_digests["worker"]),
            tasks=TASKS,
            pod_tasks=TASKS,
            changes=changes,
        )

    def _gatherer(self, expectation: dvc.Expectation, workspace: Path) -> dvc.Gatherer:
        services = self._ready.services
        program = Path(sysconfig.get_path("scripts")) / "dvc"
        if not program.exists():
            raise UsageError(
                "there is no dvc beside this Python, and the verdict needs one for its clean clone",
                next_step="install airflow-dvc-harness[dvc]",
            )
        return dvc.Gatherer(
            expectation=expectation,
            runner=self._environment.runner,
            access=self._access(),
            store=dvc.BotoStore(s3.connect(services.s3)),
            dvc=dvc.Dvc(program=program, s3=services.s3, redactor=self._environment.redactor),
            workspace=workspace,
        )

    def _facts(self, run: PipelineRun, seeded: Seeded, started: datetime) -> dvc.RunFacts:
        ready, settings = self._ready, self._environment.settings
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
        )
