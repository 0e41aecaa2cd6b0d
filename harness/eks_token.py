"""`harness eks-token` by itself, for kubeconfig files: a client asks for a token often, and need not load all the rest.

`python -m harness.eks_token --cluster-name NAME [--region R] [--profile P]`
"""

from __future__ import annotations

import argparse
import sys

from harness.errors import ExitCode, HarnessError
from harness.targets.eks.token import answer


def main() -> int:
    """Print a token, or say on standard error why there is none; the exit code."""
    parser = argparse.ArgumentParser(prog="harness eks-token")
    parser.add_argument("--cluster-name", required=True)
    parser.add_argument("--region")
    parser.add_argument("--profile")
    given = parser.parse_args()
    try:
        printed = answer(given.cluster_name, region=given.region, profile=given.profile)
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        return int(error.exit_code)
    sys.stdout.write(f"{printed}\n")
    return int(ExitCode.GREEN)


if __name__ == "__main__":
    sys.exit(main())
