"""The environment in which the harness and AWS's SDKs use a look-alike: variables, and AWS's own two files.

No secret is in a variable: keys stand in a file for its owner only, to which a variable points.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from harness.lookalike.account import Plan
from harness.lookalike.hosting import ADMINISTRATOR, RUNNER, Folder, Keys, Serving, write_private

# What else in an environment would lead to another account, or to other keys.
_IN_THE_WAY: Final = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)  # fmt: skip
# Of AWS's files; without a profile one is the runner.
_PROFILES: Final = {"default": RUNNER, RUNNER: RUNNER, ADMINISTRATOR: ADMINISTRATOR}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment of one look-alike.

    Attributes:
        folder: Of the look-alike.
        plan: What is in its account.
        serving: Where it serves.
    """

    folder: Folder
    plan: Plan
    serving: Serving

    def variables(self) -> dict[str, str]:
        """To be set."""
        plan, aws = self.plan, self.folder.path / "aws"
        return {
            **self.serving.endpoints,
            "AWS_REGION": plan.region,
            "AWS_DEFAULT_REGION": plan.region,
            "AWS_CONFIG_FILE": str(aws / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "HARNESS_EKS__CLUSTER": plan.cluster,
            "HARNESS_EKS__REGION": plan.region,
            "HARNESS_EKS__ACCOUNTS": json.dumps([plan.number]),
            "HARNESS_EKS__CLUSTERS": json.dumps([plan.cluster_arn]),
            "HARNESS_EKS__BUCKET": plan.bucket,
            "HARNESS_EKS__CONSENT": "true",
        }

    def shell(self) -> str:
        """The same for a POSIX shell; what is in the way is unset, and no proxy is asked for an address of ours."""
        host = urlsplit(self.serving.control).hostname or ""
        lines = [f"unset {' '.join(_IN_THE_WAY)}"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.variables().items()]
        for name in ("NO_PROXY", "no_proxy"):
            lines.append(f'export {name}="{host}${{{name}:+,${name}}}"')
        return "\n".join(lines) + "\n"

    def write(self, keys: Mapping[str, Keys]) -> None:
        """Write AWS's two files, and `env` for a shell."""
        aws = self.folder.below("aws")
        config, credentials = "", ""
        for profile, user in _PROFILES.items():
            one = keys[user]
            config += f"[{profile if profile == 'default' else f'profile {profile}'}]\nregion = {self.plan.region}\n"
            credentials += f"[{profile}]\naws_access_key_id = {one.access_key_id}\n"
            credentials += f"aws_secret_access_key = {one.secret_access_key}\n"
        write_private(aws / "config", config)
        write_private(aws / "credentials", credentials)
        write_private(self.folder.environment, self.shell())
