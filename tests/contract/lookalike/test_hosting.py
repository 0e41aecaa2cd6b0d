"""The look-alike as a process of its own: found and ended by its folder, its account filled, the environment to use."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.eks_lookalike import token_of
from harness.eks_settings import EksSettings
from harness.errors import EnvironmentFailed
from harness.liveness import alive
from harness.lookalike import account
from harness.lookalike.account import Plan
from harness.lookalike.calls import read_calls
from harness.lookalike.hosting import ADMINISTRATOR, NODE, RUNNER, Attached, Folder, Hosted, Serving, Store
from harness.lookalike.hosting import write_private as write
from harness.lookalike.process import GatewayProcess
from harness.lookalike.surroundings import Surroundings
from harness.lookalike.witness import Backend
from harness.process import SubprocessRunner
from harness.services.pki import Authority
from harness.targets.eks.attach import check_pod_identity
from harness.targets.eks.aws import open_session
from harness.targets.eks.guards import guarded_cluster
from harness.targets.eks.token import PREFIX
from harness.wait import Waiter

PLAN = Plan("mlops")
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: kind-mlops, context: {cluster: c, user: u}}]
"""


def folder_for(cluster: Path, store: Backend, *, address: str = "127.0.0.1") -> Folder:
    """A folder as the command makes it, with all that its process needs."""
    folder = Folder.of_cluster(cluster)
    folder.path.mkdir(parents=True)
    own = Authority.create().issue([address])
    write(folder.path / "tls.crt", own.certificate)
    write(folder.path / "tls.key", own.key)
    kept = Store(store.url, store.access_key, store.secret_key)
    folder.host(
        Hosted(
            address, PLAN.number, PLAN.region, PLAN.cluster, "1.34", account.TAGS, account.ADDONS, PLAN.users(), kept
        )
    )
    return folder


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory, store: Backend) -> Iterator[tuple[Folder, Serving]]:
    folder = folder_for(tmp_path_factory.mktemp("clusters") / "mlops", store)
    process = GatewayProcess(folder)
    serving = process.start(SubprocessRunner(), Waiter())
    yield folder, serving
    process.end()


@pytest.fixture(scope="module")
def filled(hosted: tuple[Folder, Serving]) -> Iterator[Surroundings]:
    """With a cluster attached, which nobody asks anything here, and the account's contents."""
    folder, serving = hosted
    kubeconfig = folder.path.parent / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    folder.attach(Attached(str(kubeconfig), "kind-mlops", "https://127.0.0.1:9", "PEM"))
    account.prepare(PLAN, serving, folder.keys(), Waiter())
    made = Surroundings(folder, PLAN, serving)
    made.write(folder.keys())
    yield made
    s3 = account.client("s3", folder.keys()[ADMINISTRATOR], serving, PLAN.region)
    s3.delete_bucket(Bucket=PLAN.bucket)
    s3.close()


@pytest.fixture
def entered(filled: Surroundings, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in filled.variables().items():
        monkeypatch.setenv(name, value)
    return filled


def test_the_process_is_known_by_its_folder_and_ends_by_it_alone(
    hosted: tuple[Folder, Serving], tmp_path: Path, store: Backend
) -> None:
    other = GatewayProcess(folder_for(tmp_path / "other", store))
    assert other.pid() is None
    assert not other.end()
    serving = other.start(SubprocessRunner(), Waiter())
    assert other.pid() == serving.pid
    assert other.end()
    assert other.pid() is None
    assert GatewayProcess(hosted[0]).pid() == hosted[1].pid


def test_it_outlives_who_started_it_and_ends_by_a_signal(tmp_path: Path, store: Backend) -> None:
    folder = folder_for(tmp_path / "mlops", store)
    process = GatewayProcess(folder)
    serving = process.start(SubprocessRunner(), Waiter())
    assert os.getsid(serving.pid) == serving.pid
    assert b"AIRFLOW_DVC_HARNESS_RUN=\0" in Path(f"/proc/{serving.pid}/environ").read_bytes()
    os.kill(serving.pid, signal.SIGTERM)
    Waiter().until("its end", process.pid, ready=lambda pid: pid is None, timeout=10, interval=0.05)
    assert process.last_words() == ""


def test_one_that_cannot_listen_says_so_with_its_last_words(tmp_path: Path, store: Backend) -> None:
    folder = folder_for(tmp_path / "mlops", store, address="192.0.2.1")
    with pytest.raises(EnvironmentFailed, match="does not come up") as caught:
        GatewayProcess(folder).start(SubprocessRunner(), Waiter())
    assert "Cannot assign requested address" in caught.value.evidence["its last words"]
    assert "no remote engine" in caught.value.next_step.replace("\n", " ")


def test_the_cluster_is_being_created_until_it_is_attached(tmp_path: Path, store: Backend) -> None:
    folder = folder_for(tmp_path / "mlops", store)
    process = GatewayProcess(folder)
    serving = process.start(SubprocessRunner(), Waiter())
    try:
        eks = account.client("eks", folder.keys()[RUNNER], serving, PLAN.region)
        assert eks.describe_cluster(name="mlops")["cluster"]["status"] == "CREATING"
        eks.close()
    finally:
        process.end()


def test_the_account_holds_what_a_team_prepares(entered: Surroundings) -> None:
    session = open_session(profile="administrator", region=None)
    iam, eks = session.client("iam"), session.client("eks")
    role = iam.get_role(RoleName="Airflow-DVCS3Role")["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    policy = iam.get_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="Airflow-DVCS3Policy")["PolicyDocument"]
    assert policy["Statement"][0]["Action"] == ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
    assert policy["Statement"][0]["Resource"] == [f"arn:aws:s3:::{PLAN.bucket}", f"arn:aws:s3:::{PLAN.bucket}/*"]
    (association,) = eks.list_pod_identity_associations(clusterName="mlops")["associations"]
    assert (association["namespace"], association["serviceAccount"]) == ("airflow", "airflow-dvc-sa")
    addons = ["aws-ebs-csi-driver", "aws-efs-csi-driver", "eks-pod-identity-agent"]
    assert eks.list_addons(clusterName="mlops")["addons"] == addons
    users = [f"arn:aws:iam::{PLAN.number}:user/{name}" for name in ("administrator", "runner")]
    assert eks.list_access_entries(clusterName="mlops")["accessEntries"] == users
    for client in (iam, eks):
        client.close()


def test_the_runner_attaches_and_reads_and_writes_objects_and_no_more(entered: Surroundings) -> None:
    session = open_session(profile=None, region=None)
    settings = EksSettings(
        cluster=os.environ["HARNESS_EKS__CLUSTER"],
        region=os.environ["HARNESS_EKS__REGION"],
        accounts=tuple(json.loads(os.environ["HARNESS_EKS__ACCOUNTS"])),
        clusters=tuple(json.loads(os.environ["HARNESS_EKS__CLUSTERS"])),
        consent=True,
    )
    assert guarded_cluster(session, settings).endpoint == "https://127.0.0.1:9"
    check_pod_identity(session, "mlops")
    s3, eks = session.client("s3"), session.client("eks")
    s3.put_object(Bucket=PLAN.bucket, Key="a", Body=b"1")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=PLAN.bucket)["Contents"]] == ["a"]
    s3.delete_object(Bucket=PLAN.bucket, Key="a")
    refused: dict[str, Any] = {"clusterName": "mlops", "namespace": "x", "serviceAccount": "y"}
    with pytest.raises(ClientError, match="not authorized to perform: eks:CreatePodIdentityAssociation"):
        eks.create_pod_identity_association(**refused, roleArn=PLAN.role_arn)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": PLAN.region})
    for client in (s3, eks):
        client.close()


@pytest.mark.parametrize("damaged", [False, True], ids=["no such profile", "a damaged file"])
def test_it_is_brought_up_whatever_the_reader_has_of_aws(
    tmp_path: Path, store: Backend, monkeypatch: pytest.MonkeyPatch, *, damaged: bool
) -> None:
    """`up` met the reader's AWS_PROFILE when its cluster was made already."""
    (tmp_path / "config").write_text("[" if damaged else "")
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    folder = folder_for(tmp_path / "mlops", store)
    process = GatewayProcess(folder)
    serving = process.start(SubprocessRunner(), Waiter())
    try:
        keys = folder.keys()
        eks = account.client("eks", keys[ADMINISTRATOR], serving, PLAN.region)
        assert eks.describe_cluster(name="mlops")["cluster"]["status"] == "CREATING"
        eks.close()
    finally:
        process.end()
    token = token_of(keys[RUNNER], PLAN).removeprefix(PREFIX)
    url = base64.urlsafe_b64decode(f"{token}==").decode()
    assert url.startswith(f"https://sts.{PLAN.region}.amazonaws.com/")
    assert keys[RUNNER].access_key_id in url


def test_where_pods_may_ask_there_is_sts_and_s3_alone(entered: Surroundings) -> None:
    keys, serving = entered.folder.keys()[ADMINISTRATOR], entered.serving
    session = boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=PLAN.region)
    eks = session.client("eks", endpoint_url=serving.data)
    with pytest.raises(ClientError, match="eks is not spoken at this address"):
        eks.list_clusters()
    sts = session.client("sts", endpoint_url=serving.data)
    assert sts.get_caller_identity()["Arn"].endswith(":user/administrator")
    for client in (eks, sts):
        client.close()


def test_a_shell_that_reads_the_file_has_it_all_and_nothing_that_leads_elsewhere(filled: Surroundings) -> None:
    before = {
        "PATH": os.environ["PATH"], "AWS_PROFILE": "x", "AWS_ACCESS_KEY_ID": "y", "AWS_ENDPOINT_URL": "z",
        "no_proxy": "internal.example",
    }  # fmt: skip
    file = filled.folder.environment
    shown = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && env', "sh", str(file)], env=before, capture_output=True, text=True, check=True
    ).stdout
    after = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    assert filled.variables().items() <= after.items()
    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"} & after.keys()
    assert after["NO_PROXY"] == "127.0.0.1"
    assert after["no_proxy"] == "127.0.0.1,internal.example"


def test_what_is_secret_is_for_the_owner_alone_and_in_no_other_file(filled: Surroundings) -> None:
    folder = filled.folder
    secrets = [one.secret_access_key for one in folder.keys().values()]
    holding = {"keys.json", "credentials"}
    for path in (path for path in folder.path.rglob("*") if path.is_file()):
        text = path.read_text()
        assert any(secret in text for secret in secrets) is (path.name in holding), path
        if path.name in {*holding, "gateway.json", "tls.key"}:
            assert path.stat().st_mode & 0o777 == 0o600, path
    command = Path(f"/proc/{filled.serving.pid}/cmdline").read_bytes().decode()
    assert not [secret for secret in secrets if secret in command]


def test_what_was_called_is_on_record_for_others(filled: Surroundings) -> None:
    calls = read_calls(filled.folder.calls)
    made = {call.operation: call.principal for call in calls if call.outcome == "allowed"}
    assert made["CreatePodIdentityAssociation"] == filled.folder.keys()[ADMINISTRATOR].arn
    assert filled.folder.keys()[NODE].arn.endswith(":user/node")


def _command(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", "eks-lookalike", *words, "--cluster", "mlops"],
        env={**os.environ, "HARNESS_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_status_tells_of_one_that_lives_and_of_one_that_has_ended(tmp_path: Path, store: Backend) -> None:
    cluster = tmp_path / "clusters" / "mlops"
    folder = folder_for(cluster, store)
    (cluster / "kubeconfig").write_text(KUBECONFIG)
    (cluster / "kept").touch()
    process = GatewayProcess(folder)
    serving = process.start(SubprocessRunner(), Waiter())
    told = _command(tmp_path, "status")
    again = _command(tmp_path, "up")
    process.end()
    assert f"process {serving.pid}" in told.stdout
    assert f"AWS_ENDPOINT_URL_S3         {serving.data}" in told.stdout
    assert "does not answer" in told.stdout
    assert told.returncode == 3, "its cluster is not there"
    assert (again.returncode, again.stderr) == (0, "")
    assert f"export AWS_ENDPOINT_URL_EKS={serving.control}" in again.stdout
    for ended in (_command(tmp_path, "status"), _command(tmp_path, "up")):
        assert ended.returncode == 3
        assert "has ended, and with it what its account held" in ended.stderr
        assert "next: harness eks-lookalike down --cluster mlops, then up" in ended.stderr


@pytest.mark.parametrize("verb", ["down", "status"])
def test_where_there_is_none_that_is_told(tmp_path: Path, verb: str) -> None:
    (tmp_path / "clusters" / "mlops").mkdir(parents=True)
    told = _command(tmp_path, verb)
    assert told.returncode == 4
    assert "there is no EKS look-alike mlops here" in told.stderr


def test_a_plain_cluster_of_that_name_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "clusters" / "mlops").mkdir(parents=True)
    (tmp_path / "clusters" / "mlops" / "kept").touch()
    told = _command(tmp_path, "up")
    assert told.returncode == 4
    assert "the cluster mlops is there, and is no EKS look-alike" in told.stderr
    assert "next: choose another name with --cluster" in told.stderr
    assert "harness down" not in told.stderr, "nothing is wrong with it"


@pytest.mark.parametrize("verb", ["up", "status"])
@pytest.mark.parametrize("so_far", [(), ("lookalike",)], ids=["no look-alike yet", "no cluster yet"])
def test_one_that_comes_up_is_not_taken_for_one_that_did_not(tmp_path: Path, verb: str, so_far: tuple[str]) -> None:
    cluster = tmp_path / "clusters" / "mlops"
    cluster.mkdir(parents=True)
    for name in so_far:
        (cluster / name).mkdir()
    (cluster / "cluster.json").write_text(json.dumps({"run": "20261122-140000-abcd"}))
    with alive(tmp_path / "runs" / "20261122-140000-abcd"):
        told = _command(tmp_path, verb)
    assert (told.returncode, told.stdout) == (3, "")
    assert "run 20261122-140000-abcd is at work on the cluster mlops" in told.stderr
    assert "next: wait for it to end" in told.stderr


def test_one_whose_process_was_killed_before_it_was_up_is_to_go(tmp_path: Path) -> None:
    cluster = tmp_path / "clusters" / "mlops"
    (cluster / "lookalike").mkdir(parents=True)
    (cluster / "cluster.json").write_text(json.dumps({"run": "20261122-140000-abcd"}))
    with alive(tmp_path / "runs" / "20261122-140000-abcd"):
        pass
    told = _command(tmp_path, "up")
    assert told.returncode == 4
    assert "the cluster mlops did not come up whole" in told.stderr
    assert "next: harness down --cluster mlops, then again" in told.stderr
