"""The stage of these tests: a Git server, a seeded repository and bucket, and runs of the task program against them."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from jinja2 import Template
from mypy_boto3_s3 import S3Client

from harness.process import Completed, SubprocessRunner

ROOT = Path(__file__).parents[3]
WORKER_IMAGE = ROOT / "worker-image"
GIT = shutil.which("git") or "git"
DATA_FILE = "datasets/penguins.csv"
POINTER = f"{DATA_FILE}.dvc"
USER, PASSWORD = "airflow-bot", "canary-p@ss/word:1"
BUCKET = "data"
# The task program, which runs dvc by its own Python: that is the preloaded one here (tests/preloaded.py).
_POD = "import sys; sys.executable = sys.argv.pop(1); from dvc_pipeline.cli import main; sys.exit(main())"
# What a run or a test changes below the stage's folder.
_PARTS = ("server", "shared", "home", "site", "rival")


class GitOverHttp(BaseHTTPRequestHandler):
    """git-http-backend behind basic authentication."""

    root: Path

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""

    def _serve(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": USER,
        }
        answer = subprocess.run([GIT, "http-backend"], env=env, input=body, capture_output=True, check=True)
        head, _, content = answer.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@dataclass
class Stage:
    """A seeded repository, its bucket, and runs of the task program against them.

    Attributes:
        folder: Everything of this stage; what is kept, in its folder `kept`.
        bare: The server's repository.
        url: Its URL.
        prefix: Where in the bucket the remote is.
        s3: A client of the S3 server.
        env: What every pod of this stage has, without credentials of Git.
        preloaded: A Python that has the real dvc loaded.
        said: All that the program has printed.
    """

    folder: Path
    bare: Path
    url: str
    prefix: str
    s3: S3Client
    env: dict[str, str]
    preloaded: Path
    said: list[str] = field(default_factory=list)
    _stored: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def keep(self, name: str) -> None:
        """Keep the state as it is now, for `restore`: the server's repository, the bucket, the shared volume."""
        for part in _PARTS:
            if (self.folder / part).exists():
                shutil.copytree(self.folder / part, self.folder / "kept" / name / part, symlinks=True)
        self._stored[name] = self.objects()

    def begin(self, name: str, make: Callable[[], object]) -> None:
        """Restore the state of that name; the first time, what `make` makes of the seeded one."""
        if name not in self._stored:
            self.restore("seeded")
            make()
            self.keep(name)
        self.restore(name)

    def restore(self, name: str) -> None:
        """Make the state the one that was kept; nothing has been printed yet."""
        for part in _PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
            if (kept := self.folder / "kept" / name / part).exists():
                shutil.copytree(kept, self.folder / part, symlinks=True)
        (self.folder / "home").mkdir(exist_ok=True)
        for key in self.objects():
            self.s3.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")
        for key, content in self._stored[name].items():
            self.s3.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=content)
        self.said.clear()

    def pod(
        self, task: str, *, run: str = "run-1", check: bool = True, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run one task as its pod would; the Git credentials only where the DAG gives them."""
        secret = {} if task == "modify" else {"GIT_SYNC_USERNAME": USER, "GIT_SYNC_PASSWORD": PASSWORD}
        done = SubprocessRunner(env={**self.env, **secret, "PIPELINE_RUN_ID": run, **(env or {})}).run(
            [sys.executable, "-c", _POD, str(self.preloaded), task], check=check
        )
        self.said.append(done.stdout + done.stderr)
        return done

    def whole_run(self, run: str, *, env: Mapping[str, str] | None = None) -> None:
        """All three tasks."""
        for task in ("pull", "modify", "push"):
            self.pod(task, run=run, env=env)

    def run_folder(self, run: str = "run-1") -> Path:
        return self.folder / "shared" / "runs" / run

    def git(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> str:
        """Git on the server's repository, past HTTP."""
        return SubprocessRunner(env=self.env).run(["git", *arguments], cwd=cwd or self.bare, check=check).stdout.strip()

    def commits(self) -> list[str]:
        return self.git("rev-list", "main").split()

    def changed(self, commit: str = "main") -> list[str]:
        return self.git("show", "--format=", "--name-only", commit).split()

    def pointer_md5(self, commit: str = "main") -> str:
        lines = self.git("show", f"{commit}:{POINTER}").splitlines()
        return next(line.split("md5: ")[1] for line in lines if "md5: " in line)

    def objects(self) -> dict[str, bytes]:
        """Key below the prefix and content of every object."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Contents", [])
        keys = [entry["Key"] for entry in listed]
        return {
            key.removeprefix(f"{self.prefix}/"): self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
        }

    def version(self, commit: str = "main") -> bytes:
        """The data file's bytes at that commit, as the bucket has them."""
        md5 = self.pointer_md5(commit)
        return self.objects()[f"files/md5/{md5[:2]}/{md5[2:]}"]

    def rival_script(self, path: str, text: str) -> Path:
        """A program that commits a change of that path to the branch, past HTTP."""
        clone = self.folder / "rival"
        script = self.folder / "rival.sh"
        script.write_text(
            "#!/bin/sh\nset -eu\nunset GIT_DIR\n"
            f'rm -rf "{clone}"; git clone -q "{self.bare}" "{clone}"; cd "{clone}"\n'
            f"printf '{text}' >> {path}; git add -f {path}\n"
            "git -c user.name=Rival -c user.email=rival@example.invalid commit -q -m rival; git push -q origin main\n"
        )
        script.chmod(0o755)
        return script

    def rival_commits(self, path: str, text: str) -> None:
        SubprocessRunner(env=self.env).run([self.rival_script(path, text)])

    def assert_no_credentials_anywhere(self) -> None:
        """Neither in what was printed, nor in any file on the shared volume."""
        texts = [text.encode() for text in self.said]
        texts += [path.read_bytes() for path in (self.folder / "shared").rglob("*") if path.is_file()]
        forms = (PASSWORD, PASSWORD.replace("@", "%40").replace("/", "%2F").replace(":", "%3A"))
        encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode())
        for text in texts:
            assert not any(form.encode() in text for form in forms)
            assert encoded not in text


def seed(stage: Stage) -> None:
    """Fill the server's repository and the bucket from fixtures/, as `dvc add` and `dvc push` would (and faster)."""
    bare, work = stage.bare, stage.folder / "seed"
    bare.mkdir(parents=True)
    stage.git("init", "--quiet", "--bare", "--initial-branch=main", ".")
    stage.git("config", "http.receivepack", "true")
    stage.git("config", "receive.denyNonFastForwards", "true")
    shutil.copytree(ROOT / "fixtures" / "repository", work)
    template = work / ".dvc" / "config.j2"
    (work / ".dvc" / "config").write_text(Template(template.read_text()).render(bucket=BUCKET, prefix=stage.prefix))
    template.unlink()
    table = (ROOT / "fixtures" / "data" / "penguins.csv").read_bytes()
    md5 = hashlib.md5(table, usedforsecurity=False).hexdigest()
    (work / POINTER).write_text(f"outs:\n- md5: {md5}\n  size: {len(table)}\n  hash: md5\n  path: penguins.csv\n")
    stage.s3.put_object(Bucket=BUCKET, Key=f"{stage.prefix}/files/md5/{md5[:2]}/{md5[2:]}", Body=table)
    stage.git("init", "--quiet", "--initial-branch=main", ".", cwd=work)
    stage.git("add", ".", cwd=work)
    stage.git("-c", "user.name=Seed", "-c", "user.email=s@example.invalid", "commit", "-q", "-m", "Seed", cwd=work)
    stage.git("push", "--quiet", str(bare), "main", cwd=work)
