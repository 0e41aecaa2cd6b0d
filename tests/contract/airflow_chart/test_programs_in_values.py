"""The small programs that helm/values.yaml hands to bash do what their comments say."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.airflow.chart_values import load_values
from harness.assets import asset
from harness.process import Completed, SubprocessRunner

VALUES = load_values([asset("helm") / "values.yaml"])
PASSWORD = "correct horse 'battery' $taple"


@contextmanager
def health(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def probe(port: int) -> Completed:
    command = [word.replace("8974", str(port)) for word in VALUES["scheduler"]["startupProbe"]["command"]]
    assert str(port) in command[-1]
    return SubprocessRunner().run(command, check=False, timeout=20)


def test_the_scheduler_is_up_when_its_health_port_says_so() -> None:
    with health(200) as port:
        assert probe(port).code == 0


def test_the_scheduler_is_not_up_while_its_heartbeat_is_stale() -> None:
    with health(503) as port:
        assert probe(port).code != 0


def test_the_scheduler_is_not_up_while_nothing_listens() -> None:
    with health(200) as port:
        pass
    assert probe(port).code != 0


def test_the_probe_asks_the_port_that_the_configuration_opens() -> None:
    scheduler = VALUES["config"]["scheduler"]
    host, port = (scheduler[f"scheduler_health_check_server_{part}"] for part in ("host", "port"))
    assert scheduler["enable_health_check"] == "True"
    for kind in ("startupProbe", "livenessProbe"):
        assert f"/dev/tcp/{host}/{port}" in VALUES["scheduler"][kind]["command"][-1]


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """Stands in for the Airflow image: `python`, and an `airflow` that asks for a password as FAB's command does."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sqlalchemy.py").write_text(
        """
import os
class exc:
    class SQLAlchemyError(Exception): ...
class _Engine:
    def connect(self): return self
    def __enter__(self): return self
    def __exit__(self, *_): return None
    def execute(self, statement):
        assert "alembic_version_fab" in statement
        left = int(open(os.environ["TRIES"]).read())
        open(os.environ["TRIES"], "w").write(str(left - 1))
        if left > 1: raise exc.SQLAlchemyError("no such table")
        return self
    def one(self): return ("head",)
def create_engine(url):
    assert url == "postgresql://"
    return _Engine()
def text(statement): return statement
""",
        encoding="utf-8",
    )
    scripts = {
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        "airflow": f"""#!{sys.executable}
import getpass, json, os, sys, warnings
warnings.simplefilter("ignore")
first, second = getpass.getpass("Password:"), getpass.getpass("Repeat for confirmation:")
json.dump({{"argv": sys.argv[1:], "same": first == second, "password": first}}, open(os.environ["SEEN"], "w"))
""",
    }
    for name, text in scripts.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(stat.S_IRWXU)
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    return tmp_path


def create_user(container: Path, *, tries: int) -> Completed:
    (container / "tries").write_text(str(tries), encoding="utf-8")
    words = [word.replace("/run/airflow-admin", str(container)) for word in VALUES["createUserJob"]["args"]]
    environment = {
        "PATH": f"{container / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(container / "bin"),
        "TRIES": str(container / "tries"),
        "SEEN": str(container / "seen.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://",
    }
    return SubprocessRunner().run(words, env=environment, check=False, timeout=60)


def test_the_administrator_gets_the_mounted_password_and_no_argument_carries_it(container: Path) -> None:
    ended = create_user(container, tries=1)
    assert ended.code == 0, ended.stderr
    seen = load_values([container / "seen.json"])
    assert (seen["password"], seen["same"]) == (PASSWORD, True)
    assert seen["argv"][:2] == ["users", "create"]
    assert PASSWORD not in " ".join(seen["argv"]) + ended.stdout + ended.stderr


def test_the_administrator_is_made_only_after_the_migration(container: Path) -> None:
    assert create_user(container, tries=3).code == 0
    assert (container / "tries").read_text(encoding="utf-8") == "0"


def test_without_the_mounted_password_the_job_fails(container: Path) -> None:
    (container / "password").unlink()
    assert create_user(container, tries=1).code != 0
    assert not (container / "seen.json").exists()
