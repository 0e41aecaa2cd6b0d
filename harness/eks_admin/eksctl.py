"""A cluster made and removed by eksctl, with a file of ours: only where that is asked for, and only what was made here.

eksctl finds the keys as boto3 does; none is on its command line or in its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

import boto3

from harness.assets import asset
from harness.eks_admin.things import ENVIRONMENT, NEVER, Marks
from harness.eks_settings import EksSettings
from harness.errors import CleanupFailed, EnvironmentFailed, GuardError, UsageError
from harness.journal import Entry, Journal
from harness.names import LABEL_EXPIRES, LABEL_OWNER, OWNER
from harness.process import Runner
from harness.targets.eks.attach import removed_by
from harness.targets.eks.aws import AwsRefused, client, explained

KIND: Final = "eks-cluster"
# "Create 15-20 min, delete ~10 min"; eksctl's own limit for each of its waits is 25 min.
_CREATE_SECONDS: Final = 3600.0
_DELETE_SECONDS: Final = 2400.0


@dataclass(frozen=True, slots=True)
class EksctlCluster:
    """One cluster.

    Attributes:
        settings: Its name, the tag that it must have, the profile.
        region: Where.
        version: Kubernetes minor.
        marks: Its tags.
        program: eksctl; None where there is none.
        template: The file that is filled in; None for our own.
        folder: For what it is filled in to.
        runner: Runs eksctl.
        journal: Told before it is made.
        say: Told what eksctl says.
    """

    settings: EksSettings
    region: str
    version: str
    marks: Marks
    program: Path | None
    template: Path | None
    folder: Path
    runner: Runner
    journal: Journal
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """Of the cluster.

        Raises:
            UsageError: None is named.
        """
        if self.settings.cluster is None:
            raise UsageError("no EKS cluster is named", next_step="name it with --eks-cluster")
        return self.settings.cluster

    def status(self, session: boto3.Session) -> str:
        """What EKS says of it, such as "ACTIVE"; empty if there is none.

        Raises:
            AwsRefused: It may not be asked.
            GuardError: There is one of that name which is not ours.
        """
        return str(self._found(session).get("status", ""))

    def expires(self, session: boto3.Session) -> str:
        """When it counts as left behind, as its tag says it; the same errors."""
        return str((self._found(session).get("tags") or {}).get(LABEL_EXPIRES, NEVER))

    def renew(self, session: boto3.Session, arn: str) -> None:
        """Have it count as left behind when it should now.

        No policy of ours names the call: who has eksctl make clusters may do all of `eks:*` (eksctl-io/eksctl, issue
        204: the permissions that it takes).

        Raises:
            AwsRefused: It may not be tagged.
        """
        eks = client(session, "eks")
        try:
            with explained(f"give the cluster {self.name} its new time (eks:TagResource)"):
                eks.tag_resource(resourceArn=arn, tags={LABEL_EXPIRES: self.marks.expires})
        finally:
            eks.close()

    def _found(self, session: boto3.Session) -> Mapping[str, Any]:
        eks = client(session, "eks")
        try:
            with explained(f"describe the EKS cluster {self.name} in {self.region}"):
                found: Mapping[str, Any] = eks.describe_cluster(name=self.name)["cluster"]
        except AwsRefused as refused:
            if refused.code == "ResourceNotFoundException":
                return {}
            raise
        finally:
            eks.close()
        tags = found.get("tags") or {}
        if (tags.get(LABEL_OWNER), tags.get(ENVIRONMENT)) != (OWNER, self.marks.environment):
            raise GuardError(
                f"there is a cluster {self.name} in {self.region}, and it was not made here",
                next_step="leave --eks-create out to attach to it, or name another with --eks-cluster",
            )
        return found

    def create(self) -> None:
        """Make it.

        Raises:
            UsageError: There is no eksctl, or no file to fill in.
            CommandFailed: eksctl failed; what it has made stays until `delete`.
            CommandTimeout: It did not end.
        """
        program = self._program("or leave --eks-create out, and name a cluster that is there")
        config = self.folder / "cluster.yaml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(self.rendered(), encoding="utf-8")
        self.journal.record(KIND, self.name, region=self.region, config=str(config))
        self.runner.run(
            [program, "create", "cluster", "--config-file", config, "--write-kubeconfig=false", *self._profile()],
            timeout=_CREATE_SECONDS,
            on_line=self.say,
            next_step=f"{removed_by(self.name, self.marks.environment)} removes what eksctl has made so far",
        )
        self.journal.record(KIND, self.name, region=self.region, finished="yes")

    def finished(self) -> bool:
        """Whether eksctl came to its end, by the journal: a control plane is ACTIVE before it has nodes."""
        entries = self.entries()
        return not entries or any("finished" in one.detail for one in entries)

    def delete(self, session: boto3.Session) -> None:
        """Remove it, with all that eksctl has made for it.

        Raises:
            CleanupFailed: There is no eksctl, it failed, or something is there yet.
        """
        try:
            # Where EKS knows no such cluster, eksctl gives up before its stacks unless it is forced; then it ends well
            # past errors, too (eksctl-io/eksctl, pkg/ctl/delete/cluster.go; issues 3209, 4538, 5103).
            forced = () if self.status(session) else ("--force",)
            program = self._program("then harness eks delete again")
            self.runner.run(
                [
                    program, "delete", "cluster", "--name", self.name, "--region", self.region, "--wait",
                    "--disable-nodegroup-eviction", *forced, *self._profile(),
                ],
                timeout=_DELETE_SECONDS,
                on_line=self.say,
            )  # fmt: skip
            if there := self._left(session):
                raise EnvironmentFailed(f"eksctl has ended, and there is {there} yet")  # noqa: TRY301 - one message
        except (EnvironmentFailed, UsageError) as error:
            raise CleanupFailed(
                f"the cluster {self.name} could not be removed, and goes on costing: {error.message}",
                evidence=error.evidence,
                next_step=error.next_step or "harness eks delete again; its stacks in CloudFormation are eksctl-*",
            ) from error
        for entry in self.entries():
            self.journal.removed(entry)

    def _left(self, session: boto3.Session) -> str:
        """What there is of it yet; nothing if nothing is."""
        if status := self.status(session):
            return f"the cluster, {status}"
        stack = f"eksctl-{self.name}-cluster"
        stacks = client(session, "cloudformation")
        try:
            with explained(f"look for the stack {stack} (cloudformation:DescribeStacks)"):
                found = stacks.describe_stacks(StackName=stack)["Stacks"]
        except AwsRefused as refused:
            # "Stack with id NAME does not exist": CloudFormation has no code of its own for that.
            if refused.code == "ValidationError":
                return ""
            raise
        finally:
            stacks.close()
        return f"its stack {stack}, {found[0]['StackStatus']}"

    def entries(self) -> list[Entry]:
        """What our journal has of it: made here, and not removed."""
        return [one for one in self.journal.open() if (one.kind, one.name) == (KIND, self.name)]

    def rendered(self) -> str:
        """The file for eksctl.

        Raises:
            UsageError: It cannot be read, or asks for something else.
        """
        path = self.template or asset("fixtures") / "eks" / "mlops-cluster.yaml"
        allowed_name, _, allowed_value = self.settings.tag.partition("=")
        try:
            return Template(path.read_text(encoding="utf-8")).substitute(
                name=self.name,
                region=self.region,
                version=self.version,
                environment=self.marks.environment,
                expires=self.marks.expires,
                allowed_name=allowed_name,
                allowed_value=allowed_value,
            )
        except (OSError, KeyError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be filled in: {error}", next_step="see fixtures/eks/mlops-cluster.yaml"
            ) from None

    def _program(self, otherwise: str) -> Path:
        if self.program is None:
            raise UsageError(
                "there is no eksctl on PATH, which makes and removes clusters",
                next_step=f"install it (https://eksctl.io/installation), {otherwise}",
            )
        return self.program

    def _profile(self) -> tuple[str, ...]:
        return ("--profile", self.settings.profile) if self.settings.profile else ()
