"""What stands in for eksctl and for CloudFormation, and an account without the cluster."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.lookalike.cloud import Cloud
from harness.lookalike.eks import Cluster
from harness.lookalike.principals import Credentials
from tests.contract.eks_admin.conftest import Admitting, Home, policies
from tests.contract.lookalike.conftest import CLUSTER

# What stands in for eksctl notes its arguments, the file that it was given, and what our journal has by then; and asks
# the stand-in of CloudFormation, in the test's own process, to do what it would have done.
_PROGRAM = """#!/bin/sh
set -eu
python3 - "$@" <<'END'
import json, os, pathlib, sys, urllib.request
journal = pathlib.Path(os.environ["RECORD_JOURNAL"])
said = {"argv": sys.argv[1:], "journal": journal.read_text() if journal.exists() else ""}
if "--config-file" in sys.argv:
    said["config"] = pathlib.Path(sys.argv[sys.argv.index("--config-file") + 1]).read_text()
with open(os.environ["RECORD"], "a") as out:
    out.write(json.dumps(said) + "\\n")
if os.environ.get("RECORD_EXIT", "0") == "0":
    urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL_CLOUDFORMATION"] + "/" + sys.argv[1]).close()
END
echo "2026-11-21 [i] eksctl version 0.220.0"
exit "${RECORD_EXIT:-0}"
"""


class Eksctl:
    """The stand-in: what it was asked, and what CloudFormation says.

    Attributes:
        stack: Status of the cluster's stack; empty for none.
    """

    def __init__(self, record: Path, cloud: Cloud) -> None:
        self.record = record
        self.stack = ""
        self._cloud = cloud

    def done(self, what: str) -> None:
        """It has come to its end."""
        if what == "delete":
            self._cloud.eks.remove_cluster(CLUSTER)

    @property
    def stacks(self) -> tuple[int, str]:
        """What CloudFormation answers to DescribeStacks, in its query protocol."""
        if not self.stack:
            message = f"Stack with id eksctl-{CLUSTER}-cluster does not exist"
            error = f"<Error><Type>Sender</Type><Code>ValidationError</Code><Message>{message}</Message></Error>"
            return 400, f"<ErrorResponse>{error}</ErrorResponse>"
        member = f"<StackName>s</StackName><StackStatus>{self.stack}</StackStatus>"
        found = f"<DescribeStacksResult><Stacks><member>{member}</member></Stacks></DescribeStacksResult>"
        return 200, f"<DescribeStacksResponse>{found}</DescribeStacksResponse>"

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []


@pytest.fixture
def nobody(home: Home, cloud: Cloud, enter: Callable[[Credentials], None]) -> Home:
    """An account without the cluster; keys for what this prepares."""
    cloud.eks.remove_cluster(CLUSTER)
    enter(cloud.user("preparer", policies("prepare", bucket=home.bucket)))
    return home


@pytest.fixture
def eksctl(nobody: Home, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Eksctl]:
    program = tmp_path / "bin" / "eksctl"
    program.parent.mkdir()
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record.jsonl"))
    monkeypatch.setenv("RECORD_JOURNAL", str(nobody.journal().path))
    made = Eksctl(tmp_path / "record.jsonl", cloud)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.done(self.path.strip("/"))
            self._answer(200, "")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(*made.stacks)

        def _answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", f"http://127.0.0.1:{http.server_port}")
        yield made
        http.shutdown()


def made(cloud: Cloud, like: Cluster, **tags: str) -> None:
    """What eksctl would have made."""
    like.tags = {
        "harness.allowed": "true",
        "harness.owner": "airflow-dvc-harness",
        "harness.environment": CLUSTER,
        **tags,
    }
    cloud.eks.add_cluster(like)


@pytest.fixture
def cluster(objects: Admitting, cloud: Cloud) -> Cluster:
    return cloud.eks.cluster(CLUSTER)
