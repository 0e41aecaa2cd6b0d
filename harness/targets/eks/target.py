"""The EKS target: an environment in a cluster that is there, attached to after guards, and taken out of it again.

Nothing is made in AWS. In the cluster the harness's two namespaces are taken (`harness.targets.attached`), in the
bucket a prefix per run. S3 is reached by the reader's own session; the pods get their keys from EKS Pod Identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import boto3

from harness.eks_settings import EksSettings, Identity, SharedStorage
from harness.errors import UsageError
from harness.kubeapi import KubeApi
from harness.model import Bucket, Cluster, Toolchain
from harness.names import AIRFLOW_NAMESPACE, SHARED_CLAIM
from harness.settings import Settings
from harness.targets.attached import images
from harness.targets.attached.expiry import expiry
from harness.targets.attached.folder import KUBECONFIG
from harness.targets.attached.target import AttachedTarget, name_for
from harness.targets.eks.attach import EksCluster, looking_into, write_kubeconfig
from harness.targets.eks.aws import led_to, open_session
from harness.targets.eks.bucket import BucketClaim, check_bucket
from harness.targets.eks.ebs import check_ebs
from harness.targets.eks.ecr import ECR, EcrImages
from harness.targets.eks.efs import check_efs
from harness.targets.eks.environment import TARGET, EksEnvironment, described, remove_environment
from harness.targets.eks.guards import guarded_cluster, hold_price
from harness.targets.eks.identity import check_identity
from harness.targets.eks.prefix import prefix_of
from harness.targets.eks.prices import Plan, estimate
from harness.targets.wanted import Wanted

# GB of the claim that the tasks share (harness/services/manifests/pipeline.yaml.j2).
_CLAIM_GB: Final = 1


def check_settings(settings: Settings) -> None:
    """Hold the settings to be whole, before anything is started.

    Raises:
        UsageError: Something is missing; names it.
    """
    eks = settings.eks
    wanted = {"cluster": ("--eks-cluster", eks.cluster), "bucket": ("--eks-bucket", eks.bucket)}
    missing = {f"eks.{name}": f"{flag}, or HARNESS_EKS__{name.upper()}"
               for name, (flag, value) in wanted.items() if not value}  # fmt: skip
    if missing:
        raise UsageError("the target eks needs to be told more", evidence=missing, next_step="see docs/how-to/eks.md")


def own_name(settings: Settings) -> str | None:
    """What the harness calls its environment in the cluster; None where none is named."""
    return None if settings.eks.cluster is None else name_for(TARGET, settings.eks.cluster)


def guard(wanted: Settings) -> tuple[boto3.Session, EksCluster, str]:
    """Pass all guards: by calls that only read, before anything is made anywhere.

    Returns:
        The session, the cluster, and what a run is estimated to cost.

    Raises:
        UsageError: The settings name no cluster, account or region.
        GuardError: Something is not what is allowed, or it would cost too much.
        EnvironmentFailed: The cluster lacks what its pods get their keys or their shared folder from, the bucket is not
            there, or AWS refused to say.
    """
    settings = wanted.eks
    session = open_session(profile=settings.profile, region=settings.region)
    cluster = guarded_cluster(session, settings)
    on_efs = settings.shared_storage is SharedStorage.EFS
    plan = Plan(hours=settings.max_lifetime, version=cluster.version, claim_gb=_CLAIM_GB, claim_on_efs=on_efs)
    price = estimate(plan, today=datetime.now(UTC).date())
    hold_price(price, settings)
    with looking_into(cluster, profile=settings.profile, state_dir=wanted.state_dir) as kube:
        check_identity(session, cluster, kube, settings)
        if on_efs:
            check_efs(session, cluster, kube, settings)
        else:
            check_ebs(cluster, kube, settings.claim_class)
    if settings.bucket is not None:
        check_bucket(session, settings.bucket, _root(settings), settings.accounts)
    return session, cluster, str(price)


def _root(settings: EksSettings) -> str:
    return f"{settings.prefix}/" if settings.prefix else ""


def refuse(wanted: Wanted) -> None:
    """Refuse what cannot or may not be, before anything is built; the same errors as `guard`."""
    _, cluster, price = guard(wanted.settings)
    wanted.status(f"{cluster.arn}: beside the cluster itself, {price}")


class EksTarget(AttachedTarget):
    """One environment in an EKS cluster.

    Args:
        wanted: What the run asks for.
        toolchain: What the environment is filled with.
    """

    def __init__(self, wanted: Wanted, toolchain: Toolchain) -> None:
        super().__init__(wanted, images.without_local(toolchain))
        self._settings = wanted.settings.eks

    def up(self) -> Cluster:
        """Attach, and take the namespaces; or go on with the environment that was kept.

        Raises:
            GuardError: Something is not what is allowed, or another run has the cluster.
            UsageError: Likewise as for `guard`.
            EnvironmentFailed: It cannot be had; nothing of ours is left behind.
        """
        self._lock(TARGET)
        session, found, price = guard(self._wanted.settings)
        self._names = self._place_images(session)
        known = described(self._folder)
        if known is not None:
            self._refuse_other(f"in {known.context}", f"in {found.arn}")
        bucket = self._bucket(found)
        reused = known is not None and self._go_on(known, found, bucket)
        if not reused:
            self._begin_in(found, bucket, session, leftover=known is not None)
        elif bucket.run is not None:
            self._claim_prefix(session, bucket.name, bucket.run)
        self._has_it = True
        kube, ports = self._forwards(found.arn, "airflow", "git")
        version = kube.version()
        self.note = f"{'reused' if reused else version} in {found.arn}; {price}"
        return Cluster(
            name=self.name,
            kubeconfig=self._folder / KUBECONFIG,
            context=found.arn,
            ports=ports,
            reused=reused,
            kubernetes_version=version,
            forwarded=True,
            bucket=bucket,
            mapped_images=self._names,
            storage_class=self._settings.claim_class,
            claim_access=self._settings.claim_access,
            irsa=self._irsa,
            pod_environment=self._pod_environment(),
        )

    def _remove(self) -> None:
        remove_environment(self._folder, waiter=self._wanted.waiter)

    def _place_images(self, session: boto3.Session) -> Mapping[str, str]:
        """Have the images where the nodes pull them from; what they call each, by its reference."""
        wanted = self._wanted
        if self._settings.registry == ECR:
            run = wanted.settings.state_dir / "runs" / wanted.run_id
            ecr = EcrImages(session, self._settings, wanted.engine, wanted.runner, run, wanted.journal, wanted.status)
            names, self._toolchain = ecr.supply(self._toolchain)
            return names
        return self._as_in(self._settings.registry)

    def _go_on(self, known: EksEnvironment, found: EksCluster, bucket: Bucket) -> bool:
        """Take up the environment that is known here, if it was kept and is whole in the cluster."""
        if not self.kept or known.bucket != bucket.name:
            return False
        write_kubeconfig(found, self._folder / KUBECONFIG, profile=self._settings.profile)
        hours = self._settings.max_lifetime
        if not self._renewed(found.arn, known.run, hours=hours, whole=self._same_storage):
            return False
        prefix = prefix_of(bucket.root, self._wanted.run_id)
        replace(known, prefixes=(*known.prefixes, prefix)).write(self._folder)
        return True

    def _same_storage(self, kube: KubeApi) -> bool:
        """Whether the claim that is there is the one that is wanted: none can be made into another."""
        spec = (kube.get("PersistentVolumeClaim", SHARED_CLAIM, AIRFLOW_NAMESPACE) or {}).get("spec")
        if spec is None:
            return True
        wanted = self._settings.claim_class
        return spec.get("accessModes") == [self._settings.claim_access] and wanted in {
            "",
            spec.get("storageClassName"),
        }

    def _begin_in(self, found: EksCluster, bucket: Bucket, session: boto3.Session, *, leftover: bool) -> None:
        wanted = self._wanted
        self._entry = wanted.journal.record(
            TARGET, found.arn, folder=str(self._folder), cluster=found.name, region=found.region
        )

        def describe(_kube: KubeApi) -> None:
            EksEnvironment(
                run=wanted.run_id,
                context=found.arn,
                region=found.region,
                profile=self._settings.profile,
                bucket=bucket.name,
                prefixes=(prefix_of(bucket.root, wanted.run_id),),
                made_from=str(Path.cwd()),
            ).write(self._folder)

        def make() -> None:
            write_kubeconfig(found, self._folder / KUBECONFIG, profile=self._settings.profile)
            self._take(found.arn, hours=self._settings.max_lifetime, describe=describe)
            if bucket.run is not None:
                self._claim_prefix(session, bucket.name, bucket.run)

        self._begin(leftover=leftover, make=make)

    def _claim_prefix(self, session: boto3.Session, bucket: str, prefix: str) -> None:
        """Say in the bucket whose the keys below a prefix are, for whoever finds them and knows nothing of the run."""
        cluster = self._settings.cluster or ""
        BucketClaim(prefix, cluster, expiry(self._settings.max_lifetime)).write(session, bucket)

    def _bucket(self, found: EksCluster) -> Bucket:
        if self._settings.bucket is None:
            raise UsageError("no bucket is named", next_step="name it with --eks-bucket (eks.bucket)")
        return Bucket(
            name=self._settings.bucket,
            region=found.region,
            # Where the reader's own clients are led, the pods must be led too.
            endpoint=led_to("S3"),
            root=_root(self._settings),
            run=prefix_of(_root(self._settings), self._wanted.run_id),
            profile=self._settings.profile,
        )

    @property
    def _irsa(self) -> bool:
        return self._settings.identity is Identity.IRSA

    def _pod_environment(self) -> dict[str, str]:
        """By IRSA pods call STS themselves: where the reader's own clients are led, they must be led too."""
        endpoint = led_to("STS")
        return {"AWS_ENDPOINT_URL_STS": endpoint} if self._irsa and endpoint else {}
