"""Proves, from inside a pod of the worker image, that Git and S3 can be reached with what pods are given.

Standard output ends with one line, "round trip: ...". Any failure is one line on standard error and exit code 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError


def main() -> int:
    """List the repository, put and get an object."""
    listed = subprocess.run(
        ["git", "ls-remote", "--heads", os.environ["GIT_REPO"]],  # noqa: S607 - the image's own git
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if listed.returncode != 0:
        print(f"git: {listed.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return 1
    bucket, key, body = os.environ["PROBE_BUCKET"], f"harness-probe/{uuid.uuid4()}", os.urandom(64)
    try:
        # The endpoint, the region and the keys come from the environment, as they do for DVC.
        s3: Any = botocore.session.Session().create_client("s3")
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        found = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.delete_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError) as error:
        print(f"s3: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if found != body:
        print("s3: gave back other bytes than it was given", file=sys.stderr)
        return 1
    print(f"round trip: {len(listed.stdout.splitlines())} branch(es), {len(body)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
