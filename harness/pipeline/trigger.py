"""Triggers the DAG and follows the run to its end, or to the first thing from which it cannot end well.

A DAG run that fails is a result, returned like one that succeeds: the verdict is about it. That holds also where a
task's pod ran out of memory, or never starts for what the DAG names in it, or no task gets on while Airflow is well.
What ends the wait with an error is the environment's fault or nobody's yet: a pod that no node takes, a task that
nobody picks up, a pod that is over while Airflow still calls its task running.

The DAG is unpaused for the length of the run only. It has to be: the scheduler looks at no run of a paused DAG, neither
queued nor running (apache-airflow-core 3.3.2, models/dagrun.py, `get_queued_dag_runs_to_set_running` and
`get_running_dag_runs_to_examine`). `helm/kind.yaml` keeps the scheduler from making runs of its own meanwhile; what
ran all the same is found here, for its commits and ours could not be told apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from harness.airflow.runids import new_logical_date
from harness.airflow.transport import AirflowUnavailable
from harness.airflow.values import DagInfo, TaskInfo
from harness.errors import EnvironmentFailed, HarnessError, WaitAbandoned, WaitFailed, WaitTimeout
from harness.model import DagRunOutcome, PipelineRun, Seeded, Watch
from harness.pipeline.outcomes import outcomes
from harness.pipeline.parties import Follower, RunApi
from harness.pipeline.stuck import Stuck, StuckTasks
from harness.wait import Waiter

FINISHED: Final = frozenset({"success", "failed"})
_HEALTHY: Final = "healthy"
_LOST: Final = frozenset({"failed", "upstream_failed"})
_AT_WORK: Final = frozenset({"running", "up_for_retry", "up_for_reschedule", "deferred"})
# For pods to end and their logs to be in, before patience. The executor's pod of a task that has succeeded is over in
# seconds; one that is ended may take its grace period of 30 s, and nobody needs to know.
_SETTLED_SECONDS: Final = 60.0
_ENDED_SECONDS: Final = 20.0
# Of each log, for the reader of an error: whole logs are in the evidence folder. Airflow's own lines are long JSON.
_TAIL_LINES: Final = 12
_LINE_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class _End:
    """How the run came to its end: its state, and where it was ended, after how many seconds or why."""

    state: str
    overdue: float | None = None
    stuck: str = ""


@dataclass(frozen=True, slots=True)
class _Progress:
    """One look at the run."""

    state: str
    tasks: tuple[TaskInfo, ...]
    fault: str | None
    doomed: bool
    stuck: str = ""

    @property
    def lost(self) -> tuple[TaskInfo, ...]:
        return tuple(task for task in self.tasks if task.state in _LOST)

    def __str__(self) -> str:
        tasks = ", ".join(f"{task.task_id} {task.state}" for task in self.tasks)
        return f"{self.state}: {tasks}" if tasks else self.state


def run_pipeline(
    api: RunApi,
    follower: Follower,
    seeded: Seeded,
    dag_id: str,
    *,
    waiter: Waiter,
    conf: Mapping[str, Any] | None = None,
    with_logical_date: bool = True,
    earlier: Collection[str] = (),
    timeout: float = 600.0,
) -> PipelineRun:
    """Trigger a run and follow it to its end.

    Args:
        api: Airflow.
        follower: Of the run's pods, already started; its `run_id` becomes the run's.
        seeded: What the run starts from; handed on.
        dag_id: The DAG, ready to be triggered (`readiness.wait_for_dag`).
        waiter: How patient to be.
        conf: The run's configuration.
        with_logical_date: Whether the run has a logical date; a DAG that uses `{{ ds }}` needs one.
        earlier: Runs of the DAG that are known and over.
        timeout: Seconds for the whole run, before the waiter's patience is applied.

    Returns:
        The run, its pods and how it ended. A task that has failed for good ends it at once, and so does a pod of a task
        that never starts for what the DAG names in it, the end of `timeout` while a task works or waits for its next
        try, and a run of which no task gets on though Airflow is well. The DAG is paused again.

    Raises:
        WaitFailed: The environment lets a pod not come to work, or a task is stuck for what the DAG cannot help.
        WaitTimeout: The run has not ended in time, and no task of it works, or the scheduler does not.
        EnvironmentFailed: Airflow or the API server does not answer, another run of the DAG ran beside this one, or a
            pod of a run that succeeded still works.
    """
    run_id = follower.run_id
    what = f"run {run_id} of DAG {dag_id}"
    dag = api.require_dag(dag_id)
    # First the run, then unpausing: a DAG with a schedule starts a run of its own as soon as it is unpaused, and
    # with max_active_runs=1 ours would queue behind it.
    api.trigger(dag_id, run_id, logical_date=new_logical_date() if with_logical_date else None, conf=conf)
    with _unpaused(api, dag):
        end = _followed(api, follower, dag_id, what, waiter=waiter, timeout=timeout)
    state = end.state
    settled = follower.settle(waiter, timeout=_SETTLED_SECONDS if state == "success" else _ENDED_SECONDS)
    follower.check()
    if state == "success" and not settled:
        # What it still does would change what is judged. A run that failed is red whatever it does.
        raise EnvironmentFailed(
            f"{what} has succeeded, and not all of its pods have ended: {', '.join(follower.unsettled())}",
            next_step="see what these pods still do; on a slow machine raise --patience",
            evidence=pod_report(follower),
        )
    faults = follower.fatal()
    if state != "success" and faults:
        # Airflow may have given the pod up before the look at it: the same cause, the same error.
        broken = WaitFailed(what=what, reason=next(iter(faults.values())), next_step="see the pods' events")
        broken.evidence.update(pod_report(follower))
        raise broken
    _refuse_company(api, dag_id, {*earlier, run_id})
    tasks = outcomes(api.task_instances(dag_id, run_id))
    outcome = DagRunOutcome(dag_id, run_id, state, tasks, overdue=end.overdue, stuck=end.stuck)
    return PipelineRun(seeded=seeded, outcome=outcome, pods=follower.evidence(), watch=Watch(gaps=follower.gaps))


def _followed(api: RunApi, follower: Follower, dag_id: str, what: str, *, waiter: Waiter, timeout: float) -> _End:
    """How the run ended; errors as `run_pipeline`."""
    run_id = follower.run_id
    stuck = StuckTasks(waiter.clock, dag=lambda: api.require_dag(dag_id), patience=waiter.patience)

    def probe() -> _Progress:
        follower.check()
        state, tasks = api.run_state(dag_id, run_id), api.task_instances(dag_id, run_id)
        faults = follower.fatal()
        fault = next(iter(faults.values()), None)
        found: Stuck | None = None
        if fault is None and state not in FINISHED:
            found = stuck.reason(state, tasks, follower.evidence(), api.health)
            fault = found.why if found is not None and not found.own else None
        own = found.why if found is not None and found.own else ""
        return _Progress(state, tasks, fault, bool(follower.doomed()), own)

    try:
        progress = waiter.until(
            what,
            probe,
            # What has ended has ended, whatever became of a pod of an earlier try.
            ready=lambda seen: seen.state in FINISHED or bool(seen.lost) or seen.doomed or bool(seen.stuck),
            failed=lambda seen: seen.fault if seen.state not in FINISHED else None,
            describe=str,
            timeout=timeout,
            interval=1.0,
            transient=(AirflowUnavailable,),
            next_step="see the task logs and the pods' logs and events",
        )
    except (WaitFailed, WaitTimeout) as error:
        if isinstance(error, WaitTimeout) and _works(api, dag_id, run_id):
            api.fail_run(dag_id, run_id)
            return _End("failed", overdue=timeout * waiter.patience)
        error.evidence.update(pod_report(follower))
        raise
    if progress.state in FINISHED:
        return _End(progress.state)
    if progress.lost:
        return _End(_final_state(api, follower, dag_id, waiter))
    # Of a doomed pod no next try would do better, and the operator would wait for it for minutes.
    api.fail_run(dag_id, run_id)
    return _End("failed", stuck=progress.stuck)


def _works(api: RunApi, dag_id: str, run_id: str) -> bool:
    """Whether it is the DAG that takes its time: a task of it works or waits by its own will, and Airflow is well."""
    try:
        if api.health().scheduler != _HEALTHY:
            return False
        return any(task.state in _AT_WORK for task in api.task_instances(dag_id, run_id))
    except AirflowUnavailable:
        return False


@contextmanager
def _unpaused(api: RunApi, dag: DagInfo) -> Iterator[None]:
    """Let the DAG's runs go on inside of the block, and none after it."""
    if dag.is_paused:
        api.unpause(dag.dag_id)
    try:
        yield
    except Exception as error:
        try:
            api.pause(dag.dag_id)
        except EnvironmentFailed as further:
            if isinstance(error, HarnessError):
                error.evidence["the DAG could not be paused again"] = further.message
        raise
    else:
        api.pause(dag.dag_id)


def _refuse_company(api: RunApi, dag_id: str, known: Collection[str]) -> None:
    """See that no other run of the DAG did anything; one that only waited is ended before it can."""
    others = [run for run in api.runs(dag_id) if run.run_id not in known]
    for run in others:
        if run.state not in FINISHED:
            api.fail_run(dag_id, run.run_id)
    ran = [run for run in others if run.started]
    if ran:
        raise EnvironmentFailed(
            f"beside the run under test, DAG {dag_id!r} had other runs, so what was pushed cannot be told apart: "
            + ", ".join(map(str, ran)),
            next_step='let nothing else start the DAG: config.scheduler.use_job_schedule "False" in the values, as '
            "helm/kind.yaml has it, or schedule=None for the test; and no task that triggers the DAG itself",
        )


def pod_report(follower: Follower) -> dict[str, str]:
    """The state and the last lines of each pod that did not succeed, by pod name, and every fatal state."""
    report = {f"pod {name} cannot start": reason for name, reason in follower.fatal().items()}
    for name, pod in follower.evidence().items():
        if pod.phase == "Succeeded":
            continue
        tails = [f"[{container}] {line}" for container, lines in follower.logs(name).items() for line in _tail(lines)]
        report[f"pod {name} ({pod.role} of {pod.task_id}, {pod.phase})"] = "\n".join(tails) or "no log"
    return report


def _tail(lines: Sequence[str]) -> list[str]:
    """The last lines of a log, the long ones cut."""
    return [
        line if len(line) <= _LINE_CHARACTERS else f"{line[: _LINE_CHARACTERS - 3]}..." for line in lines[-_TAIL_LINES:]
    ]


def _final_state(api: RunApi, follower: Follower, dag_id: str, waiter: Waiter) -> str:
    """The state of a run one of whose tasks has failed for good; the scheduler needs a moment to say so.

    A run with tasks that go on whatever happens (trigger rules such as `all_done`) is not waited for, nor one whose
    scheduler is gone: a lost task makes it failed for our purposes, and it is ended.
    """
    run_id = follower.run_id

    def probe() -> tuple[str, str]:
        follower.check()
        state = api.run_state(dag_id, run_id)
        return state, _HEALTHY if state in FINISHED else api.health().scheduler

    try:
        return waiter.until(
            f"the end of run {run_id}",
            probe,
            ready=lambda seen: seen[0] in FINISHED,
            failed=lambda seen: None if seen[1] == _HEALTHY else f"the scheduler is {seen[1]}",
            describe=lambda seen: seen[0],
            timeout=15.0,
            transient=(AirflowUnavailable,),
        )[0]
    except WaitAbandoned:
        raise
    except (WaitFailed, WaitTimeout):
        api.fail_run(dag_id, run_id)
        return "failed"
