"""The look-alike put together: one account in one region, its services behind one gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from harness.lookalike.authorisation import Authorisation
from harness.lookalike.calls import CallLog
from harness.lookalike.ecr import Ecr
from harness.lookalike.eks import Eks
from harness.lookalike.eks_auth import LIFETIME, EksAuth, TokenReviewer
from harness.lookalike.faults import Faults
from harness.lookalike.gateway import Gateway
from harness.lookalike.iam import Iam
from harness.lookalike.layers import Layers
from harness.lookalike.policies import parse
from harness.lookalike.principals import Credentials, CredentialStore
from harness.lookalike.registry import Registry
from harness.lookalike.service import Account
from harness.lookalike.sigv4 import Verifier
from harness.lookalike.sts import Sessions, Sts
from harness.lookalike.web_identity import WebIdentities
from harness.lookalike.witness import Backend, Witness

ADMINISTRATOR: Final[dict[str, Any]] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
# The services by the suffix of their AWS_ENDPOINT_URL_ variable ("Service-specific endpoints" in the AWS SDKs guide).
_ENDPOINTS: Final = ("EKS", "EKS_AUTH", "STS", "IAM", "S3", "ECR")


class Cloud:
    """An account.

    Attributes:
        account: Its number, region and clock.
        store: Its keys.
        iam: Its roles and policies.
        eks: Its clusters and associations.
        ecr: Its repositories of images.
        reviewers: By cluster: who reviews tokens of its service accounts; to be filled in once it answers.
        log: The recorded calls.
        verifier: Tells whose a signature is; the token webhook asks it too.
        gateway: Answers requests.
    """

    def __init__(
        self,
        *,
        number: str,
        region: str,
        backend: Backend | None = None,
        record: Path | None = None,
        faults: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pod_session: timedelta = LIFETIME,
    ) -> None:
        """An account with nothing in it.

        Args:
            number: Twelve digits.
            region: The region.
            backend: What holds the objects of S3; None for an account without S3.
            record: File that the calls are appended to.
            faults: File with failures to come, if somebody writes it.
            now: The time.
            pod_session: How long keys of pods live.
        """
        self.account = Account(number, region, now)
        self.store = CredentialStore()
        self.iam = Iam(self.account)
        self.eks = Eks(self.account, self.iam)
        self.ecr = Ecr(self.account)
        self.reviewers: dict[str, TokenReviewer] = {}
        self.log = CallLog(record)
        self.verifier = Verifier(self.store, now)
        self._authorisation = authorisation = Authorisation(self.iam, self.account)
        sessions = Sessions(self.account, self.store)
        web_identities = WebIdentities(self.account, self.iam, self.eks, sessions, self.reviewers)
        services = (
            self.iam,
            self.eks,
            self.ecr,
            Sts(self.account, authorisation, sessions, web_identities.assume),
            EksAuth(self.account, self.iam, self.eks, sessions, self.reviewers, lifetime=pod_session),
        )
        self.witness = Witness(self.account, backend) if backend else None
        self.gateway = Gateway(
            self.account,
            services={service.name: service for service in services},
            witness=self.witness,
            verifier=self.verifier,
            authorisation=authorisation,
            log=self.log,
            faults=Faults(faults),
        )

    def user(self, name: str, *policies: dict[str, Any]) -> Credentials:
        """Long-term keys of a new user with these policies.

        Raises:
            MalformedPolicy: One is none, or is not understood.
        """
        return self.store.add_user(name, self.account.number, tuple(parse(json.dumps(one)) for one in policies))

    def registry(self, folder: Path) -> Registry:
        """The registry behind ECR's login; its layers go into a folder."""
        return Registry(
            self.account, self.ecr, Layers(folder), authorisation=self._authorisation, log=self.log,
            faults=self.gateway.faults,
        )  # fmt: skip

    @staticmethod
    def endpoints(url: str) -> dict[str, str]:
        """The environment in which AWS's SDKs talk to the look-alike at a URL."""
        return {f"AWS_ENDPOINT_URL_{service}": url for service in _ENDPOINTS}
