"""Run in a pod: whom AWS takes it for, whether it can write an object, and what else it reaches; prints JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def told(call: Callable[[], Any]) -> dict[str, str]:
    try:
        return {"said": str(call())}
    except (BotoCoreError, ClientError, OSError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main() -> None:
    asked = json.loads(sys.argv[1])
    session = botocore.session.Session()
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, region_name=asked["region"])

    def client(service: str) -> Any:
        return session.create_client(service, config=config)

    found: dict[str, Any] = {
        "identity": told(lambda: client("sts").get_caller_identity()["Arn"]),
        "written": told(
            lambda: client("s3").put_object(Bucket=asked["bucket"], Key=asked["key"], Body=b"12345")["ETag"]
        ),
        "method": told(lambda: getattr(session.get_credentials(), "method", "none")),
        "environment": sorted(name for name in os.environ if name.startswith("AWS_")),
    }
    for name, (host, port) in asked.get("reach", {}).items():
        found[name] = told(lambda where=(host, port): socket.create_connection(where, 5).close())  # type: ignore[misc]
    print(json.dumps(found))  # noqa: T201 - what it says is its result


main()
