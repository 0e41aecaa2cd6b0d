"""Somebody else's view: a clean clone at the run's commit, then the real `dvc pull`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.dvc.evidence import Reproduction
from harness.dvc.hashing import CHUNK_BYTES, Digest, digest
from harness.dvc.repository import check_out
from harness.gitaccess import GitAccess
from harness.model import S3Keys, S3Service
from harness.process import Runner
from harness.redaction import Redactor

_PULL_SECONDS = 600.0
_TAIL_LINES = 8
# Over `.dvc/config` (dvc 3.67.1, config.py: `LEVELS`), relative to its own folder: a cache that a team shares on a
# volume is named there, and would be filled on this machine, and pulled from. `local` is the old way to name one; it
# wins over `dir` (cachemgr.py). DVC_SITE_CACHE_DIR is over any `site_cache_dir` as it is (dirs.py).
_OWN_CACHE = "[cache]\ndir = ../../cache\nlocal =\n"


@dataclass(frozen=True, slots=True)
class Dvc:
    """The real DVC.

    Attributes:
        program: The `dvc` program.
        s3: Where its remote is.
        redactor: Applied to what is kept of its output; learns the keys that are asked for.
        ask_keys: Gives keys where the service has no fixed ones; None leaves DVC to its own devices.
    """

    program: Path
    s3: S3Service
    redactor: Redactor
    ask_keys: Callable[[], S3Keys] | None = None

    def env(self, home: Path) -> dict[str, str]:
        """DVC's environment: its own home, caches and configuration under `home`, no analytics, no update check.

        Holds the store's keys: for `Runner.run(env=...)` only. Writes an empty AWS configuration into `home`. The
        reader's own configuration (profiles, a login) is out of reach from there, so that keys are always handed over.

        Raises:
            EnvironmentFailed: Keys have to be asked for, and none are to be had.
        """
        home.mkdir(parents=True, exist_ok=True)
        env = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "DVC_SITE_CACHE_DIR": str(home / "site"),
            "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
            "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
            "DVC_NO_ANALYTICS": "1",
            # DVC asks the internet for updates unless it runs in CI (dvc 3.67.1, updater.py).
            "CI": "true",
            "AWS_REGION": self.s3.region,
            "AWS_DEFAULT_REGION": self.s3.region,
        }
        if self.s3.outside is not None:
            env["AWS_ENDPOINT_URL_S3"] = self.s3.outside
            # "true" in the environment would have the endpoint ignored (botocore 1.43, args.py): DVC would be at AWS.
            env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "false"
        if (keys := self._keys()) is not None:
            config = home / "aws"
            config.write_text("[default]\n", encoding="utf-8")
            env |= {
                "AWS_ACCESS_KEY_ID": keys.access_key,
                "AWS_SECRET_ACCESS_KEY": keys.secret_key.get_secret_value(),
                "AWS_SESSION_TOKEN": keys.session_token.get_secret_value() if keys.session_token else "",
                # A profile of the user's would win over the keys, or be looked for in vain.
                "AWS_CONFIG_FILE": str(config),
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_PROFILE": "default",
                "AWS_DEFAULT_PROFILE": "default",
            }
        return env

    def _keys(self) -> S3Keys | None:
        if self.s3.access_key is not None and self.s3.secret_key is not None:
            return S3Keys(self.s3.access_key, self.s3.secret_key, None)
        if self.ask_keys is None:
            return None
        keys = self.ask_keys()
        self.redactor.learn(*keys.confidential())
        return keys


def reproduce(
    runner: Runner, access: GitAccess, dvc: Dvc, *, sha: str, pointer: str, outputs: tuple[str, ...], folder: Path
) -> Reproduction:
    """Clone at a commit, pull what one pointer names, and hash what came.

    Args:
        runner: Runs git and dvc.
        access: The repository.
        dvc: The real DVC.
        sha: The commit.
        pointer: The pointer's path in the repository.
        outputs: Paths in the repository of its outputs, files or folders.
        folder: Where to work; made here, and left to the caller to remove.

    Raises:
        EnvironmentFailed: The Git server does not answer. A `dvc pull` that fails is a fact, not an error.
    """
    folder.mkdir(parents=True)
    clone = folder / "clone"
    check_out(runner, access, sha=sha, into=clone)
    _without_cache(clone)
    pulled = runner.run(
        [dvc.program, "pull", "--quiet", pointer],
        env={**access.env, **dvc.env(folder / "home")},
        cwd=clone,
        timeout=_PULL_SECONDS,
        check=False,
    )
    said = "\n".join((pulled.stderr.strip() or pulled.stdout.strip()).splitlines()[-_TAIL_LINES:])
    return Reproduction(pulled.code, dvc.redactor.text(said), _digests(clone, outputs))


def _without_cache(clone: Path) -> None:
    """Let nothing that is committed name DVC's cache, a `config.local` neither, which is meant to be one machine's."""
    if (clone / ".dvc").is_dir():
        local = clone / ".dvc" / "config.local"
        local.unlink(missing_ok=True)  # it may be a link to a file of this machine
        local.write_text(_OWN_CACHE, encoding="utf-8")


def _digests(clone: Path, outputs: tuple[str, ...]) -> Mapping[str, Digest]:
    files: dict[str, Digest] = {}
    for output in outputs:
        root = clone / output
        below = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
        files |= {str(path.relative_to(clone)): digest(_chunks(path)) for path in below if path.is_file()}
    return files


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
