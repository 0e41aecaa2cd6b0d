"""`harness sweep --target eks` and what was prepared with a lifetime: what goes, what stays, and what is said of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import eks_sweeping
from harness.eks_settings import Identity
from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode
from harness.kubeapi import KubeApi
from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import Admitting, Home, policies
from tests.contract.kubeapi.conftest import ApiServer
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, TRUST, Client
from tests.policies import needless, refused

PAST, LATER = "2026-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
ROLE = "Airflow-DVCS3Role"
MADE = (
    "Pod Identity association of airflow/airflow-dvc-sa", "service account airflow/airflow-dvc-sa",
    "namespace airflow", "namespace harness", f"role {ROLE}",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _token(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_cluster: object, path: Path, *, profile: str | None) -> str:
        path.write_text(server.kubeconfig.read_text())
        return "kind-ours"

    monkeypatch.setattr(eks_sweeping, "write_kubeconfig", write)


@pytest.fixture
def sweep(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Sweeps; the lines that it said, and it ended well."""
    opened = KubeApi
    monkeypatch.setattr(eks_sweeping, "KubeApi", lambda path, _context: opened(path, "kind-ours"))

    def run(*, yes: bool = False, **changes: Any) -> list[str]:
        out = io.StringIO()
        console = Console(file=out, width=400)
        assert eks_sweeping.sweep(home.settings(consent=False, **changes), console, yes=yes) is ExitCode.GREEN
        return out.getvalue().splitlines()

    return run


def roles(client: Client) -> set[str]:
    return {one["RoleName"] for one in client("iam").list_roles()["Roles"] if one["RoleName"].startswith(ROLE)}


def test_what_was_prepared_with_a_lifetime_is_shown_when_that_is_over_and_with_yes_removed(
    preparer: Home, sweep: Callable[..., list[str]], objects: Admitting, client: Client
) -> None:
    preparer.create(expires=PAST)
    client("s3").put_object(Bucket=preparer.bucket, Key="runs/run-0/a", Body=b"x")
    # The role last: by its name are environments found.
    things = (*MADE[:4], f"bucket {preparer.bucket}", MADE[4])
    shown = [line for line in sweep() if line.startswith("would remove")]
    # A label has no zone.
    assert [
        line.split(" (harness eks create made it for mlops, past its time since 2026-01-01T00")[0] for line in shown
    ] == [f"would remove {one}" for one in things]
    assert roles(client) == {ROLE}
    assert set(objects.names()) == {"Namespace/airflow", "Namespace/harness"}

    assert sweep(yes=True)[-1] == f"swept {len(things)}"
    assert roles(client) == set()
    assert objects.names() == set()
    assert preparer.journal().open() == []
    assert [line for line in sweep() if "remove" in line] == []


@pytest.mark.parametrize("expires", ["never", LATER])
def test_what_is_prepared_for_good_or_for_longer_stays(
    preparer: Home, sweep: Callable[..., list[str]], client: Client, expires: str
) -> None:
    preparer.create(expires=expires)
    told = sweep(yes=True)
    assert "nothing to sweep" in told
    assert [line.partition(":")[0] for line in told if expires in line] == (
        [f"left {one}" for one in (MADE[0], f"bucket {preparer.bucket}", MADE[4])] if expires == LATER else []
    )
    assert roles(client) == {ROLE}


@pytest.mark.parametrize("identity", list(Identity))
def test_what_is_prepared_for_good_later_is_no_more_past_its_time(
    home: Home,
    sweep: Callable[..., list[str]],
    client: Client,
    cloud: Cloud,
    admin: Credentials,
    enter: Callable[[Credentials], None],
    identity: Identity,
) -> None:
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", "prepare-images", bucket=home.bucket)))
    hurried = home.settings(registry="ecr").model_copy(update={"patience": 0.001})
    for expires in (PAST, "never"):
        # As in the test below.
        irsa = pytest.raises(EnvironmentFailed, match="told where their keys are")
        with irsa if identity is Identity.IRSA else nullcontext():
            home.create(identity=identity, expires=expires, settings=hurried)
    enter(admin)
    client("s3").put_object(Bucket=home.bucket, Key="kept", Body=b"x")
    assert "nothing to sweep" in sweep(yes=True, registry="ecr")
    assert client("s3").head_object(Bucket=home.bucket, Key="kept")


def test_environments_of_their_own_are_found_by_the_names_of_their_roles(
    preparer: Home,
    sweep: Callable[..., list[str]],
    objects: Admitting,
    client: Client,
    admin: Credentials,
    enter: Callable[[Credentials], None],
) -> None:
    enter(admin)
    preparer.create(suffix="pr-7", expires=PAST)
    objects.found.clear()
    client("iam").create_role(RoleName=f"{ROLE}-theirs", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert sweep(yes=True)[-1] == "swept 3"
    assert roles(client) == {f"{ROLE}-theirs"}


@pytest.fixture
def suffixed(home: Home, admin: Credentials, enter: Callable[[Credentials], None]) -> dict[str, str]:
    """An environment with a suffix, past its time; the settings of its runs, as `create` tells them."""
    enter(admin)
    home.create(suffix="pr-7", expires=PAST, settings=home.settings(registry="ecr"))
    told = {"bucket": f"{home.bucket}-pr-7", "ecr_prefix": "airflow-dvc-harness-pr-7"}
    assert "--eks-bucket {bucket}, eks.ecr_prefix = {ecr_prefix}".format_map(told) in home.told
    return {"registry": "ecr", **told}


def remains(client: Client, bucket: str) -> set[str]:
    """Role, bucket and repositories that are there."""
    buckets = {one["Name"] for one in client("s3").list_buckets()["Buckets"] if one["Name"].startswith(bucket)}
    repositories = {one["repositoryName"] for one in client("ecr").describe_repositories()["repositories"]}
    return roles(client) | buckets | repositories


@pytest.mark.parametrize("told", [True, False], ids=["as create told them", "without the suffix"])
def test_an_environment_of_its_own_goes_whole_by_the_settings_of_its_runs(
    home: Home, suffixed: dict[str, str], sweep: Callable[..., list[str]], client: Client, *, told: bool
) -> None:
    assert len(remains(client, home.bucket)) == 8
    sweep(yes=True, **(suffixed if told else {"registry": "ecr"}))
    assert remains(client, home.bucket) == set()


def test_what_is_left_of_an_environment_without_its_role_is_found_by_its_tags(
    home: Home, suffixed: dict[str, str], sweep: Callable[..., list[str]], objects: Admitting, client: Client
) -> None:
    # Whoever names neither its bucket nor its repositories takes all else.
    sweep(yes=True, bucket=f"{home.bucket}-other")
    assert len(remains(client, home.bucket)) == 7
    assert roles(client) | objects.names() == set()
    sweep(yes=True, **suffixed)
    assert remains(client, home.bucket) == set()


def test_a_role_stays_until_what_is_found_by_its_name_is_gone(
    home: Home,
    suffixed: dict[str, str],
    sweep: Callable[..., list[str]],
    client: Client,
    cloud: Cloud,
    enter: Callable[[Credentials], None],
    admin: Credentials,
) -> None:
    whole = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    but = {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*"}
    enter(cloud.user("sweeper", {"Version": "2012-10-17", "Statement": [whole, but]}))
    with pytest.raises(CleanupFailed) as caught:
        sweep(yes=True, registry="ecr")
    assert set(caught.value.evidence) == {f"role {ROLE}-pr-7", f"bucket {home.bucket}-pr-7"}
    assert f"bucket {home.bucket}-pr-7" in caught.value.evidence[f"role {ROLE}-pr-7"]
    enter(admin)
    assert sweep(yes=True, registry="ecr")[-1] == "swept 2"
    assert remains(client, home.bucket) == set()


@pytest.mark.parametrize("seen", [True, False])
def test_a_role_stays_with_a_bucket_that_stays_or_that_nobody_can_tell_of(
    preparer: Home,
    sweep: Callable[..., list[str]],
    client: Client,
    cloud: Cloud,
    enter: Callable[[Credentials], None],
    *,
    seen: bool,
) -> None:
    preparer.create(expires=PAST)
    if seen:
        s3, mine = client("s3"), {"Bucket": preparer.bucket}
        tags = s3.get_bucket_tagging(**mine)["TagSet"]
        later = [{**one, "Value": LATER} if one["Key"] == "harness.expires" else one for one in tags]
        s3.put_bucket_tagging(Tagging={"TagSet": later}, **mine)
    else:
        but = {"Effect": "Deny", "Action": "s3:GetBucketTagging", "Resource": "*"}
        mine = policies("prepare", "sweep", bucket=preparer.bucket)
        enter(cloud.user("sweeper", {**mine, "Statement": [*mine["Statement"], but]}))
    told = sweep(yes=True)
    (line,) = [one for one in told if one.startswith(f"left role {ROLE}: ")]
    assert line.endswith(f"; it goes after bucket {preparer.bucket}")
    assert told[-1] == f"swept {len(MADE) - 1}"
    assert roles(client) == {ROLE}


def test_the_provider_of_irsa_goes_too(
    home: Home, sweep: Callable[..., list[str]], client: Client, cloud: Cloud, enter: Callable[[Credentials], None]
) -> None:
    enter(cloud.user("preparer", policies("prepare", "prepare-irsa", bucket=home.bucket)))
    # No pod is told of a role here, for nothing stands for EKS's webhook; what was made stays.
    with pytest.raises(EnvironmentFailed, match="told where their keys are"):
        home.create(
            identity=Identity.IRSA, expires=PAST, settings=home.settings().model_copy(update={"patience": 0.001})
        )
    sweep(yes=True)
    assert client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
    assert roles(client) == set()


def test_nothing_goes_from_under_a_run(
    preparer: Home, sweep: Callable[..., list[str]], objects: Admitting, client: Client
) -> None:
    preparer.create(expires=PAST)
    data = {"run": "run-0", "expires": LATER, "before": "{}"}
    objects.put("ConfigMap", "harness-claim", "harness", labels={"harness.owner": "airflow-dvc-harness"}, data=data)
    told = sweep(yes=True)
    assert "nothing to sweep" in told
    assert next(line for line in told if line.startswith(f"left role {ROLE}: ")).endswith("; run run-0 has the cluster")
    assert roles(client) == {ROLE}


def test_what_these_credentials_may_not_see_is_said_once(
    preparer: Home, sweep: Callable[..., list[str]], cloud: Cloud, enter: Callable[[Credentials], None]
) -> None:
    preparer.create(expires=LATER)
    enter(cloud.user("runner", policies("runner", bucket=preparer.bucket)))
    (line,) = [one for one in sweep() if "cannot be seen" in one]
    assert line.startswith("left what harness eks create may have prepared: these cannot be seen: ")
    assert f"role {ROLE}" in line


def claim(client: Client, bucket: str, run: str) -> None:
    """What a run leaves in a bucket: an object, and what says until when."""
    prefix = f"runs/{run}/"
    said = json.dumps({"prefix": prefix, "cluster": CLUSTER, "expires": PAST})
    client("s3").put_object(Bucket=bucket, Key=f"{prefix}a", Body=b"x")
    client("s3").put_object(Bucket=bucket, Key=f"claims/{run}.json", Body=said.encode())


def test_a_claim_that_these_credentials_may_not_read_is_named_and_the_rest_goes(
    preparer: Home, sweep: Callable[..., list[str]], client: Client
) -> None:
    preparer.create(expires=PAST)
    claim(client, preparer.bucket, "run-1")
    told = sweep(yes=True)
    (line,) = [one for one in told if one.startswith(f"left s3://{preparer.bucket}/runs/run-1/")]
    assert "cannot be seen: not allowed to read" in line
    assert told[-1] == f"swept {len(MADE) + 1}"


def test_what_sweeps_needs_its_policy_and_nothing_of_it_less(
    preparer: Home,
    sweep: Callable[..., list[str]],
    client: Client,
    cloud: Cloud,
    enter: Callable[[Credentials], None],
) -> None:
    preparer.create(expires=PAST)
    claim(client, preparer.bucket, "run-1")
    mine = policies("prepare", "prepare-irsa", "sweep", bucket=preparer.bucket)
    enter(cloud.user("sweeper", mine))
    told = sweep(yes=True)
    assert told[-1] == f"swept {len(MADE) + 2}"
    assert [line for line in told if "cannot be seen" in line] == []
    calls = [call for call in cloud.log.calls() if call.principal.endswith(":user/sweeper")]
    # Whether there is the bucket that an environment has for which none is named: nobody's business here.
    unnamed = {"Bucket": f"dvc-{ACCOUNT}-{CLUSTER}"}
    allowed = [call for call in calls if call.outcome != "denied"]
    assert [call for call in calls if call.outcome == "denied" and call.parameters != unnamed] == []
    assert refused(mine, allowed) == []
    assert needless(policies("sweep", bucket=preparer.bucket), allowed) == []


def ours(cloud: Cloud, *, expires: str = PAST, environment: str = CLUSTER) -> Cluster:
    """The cluster, as if it had been made by --eks-create."""
    cluster: Cluster = cloud.eks.cluster(CLUSTER)
    marks = {"harness.owner": "airflow-dvc-harness", "harness.environment": environment, "harness.expires": expires}
    cluster.retag({**cluster.tags, **marks})
    return cluster


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize(("environment", "more"), [(CLUSTER, ""), (f"{CLUSTER}.pr-7", " --suffix pr-7")])
def test_a_cluster_that_was_made_and_is_past_its_time_ends_a_sweep_with_what_removes_it(
    preparer: Home, sweep: Callable[..., list[str]], cloud: Cloud, *, yes: bool, environment: str, more: str
) -> None:
    ours(cloud, environment=environment)
    with pytest.raises(CleanupFailed, match="costs past its time") as caught:
        sweep(yes=yes)
    assert caught.value.next_step == f"harness eks delete --eks-cluster {CLUSTER}{more} --eks-consent"
    assert f"past its time since {PAST}" in caught.value.evidence[f"cluster {CLUSTER}"]


def test_a_cluster_that_was_made_and_has_time_left_is_no_matter_for_a_sweep(
    preparer: Home, sweep: Callable[..., list[str]], cloud: Cloud
) -> None:
    ours(cloud, expires=LATER)
    assert "nothing to sweep" in sweep(yes=True)


@pytest.mark.parametrize("status", ["CREATING", "FAILED"])
def test_a_cluster_that_was_begun_and_never_came_up_is_named_with_what_removes_it(
    preparer: Home, sweep: Callable[..., list[str]], cloud: Cloud, status: str
) -> None:
    ours(cloud).status = status
    with pytest.raises(EnvironmentFailed, match=status) as caught:
        sweep(yes=True)
    assert caught.value.next_step.endswith(f"harness eks delete --eks-cluster {CLUSTER}")
    assert caught.value.evidence == {"it may stay until": PAST}
