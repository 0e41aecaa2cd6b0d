"""S3 through the witness to a real store that checks signatures itself: who may, who did, and that bytes stay bytes."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.config import Config

from harness.lookalike.cloud import ADMINISTRATOR, Cloud
from harness.lookalike.principals import Credentials
from harness.lookalike.server import Server
from harness.lookalike.witness import Backend, writer_of
from harness.services.pki import Authority
from tests.contract.lookalike.conftest import ACCOUNT, BUCKET, CLUSTER, GUIDE, REGION, ROLE, Client, Clock, Tokens
from tests.contract.lookalike.test_signatures import refusal_of


@pytest.fixture
def backend(store: Backend) -> Backend:
    return store


@pytest.fixture
def pod(cloud: Cloud, client: Client, tokens: Tokens, associated: str, bucket: str) -> Credentials:
    """What a pod of the guide's account is given."""
    client("iam").put_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps(GUIDE))
    answer = client("eks-auth").assume_role_for_pod_identity(
        clusterName=CLUSTER, token=tokens.issue("airflow", "airflow-dvc-sa")
    )
    found = cloud.store.find(answer["credentials"]["accessKeyId"])
    assert found is not None
    return found


def test_what_a_pod_writes_is_known_to_be_its_roles(cloud: Cloud, client: Client, pod: Credentials) -> None:
    body = secrets.token_bytes(3 << 20)
    s3 = client("s3", pod)
    s3.put_object(Bucket=BUCKET, Key="files/md5/ab/cd ef+ü", Body=body)
    assert s3.get_object(Bucket=BUCKET, Key="files/md5/ab/cd ef+ü")["Body"].read() == body
    written = writer_of(cloud.log, BUCKET, "files/md5/ab/cd ef+ü")
    assert written is not None
    assert written.principal == pod.principal.arn
    assert written.principal.startswith(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Airflow-DVCS3Role/eks-mlops-push-data-x7-"
    )
    assert written.access_key_id == pod.access_key_id
    assert written.response["ETag"].strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_an_object_that_nobody_wrote_has_no_writer(cloud: Cloud, client: Client, pod: Credentials) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="by-admin", Body=b"1")
    written = writer_of(cloud.log, BUCKET, "by-admin")
    assert written is not None
    assert written.principal == f"arn:aws:iam::{ACCOUNT}:user/admin"
    assert writer_of(cloud.log, BUCKET, "by-nobody") is None


def test_who_expects_another_owner_of_the_bucket_is_refused(cloud: Cloud, client: Client, pod: Credentials) -> None:
    s3 = client("s3", pod)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", ExpectedBucketOwner=ACCOUNT)
    assert refusal_of(s3.get_object, Bucket=BUCKET, Key="a", ExpectedBucketOwner="444455556666") == (
        "AccessDenied",
        403,
    )
    assert cloud.witness is not None
    cloud.witness.owners[BUCKET] = "444455556666"
    s3.get_object(Bucket=BUCKET, Key="a", ExpectedBucketOwner="444455556666")["Body"].read()
    s3.get_object(Bucket=BUCKET, Key="a")["Body"].read()
    assert refusal_of(s3.list_objects_v2, Bucket=BUCKET, ExpectedBucketOwner=ACCOUNT) == ("AccessDenied", 403)


def test_all_that_dvc_does_goes_with_the_guides_policy(client: Client, pod: Credentials) -> None:
    # HeadObject, ListObjectsV2, PutObject, multipart for what is large, GetObject, DeleteObjects.
    s3 = client("s3", pod)
    large = secrets.token_bytes(12 << 20)
    s3.upload_fileobj(io.BytesIO(large), BUCKET, "large")
    assert s3.head_object(Bucket=BUCKET, Key="large")["ContentLength"] == len(large)
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix="la")["Contents"]] == ["large"]
    out = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", out)
    assert out.getvalue() == large
    ranged = s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=5-9")["Body"].read()
    assert ranged == large[5:10]
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "large"})
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "large"}, {"Key": "copy"}]})
    assert len(deleted["Deleted"]) == 2
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_a_multipart_upload_has_the_writer_that_completed_it(cloud: Cloud, client: Client, pod: Credentials) -> None:
    client("s3", pod).upload_fileobj(io.BytesIO(bytes(9 << 20)), BUCKET, "large")
    written = writer_of(cloud.log, BUCKET, "large")
    assert written is not None
    assert (written.operation, written.principal) == ("CompleteMultipartUpload", pod.principal.arn)


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
def test_checksums_of_the_sdk_arrive(client: Client, pod: Credentials, checksums: str) -> None:
    s3 = client("s3", pod, request_checksum_calculation=checksums)
    s3.put_object(Bucket=BUCKET, Key="a", Body=io.BytesIO(b"12345"))
    assert s3.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"12345"


def test_keys_that_were_not_vended_are_refused(cloud: Cloud, client: Client, admin: Credentials, bucket: str) -> None:
    for name in ("AKIAIOSFODNN7EXAMPLE", "test"):
        stranger = replace(admin, access_key_id=name, secret_access_key="local-test-key")
        given = {"Bucket": bucket, "Key": "a", "Body": b"1"}
        assert refusal_of(client("s3", stranger).put_object, **given) == ("InvalidAccessKeyId", 403)
    assert writer_of(cloud.log, bucket, "a") is None
    assert [c.outcome for c in cloud.log.calls("s3", "PutObject")] == ["refused", "refused"]


def test_nobody_gets_in_without_a_signature(url: str, bucket: str, client: Client) -> None:
    client("s3").put_object(Bucket=bucket, Key="a", Body=b"1")
    answer = httpx.get(f"{url}/{bucket}/a", trust_env=False)
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text


def test_a_session_that_is_over_is_refused(client: Client, pod: Credentials, clock: Clock) -> None:
    clock.ahead = timedelta(hours=6, minutes=1)
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    assert refusal_of(client("s3", pod).put_object, **given) == ("ExpiredToken", 400)


def test_a_wrong_signature_is_refused(client: Client, pod: Credentials) -> None:
    wrong = replace(pod, secret_access_key="wrong")
    assert refusal_of(client("s3", wrong).list_objects_v2, Bucket=BUCKET) == ("SignatureDoesNotMatch", 403)


def test_a_body_that_is_not_the_signed_one_is_not_stored(client: Client, pod: Credentials) -> None:
    s3 = client("s3", pod)

    def change(request: Any, **_: Any) -> None:
        request.body = io.BytesIO(b"54321")

    s3.meta.events.register("before-send.s3.PutObject", change)
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"12345", "ChecksumAlgorithm": "SHA256"}
    assert refusal_of(s3.put_object, **given) == ("XAmzContentSHA256Mismatch", 400)
    assert refusal_of(s3.head_object, Bucket=BUCKET, Key="a")[1] == 404


WITHOUT: list[tuple[str, str, dict[str, Any]]] = [
    ("s3:PutObject", "put_object", {"Bucket": BUCKET, "Key": "b", "Body": b"1"}),
    ("s3:GetObject", "get_object", {"Bucket": BUCKET, "Key": "a"}),
    ("s3:DeleteObject", "delete_object", {"Bucket": BUCKET, "Key": "a"}),
    ("s3:DeleteObject", "delete_objects", {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": "a"}]}}),
    ("s3:ListBucket", "list_objects_v2", {"Bucket": BUCKET}),
    ("s3:PutObject", "create_multipart_upload", {"Bucket": BUCKET, "Key": "b"}),
    ("s3:GetObject", "copy_object", {"Bucket": BUCKET, "Key": "b", "CopySource": {"Bucket": BUCKET, "Key": "a"}}),
]


@pytest.mark.parametrize(("missing", "operation", "parameters"), WITHOUT, ids=[one[1] for one in WITHOUT])
def test_a_role_without_a_permission_is_denied(
    cloud: Cloud, client: Client, pod: Credentials, missing: str, operation: str, parameters: dict[str, Any]
) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="a", Body=b"1")
    statement = GUIDE["Statement"][0]
    less = {**statement, "Action": [one for one in statement["Action"] if one != missing]}
    client("iam").put_role_policy(
        RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps({**GUIDE, "Statement": [less]})
    )
    assert refusal_of(getattr(client("s3", pod), operation), **parameters) == ("AccessDenied", 403)
    last = cloud.log.calls("s3")[-1]
    assert (last.outcome, last.principal) == ("denied", pod.principal.arn)
    assert missing in {action for action, _ in last.checked}


@pytest.mark.parametrize("operation", ["head_object", "get_object"])
def test_that_an_object_is_missing_is_told_to_who_may_list_it(
    cloud: Cloud, client: Client, bucket: str, limited: Callable[..., Credentials], operation: str
) -> None:
    def missing(credentials: Credentials, key: str = "runs/a", bucket: str = bucket) -> tuple[str, int]:
        return refusal_of(getattr(client("s3", credentials), operation), Bucket=bucket, Key=key)

    told = ("404" if operation == "head_object" else "NoSuchKey", 404)
    refused = ("403" if operation == "head_object" else "AccessDenied", 403)
    reader = limited("s3:GetObject")
    assert missing(reader) == refused
    assert cloud.log.calls("s3")[-1].checked[-1] == ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}")
    client("s3").put_object(Bucket=BUCKET, Key="runs/a", Body=b"1")
    getattr(client("s3", reader), operation)(Bucket=BUCKET, Key="runs/a")
    assert missing(limited("s3:GetObject", "s3:ListBucket"), "runs/b") == told
    # A list that is limited to a prefix: the key that is asked for is what is listed.
    below = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*",
             "Condition": {"StringLike": {"s3:prefix": "runs/*"}}}  # fmt: skip
    objects = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    narrow = cloud.user("narrow", {"Version": "2012-10-17", "Statement": [below, objects]})
    assert missing(narrow, "runs/b") == told
    assert missing(narrow, "b") == refused


def test_that_a_bucket_is_missing_is_told_to_anybody(client: Client, limited: Callable[..., Credentials]) -> None:
    reader = client("s3", limited("s3:GetObject"))
    assert refusal_of(reader.get_object, Bucket="not-there", Key="a") == ("NoSuchBucket", 404)


def test_a_boundary_narrows_the_role(client: Client, pod: Credentials) -> None:
    reading = {"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    arn = client("iam").create_policy(PolicyName="reading", PolicyDocument=json.dumps(reading))["Policy"]["Arn"]
    client("s3", pod).put_object(Bucket=BUCKET, Key="a", Body=b"1")
    client("iam").put_role_permissions_boundary(RoleName="Airflow-DVCS3Role", PermissionsBoundary=arn)
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    assert refusal_of(client("s3", pod).put_object, **given) == ("AccessDenied", 403)
    client("s3", pod).get_object(Bucket=BUCKET, Key="a")["Body"].read()


def test_a_bucket_policy_may_allow_the_one_role_only(client: Client, pod: Credentials) -> None:
    # What stands for the witness on AWS: nobody but the role writes.
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*",
                "Condition": {"ArnNotEquals": {"aws:PrincipalArn": ROLE}},
            }
        ],
    }  # fmt: skip
    admin = client("s3")
    admin.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    assert refusal_of(admin.put_object, **given) == ("AccessDenied", 403)
    client("s3", pod).put_object(**given)
    admin.delete_bucket_policy(Bucket=BUCKET)
    admin.put_object(**given)


def test_a_bucket_policy_lifts_no_limit_of_a_role_that_it_names(client: Client, pod: Credentials) -> None:
    iam, admin, s3 = client("iam"), client("s3"), client("s3", pod)
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    iam.delete_role_policy(RoleName="Airflow-DVCS3Role", PolicyName="s3")

    def named(principal: str) -> None:
        statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "s3:*",
                     "Resource": f"arn:aws:s3:::{BUCKET}/*"}  # fmt: skip
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        admin.put_bucket_policy(Bucket=BUCKET, Policy=document)

    named(f"arn:aws:iam::{ACCOUNT}:root")
    assert refusal_of(s3.put_object, **given) == ("AccessDenied", 403)
    named(ROLE)
    s3.put_object(**given)
    listing = {"Statement": {"Effect": "Allow", "Action": "iam:List*", "Resource": "*"}}
    arn = iam.create_policy(PolicyName="listing", PolicyDocument=json.dumps(listing))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="Airflow-DVCS3Role", PermissionsBoundary=arn)
    assert refusal_of(s3.put_object, **given) == ("AccessDenied", 403)
    named(pod.principal.arn)
    s3.put_object(**given)


def test_a_condition_on_session_tags_holds(
    client: Client, cloud: Cloud, pod: Credentials, limited: Callable[..., Credentials]
) -> None:
    statement = {
        "Effect": "Allow", "Action": "s3:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": "airflow"}},
    }  # fmt: skip
    client("iam").put_role_policy(
        RoleName="Airflow-DVCS3Role", PolicyName="s3", PolicyDocument=json.dumps({"Statement": statement})
    )
    client("s3", pod).put_object(Bucket=BUCKET, Key="a", Body=b"1")
    untagged = cloud.user("u", {"Statement": statement})
    given = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    assert refusal_of(client("s3", untagged).put_object, **given) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("missing", "operation", "more"),
    [
        ("s3:PutObjectAcl", "put_object", {"ACL": "private"}),
        ("s3:PutObjectAcl", "put_object", {"GrantRead": "id=1"}),
        ("s3:PutObjectTagging", "put_object", {"Tagging": "a=b"}),
        ("s3:PutObjectTagging", "create_multipart_upload", {"Tagging": "a=b"}),
        ("s3:PutBucketAcl", "create_bucket", {"Bucket": "other", "ACL": "public-read"}),
        ("s3:PutBucketOwnershipControls", "create_bucket", {"Bucket": "other", "ObjectOwnership": "ObjectWriter"}),
    ],
)
def test_what_a_header_asks_for_needs_its_own_permission(
    client: Client, cloud: Cloud, limited: Callable[..., Credentials], bucket: str, missing: str, operation: str,
    more: dict[str, str],
) -> None:  # fmt: skip
    given = {"Bucket": bucket, **({} if operation == "create_bucket" else {"Key": "a"}), **more}
    call = getattr(client("s3", limited("s3:PutObject", "s3:CreateBucket")), operation)
    assert refusal_of(call, **given) == ("AccessDenied", 403)
    assert missing in {action for action, _ in cloud.log.calls("s3")[-1].checked}


def test_what_a_header_asks_for_may_be_done_by_who_may(
    client: Client, limited: Callable[..., Credentials], bucket: str
) -> None:
    keys = limited("s3:PutObject", "s3:PutObjectTagging")
    client("s3", keys).put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="a=b")


def test_an_object_lock_is_not_passed_over(client: Client, bucket: str) -> None:
    given = {"Bucket": bucket, "Key": "a", "Body": b"1", "ObjectLockLegalHoldStatus": "ON"}
    assert refusal_of(client("s3").put_object, **given) == ("NotImplemented", 501)


def test_a_policy_may_depend_on_headers(client: Client, cloud: Cloud, bucket: str) -> None:
    def denying(condition: dict[str, Any]) -> Any:
        denied = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*", "Condition": condition}
        return client("s3", cloud.user("u", {**ADMINISTRATOR, "Statement": [*ADMINISTRATOR["Statement"], denied]}))

    given = {"Bucket": bucket, "Key": "a", "Body": b"1"}
    classes = denying({"StringEquals": {"s3:x-amz-storage-class": "GLACIER"}})
    classes.put_object(**given)
    assert refusal_of(classes.put_object, **given, StorageClass="GLACIER") == ("AccessDenied", 403)
    encrypted = denying({"Null": {"s3:x-amz-server-side-encryption": "true"}})
    assert refusal_of(encrypted.put_object, **given) == ("AccessDenied", 403)
    encrypted.put_object(**given, ServerSideEncryption="AES256")
    # The parts and the end of an upload have no such header: it is asked of its beginning.
    large = io.BytesIO(bytes(9 << 20))
    encrypted.upload_fileobj(large, bucket, "large", ExtraArgs={"ServerSideEncryption": "AES256"})
    copies = denying({"StringNotLike": {"s3:x-amz-copy-source": f"{bucket}/a"}})
    copies.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a"})
    assert refusal_of(copies.copy_object, Bucket=bucket, Key="copy", CopySource=f"/{bucket}/large") == (
        "AccessDenied",
        403,
    )


def test_a_bucket_policy_on_what_no_request_has_is_refused(client: Client, bucket: str) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*",
              "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": denied})
    assert refusal_of(client("s3").put_bucket_policy, Bucket=bucket, Policy=policy) == ("MalformedPolicy", 400)


def test_a_variable_of_a_session_tag_is_the_pods_own(client: Client, pod: Credentials) -> None:
    # "Grant Pods access to AWS resources based on tags" in the EKS user guide has it in Resource.
    own = f"arn:aws:s3:::{BUCKET}/${{aws:PrincipalTag/kubernetes-namespace}}/*"
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": own}
    client("iam").put_role_policy(
        RoleName="Airflow-DVCS3Role",
        PolicyName="s3",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )
    s3 = client("s3", pod)
    s3.put_object(Bucket=BUCKET, Key="airflow/a", Body=b"1")
    assert refusal_of(s3.put_object, Bucket=BUCKET, Key="other/a", Body=b"1") == ("AccessDenied", 403)


def test_the_name_of_a_user_is_a_variable(client: Client, cloud: Cloud, bucket: str) -> None:
    own = f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*"
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": own}
    s3 = client("s3", cloud.user("ann", {"Version": "2012-10-17", "Statement": statement}))
    s3.put_object(Bucket=BUCKET, Key="ann/a", Body=b"1")
    assert refusal_of(s3.put_object, Bucket=BUCKET, Key="bob/a", Body=b"1") == ("AccessDenied", 403)


def test_preparing_a_bucket(client: Client, bucket: str) -> None:
    s3 = client("s3")
    s3.head_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "run", "Value": "r1"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "run", "Value": "r1"}]
    assert bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert refusal_of(s3.head_bucket, Bucket="not-there") == ("404", 404)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def test_a_presigned_url_is_its_signers(client: Client, pod: Credentials) -> None:
    s3 = client("s3", pod)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"12345")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "a"}, ExpiresIn=60)
    assert httpx.get(address, trust_env=False).content == b"12345"
    assert httpx.get(address.replace("/a?", "/b?"), trust_env=False).status_code == 403


def test_a_store_that_is_down_is_unavailable(boto: Any) -> None:
    cloud = Cloud(number=ACCOUNT, region=REGION, backend=Backend("http://127.0.0.1:9", "k", "s"))
    admin = cloud.user("admin", ADMINISTRATOR)
    with Server(cloud.gateway, ("127.0.0.1", 0)) as server:
        s3 = boto.client(
            "s3",
            endpoint_url=server.url,
            region_name=REGION,
            aws_access_key_id=admin.access_key_id,
            aws_secret_access_key=admin.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        assert refusal_of(s3.list_buckets) == ("ServiceUnavailable", 503)
        s3.close()


def test_throttling_is_slow_down(cloud: Cloud, client: Client, bucket: str) -> None:
    cloud.gateway.faults.throttle("s3", "PutObject", 1)
    given = {"Bucket": bucket, "Key": "a", "Body": b"1"}
    assert refusal_of(client("s3").put_object, **given) == ("SlowDown", 503)


def test_over_tls_the_sdks_chunked_uploads_with_a_trailing_checksum_arrive(
    cloud: Cloud, admin: Credentials, boto: Any, bucket: str, tmp_path: Path
) -> None:
    # Over https botocore sends STREAMING-UNSIGNED-PAYLOAD-TRAILER; over http it does not.
    authority = Authority.create()
    pair = authority.issue(["127.0.0.1"])
    for name, text in (("ca", authority.certificate), ("crt", pair.certificate), ("key", pair.key)):
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with Server(cloud.gateway, ("127.0.0.1", 0), tls=context) as server:
        s3 = boto.client(
            "s3",
            endpoint_url=server.url,
            verify=str(tmp_path / "ca"),
            region_name=REGION,
            aws_access_key_id=admin.access_key_id,
            aws_secret_access_key=admin.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        body = secrets.token_bytes(3 << 20)
        s3.put_object(Bucket=bucket, Key="a", Body=io.BytesIO(body))
        assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body
        s3.close()
