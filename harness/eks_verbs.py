"""What the commands for EKS do; each ends in an exit code."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from harness.errors import ExitCode
from harness.targets.eks import token
from harness.targets.eks.aws import open_session


def eks_token(cluster: str, *, region: str | None, profile: str | None) -> ExitCode:
    """Print a token for an EKS cluster on standard output; nothing else may be printed there.

    Raises:
        UsageError: No such profile, no region, or the Kubernetes client asks for another form.
        AwsRefused: There are no credentials.
    """
    session = open_session(profile=profile, region=region)
    made = token.make_token(session, cluster=cluster, now=datetime.now(UTC))
    sys.stdout.write(token.exec_credential(made, os.environ) + "\n")
    return ExitCode.GREEN
