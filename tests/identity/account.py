"""What of AWS the tests of identity have to do with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import boto3

from harness.settings import Settings


@dataclass(frozen=True)
class Account:
    """An account, a cluster and a bucket of it, and who asks.

    Attributes:
        settings: Of the run.
        runner: Who runs the suite.
        administrator: Who may change role, association and bucket policy.
        cluster: Name of the EKS cluster.
        role: ARN of the role of the DVC pods.
        bucket: Of the DVC remote.
        prefix: Of this run's keys, with a slash at its end.
    """

    settings: Settings
    runner: boto3.Session
    administrator: boto3.Session
    cluster: str
    role: str
    bucket: str
    prefix: str

    def own_key(self) -> str:
        """A new one, which goes with the run's others."""
        return f"{self.prefix}identity/{secrets.token_hex(8)}"
