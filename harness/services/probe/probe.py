"""Proves, from inside a pod of the worker image, that Git, S3 and Postgres can be reached with what pods are given.

Each part is tried until it answers or PROBE_SECONDS are over: on a fresh cluster the resolver and the service addresses
come up while this runs, and until then a name "does not exist" and a connection is refused. Standard output ends with
one line, "round trip: ...", with the seconds that each part took, and what kept it waiting; a failure is one line on
standard error and exit code 1.

With PROBE_AGENT it also asks the Pod Identity agent, rightly and wrongly, and prints a JSON object for each answer: its
form, and nothing that is in it.
"""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_PAUSE_SECONDS = 0.5

Part = Callable[[], None]


def postgres() -> None:
    """Connect."""
    host, _, port = os.environ["PROBE_POSTGRES"].partition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def git() -> None:
    """List the repository with the credentials that the DAG gets."""
    command = ["git", "ls-remote", "--exit-code", "--heads", os.environ["GIT_REPO"]]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if listed.returncode != 0:
        raise OSError(" ".join(listed.stderr.split()) or f"git ls-remote ended with {listed.returncode}")


def s3() -> None:
    """Put an object and get it back; endpoint, region and keys come from the environment, as they do for DVC."""
    key = f"{os.environ['PROBE_ROOT']}harness-probe/{uuid.uuid4()}"
    bucket, body = os.environ["PROBE_BUCKET"], os.urandom(64)
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})
    client: Any = botocore.session.Session().create_client("s3", config=config)
    client.put_object(Bucket=bucket, Key=key, Body=body)
    found = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.delete_object(Bucket=bucket, Key=key)
    if found != body:
        raise OSError("gave back other bytes than it was given")


def agent() -> None:
    """Ask as the SDKs do, and as they must not: without a token, with something else, with a scheme before it."""
    where = urllib.parse.urlsplit(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    token = pathlib.Path(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read_text(encoding="utf-8")
    ways = {"own": token, "none": None, "garbage": "garbage", "bearer": f"Bearer {token}"}
    for name, given in ways.items():
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        connection.request("GET", where.path, headers={} if given is None else {"Authorization": given})
        response = connection.getresponse()
        body, kind = response.read(), response.getheader("Content-Type", "")
        connection.close()
        members = sorted(json.loads(body)) if kind.startswith("application/json") else []
        print(json.dumps({"as": name, "status": response.status, "content_type": kind, "members": members}))


def proven(part: Part, deadline: float) -> str | None:
    """Try a part until it answers: what it took. None if it did not; standard error says why."""
    began, waited_for = time.monotonic(), ""
    while True:
        try:
            part()
        except (OSError, subprocess.TimeoutExpired, BotoCoreError, ClientError) as error:
            waited_for = f"{type(error).__name__}: {error}"
            if time.monotonic() >= deadline:
                print(f"{part.__name__}: {waited_for}", file=sys.stderr)
                return None
            time.sleep(_PAUSE_SECONDS)  # this runs in a pod, where there is no `harness.wait`
        else:
            took = f"{part.__name__} {time.monotonic() - began:.1f} s"
            return f"{took} (before: {waited_for})" if waited_for else took


def main() -> int:
    """All parts, each within what is left of the time."""
    deadline = time.monotonic() + float(os.environ["PROBE_SECONDS"])
    took = []
    for part in (postgres, git, s3):
        if (one := proven(part, deadline)) is None:
            return 1
        took.append(one)
    if os.environ.get("PROBE_AGENT"):
        agent()
    print(f"round trip: {', '.join(took)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
