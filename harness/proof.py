"""One proven run: seed, wait until the DAG is ready, run it, and judge what it left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import dvc
from harness.airflow.runids import new_run_id
from harness.bringup import service_images
from harness.dvc.checks import RULES
from harness.environment import Environment, Ready
from harness.errors import UsageError
from harness.failedrun import causes
from harness.model import BlockedEgress, PipelineRun, Push, Seeded
from harness.names import AIRFLOW_NAMESPACE
from harness.parity_record import record_parity
from harness.pipeline import egress
from harness.pipeline.branch import Branch
from harness.pipeline.dagfiles import DagFiles, read_dag_files
from harness.pipeline.differences import differences
from harness.pipeline.earlier import Ended, end_runs, working_pods
from harness.pipeline.gitsync import ProcessorCheckout
from harness.pipeline.pods import PodFollower
from harness.pipeline.readiness import wait_for_dag
from harness.pipeline.trigger import run_pipeline
from harness.runfacts import run_facts
from harness.services import s3
from harness.services.claim import ClaimEmptying
from harness.services.git import GitClient


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
        self._last_run = ""
        # What others have pushed to the branch since the seed, on behalf of a test: it must stay there.
        self._published: list[str] = []
        # Those of the folder that was seeded, where that is not the environment's own.
        self._files: DagFiles | None = None
        # Whether anything of an earlier run may be in the claim or in Airflow's Variables.
        self._used = self._ready.cluster.reused

    def prove(
        self,
        *,
        reseed: bool = True,
        dags: Path | None = None,
        conf: Mapping[str, Any] | None = None,
        changes: bool = True,
        with_logical_date: bool = True,
        expect_red: bool | str = False,
        before_trigger: Callable[[], object] = lambda: None,
    ) -> Proof:
        """Run the DAG once and judge it.

        Args:
            reseed: Start from a fresh repository and prefix, an empty claim and no Variables; otherwise from where the
                last run left off.
            dags: Another DAG folder for this run and those that go on where it leaves off; only on a fresh repository.
            conf: The run's configuration.
            changes: Whether a new version is expected.
            with_logical_date: Whether the run gets a logical date.
            expect_red: Id of the check that must fail in this run, such as "object.present". A verdict that is not as
                declared here (green, or red without that check) ends the session with exit code 1, whatever the test
                makes of it. True takes any red verdict for the declared one, also one that has another cause.
            before_trigger: Called when everything is ready, just before the trigger.

        Raises:
            UsageError: Another DAG folder without a fresh repository, or one with no usable DAG file; no such check.
            EnvironmentFailed: The run could not be carried out, or not all of it be seen that a verdict needs; says
                nothing about the DAG.
        """
        environment = self._environment
        if dags is not None and not reseed:
            raise UsageError("another DAG folder needs a fresh repository: prove(dags=...) goes with reseed=True")
        must_fail = _check_named(expect_red)
        files = read_dag_files(dags) if dags is not None else None
        # Before the seed: what an earlier run still does, it must not do to the new repository.
        if self._end_earlier_runs():
            environment.discard_seed()
            reseed = True
            files = files or self._files
        # Whatever ran before these is over by now.
        earlier = frozenset(run.run_id for run in self._ready.api.runs(environment.settings.dag_id))
        emptying = self._start_reset() if self._used and (reseed or self._seeded is None) else None
        seeded = self._start_from(files, reseed=reseed)
        expectation = self._expectation(seeded, changes=changes)
        with tempfile.TemporaryDirectory(prefix="proof-", dir=environment.scratch) as workspace:
            gatherer = self._gatherer(expectation, Path(workspace))
            before = gatherer.snapshot()
            if before.tip is not None:
                # After an earlier run the branch has moved on; that tip is now the code under test.
                seeded = replace(seeded, sha=before.tip)
                expectation = self._expectation(seeded, changes=changes)
                gatherer = self._gatherer(expectation, Path(workspace))
            self.wait_for_dag(seeded.sha)
            expectation = self._with_tasks(expectation)
            if emptying is not None:
                with environment.timeline.phase("shared claim emptied"):
                    emptying.finish()
                self._used = False
            blocked_before = environment.blocked_by_address()
            before_trigger()
            started = datetime.now(UTC)
            run, follower = self._run(seeded, conf, earlier, with_logical_date=with_logical_date)
            environment.blocked = self._blocked(run)
            blocked = egress.since(blocked_before, environment.blocked)
            run = egress.with_blocked(run, namespace=AIRFLOW_NAMESPACE, blocked=blocked or ())
            expectation = replace(expectation, traffic_watched=blocked is not None)
            with environment.timeline.phase("verdict"):
                evidence = gatherer.evidence(before, outcome=run.outcome, pods=run.pods.values(), watch=run.watch)
                judged = dvc.decided(dvc.judge(expectation, evidence))
                api, kube = self._ready.api, self._ready.kube
                found = causes(judged, run, follower, kube=kube, api=api, blocked=blocked or ())
                verdict = replace(judged, red_expected=bool(expect_red), must_fail=must_fail, diagnoses=found)
        self._seeded = seeded
        environment.verdicts.append(verdict)
        environment.added = differences(run.pods.values(), known=environment.added)
        file = self._written(verdict, run, seeded, started=started, blocked=blocked)
        if len(environment.verdicts) == 1:
            record_parity(environment, self._ready, run, manifests=follower.manifests(), config=before.config)
        return Proof(run, verdict, expectation, before, evidence, file)

    def _written(
        self,
        verdict: dvc.Verdict,
        run: PipelineRun,
        seeded: Seeded,
        *,
        started: datetime,
        blocked: tuple[BlockedEgress, ...] | None,
    ) -> Path:
        """Write the last verdict, and return where."""
        environment = self._environment
        number = len(environment.verdicts)
        file = environment.evidence / ("verdict.json" if number == 1 else f"verdict-{number}.json")
        facts = run_facts(self._ready, environment.settings, run, seeded, started=started, blocked=blocked)
        dvc.write_verdict(file, verdict, facts, environment.redactor)
        return file

    def wait_for_dag(self, sha: str, *, dag_id: str | None = None, dag_files: Sequence[str] | None = None) -> None:
        """Wait until a DAG of a commit may be triggered; by default the DAG under test.

        Args:
            sha: The commit.
            dag_id: Another DAG.
            dag_files: The files that may define it, relative to the DAG folder; by default those that name it.

        Raises:
            WaitFailed: Its file does not import (with its traceback), or defines other DAGs, or the commit cannot get
                there.
            WaitTimeout: It is not ready in time.
        """
        environment = self._environment
        wanted = dag_id or environment.settings.dag_id
        checkout = ProcessorCheckout(self._ready.kube, AIRFLOW_NAMESPACE)
        with environment.timeline.phase(f"DAG {dag_id} ready" if dag_id else "DAG ready"):
            wait_for_dag(
                self._ready.api,
                wanted,
                sha,
                checkout,
                waiter=environment.waiter,
                fault=checkout.fault,
                broken=checkout.broken,
                dag_files=(self._files or environment.inputs.files).naming(wanted) if dag_files is None else dag_files,
            )

    def push_foreign_dag_change(self) -> str:
        """Commit a change to the DAG folder as somebody else, straight to the branch; returns the new tip.

        Raises:
            EnvironmentFailed: The Git server refused it.
        """
        return self.push_change({"dags/FOREIGN.md": "A change that is not under test.\n"})

    def push_change(self, files: Mapping[str, str | None]) -> str:
        """Commit files as somebody else, straight to the branch; returns the new tip.

        Args:
            files: Content by path in the repository; None removes the file.

        Raises:
            EnvironmentFailed: The Git server refused it.
        """
        self._environment.discard_seed()
        pushed = self._branch().push(files)
        self._published.append(pushed)
        return pushed

    def tip(self) -> str:
        """The commit that the branch is at now.

        Raises:
            EnvironmentFailed: The Git server does not answer, or has no such branch.
        """
        return self._branch().tip()

    def _branch(self) -> Branch:
        environment = self._environment
        return Branch(
            url=self._ready.services.git.outside,
            name=environment.settings.policy.branch,
            env=self._access().env,
            runner=environment.runner,
            scratch=environment.scratch,
        )

    def _access(self) -> dvc.GitAccess:
        git = self._ready.services.git
        return dvc.GitAccess(url=git.outside, username=git.username, password=git.password, ca_file=git.ca_file)

    def _start_from(self, files: DagFiles | None, *, reseed: bool) -> Seeded:
        if reseed or self._seeded is None:
            self._files = files
            self._published.clear()
            return self._environment.reseed(dags=files.folder if files is not None else None)
        return self._seeded

    def _end_earlier_runs(self) -> Ended:
        """End what nobody follows, of whatever DAG: runs that are not finished, pods of runs that still work."""
        environment, ready = self._environment, self._ready
        dag = ready.api.dag(environment.settings.dag_id)
        if dag is not None and not dag.is_paused:
            # It is unpaused by the run under test, and by nothing else.
            ready.api.pause(dag.dag_id)
        runs = ready.api.runs(unfinished=True)
        if not runs and not working_pods(ready.kube, AIRFLOW_NAMESPACE):
            return Ended()
        with environment.timeline.phase("earlier DAG runs") as note:
            ended = end_runs(
                ready.api, ready.kube, AIRFLOW_NAMESPACE, runs, waiter=environment.waiter, own=self._last_run
            )
            note(str(ended))
        return ended

    def _start_reset(self) -> ClaimEmptying:
        """Take away what earlier runs left beside repository and bucket; the volume meanwhile, for it costs seconds."""
        ready = self._ready
        # In the adapter's reach, which gives it the name that the nodes know it by.
        image = service_images(ready.toolchain)["worker"]
        emptying = ClaimEmptying.start(ready.kube, image, waiter=self._environment.waiter)
        ready.api.delete_variables()
        return emptying

    def _with_tasks(self, expectation: dvc.Expectation) -> dvc.Expectation:
        """The expectation with the DAG's tasks, as Airflow has parsed them from the commit under test."""
        dag_id = self._environment.settings.dag_id
        tasks = [task for task in self._ready.api.dag_tasks(dag_id) if task.runs]
        if not tasks:
            raise UsageError(f"the DAG {dag_id!r} has no task that does anything, so a run of it proves nothing")
        return replace(
            expectation,
            tasks=tuple(task.task_id for task in tasks),
            pod_tasks=tuple(task.task_id for task in tasks if task.has_pod),
        )

    def _run(
        self, seeded: Seeded, conf: Mapping[str, Any] | None, earlier: Collection[str], *, with_logical_date: bool
    ) -> tuple[PipelineRun, PodFollower]:
        environment = self._environment
        self._last_run = run_id = new_run_id()
        self._used = True
        follower = PodFollower(
            self._ready.kube,
            AIRFLOW_NAMESPACE,
            run_id,
            redactor=environment.redactor,
            provided=(
                *self._ready.toolchain.images.values(),
                *self._ready.cluster.mapped_images.values(),
            ),
        )
        with environment.timeline.phase("DAG run") as note, follower:
            try:
                run = run_pipeline(
                    self._ready.api,
                    follower,
                    seeded,
                    environment.settings.dag_id,
                    waiter=environment.waiter,
                    conf=conf,
                    with_logical_date=with_logical_date,
                    earlier=earlier,
                    timeout=environment.settings.run_timeout,
                )
            finally:
                # Also of a run that could not be carried out: its pods say why, and may be gone a moment later.
                self._keep_logs(follower, run_id)
            note(run.outcome.state, failed=run.outcome.state != "success")
        return run, follower

    def _keep_logs(self, follower: PodFollower, run_id: str) -> None:
        folder = self._environment.evidence / "logs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        for pod in follower.evidence():
            for container, lines in follower.logs(pod).items():
                # Redacted line by line as they came; together they may show what no line does.
                text = self._environment.redactor.text("\n".join([*lines, ""]))
                (folder / f"{pod}.{container}.log").write_text(text, encoding="utf-8")

    def _expectation(self, seeded: Seeded, *, changes: bool) -> dvc.Expectation:
        settings = self._environment.settings
        return dvc.Expectation(
            policy=settings.policy,
            seeded=seeded,
            bucket=self._ready.services.s3.bucket,
            root=self._ready.services.s3.root,
            tracked_file=settings.tracked_file,
            executor_shas=frozenset({seeded.sha}),
            image_ids=frozenset(self._ready.toolchain.image_digests["worker"]),
            # S3 and the Git server are pods of one machine; a bucket outside of the cluster goes by a clock of its own.
            one_clock=self._ready.cluster.bucket is None,
            push_log=self._ready.services.git.ours,
            # Known once the DAG is parsed (`_with_tasks`).
            tasks=(),
            pod_tasks=(),
            changes=changes,
            final_states=frozenset({"success", "skipped"} if settings.policy.skipped_tasks else {"success"}),
        )

    def _gatherer(self, expectation: dvc.Expectation, workspace: Path) -> dvc.Gatherer:
        services = self._ready.services
        return dvc.Gatherer(
            expectation=expectation,
            runner=self._environment.runner,
            access=self._access(),
            store=dvc.BotoStore(s3.connect(services.s3)),
            dvc=dvc.Dvc(
                program=self._environment.inputs.dvc,
                s3=services.s3,
                redactor=self._environment.redactor,
                ask_keys=lambda: s3.keys(services.s3),
            ),
            workspace=workspace,
            pushes=self._pushes,
            published=lambda: self._published,
        )

    def _pushes(self) -> tuple[Push, ...]:
        with closing(GitClient(self._ready.services.git)) as client:
            return client.pushes()

    def _blocked(self, run: PipelineRun) -> tuple[BlockedEgress, ...] | None:
        """What was blocked by now, by pod: names from earlier runs of this environment stay. None: nobody watches."""
        ready, environment = self._ready, self._environment
        if (noted := environment.blocked_by_address()) is None:
            return None
        known = {entry.source: entry.pod for entry in environment.blocked or ()}
        found = [replace(entry, pod=known.get(entry.source, "")) for entry in noted]
        return egress.named(
            found, followed=run.pods.values(), namespace=AIRFLOW_NAMESPACE, present=ready.kube.list("Pod")
        )


def _check_named(expect_red: bool | str) -> str:  # noqa: FBT001 - as `prove` was given it
    """The check that must fail; empty where none is named."""
    if isinstance(expect_red, bool):
        return ""
    known = [rule.id for rule in RULES]
    if expect_red not in known:
        raise UsageError(
            f"there is no check {expect_red!r} that could fail", next_step=f"expect_red is one of {', '.join(known)}"
        )
    return expect_red
