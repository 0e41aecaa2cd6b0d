"""The task program as its image runs it: real Git over HTTP with passwords, real DVC, a real S3 server."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from mypy_boto3_s3 import S3Client

from tests.servers import s3_server

# importlib mode gives test folders no package: what the tests share is found here.
sys.path.insert(0, str(Path(__file__).parent))

from pipeline_stage import BUCKET, WORKER_IMAGE, GitOverHttp, Stage, seed

# How long the end of a Git server takes at most.
_POLL_SECONDS = 0.05


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server of its own on a loopback port."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Iterator[S3Client]:
    """A client of that server; the bucket is there."""
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test-secret",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, s3_url: str, s3: S3Client, preloaded: Path) -> Iterator[Stage]:
    """One stage for all tests of a worker, each of which begins in a state that was kept."""
    folder = tmp_path_factory.mktemp("stage")
    bare = folder / "server" / "mlops.git"
    handler = type("Handler", (GitOverHttp,), {"root": bare.parent})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/mlops.git"
        env = {
            "PATH": os.pathsep.join((str(WORKER_IMAGE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": str(WORKER_IMAGE),
            "PYTHONWARNINGS": "ignore",
            "HOME": str(folder / "home"),
            "GIT_CONFIG_SYSTEM": str(WORKER_IMAGE / "gitconfig"),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "SHARED_DIR": str(folder / "shared"),
            "GIT_REPO": url,
            "AWS_ENDPOINT_URL_S3": s3_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
        }
        stage = Stage(folder, bare, url, "store", s3, env, preloaded)
        seed(stage)
        stage.keep("seeded")
        yield stage
        server.shutdown()
        thread.join()


@pytest.fixture
def stage(ground: Stage) -> Stage:
    """Freshly seeded."""
    ground.restore("seeded")
    return ground


@pytest.fixture
def modified(ground: Stage) -> Stage:
    """The run `run-1` has pulled and modified, and not pushed."""
    ground.begin("modified", lambda: (ground.pod("pull"), ground.pod("modify")))
    return ground


@pytest.fixture
def finished(ground: Stage) -> Stage:
    """The run `run-1` is over."""
    ground.begin("finished", lambda: ground.whole_run("run-1"))
    return ground
