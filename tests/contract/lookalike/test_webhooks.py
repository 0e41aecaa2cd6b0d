"""The webhooks over TLS, as an API server asks them: the injector's patch, and who a token's bearer is."""

from __future__ import annotations

import base64
import copy
import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
import yaml
from botocore.model import ServiceId
from botocore.signers import RequestSigner
from jinja2 import Template

from harness.lookalike import injector
from harness.lookalike.cloud import Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.token_webhook import TokenWebhook
from harness.lookalike.webhooks import Webhooks
from harness.services.pki import Authority
from harness.targets.eks.token import make_token
from tests.contract.lookalike.conftest import ACCOUNT, CLUSTER, REGION, Client, Clock
from tests.jsonpatch import applied

Ask = Callable[[str, dict[str, Any]], httpx.Response]
POD: dict[str, Any] = {
    "metadata": {"name": "push-data-x7"},
    "spec": {
        "serviceAccountName": "airflow-dvc-sa",
        "initContainers": [{"name": "first", "image": "i"}],
        "containers": [
            {"name": "base", "image": "i", "env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "v"}]}
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}
ENV = [
    {"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": "regional"},
    {"name": "AWS_DEFAULT_REGION", "value": REGION},
    {"name": "AWS_REGION", "value": REGION},
    {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"},
    {
        "name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "value": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
    },
]
MOUNT = {
    "name": "eks-pod-identity-token",
    "mountPath": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
    "readOnly": True,
}
VOLUME = {
    "name": "eks-pod-identity-token",
    "projected": {
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "pods.eks.amazonaws.com",
                    "expirationSeconds": 86400,
                    "path": "eks-pod-identity-token",
                }
            }
        ]
    },
}


@pytest.fixture
def ask(cloud: Cloud, tmp_path: Path) -> Iterator[Ask]:
    authority = Authority.create()
    pair = authority.issue(["127.0.0.1"])
    (tmp_path / "crt").write_text(pair.certificate)
    (tmp_path / "key").write_text(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    tokens = TokenWebhook(CLUSTER, cloud.account, cloud.verifier, cloud.eks)
    webhooks = Webhooks(
        CLUSTER, account=cloud.account, eks=cloud.eks, tokens=tokens, address=("127.0.0.1", 0), tls=context
    )
    trust = ssl.create_default_context(cadata=authority.certificate)
    with webhooks, httpx.Client(verify=trust, trust_env=False) as http:
        yield lambda path, body: http.post(f"{webhooks.url}{path}?timeout=10s", json=body)


def admission(pod: dict[str, Any], *, namespace: str = "airflow", operation: str = "CREATE") -> dict[str, Any]:
    request = {
        "uid": "705ab4f5", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": namespace,
        "operation": operation, "object": pod,
    }  # fmt: skip
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def patched(pod: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """The pod as the API server admits it."""
    return applied(pod, json.loads(base64.b64decode(response["patch"])))


def test_a_pod_of_an_associated_account_is_given_exactly_what_eks_gives(ask: Ask, associated: str) -> None:
    answer = ask("/mutate", admission(POD)).json()
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (answer["response"]["uid"], answer["response"]["allowed"]) == ("705ab4f5", True)
    wanted = copy.deepcopy(POD)
    wanted["spec"]["volumes"].append(VOLUME)
    wanted["spec"]["initContainers"][0] |= {"env": ENV, "volumeMounts": [MOUNT]}
    wanted["spec"]["containers"][0]["env"] += ENV
    wanted["spec"]["containers"][0]["volumeMounts"].append(MOUNT)
    assert patched(POD, answer["response"]) == wanted


@pytest.mark.parametrize(
    ("namespace", "account", "operation"),
    [("airflow", "default", "CREATE"), ("other", "airflow-dvc-sa", "CREATE"), ("airflow", "airflow-dvc-sa", "UPDATE")],
)
def test_any_other_pod_is_left_alone(ask: Ask, associated: str, namespace: str, account: str, operation: str) -> None:
    pod = {**POD, "spec": {**POD["spec"], "serviceAccountName": account}}
    response = ask("/mutate", admission(pod, namespace=namespace, operation=operation)).json()["response"]
    assert response == {"uid": "705ab4f5", "allowed": True}


def test_without_the_association_a_new_pod_gets_nothing(ask: Ask, client: Client, associated: str) -> None:
    client("eks").delete_pod_identity_association(clusterName=CLUSTER, associationId=associated)
    assert "patch" not in ask("/mutate", admission(POD)).json()["response"]


def test_what_a_container_sets_itself_stays(ask: Ask, associated: str) -> None:
    own = [
        {"name": "AWS_REGION", "value": "us-west-2"},
        {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://127.0.0.1/mine"},
    ]
    pod = {**POD, "spec": {**POD["spec"], "initContainers": [], "containers": [{"name": "base", "env": own}]}}
    made = patched(pod, ask("/mutate", admission(pod)).json()["response"])
    assert made["spec"]["containers"][0]["env"] == [*own, ENV[0]]


def annotated(**annotations: str) -> dict[str, Any]:
    named = {f"eks.amazonaws.com/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {**POD, "metadata": {**POD["metadata"], "annotations": named}}


def test_a_container_that_the_pod_names_is_left_out(ask: Ask, associated: str) -> None:
    pod = annotated(skip_containers="first,other")
    made = patched(pod, ask("/mutate", admission(pod)).json()["response"])["spec"]
    assert made["initContainers"] == POD["spec"]["initContainers"]
    assert MOUNT in made["containers"][0]["volumeMounts"]
    assert VOLUME in made["volumes"]


@pytest.mark.parametrize("no_csv", ['"base', "base ", "other"])
def test_what_names_no_container_leaves_none_out(ask: Ask, associated: str, no_csv: str) -> None:
    pod = annotated(skip_containers=no_csv)
    made = patched(pod, ask("/mutate", admission(pod)).json()["response"])["spec"]
    assert MOUNT in made["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(("said", "seconds"), [("3600", 3600), ("60", 600), ("an hour", 86400)])
def test_a_pod_may_say_how_long_its_token_lives(ask: Ask, associated: str, said: str, seconds: int) -> None:
    pod = annotated(token_expiration=said)
    made = patched(pod, ask("/mutate", admission(pod)).json()["response"])["spec"]
    token = made["volumes"][-1]["projected"]["sources"][0]["serviceAccountToken"]
    assert token["expirationSeconds"] == seconds


def test_the_webhook_is_not_asked_about_a_pod_that_is_labelled_so() -> None:
    template = (Path(injector.__file__).parent / "manifests" / "injector.yaml.j2").read_text()
    webhook = yaml.safe_load(Template(template).render(ca_bundle="", url=""))["webhooks"][0]
    assert webhook["objectSelector"]["matchExpressions"] == [
        {"key": "eks.amazonaws.com/skip-pod-identity-webhook", "operator": "DoesNotExist"}
    ]


def test_a_pod_that_has_it_all_is_left_alone(ask: Ask, associated: str) -> None:
    once = patched(POD, ask("/mutate", admission(POD)).json()["response"])
    assert "patch" not in ask("/mutate", admission(once)).json()["response"]


def test_what_is_no_review_is_no_answer(ask: Ask) -> None:
    assert ask("/mutate", {"apiVersion": "admission.k8s.io/v1"}).status_code == 400
    assert ask("/mutate", {**admission(POD), "apiVersion": "admission.k8s.io/v1beta1"}).status_code == 400
    assert ask("/elsewhere", admission(POD)).status_code == 404


def session_of(keys: Credentials, region: str = REGION) -> boto3.Session:
    return boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token or None, region_name=region)


def token(keys: Credentials, cluster: str = CLUSTER, region: str = REGION) -> str:
    return make_token(session_of(keys, region), cluster=cluster, now=datetime.now(UTC)).value


def review(ask: Ask, value: str) -> dict[str, Any]:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": value}}
    answer = ask("/authenticate", body).json()
    assert (answer["apiVersion"], answer["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    return dict(answer["status"])


def enter(client: Client, principal: str, **entry: Any) -> None:
    client("eks").create_access_entry(clusterName=CLUSTER, principalArn=principal, **entry)


def test_a_user_with_an_access_entry_is_who_it_says(ask: Ask, client: Client, admin: Credentials) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/admin"
    enter(client, arn, kubernetesGroups=["harness-runner"])
    status = review(ask, token(admin))
    assert status["authenticated"] is True
    assert (status["user"]["username"], status["user"]["groups"]) == (arn, ["harness-runner"])
    assert status["user"]["uid"].startswith(f"aws-iam-authenticator:{ACCOUNT}:AIDA")


def test_a_session_of_a_role_is_the_roles_entry(ask: Ask, client: Client, cloud: Cloud) -> None:
    trust = {"Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}}
    role = client("iam").create_role(RoleName="ci", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    keys = client("sts").assume_role(RoleArn=role, RoleSessionName="nightly")["Credentials"]
    found = cloud.store.find(keys["AccessKeyId"])
    assert found is not None
    enter(client, role, kubernetesGroups=["ci"], username="ci:{{SessionName}}")
    status = review(ask, token(found))
    assert (status["user"]["username"], status["user"]["groups"]) == ("ci:nightly", ["ci"])
    assert status["user"]["extra"]["arn"] == [f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/nightly"]


def test_a_principal_without_an_entry_is_nobody(ask: Ask, admin: Credentials) -> None:
    status = review(ask, token(admin))
    assert status["authenticated"] is False
    assert "has no access entry" in status["error"]


def changed(value: str, change: Callable[[str], str]) -> str:
    raw = value.removeprefix("k8s-aws-v1.")
    url = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    return "k8s-aws-v1." + base64.urlsafe_b64encode(change(url).encode()).decode().rstrip("=")


FORGERIES: dict[str, Callable[[str], str]] = {
    "scheme": lambda url: url.replace("https://", "http://"),
    "host": lambda url: url.replace("amazonaws.com", "evil.example"),
    "path": lambda url: url.replace("/?", "/x?"),
    "action": lambda url: url.replace("GetCallerIdentity", "AssumeRole"),
    "a parameter more": lambda url: f"{url}&RoleArn=x",
    "a parameter twice": lambda url: f"{url}&Action=GetCallerIdentity",
    "header not signed": lambda url: url.replace("host%3Bx-k8s-aws-id", "host"),
    "signature": lambda url: url[:-4] + ("aaaa" if not url.endswith("aaaa") else "bbbb"),
    "key": lambda url: url.replace("X-Amz-Credential=AKIA", "X-Amz-Credential=AKIB"),
    "expires": lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=901"),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_token_is_nobodys(ask: Ask, client: Client, admin: Credentials, what: str) -> None:
    enter(client, f"arn:aws:iam::{ACCOUNT}:user/admin")
    good = token(admin)
    assert changed(good, lambda url: url) == good
    assert review(ask, good)["authenticated"] is True
    forged = changed(good, FORGERIES[what])
    assert forged != good
    assert review(ask, forged)["authenticated"] is False


@pytest.mark.parametrize("value", ["", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "k8s-aws-v1.%%%", "k8s-aws-v1." + "a" * 5000])
def test_what_is_no_token_is_nobodys(ask: Ask, value: str) -> None:
    assert review(ask, value)["authenticated"] is False


def test_a_token_for_another_cluster_is_nobodys(ask: Ask, client: Client, admin: Credentials) -> None:
    enter(client, f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert review(ask, token(admin, cluster="other"))["authenticated"] is False


def test_a_token_of_another_region_is_nobodys(ask: Ask, client: Client, admin: Credentials) -> None:
    enter(client, f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert review(ask, token(admin, region="us-west-2"))["authenticated"] is False


def test_a_token_lives_fifteen_minutes(ask: Ask, client: Client, admin: Credentials, clock: Clock) -> None:
    enter(client, f"arn:aws:iam::{ACCOUNT}:user/admin")
    value = token(admin)
    clock.ahead = timedelta(minutes=14, seconds=50)
    assert review(ask, value)["authenticated"] is True, "STS passes over X-Amz-Expires"
    clock.ahead = timedelta(minutes=15, seconds=5)
    assert review(ask, value)["authenticated"] is False


def test_the_tokens_host_is_stss_whatever_the_environment_says(
    admin: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    raw = token(admin).removeprefix("k8s-aws-v1.")
    url = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    assert urlsplit(url).netloc == f"sts.{REGION}.amazonaws.com"


@pytest.mark.parametrize(
    ("query", "seconds", "said"),
    [
        ("Action=GetCallerIdentity&Version=2011-06-15&Surplus=1", 60, "parameters that a token may not have: surplus"),
        ("Action=GetCallerIdentity&Version=2011-06-15", 901, "invalid X-Amz-Expires"),
        ("Action=AssumeRole&Version=2011-06-15", 60, "unexpected action parameter"),
    ],
)
def test_a_url_that_is_signed_well_and_is_no_tokens_is_nobodys(
    ask: Ask, client: Client, admin: Credentials, query: str, seconds: int, said: str
) -> None:
    enter(client, f"arn:aws:iam::{ACCOUNT}:user/admin")
    session = session_of(admin)
    found = session.get_credentials()
    assert found is not None
    signer = RequestSigner(ServiceId("STS"), REGION, "sts", "v4", found, session.events)
    request = {
        "method": "GET", "url": f"https://sts.{REGION}.amazonaws.com/?{query}", "body": {},
        "headers": {"x-k8s-aws-id": CLUSTER}, "context": {},
    }  # fmt: skip
    url = signer.generate_presigned_url(request, region_name=REGION, expires_in=seconds, operation_name="")
    value = "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    status = review(ask, value)
    assert status["authenticated"] is False
    assert said in status["error"]
