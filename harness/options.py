"""The options that both front doors take, in one table: what each sets, what it takes, what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.eks_settings import Identity, SharedStorage
from harness.errors import UsageError
from harness.settings import Keep, S3Backend, Settings, SupplyKind, TargetKind, mirrors, part_flags, resolve


@dataclass(frozen=True, slots=True)
class Option:
    """One option; it may always be left out.

    Attributes:
        name: Its name in Python; the flag has dashes in place of underscores.
        kind: What its value is read as; an enumeration has choices.
        help: What it says of itself.
        metavar: What stands for the value in the help; empty for the usual.
        many: Whether it may be given several times.
    """

    name: str
    kind: type
    help: str
    metavar: str = ""
    many: bool = False

    @property
    def flag(self) -> str:
        """Such as "--airflow-chart"."""
        return f"--{self.name.replace('_', '-')}"


OPTIONS: Final[tuple[Option, ...]] = (
    Option("target", TargetKind, "where it runs"),
    Option("supply", SupplyKind, "where engine, tools, images and charts come from"),
    Option("s3", S3Backend, "what speaks S3 on a local cluster"),
    Option("keep", Keep, "whether the cluster outlives the run"),
    Option("cluster", str, "name of the cluster (default: one per run, or the kept one)", "NAME"),
    Option("airflow_chart", str, "the official chart: folder, archive, URL or oci:// reference", "CHART"),
    Option("values", Path, "further Helm values, applied last", "FILE", many=True),
    Option("dags", Path, "folder with the DAG under test", "FOLDER"),
    Option("dag_id", str, "the DAG under test", "ID"),
    Option("repository", Path, "folder with the files of the repository under test", "FOLDER"),
    Option("data", Path, "data set that a run starts from", "FILE"),
    Option("tracked_file", str, "the file under DVC, path in the repository", "PATH"),
    Option("worker_image", str, "image that the DAG's pods run, by tag", "IMAGE"),
    Option("branch", str, "branch that the DAG's commit lands on", "NAME"),
    Option("git_remote", str, "repository on a Git server of yours, for a throw-away branch", "URL"),
    Option("pause_on_failure", bool, "on red or failure wait for Enter before anything is taken down"),
    Option("run_timeout", float, "seconds that a DAG run may last; one that does not end in them is red", "SECONDS"),
    Option("patience", float, "multiplies every deadline; above 1 on slow machines", "FACTOR"),
    Option("registry_mirror", str, "pull the images of a registry host from a mirror", "HOST=MIRROR", many=True),
    Option("eks_cluster", str, "with --target eks: the EKS cluster to attach to", "NAME"),
    Option("eks_region", str, "its region (default: the profile's)", "REGION"),
    Option("eks_profile", str, "profile of the AWS configuration (default: what boto3 finds)", "PROFILE"),
    Option("eks_bucket", str, "bucket in that region that the run writes to", "BUCKET"),
    Option("eks_identity", Identity, "how the DAG's pods get their role on EKS"),
    Option("eks_consent", bool, "this run may write to the AWS account that the settings allow, and cost"),
    Option(
        "shared_storage", SharedStorage, "with --target eks: a volume of one node (EBS), or a file system of all (EFS)"
    ),
    Option("max_cost", float, "with --target eks: most that a run may cost by the estimate, in USD", "USD"),
    Option("max_lifetime", float, "off kind: hours that a run may last, and a kept environment stay", "HOURS"),
    Option("context", str, "with --target existing: exact name of the kubeconfig's context", "NAME"),
    Option("existing_consent", bool, "this run may write to that cluster, if the settings allow its API server"),
)
# What stands before the names of those that set a part of `eks`; and those that do without it.
_EKS: Final = "eks_"
_EKS_PARTS: Final = frozenset({"max_cost", "max_lifetime", "shared_storage"})

# What sets a part of `existing`, by its name there.
_EXISTING: Final = {"context": "context", "existing_consent": "consent", "max_lifetime": "max_lifetime"}

# Of these, what the making of an EKS look-alike's cluster takes.
LOOKALIKE_OPTIONS: Final = frozenset({"supply", "cluster", "worker_image", "patience", "registry_mirror"})

# And what `harness eks` takes.
EKS_OPTIONS: Final = frozenset(
    {"eks_cluster", "eks_region", "eks_profile", "eks_bucket", "eks_consent", "max_cost", "max_lifetime", "patience"}
)


# Of these, what the removal of what is left on EKS takes.
SWEEP_OPTIONS: Final = frozenset({"target", "eks_cluster", "eks_region", "eks_profile", "eks_bucket", "git_remote"})


def part_of_eks(name: str) -> str | None:
    """What an option sets in `eks`, by its name there; None if it sets something else."""
    return name if name in _EKS_PARTS else name.removeprefix(_EKS) if name.startswith(_EKS) else None


def run_settings_from(given: Mapping[str, Any]) -> Settings:
    """The settings of a run that is meant by these options alone.

    Raises:
        UsageError: A setting is unknown or has a bad value; or an option is of another target. The run would be another
            than the reader means, such as one on kind in place of EKS.
    """
    settings = settings_from(given)
    targets = {option.flag: _targets_of(option.name) for option in OPTIONS if given.get(option.name)}
    others = {flag: targets for flag, targets in targets.items() if settings.target not in targets}
    if others:
        wanted = " or ".join(f"--target {kind}" for kind in next(iter(others.values())))
        raise UsageError(
            f"{', '.join(others)}: not for a run with --target {settings.target}",
            next_step=f"add {wanted}, or leave it out" if len(others) == 1 else f"add {wanted}, or leave them out",
        )
    return settings


def _targets_of(name: str) -> tuple[TargetKind, ...]:
    """The targets that an option is for."""
    if name == "max_lifetime":
        return TargetKind.EKS, TargetKind.EXISTING
    if name in _EXISTING:
        return (TargetKind.EXISTING,)
    return (TargetKind.EKS,) if part_of_eks(name) is not None else tuple(TargetKind)


def settings_from(given: Mapping[str, Any]) -> Settings:
    """The settings of a run.

    Args:
        given: Values by the options' names; None, or nothing, for those that were left out.

    Raises:
        UsageError: A setting is unknown or has a bad value.
    """
    flags = dict(given)
    values = flags.pop("values", None)
    existing = {part: flags.get(name) for name, part in _EXISTING.items()}
    eks = {part: flags.pop(name) for name in list(flags) if (part := part_of_eks(name)) is not None}
    for name in _EXISTING:
        flags.pop(name, None)
    remote = flags.pop("git_remote", None)
    if remote is not None and given.get("branch") is not None:
        raise UsageError(
            "--branch does not go with --git-remote: a run makes a branch of its own there, harness/<run id>",
            next_step="leave --branch out",
        )
    try:
        return resolve(
            cluster_name=flags.pop("cluster", None),
            values=tuple(values) if values else None,
            policy=part_flags(branch=flags.pop("branch", None)),
            eks=part_flags(**eks),
            existing=part_flags(**existing),
            git=part_flags(remote=remote),
            registry_mirror=mirrors(flags.pop("registry_mirror", None)),
            **flags,
        )
    except UsageError as error:
        if given.get("max_lifetime") is not None:
            # It sets two, and the reader has named neither.
            told = {error.evidence.pop(f"{part}.max_lifetime", "") for part in ("eks", "existing")} - {""}
            if told:
                error.evidence["--max-lifetime"] = "; ".join(sorted(told))
        raise
