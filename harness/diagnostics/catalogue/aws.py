"""AWS's own interface, as this machine asks it; what pods meet at their store is in `store.py`.

The words are those of `harness.targets.eks.aws` and of botocore 1.43 (exceptions.py).
"""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import AWS_REFUSED
from harness.diagnostics.causes import Cause, Sign

AWS: Final = (
    Cause(
        code="AWS_CREDENTIALS",
        what="AWS does not accept the credentials of this machine, or there are none",
        do="log in (aws sso login), or check the profile, its keys and the AWS_* variables; of a look-alike: see that "
        "it is up, and source its env file again",
        signs=(
            Sign(
                said=r"unable to locate credentials|partial credentials found"
                r"|error when retrieving (?:token|credentials)|\bsso (?:session|token)\b"
                r"|the aws session is over|aws does not know these keys|the signature is not good"
                r"|aws cannot be asked with this configuration",
                reasons=AWS_REFUSED,
            ),
        ),
    ),
    Cause(
        code="AWS_UNREACHABLE",
        what="AWS does not answer this machine",
        do="check the network, the proxy and AWS_ENDPOINT_URL_*; of a look-alike: see that it is up, and source its "
        "env file again",
        signs=(
            Sign(
                said=r"could not connect to the endpoint url|(?:connect|read) timeout on endpoint url"
                r"|connection was closed before we received a valid response|failed to connect to proxy url"
                r"|an http client raised an unhandled exception",
                reasons=AWS_REFUSED,
            ),
        ),
    ),
)
