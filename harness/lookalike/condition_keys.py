"""The condition keys that the look-alike gives policies: any other would never be there, whatever a caller asks.

Names as in the Service Authorization Reference and in "AWS global condition context keys" (IAM user guide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Of S3: its name, by the request's header. A header that is not sent is a key that is not there.
S3_HEADERS: Final[Mapping[str, str]] = {
    name: f"s3:{name}"
    for name in (
        "x-amz-acl",
        "x-amz-copy-source",
        "x-amz-grant-full-control",
        "x-amz-grant-read",
        "x-amz-grant-read-acp",
        "x-amz-grant-write",
        "x-amz-grant-write-acp",
        "x-amz-metadata-directive",
        "x-amz-object-ownership",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    )
}
# And by the request's query parameter.
S3_QUERY: Final[Mapping[str, str]] = {
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
    "prefix": "s3:prefix",
    "versionId": "s3:VersionId",
}
MULTIVALUED: Final = frozenset({"aws:tagkeys"})
_OTHERS: Final = (
    "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalType", "aws:RequestedRegion", "aws:ResourceAccount",
    "aws:SourceAccount", "aws:SourceArn", "aws:TagKeys", "aws:userid", "aws:username",
    "iam:PassedToService", "iam:PermissionsBoundary", "iam:PolicyARN",
    "sts:ExternalId", "sts:RoleSessionName",
)  # fmt: skip
_SINGLE: Final = frozenset(key.lower() for key in (*S3_HEADERS.values(), *S3_QUERY.values(), *_OTHERS))
_TAGS: Final = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/", "iam:resourcetag/")
# Of a token, by the issuer that is its provider in IAM: `oidc.eks.REGION.amazonaws.com/id/...:sub`.
_OF_TOKENS: Final = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/[\w./-]*)?:(aud|sub)", re.ASCII)


def given(key: str) -> bool:
    """Whether there are requests with this key."""
    name = key.lower()
    return name in _SINGLE or (name.startswith(_TAGS) and "${" not in name) or _OF_TOKENS.fullmatch(name) is not None
