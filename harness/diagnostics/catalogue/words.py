"""Words and places that several causes share."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.evidence import Source

ERROR: Final = frozenset({Source.ERROR})
CONTROL: Final = frozenset({Source.ERROR, Source.EVENT, Source.STATE})
# What the harness is told of its own calls (`harness.targets.eks.aws.AwsRefused`): no pod was there, and often no S3.
AWS_REFUSED: Final = frozenset({"AwsRefused"})
TLS: Final = (
    r"certificate verification failed|server verification failed|ssl certificate problem|problem with the ssl ca cert"
    r"|unable to get local issuer certificate|error setting certificate (?:verify locations|file)"
    r"|certificate_verify_failed|x509: certificate"
)
