"""What a look-alike's account holds: what a team prepares once before it runs anything on EKS.

All of it is made by AWS's own calls, as the administrator, so that it is in the record and was checked on its way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness import eks_policies
from harness.awsown import own_core
from harness.eks_policies import PolicyName
from harness.errors import EnvironmentFailed
from harness.lookalike.fittings import ADMINISTRATORS, RUNNERS
from harness.lookalike.hosting import ADMINISTRATOR, NODE, RUNNER, Keys, Serving
from harness.lookalike.principals import PARTITION
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, LABEL_OWNER, OWNER
from harness.wait import Waiter

# The account of AWS's own examples: it is nobody's.
NUMBER: Final = "111122223333"
REGION: Final = "us-west-2"
ROLE: Final = "Airflow-DVCS3Role"
ROLE_POLICY: Final = "Airflow-DVCS3Policy"
# What `EksSettings.tag` asks for by default.
TAGS: Final[Mapping[str, str]] = {"harness.allowed": "true"}
# What `EksSettings.ecr_prefix` is by default.
PREFIX: Final = "airflow-dvc-harness"
ADDONS: Final[Mapping[str, str]] = {
    "aws-ebs-csi-driver": "v1.50.1-eksbuild.1",
    "aws-efs-csi-driver": "v2.1.13-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
}
_DOCUMENTS: Final = Path(__file__).parent / "documents"
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be in an account.

    Attributes:
        cluster: Name of the cluster.
        region: The region.
        number: Of the account.
    """

    cluster: str
    region: str = REGION
    number: str = NUMBER

    @property
    def bucket(self) -> str:
        """Of the DVC remote. Names of buckets are one for all accounts, so it has the account's number."""
        return f"dvc-{self.number}-{self.cluster}"

    @property
    def cluster_arn(self) -> str:
        """Of the cluster."""
        return self._eks(f"cluster/{self.cluster}")

    @property
    def role_arn(self) -> str:
        """Of the DVC pods' role."""
        return f"arn:{PARTITION}:iam::{self.number}:role/{ROLE}"

    def _eks(self, resource: str) -> str:
        return f"arn:{PARTITION}:eks:{self.region}:{self.number}:{resource}"

    def document(self, name: str) -> dict[str, Any]:
        """A policy by the name of its file: those that a team takes are in `fixtures/eks/policies`."""
        if name in get_args(PolicyName):
            return eks_policies.document(cast("PolicyName", name), self._values())
        templates = Environment(loader=FileSystemLoader(_DOCUMENTS), undefined=StrictUndefined)  # noqa: S701 - JSON, not HTML; strings go through `tojson`
        text = templates.get_template(f"{name}.json.j2").render(
            cluster_arn=self.cluster_arn,
            addons_arn=self._eks(f"addon/{self.cluster}"),
            associations_arn=self._eks(f"podidentityassociation/{self.cluster}"),
            role_arn=self.role_arn,
            repositories_arn=f"arn:{PARTITION}:ecr:{self.region}:{self.number}:repository/{PREFIX}",
            bucket_arn=f"arn:{PARTITION}:s3:::{self.bucket}",
        )
        found: dict[str, Any] = json.loads(text)
        return found

    def users(self) -> dict[str, dict[str, Any]]:
        """Policy by name of a user."""
        runner, images = self.document("runner"), self.document("runner-images")
        runner = {**runner, "Statement": [*runner["Statement"], *images["Statement"]]}
        return {ADMINISTRATOR: self.document(ADMINISTRATOR), RUNNER: runner, NODE: self.document(NODE)}

    def _values(self) -> dict[str, str]:
        return {
            "partition": PARTITION, "account": self.number, "region": self.region, "cluster": self.cluster,
            "bucket": self.bucket, "keys": "", "repositories": eks_policies.REPOSITORIES,
        }  # fmt: skip


def session(keys: Keys, region: str) -> boto3.Session:
    """A session of a user's, whatever this process's environment says of AWS."""
    return boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=region, botocore_session=own_core())


def client(service: str, keys: Keys, serving: Serving, region: str) -> Any:
    """A client of the look-alike by its address, whatever this process's environment says of AWS."""
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    # Without proxies: the address is this machine's own.
    config = Config(proxies={}, retries={"total_max_attempts": 2, "mode": "standard"})
    return session(keys, region).client(service, endpoint_url=serving.endpoints[variable], config=config)


def prepare(
    plan: Plan, serving: Serving, keys: Mapping[str, Keys], waiter: Waiter, *, repositories: Sequence[str] = ()
) -> None:
    """Make it all, once the cluster is ACTIVE and the store answers.

    Args:
        plan: What is to be in the account.
        serving: Where the look-alike serves.
        keys: Of its users.
        waiter: How patient to be.
        repositories: Of ECR, one per image.

    Raises:
        EnvironmentFailed: The look-alike refused a call.
        WaitTimeout: The cluster does not become ACTIVE.
    """
    clients = [client(name, keys[ADMINISTRATOR], serving, plan.region) for name in ("iam", "eks", "s3", "ecr")]
    iam, eks, s3, ecr = clients
    try:
        waiter.until(
            f"the cluster {plan.cluster} to be ACTIVE",
            lambda: str(eks.describe_cluster(name=plan.cluster)["cluster"]["status"]),
            ready=lambda status: status == "ACTIVE",
            timeout=_SECONDS,
            interval=0.2,
        )
        trust, policy = plan.document("dvc-trust"), plan.document("dvc-s3")
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=ROLE, PolicyName=ROLE_POLICY, PolicyDocument=json.dumps(policy))
        for user, group in ((RUNNER, RUNNERS), (ADMINISTRATOR, ADMINISTRATORS)):
            eks.create_access_entry(
                clusterName=plan.cluster, principalArn=keys[user].arn, kubernetesGroups=[group], type="STANDARD"
            )
        eks.create_pod_identity_association(
            clusterName=plan.cluster,
            namespace=AIRFLOW_NAMESPACE,
            serviceAccount=DVC_SERVICE_ACCOUNT,
            roleArn=plan.role_arn,
        )
        for repository in repositories:
            ecr.create_repository(
                repositoryName=repository,
                imageTagMutability="IMMUTABLE",
                tags=[{"Key": LABEL_OWNER, "Value": OWNER}],
            )
        s3.create_bucket(Bucket=plan.bucket, CreateBucketConfiguration={"LocationConstraint": plan.region})
    except (ClientError, BotoCoreError) as error:
        raise EnvironmentFailed(
            "the look-alike's account could not be filled", evidence={"it said": str(error)}
        ) from error
    finally:
        for one in clients:
            one.close()
