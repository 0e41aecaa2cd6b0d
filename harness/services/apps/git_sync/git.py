"""git as a program, with its whole configuration in the environment: no file to write, no process per option."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from .settings import Settings

_USERNAME, _PASSWORD = "GIT_SYNC_HELPER_USERNAME", "GIT_SYNC_HELPER_PASSWORD"
# git runs it as `sh -c '<this> get'`; its output stays between the two (gitcredentials(7)).
_HELPER = (
    '!credential() { test "$1" != get ||'
    f' printf "username=%s\\npassword=%s\\n" "${_USERNAME}" "${_PASSWORD}"; }}; credential'
)


class GitError(Exception):
    """git failed or took too long."""


class Git:
    """Runs git.

    Args:
        settings: Whose repository, credentials and options.
        password: The password, from wherever it came.
        environment: What git inherits; GIT_SSL_CAINFO and proxies among it.
    """

    def __init__(self, settings: Settings, password: str, environment: Mapping[str, str]) -> None:
        self._program = settings.git
        self._password = password
        self._deadline = float("inf")
        self._environment = _environment(settings, password, environment)

    def limit(self, seconds: float) -> None:
        """Let all runs from now on take so many seconds together."""
        self._deadline = time.monotonic() + seconds

    def run(self, folder: str, *arguments: str) -> str:
        """Standard output of git in a folder, without its last line end.

        Raises:
            GitError: It failed, or the time is over. What it said is in the message, without the password.
        """
        what = f"git {arguments[0]}"
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise GitError(f"{what}: the time for a sync is over")
        with subprocess.Popen(
            [self._program, *arguments],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that git's own children can be ended with it
        ) as process:
            try:
                output, errors = process.communicate(timeout=None if left == float("inf") else left)
            except subprocess.TimeoutExpired:
                raise GitError(f"{what}: not done when the time for a sync was over") from None
            finally:
                if process.poll() is None:
                    _end(process)
        if process.returncode != 0:
            said = (errors or output).decode(errors="replace").strip()
            raise GitError(f"{what}: exit code {process.returncode}: {self._redact(said)}")
        return output.decode(errors="surrogateescape").removesuffix("\n")

    def _redact(self, text: str) -> str:
        return text.replace(self._password, "REDACTED") if self._password else text


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if os.getpid() == 1:  # git's orphans are ours now; nothing else runs beside git
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _environment(settings: Settings, password: str, inherited: Mapping[str, str]) -> dict[str, str]:
    hidden = {"GITSYNC_PASSWORD", "GIT_SYNC_PASSWORD"}
    environment = {name: value for name, value in inherited.items() if name not in hidden}
    environment |= {
        "HOME": inherited.get("HOME") or "/tmp",  # noqa: S108 - git-sync's own home; the user may have none
        "GIT_CONFIG_NOSYSTEM": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    options = [
        ("gc.autoDetach", "false"),
        ("gc.pruneExpire", "now"),
        ("core.askPass", "true"),  # the program `true`: an empty answer instead of a question
        ("core.logAllRefUpdates", "false"),  # nobody reads them, and they would keep old commits alive
        ("safe.directory", "*"),  # the volume may belong to another user
    ]
    if settings.username:
        environment |= {_USERNAME: settings.username, _PASSWORD: password}
        url = urlsplit(settings.repo)
        # Only for the server that they belong to, as `git credential approve` would store them.
        options.append((f"credential.{url.scheme}://{url.netloc}.helper", _HELPER))
    _add_options(environment, [*options, *settings.git_config])
    return environment


def _add_options(environment: dict[str, str], options: Iterable[tuple[str, str]]) -> None:
    """Behind those that the environment has already (git-config(1), GIT_CONFIG_COUNT)."""
    count = int(environment.get("GIT_CONFIG_COUNT") or 0)
    for key, value in options:
        environment[f"GIT_CONFIG_KEY_{count}"] = key
        environment[f"GIT_CONFIG_VALUE_{count}"] = value
        count += 1
    environment["GIT_CONFIG_COUNT"] = str(count)
