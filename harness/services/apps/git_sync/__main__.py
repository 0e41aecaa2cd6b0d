"""`python3 -m git_sync`: follow a ref until told to stop.

Exit codes, as git-sync's: 0 after one sync (GITSYNC_ONE_TIME), 1 wrong settings or too many failures, 2 command-line
flags (which the stand-in does not take), 143 after SIGTERM: as process 1, git-sync answers with 128 plus the signal's
number (pkg/pid1).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from . import log
from .environment import SettingsError
from .git import Git, GitError
from .settings import Settings, read_settings
from .sync import Sync

CONTRACT = "v4.4.2"


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Process 1 has no default action for these.
        signal.signal(number, _stop)
    print(f"git-sync stand-in (airflow-dvc-harness), contract of {CONTRACT}", file=sys.stderr, flush=True)
    if arguments:
        print("git-sync stand-in: flags are not supported, only GITSYNC_* variables", file=sys.stderr)
        return 2
    ready = threading.Event()
    try:
        settings = read_settings(os.environ)
        git = _set_up(settings, ready)
    except (SettingsError, OSError, ValueError) as error:
        print(f"git-sync stand-in: {error}", file=sys.stderr)
        return 1
    return _follow(settings, Sync(settings, git, ready.set))


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # The flip of the link is one system call, so there is nothing that must be waited for.
    raise SystemExit(128 + number)


def _set_up(settings: Settings, ready: threading.Event) -> Git:
    log.info(
        "starting up",
        version=f"{CONTRACT} stand-in",
        pid=os.getpid(),
        uid=os.getuid(),
        gid=os.getgid(),
        home=os.environ.get("HOME", ""),
        repo=settings.repo,
        ref=settings.ref,
        root=settings.root,
        link=settings.link,
    )
    if settings.ignored:
        log.info(f"WARNING: the stand-in does not honour {', '.join(settings.ignored)}")
    if settings.overridden:
        pairs = ", ".join(f"${legacy} over ${name}" for name, legacy in settings.overridden)
        log.info(f"WARNING: legacy settings win, as in git-sync: {pairs}")
    if shutil.which(settings.git) is None:
        raise SettingsError(f"git executable not found: {settings.git}")
    os.umask(0o002 if settings.group_write else 0o022)
    os.makedirs(settings.root, mode=0o775, exist_ok=True)
    if settings.add_user:
        _add_user()
    password = settings.password
    if settings.password_file:
        with open(settings.password_file, encoding="utf-8") as file:
            password = file.read().rstrip("\n")
    if settings.http_bind:
        # Much of the program's start would be this import; an init container has no probe.
        from .health import HealthServer  # noqa: PLC0415

        HealthServer(settings.http_bind, ready).start()
        log.info("serving HTTP", endpoint=settings.http_bind)
    return Git(settings, password, os.environ)


def _add_user() -> None:
    """Name this user in /etc/passwd.

    Only SSH needs that. git-sync ends where it may not write there; its image is made so that it may, this one is not.
    """
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        home = os.environ.get("HOME") or os.getcwd()
        entry = f"git-sync:x:{os.getuid()}:{os.getgid()}::{home}:/sbin/nologin\n"
        try:
            with open("/etc/passwd", "a", encoding="utf-8") as file:
                file.write(entry)
        except OSError as error:
            log.info("this user stays without a name, which only SSH would need", reason=str(error))


def _follow(settings: Settings, sync: Sync) -> int:
    never = threading.Event()
    failures = rounds = 0
    while True:
        try:
            result = sync.round()
        except (GitError, OSError) as error:
            failures += 1
            if 0 <= settings.max_failures <= failures:
                log.error("too many failures, aborting", error, failCount=failures)
                return 1
            log.error("error syncing repo, will retry", error, failCount=failures)
        else:
            failures = 0
            if settings.touch_file and (result.changed or not rounds):
                _touch(settings.touch_file)
            rounds += 1
            _clean(sync)
            if settings.one_time:
                log.info("exiting after one sync", status=0)
                return 0
            if result.commit == settings.ref:
                log.info("ref appears to be a git hash, no further sync needed", ref=settings.ref)
                never.wait()
        never.wait(settings.period)


def _clean(sync: Sync) -> None:
    try:
        sync.clean()
    except (GitError, OSError) as error:
        log.error("git cleanup failed", error)


def _touch(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o775, exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            os.utime(path)
    except OSError as error:
        log.error("failed to touch touch-file", error, path=path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
