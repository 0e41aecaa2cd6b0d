"""The look-alike held to transcripts: those in fixtures/transcripts, one recorded here, and some that are not true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import harness
from harness import awstap
from harness.eks_settings import EksSettings
from harness.errors import UsageError
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.recorder import Recorder
from harness.lookalike.replay import differences
from harness.lookalike.transcript import Exchange, Transcript, read
from harness.lookalike.witness import Backend
from harness.model import Bucket
from harness.services.s3 import connect, outside
from harness.targets.eks.attach import check_pod_identity, role_of_pods
from harness.targets.eks.aws import client as aws_client
from harness.targets.eks.aws import open_session
from harness.targets.eks.guards import guarded_cluster
from harness.targets.eks.prefix import empty, prefix_of
from tests.contract.lookalike.conftest import ACCOUNT, BUCKET, CLUSTER, REGION, ROLE, Agent, Client, Tokens

PROBE = Path(harness.__file__).parent / "services" / "probe" / "probe.py"
DOCS = Path(__file__).parents[3] / "docs"
NONE = "There is none yet"
FIXTURES = Path(__file__).parents[3] / "fixtures" / "transcripts"
RUN = prefix_of("", "run-1")
ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@pytest.fixture
def recorded(
    enter: Callable[[Credentials], None],
    cloud: Cloud,
    client: Client,
    admin: Credentials,
    limited: Callable[..., Credentials],
    associated: str,
    bucket: str,
    tmp_path: Path,
) -> Path:
    """What the harness itself asks of AWS in a run, and some refusals, of a look-alike: never of AWS."""
    cloud.eks.cluster(CLUSTER).tags["harness.allowed"] = "true"
    enter(admin)
    recorder = Recorder(tmp_path / "look-alike.jsonl", region=REGION)
    settings = EksSettings(cluster=CLUSTER, region=REGION, accounts=(ACCOUNT,), clusters=(ARN,), consent=True)
    with awstap.listening(recorder):
        session = open_session(profile=None, region=None)
        guarded_cluster(session, settings)
        check_pod_identity(session, CLUSTER)
        role_of_pods(session, CLUSTER)
        _objects(client)
        empty(session, BUCKET, RUN)
        _refusals(session, cloud)
        enter(limited("s3:ListBucket"))
        _refused(open_session(profile=None, region=None), "eks", "describe_cluster", name=CLUSTER)
    return tmp_path / "look-alike.jsonl"


def _objects(pods: Client) -> None:
    service = outside(Bucket(name=BUCKET, region=REGION, endpoint=None, root="", profile=None))
    s3 = connect(service)
    s3.list_objects_v2(Bucket=BUCKET, Prefix=RUN)
    s3.put_object(Bucket=BUCKET, Key=f"{RUN}a", Body=b"of the harness")
    # Not heard: as a pod does it.
    pods("s3").put_object(Bucket=BUCKET, Key=f"{RUN}b", Body=b"of a pod, and longer")
    for key in (f"{RUN}a", f"{RUN}b"):
        s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.list_objects_v2(Bucket=BUCKET, Prefix=RUN)
    s3.close()


def _refusals(session: boto3.Session, cloud: Cloud) -> None:
    _refused(session, "eks", "describe_cluster", name="no-such-cluster")
    _refused(session, "eks", "describe_addon", clusterName=CLUSTER, addonName="no-such-addon")
    _refused(session, "s3", "head_object", Bucket=BUCKET, Key="no/such/key")
    _refused(session, "s3", "get_object", Bucket=BUCKET, Key="no/such/key")
    cloud.gateway.faults.throttle("eks", "DescribeCluster", 1)
    eks = aws_client(session, "eks")
    eks.describe_cluster(name=CLUSTER)  # tried again by boto3: two exchanges
    eks.close()


def _refused(session: boto3.Session, service: str, operation: str, **parameters: Any) -> None:
    one = aws_client(session, service)
    with pytest.raises(ClientError):
        getattr(one, operation)(**parameters)
    one.close()


@pytest.fixture
def fresh(bucket: str, client: Client) -> Iterator[Callable[[], None]]:
    """The store without the recording's bucket, which a replay makes itself if it asks for it."""

    def gone() -> None:
        s3 = client("s3")
        for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=one["Key"])
        s3.delete_bucket(Bucket=bucket)

    yield gone
    s3 = client("s3")
    if bucket not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})


def test_the_look_alike_answers_as_aws_did_and_what_is_not_recorded_is_not_claimed(store: Backend) -> None:
    paths = sorted(FIXTURES.glob("*.jsonl"))
    for path in paths:
        transcript = read(path)
        assert transcript.of_aws, "what was recorded of something else says nothing about AWS"
        assert [str(one) for one in differences(transcript, store)] == []
    for page in (FIXTURES / "README.md", DOCS / "eks-lookalike.md"):
        assert bool(paths) != (NONE in page.read_text()), page


def test_a_recording_of_the_look_alike_is_not_one_of_aws_and_replays(
    recorded: Path, fresh: Callable[[], None], store: Backend
) -> None:
    transcript = read(recorded)
    assert not transcript.of_aws
    fresh()
    assert [str(one) for one in differences(transcript, store)] == []


def test_a_recording_has_each_attempt_with_its_outcome(recorded: Path) -> None:
    seen = [(one.service, one.operation, one.status, one.code) for one in read(recorded).exchanges]
    assert seen[:3] == [
        ("sts", "GetCallerIdentity", 200, ""), ("eks", "DescribeCluster", 200, ""), ("eks", "DescribeAddon", 200, ""),
    ]  # fmt: skip
    assert [one[2:] for one in seen if one[1] == "DescribeCluster"] == [
        (200, ""), (404, "ResourceNotFoundException"), (429, "ThrottlingException"), (200, ""),
        (403, "AccessDeniedException"),
    ]  # fmt: skip
    assert ("s3", "HeadObject", 404, "404") in seen
    assert ("s3", "GetObject", 404, "NoSuchKey") in seen


def test_a_recording_holds_no_key_no_token_and_no_name_of_the_caller(recorded: Path, cloud: Cloud) -> None:
    text = recorded.read_text()
    keys = [cloud.store.find(call.access_key_id) for call in cloud.log.calls()]
    assert keys
    for one in keys:
        assert one is not None
        for secret in (one.access_key_id, one.secret_access_key, one.session_token, one.principal.user_id):
            assert not secret or secret not in text
    assert "of a pod" not in text
    assert ":user/admin" not in text
    assert recorded.stat().st_mode & 0o777 == 0o600


def test_a_recording_does_not_say_whose_the_objects_are(recorded: Path, client: Client) -> None:
    account = client("s3").list_buckets()["Owner"]
    listed = [one.answer for one in read(recorded).exchanges if one.operation == "ListObjectVersions"]
    owners = [one["Owner"] for answer in listed for one in answer.get("Versions", [])]
    assert owners == [{"ID": f"{1:064x}", "DisplayName": "(hidden)"}] * 2
    assert account["ID"] not in recorded.read_text()
    assert account["DisplayName"] not in recorded.read_text()


DOCTORED: dict[str, tuple[Callable[[Exchange], Exchange], str]] = {
    "another status": (lambda one: replace(one, status=202), "recorded 202, found 200"),
    "a refusal": (
        lambda one: replace(one, status=400, code="InvalidRequestException", answer={}),
        "recorded 400 InvalidRequestException, found 200",
    ),
    "a member more": (
        lambda one: replace(one, answer={"cluster": {**one.answer["cluster"], "outpostConfig": {}}}),
        "the answer lacks cluster.outpostConfig",
    ),
    "a member less": (
        lambda one: replace(one, answer={"cluster": _without(one.answer["cluster"], "platformVersion")}),
        "the answer has cluster.platformVersion, which was not recorded",
    ),
    "a secret in the question": (
        lambda one: replace(one, parameters={"name": "(hidden)"}),
        "it was asked with a secret, which no transcript has: it cannot be asked again",
    ),
}


def _without(given: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def test_a_transcript_that_says_otherwise_is_noticed(recorded: Path, fresh: Callable[[], None], store: Backend) -> None:
    transcript = read(recorded)
    asked = next(one for one in transcript.exchanges if one.operation == "DescribeCluster")
    doctored = tuple(doctor(asked) for doctor, _ in DOCTORED.values())
    fresh()
    found = differences(replace(transcript, exchanges=(asked, *doctored, asked)), store)
    said = [f"line {line}, eks DescribeCluster: {said}" for line, (_, said) in enumerate(DOCTORED.values(), start=3)]
    assert [str(one) for one in found] == said


def test_an_operation_that_the_look_alike_does_not_speak_is_noticed(store: Backend) -> None:
    asked = Exchange("eks", "ListNodegroups", {"clusterName": CLUSTER}, 200, answer={"nodegroups": []}, of_aws=True)
    found = differences(Transcript("2026-11-21T00:00:00+00:00", REGION, (asked,)), store)
    assert [one.said for one in found] == ["recorded 200, found 501 NotImplemented"]


def test_a_refusal_of_the_caller_is_asked_for_as_such_a_caller(store: Backend) -> None:
    refusals = [
        Exchange("sts", "GetCallerIdentity", {}, 403, code)
        for code in ("InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch")
    ]
    told = {"cluster": {"name": CLUSTER, "version": "1.34"}}
    there = Exchange("eks", "DescribeCluster", {"name": CLUSTER}, 200, answer=told)
    # botocore's model of EKS has these two, and gives their members.
    modelled = {"message": "of the recorded refusal"}
    refusals += [
        Exchange("eks", "DescribeCluster", {"name": CLUSTER}, 403, "UnrecognizedClientException"),
        Exchange("eks", "DescribeCluster", {"name": CLUSTER}, 403, "AccessDeniedException", modelled),
        Exchange("eks", "DescribeCluster", {"name": CLUSTER}, 429, "ThrottlingException", modelled),
    ]
    found = differences(Transcript("", REGION, (*refusals, there)), store)
    assert [one.line for one in found] == [len(refusals) + 2], "only the answer that was cut short"


def test_names_that_the_look_alike_gives_itself_are_followed(
    enter: Callable[[Credentials], None],
    admin: Credentials,
    associated: str,
    cloud: Cloud,
    store: Backend,
    tmp_path: Path,
) -> None:
    """Associations that were there, and that the transcript makes, have other ids in a replay."""
    enter(admin)
    recorder = Recorder(tmp_path / "made.jsonl", region=REGION)
    with awstap.listening(recorder):
        session = open_session(profile=None, region=None)
        role_of_pods(session, CLUSTER)
        eks = aws_client(session, "eks")
        eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
        _refused(session, "eks", "describe_pod_identity_association", clusterName=CLUSTER, associationId=associated)
        made = eks.create_pod_identity_association(
            clusterName=CLUSTER, namespace="airflow", serviceAccount="airflow-dvc-sa", roleArn=ROLE
        )["association"]["associationId"]
        eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=made)
        eks.close()
    assert recorder.count == 6
    assert differences(read(tmp_path / "made.jsonl"), store) == []


def _said_by_the_probe(agent: Agent, token: str) -> list[str]:
    """The program of the pod that proves the services, as far as it asks the agent."""
    program = "import runpy; runpy.run_path(r'" + str(PROBE) + "')['agent']()"
    environment = {**agent.environment(token), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_a_pod_says_of_the_agent_replays(
    start: Callable[..., Agent], tokens: Tokens, associated: str, cloud: Cloud, store: Backend, tmp_path: Path
) -> None:
    said = _said_by_the_probe(start(), tokens.issue("airflow", "airflow-dvc-sa"))
    vended = next(call for call in cloud.log.calls("eks-auth"))
    assert vended.outcome == "allowed"
    recorder = Recorder(tmp_path / "agent.jsonl", region=REGION)
    with awstap.listening(recorder):
        assert awstap.somebody_listens()
        for line in said:
            awstap.tell_of_agent(line)
    assert not awstap.somebody_listens()
    exchanges = read(tmp_path / "agent.jsonl").exchanges
    assert [(one.parameters["as"], one.status) for one in exchanges] == [
        ("own", 200), ("none", 400), ("garbage", 400), ("bearer", 400)
    ]  # fmt: skip
    assert exchanges[0].answer["members"] == ["AccessKeyId", "AccountId", "Expiration", "SecretAccessKey", "Token"]
    assert differences(read(tmp_path / "agent.jsonl"), store) == []
    doctored = replace(exchanges[1], status=401)
    found = differences(Transcript("", REGION, (exchanges[0], doctored)), store)
    assert [str(one) for one in found] == ["line 3, pod-identity-agent GetCredentials: recorded 401, found 400"]


def test_a_call_that_carries_a_secret_is_left_out(
    enter: Callable[[Credentials], None], admin: Credentials, tmp_path: Path
) -> None:
    enter(admin)
    recorder = Recorder(tmp_path / "secret.jsonl", region=REGION)
    with awstap.listening(recorder):
        sts = aws_client(open_session(profile=None, region=None), "sts")
    with pytest.raises(ClientError):
        sts.assume_role_with_web_identity(RoleArn=ARN, RoleSessionName="night", WebIdentityToken="of-the-night")
    sts.get_caller_identity()
    sts.close()
    assert [one.operation for one in read(tmp_path / "secret.jsonl").exchanges] == ["GetCallerIdentity"]
    assert "of-the-night" not in (tmp_path / "secret.jsonl").read_text()


def test_a_session_that_nobody_listens_to_is_left_alone(
    enter: Callable[[Credentials], None], admin: Credentials, tmp_path: Path
) -> None:
    enter(admin)
    recorder = Recorder(tmp_path / "nothing.jsonl", region=REGION)
    with awstap.listening(recorder):
        pass
    sts = aws_client(open_session(profile=None, region=None), "sts")
    sts.get_caller_identity()
    sts.close()
    assert recorder.count == 0


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("mine")
    with pytest.raises(UsageError, match="no transcript can be written to"):
        Recorder(there, region=REGION)
    assert there.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", '{"transcript": 2}', '{"transcript": 1, "recorded": "", "region": ""}\n{}'])
def test_what_is_no_transcript_of_this_version_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no transcript"):
        read(path)


def test_the_format_is_as_it_is_documented(recorded: Path) -> None:
    head, first, *_ = recorded.read_text().splitlines()
    assert set(json.loads(head)) == {"transcript", "recorded", "region"}
    assert set(json.loads(first)) == {"service", "operation", "parameters", "status", "code", "answer", "of_aws"}
