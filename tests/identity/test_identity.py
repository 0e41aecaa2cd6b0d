"""Who a pod is in AWS, with the whole environment: the same on AWS and on the look-alike.

Role, association and bucket policy are changed for some of it and put back. Whoever may do that is the profile
`administrator` of AWS's configuration, or the one that IDENTITY_ADMIN_PROFILE names.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from harness.environment import Environment, Ready
from harness.model import ImageName
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT
from harness.proof import Proof, Prover
from harness.wait import Waiter
from tests.contract.canary.images import Images
from tests.contract.canary.known import Canaries
from tests.pods.player import Played
from tests.podwatch import PodWatch

from .account import Account
from .changes import without_action, without_association
from .conftest import Play
from .descriptions import OURS, VOLUME, seen_in, with_identity, with_keys
from .writers import EFFECT_SECONDS, Writers

pytestmark = pytest.mark.e2e

# What EKS's webhook adds (docs/eks-lookalike.md), and what it is.
INJECTED = {
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE":
        "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_STS_REGIONAL_ENDPOINTS": "regional",
}  # fmt: skip
REGION = {"AWS_DEFAULT_REGION", "AWS_REGION"}
TOKEN = {"audience": "pods.eks.amazonaws.com", "expirationSeconds": 86400, "path": VOLUME}
MOUNT = {"name": VOLUME, "mountPath": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", "readOnly": True}
# Where a service is, and never who asks it.
GIVEN = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"}

# Built by the harness; what is in the others is not of its making.
BUILT: tuple[ImageName, ...] = ("worker", "git-server", "adapter")
NO_KEYS = "Unable to locate credentials"
PUT = "s3:PutObject"


@pytest.fixture(scope="module")
def proven(prover: Prover, writers: tuple[Writers, ...]) -> Proof:
    """A run during which it is watched who writes."""
    for way in writers:
        way.prepare()
    with ExitStack() as watched:

        def begin() -> None:
            for way in writers:
                watched.enter_context(way.watching())

        return prover.prove(before_trigger=begin)


@pytest.fixture(scope="module")
def keys(account: Account) -> Canaries:
    """Every key of the sessions that these tests have, by name; the pods' own are not known to anybody else."""
    found = Canaries({})
    for who, session in (("runner", account.runner), ("administrator", account.administrator)):
        credentials = session.get_credentials()
        assert credentials is not None
        frozen = credentials.get_frozen_credentials()
        named = {"key": frozen.access_key, "secret": frozen.secret_key, "session token": frozen.token}
        found |= {f"{who}'s {name}": value for name, value in named.items() if value}
    assert {"runner's key", "runner's secret", "administrator's key", "administrator's secret"} <= set(found)
    return found


def test_a_run_is_green_with_the_identity_of_its_pods_and_nothing_else(proven: Proof) -> None:
    assert proven.verdict.green, proven.verdict.failures


def test_its_objects_were_written_by_the_role_of_the_dvc_pods(
    proven: Proof,
    writers: tuple[Writers, ...],
    account: Account,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    new = set(proven.evidence.listing) - set(proven.before.listing)
    assert new, "the run wrote nothing"
    for way in writers:
        found = way.written_by(account.role, new)
        assert set(found) == new
        record_testsuite_property(f"identity.written-by, by {way.name}", "; ".join(sorted(set(found.values()))))


def test_dvc_pods_have_what_pod_identity_adds_and_no_other_pod_of_ours_has(proven: Proof, pod_watch: PodWatch) -> None:
    pods = [json.loads(text) for text in list(pod_watch.pods.values())]
    airflow = [pod for pod in pods if pod["metadata"]["namespace"] == AIRFLOW_NAMESPACE]
    dvc = [pod for pod in airflow if (pod["metadata"].get("labels") or {}).get("kubernetes_pod_operator") == "True"]
    assert {pod["metadata"]["labels"]["task_id"] for pod in dvc} >= set(proven.expectation.pod_tasks)
    for pod in dvc:
        check_injected(pod["spec"])
    others = [pod for pod in pods if pod["spec"].get("serviceAccountName") != DVC_SERVICE_ACCOUNT]
    assert {pod["metadata"]["namespace"] for pod in others} >= set(OURS)
    assert with_identity(pods) == []


def test_no_key_is_in_the_description_of_any_pod(proven: Proof, pod_watch: PodWatch, keys: Canaries) -> None:
    assert proven.run.pods, "none of a run was seen"
    pods = [json.loads(text) for text in list(pod_watch.pods.values())]
    assert with_keys(pods, keys) == {}


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_no_key_is_in_what_the_namespaces_hold(kind: str, proven: Proof, ready: Ready, keys: Canaries) -> None:
    del proven  # by then all of them have been made
    objects = [one for where in OURS for one in ready.kube.list(kind, where)]
    assert objects
    found = {one["metadata"]["name"]: seen for one in objects if (seen := seen_in(plain(kind, one), keys))}
    assert found == {}


def test_no_key_is_in_an_image(
    ready: Ready, keys: Canaries, record_testsuite_property: Callable[[str, object], None]
) -> None:
    images = Images(ready.toolchain)
    running = [name for name in ready.toolchain.images if name not in {"localstack", "strict-s3", "path-helper"}]
    described = {
        name: seen for name in running if (seen := seen_in(json.dumps(images.configuration(name)).encode(), keys))
    }
    assert described == {}
    looked = images.looked_through(BUILT, keys)
    record_testsuite_property("identity.image-bytes", looked.size)
    assert looked.layers > len(BUILT)
    assert looked.found == {}


def test_a_pod_of_the_associated_account_is_the_role_and_pushes(play: Play, account: Account) -> None:
    found = play("ask.py", service_account=DVC_SERVICE_ACCOUNT)
    check_injected(found.spec)
    assert found.said["method"] == {"said": "container-role"}
    role = account.role.rpartition("/")[2]
    assert found.said["identity"]["said"].startswith(
        f"arn:{partition(account)}:sts::{number(account)}:assumed-role/{role}/"
    )
    pushed = push(play, account, service_account=DVC_SERVICE_ACCOUNT)
    assert pushed.said["code"] == 0, pushed.said


def test_a_pod_of_another_account_gets_nothing_and_its_push_fails_and_says_why(play: Play, account: Account) -> None:
    found = play("ask.py", service_account="default")
    check_nobody(found)
    pushed = push(play, account, service_account="default")
    check_push_without_keys(pushed)


def test_without_the_association_new_pods_get_nothing_and_with_it_again_they_do(play: Play, account: Account) -> None:
    with without_association(account):
        gone = until(play, lambda pod: not is_injected(pod), "new pods to come without identity")
        check_nobody(gone)
        pushed = push(play, account, service_account=DVC_SERVICE_ACCOUNT)
        check_push_without_keys(pushed)
    back = until(play, lambda pod: "said" in pod.said["written"], "new pods to come with identity again")
    check_injected(back.spec)


def test_a_role_that_may_not_put_objects_turns_a_run_red_and_the_diagnosis_begins_with_that(
    prover: Prover, play: Play, account: Account, environment: Environment
) -> None:
    with without_action(account, PUT):
        denied = until(play, lambda pod: "failed" in pod.said["written"], f"the role to have no {PUT}")
        assert PUT in denied.said["written"]["failed"]
        red = prover.prove(expect_red="tasks.succeeded")
    until(play, lambda pod: "said" in pod.said["written"], f"the role to have {PUT} again")
    assert red.run.outcome.tasks["push_data"].state == "failed"
    first = environment.redactor.text(str(red.verdict.diagnoses[0]))
    assert first.startswith("S3_DENIED: "), first
    assert PUT in first
    new = set(red.evidence.listing) - set(red.before.listing)
    assert new == set(), "it wrote all the same"


def push(play: Play, account: Account, *, service_account: str) -> Played:
    """`dvc push` of a file that nobody has pushed before."""
    key = account.own_key()
    return play("push.py", service_account=service_account, url=f"s3://{account.bucket}/{key}", content=key)


def check_push_without_keys(pushed: Played) -> None:
    assert pushed.said["verb"] == "push", pushed.said
    assert pushed.said["code"] != 0, pushed.said
    assert NO_KEYS in pushed.said["said"], pushed.said


def until(play: Play, fits: Callable[[Played], bool], what: str) -> Played:
    """The first new pod of the DVC account that fits: to AWS a change counts when all of it has heard of it."""
    return Waiter().until(
        what,
        lambda: play("ask.py", service_account=DVC_SERVICE_ACCOUNT),
        ready=fits,
        describe=lambda pod: f"{pod.name}: {pod.said['written']}",
        timeout=EFFECT_SECONDS,
        interval=1.0,
    )


def check_injected(spec: Mapping[str, Any]) -> None:
    """Exactly what EKS adds, in every container, and nothing of a key."""
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        environment = aws_of(container)
        assert set(environment) - GIVEN == {*INJECTED, *REGION}
        assert {name: environment[name] for name in INJECTED} == INJECTED
        assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] != ""
        assert [one for one in container["volumeMounts"] if one["name"] == VOLUME] == [MOUNT]
    (volume,) = (one for one in spec["volumes"] if one["name"] == VOLUME)
    assert volume["projected"]["sources"] == [{"serviceAccountToken": TOKEN}]


def is_injected(pod: Played) -> bool:
    return VOLUME in {volume["name"] for volume in pod.spec.get("volumes") or ()}


def check_nobody(pod: Played) -> None:
    """Nothing was added to the pod, and AWS's SDK finds no keys in it, wherever it looks."""
    assert set(pod.said["environment"]) <= GIVEN
    assert not is_injected(pod)
    assert pod.said["method"] == {"said": "none"}, pod.said["method"]
    assert "NoCredentialsError" in pod.said["written"]["failed"]


def aws_of(container: Mapping[str, Any]) -> dict[str, Any]:
    found = {one["name"]: one.get("value") for one in container.get("env") or ()}
    return {name: value for name, value in found.items() if name.startswith("AWS_")}


def plain(kind: str, one: Mapping[str, Any]) -> bytes:
    """An object with what of it is base64 beside it as it is."""
    data = one.get("data") or {}
    decoded = [base64.b64decode(value) for value in data.values()] if kind == "Secret" else []
    return b"\n".join([json.dumps(one).encode(), *decoded])


def partition(account: Account) -> str:
    return account.role.split(":")[1]


def number(account: Account) -> str:
    return account.role.split(":")[4]
