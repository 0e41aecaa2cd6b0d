"""The services without a cluster: the harness's own Git server and an S3 server, as programs on the loopback."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

import harness.services.apps
from harness.model import GitService, S3Service
from harness.names import GIT_REPOSITORY
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.services import s3
from harness.services.git import ADMIN, USERNAME, GitClient
from harness.services.pki import Authority
from harness.wait import Waiter
from tests.servers import s3_server, started

from .site import Site

_APPS = Path(harness.services.apps.__file__).parent
_SECONDS = 60.0
_S3_SECRET = "local-test-key"
_IMAGE = f"sha256:{'1' * 64}"


@contextmanager
def local_site(folder: Path, program: Path) -> Iterator[Site]:
    """Start both servers in a folder of their own, for that dvc program; stopped at the end."""
    with ExitStack() as running:
        git = _git_server(folder, running)
        store = _s3_service(running.enter_context(s3_server(folder)))
        redactor = Redactor()
        redactor.learn(git.password.get_secret_value())
        workspace = folder / "workspace"
        workspace.mkdir()
        site = Site(
            git=git,
            s3=store,
            client=s3.connect(store),
            admin=GitClient(git),
            program=program,
            runner=SubprocessRunner(),
            redactor=redactor,
            workspace=workspace,
            image_id=_IMAGE,
            image_ids=frozenset({_IMAGE}),
        )
        with site.tidied():
            yield site


def _git_server(folder: Path, running: ExitStack) -> GitService:
    authority = Authority.create()
    pair = authority.issue(["localhost", "127.0.0.1"])
    tls, users, root = folder / "tls", folder / "users", folder / "git"
    for path in (tls, users, root):
        path.mkdir()
    password, admin_password, ca_file = secrets.token_hex(16), secrets.token_hex(16), folder / "ca.crt"
    ca_file.write_text(authority.certificate)
    (tls / "tls.crt").write_text(pair.certificate)
    (tls / "tls.key").write_text(pair.key)
    (users / f"writer.{USERNAME}").write_text(password)
    (users / f"admin.{ADMIN}").write_text(admin_password)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_APPS),
        "GIT_SERVER_LISTEN": "127.0.0.1:0",
        "GIT_SERVER_ROOT": str(root),
        "GIT_SERVER_USERS": str(users),
        "GIT_SERVER_TLS": str(tls),
    }
    log = folder / "git.log"
    running.enter_context(started([sys.executable, "-m", "git_server"], environment, log))
    line = Waiter().until(
        "the Git server's first line",
        lambda: log.read_text().splitlines()[:1],
        ready=bool,
        timeout=_SECONDS,
        interval=0.05,
    )[0]
    port = json.loads(line)["address"].rpartition(":")[2]
    url = f"https://127.0.0.1:{port}/{GIT_REPOSITORY}"
    return GitService(url, url, ca_file, USERNAME, SecretStr(password), SecretStr(admin_password))


def _s3_service(url: str) -> S3Service:
    return S3Service(url, url, "mlops", "us-east-1", "test", SecretStr("local-test-key"), "ministack")
