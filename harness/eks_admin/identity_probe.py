"""Run in a pod, with python3 and botocore: says whom AWS takes the pod for, as one line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def main() -> None:
    """Ask, and print the answer or why there is none."""
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        sts: Any = botocore.session.Session().create_client("sts", config=config)
        said = {"arn": sts.get_caller_identity()["Arn"]}
    except (BotoCoreError, ClientError) as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
