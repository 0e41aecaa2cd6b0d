"""What may be wrong with an account, a cluster, a bucket or the rights there: a clear error each, nothing left behind.

The rows that say what is wrong are in `errors.py`. Each is played by the real target against the look-alike's gateway,
and everything is looked at before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import botocore.endpoint
import pytest

from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode, GuardError, HarnessError
from harness.lookalike.cloud import Cloud
from harness.lookalike.errors import Problem
from harness.lookalike.principals import Credentials
from harness.targets.eks.target import refuse
from tests.contract.eks.aftermath import fill, picture, swept
from tests.contract.eks.conftest import ALLOWED, Site
from tests.contract.eks.errors import APIS, CLUSTER_WRITES, ROWS, THROTTLED, Denied, Row, Stage, play
from tests.contract.eks.objects import Objects
from tests.contract.lookalike.conftest import BUCKET, Client, Clock


@pytest.fixture
def stage(
    site: Site, objects: Objects, cloud: Cloud, client: Client, associated: str, clock: Clock,
    enter: Callable[[Credentials], None], monkeypatch: pytest.MonkeyPatch,
) -> Stage:  # fmt: skip
    return Stage(site, objects, cloud, client, associated, clock, enter, monkeypatch)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's own retries wait for nothing."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))


def seen(stage: Stage) -> set[str]:
    return picture(stage.site, stage.objects, stage.client)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.usefixtures("impatient")
def test_what_is_wrong_is_told_with_what_to_do_and_nothing_is_begun(stage: Stage, row: Row) -> None:
    row.arrange(stage)
    before = seen(stage)
    target = stage.site.target("run-1", **row.settings)
    attempts: list[Callable[[], object]] = [target.up]
    if not row.only_at_the_cluster:
        # And before anything is built.
        attempts.insert(0, lambda: refuse(stage.site.wanted("run-1", **row.settings)))
    for attempt in attempts:
        with pytest.raises(HarnessError, match=row.said) as caught:
            attempt()
        assert caught.value.exit_code in {ExitCode.ENVIRONMENT_FAILED, ExitCode.USAGE}
        assert row.next_step in caught.value.next_step
    target.down()
    target.release()
    assert stage.objects.writes == []
    stage.clock.ahead *= 0
    assert seen(stage) == before


def test_every_api_that_a_run_calls_is_denied_once_here(stage: Stage) -> None:
    play(stage)
    made = [call for call in stage.cloud.log.calls() if call.principal.endswith("user/limited")]
    assert {call.outcome for call in made} == {"allowed"}
    assert {action for call in made for action, _ in call.checked} == set(APIS) == set(ALLOWED)


@pytest.mark.parametrize("action", APIS)
def test_a_missing_permission_is_named_with_the_api_and_nothing_is_left(
    stage: Stage, limited: Callable[..., Credentials], runner_keys: Credentials, action: str
) -> None:
    denied: Denied = APIS[action]
    before = seen(stage)
    stage.enter(limited(*(one for one in ALLOWED if one != action)))
    with pytest.raises(EnvironmentFailed, match=denied.said) as caught:
        play(stage)
    assert f"is not authorized to perform: {action}" in str(caught.value) or denied.hidden
    assert caught.value.next_step
    stage.site.targets[-1].release()
    stage.enter(runner_keys)
    if denied.leaves:
        assert isinstance(caught.value, CleanupFailed)
        assert swept(stage.site), "it stands in the journal"
    else:
        assert seen(stage) == before, "without a sweep"
    swept(stage.site)
    assert seen(stage) == before


def test_every_write_to_the_cluster_is_denied_once_here(stage: Stage) -> None:
    stage.objects.found.clear()
    play(stage)
    made = set()
    for method, path in stage.objects.writes:
        words = path.strip("/").split("/")
        words = words[2:] if words[0] == "api" else words[3:]
        plural = words[2] if words[0] == "namespaces" and len(words) > 2 else words[0]
        made.add((method, plural))
    assert made == set(CLUSTER_WRITES)


@pytest.mark.parametrize("write", CLUSTER_WRITES, ids=" ".join)
def test_a_right_that_is_missing_in_the_cluster_is_named_and_nothing_is_left(
    stage: Stage, write: tuple[str, str]
) -> None:
    stage.objects.found.clear()
    before = seen(stage)
    kind = CLUSTER_WRITES[write]
    stage.objects.forbidden.add((write[0], kind))
    with pytest.raises(EnvironmentFailed) as caught:
        play(stage)
    assert f"the caller may not {write[0]} {write[1]}" in str(caught.value)
    stage.site.targets[-1].release()
    stage.objects.forbidden.clear()
    swept(stage.site)
    assert seen(stage) == before


@pytest.mark.parametrize(("service", "operation"), THROTTLED)
@pytest.mark.usefixtures("impatient")
def test_throttling_is_waited_out_and_told_when_it_does_not_end(stage: Stage, service: str, operation: str) -> None:
    before = seen(stage)
    stage.cloud.gateway.faults.throttle(service, operation, 2)
    play(stage)
    assert seen(stage) == before
    stage.cloud.gateway.faults.throttle(service, operation, 5)
    with pytest.raises(EnvironmentFailed, match="AWS throttles, 5 tries"):
        play(stage, "run-2")
    stage.cloud.gateway.faults.clear()
    stage.site.targets[-1].release()
    swept(stage.site)
    assert seen(stage) == before


def test_a_session_that_ends_while_the_run_goes_on_leaves_what_a_sweep_removes(stage: Stage) -> None:
    before = seen(stage)
    target = stage.site.target()
    fill(target.up(), stage.objects)
    stage.client("s3").put_object(Bucket=BUCKET, Key="runs/run-1/a", Body=b"x")
    # The administrator's own calls are not asked for from here on.
    stage.cloud.gateway.faults.fail("s3", "*", Problem.EXPIRED)
    with pytest.raises(CleanupFailed, match="could not be removed whole") as caught:
        target.down()
    assert "the AWS session is over" in caught.value.evidence["the bucket"]
    assert caught.value.next_step == "harness sweep, with the AWS profile or keys that the run had"
    target.release()
    stage.cloud.gateway.faults.clear()
    assert len(swept(stage.site)) == 1
    assert seen(stage) == before


def test_after_half_a_teardown_the_next_run_of_the_machine_finishes_it_and_goes_on(stage: Stage) -> None:
    before = seen(stage)
    first = stage.site.target("run-1")
    fill(first.up(), stage.objects)
    stage.objects.forbidden.add(("DELETE", "PersistentVolumeClaim"))
    with pytest.raises(CleanupFailed, match="could not be removed whole"):
        first.down()
    first.release()
    other = stage.elsewhere.target("run-9")
    with pytest.raises(GuardError, match="run run-1 has the harness's namespaces"):
        other.up()
    other.release()
    stage.objects.forbidden.clear()
    second = stage.site.target("run-2")
    second.up()
    second.down()
    second.release()
    swept(stage.site)
    assert seen(stage) == before
