"""What the stand-in is told: git-sync v4's settings, with its defaults and its rules for contradictions."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from .environment import Environment, SettingsError, parse_git_config

_SHORTEST = 0.01  # seconds; git-sync refuses shorter periods and timeouts

# Read by git-sync under names without its prefix.
_FOREIGN = (
    "GIT_SSH_KEY_FILE",
    "GIT_KNOWN_HOSTS",
    "GIT_SSH_KNOWN_HOSTS_FILE",
    "GIT_COOKIE_FILE",
    "GIT_ASKPASS_URL",
)


class Settings(NamedTuple):
    """Settings that are honoured. Times are in seconds, paths absolute.

    A named tuple and not a data class: the latter's module costs every start several milliseconds.

    Attributes:
        repo: URL of the repository, without credentials.
        ref: Branch, tag or commit to follow.
        depth: Commits to fetch; 0 for all.
        submodules: recursive, shallow or off.
        gc: always, auto, aggressive or off.
        root: The folder that is synced into.
        link: The symlink to the current worktree.
        period: Time between two checks.
        sync_timeout: The longest that one round may take.
        one_time: End after the first success.
        max_failures: End at so many failures in a row, but at the first if 0; negative: never.
        stale_timeout: How long a worktree that is no longer current is kept.
        username: Name for the repository, or "".
        password: Password, or "".
        password_file: File that holds the password instead, or "".
        add_user: Add this user to /etc/passwd if it is not there.
        group_write: Make all that is written writable for the group.
        http_bind: Address of the health probe, such as ":1234", or "".
        touch_file: File to touch after each change, or "".
        git: The git program.
        git_config: More options for git.
        ignored: Names of variables that are set and not honoured.
        overridden: Pairs of a variable and the legacy one that overrode it with another value.
    """

    repo: str
    ref: str
    depth: int
    submodules: str
    gc: str
    root: str
    link: str
    period: float
    sync_timeout: float
    one_time: bool
    max_failures: int
    stale_timeout: float
    username: str
    password: str
    password_file: str
    add_user: bool
    group_write: bool
    http_bind: str
    touch_file: str
    git: str
    git_config: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    overridden: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """The settings but for what may be secret."""
        return f"Settings(repo={self.repo!r}, ref={self.ref!r}, root={self.root!r}, link={self.link!r})"


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Read `GITSYNC_*` and the legacy `GIT_SYNC_*`.

    Raises:
        SettingsError: git-sync v4 would not start with these.
    """
    env = Environment(variables)
    root = env.text("", "GITSYNC_ROOT", "GIT_SYNC_ROOT")
    if not root:
        raise SettingsError("required flag: --root must be specified")
    # git-sync resolves symlinks in the root after it has made it; what does not exist has none.
    root = os.path.realpath(root)
    repo = env.text("", "GITSYNC_REPO", "GIT_SYNC_REPO")
    if not repo:
        raise SettingsError("required flag: --repo must be specified")
    link = env.text("", "GIT_SYNC_DEST") or _or(env.text("", "GITSYNC_LINK", "GIT_SYNC_LINK"), repo)
    repo, username, password, password_file = _credentials(env, repo)
    touch_file = env.text("", "GITSYNC_TOUCH_FILE", "GIT_SYNC_TOUCH_FILE")
    settings = Settings(
        repo=repo,
        ref=_ref(env),
        depth=env.integer(1, "GITSYNC_DEPTH", "GIT_SYNC_DEPTH"),
        submodules=env.text("recursive", "GITSYNC_SUBMODULES", "GIT_SYNC_SUBMODULES"),
        gc=env.text("always", "GITSYNC_GIT_GC", "GIT_SYNC_GIT_GC"),
        root=root,
        link=os.path.join(root, link),
        period=_period(env),
        sync_timeout=_sync_timeout(env),
        one_time=env.boolean(False, "GITSYNC_ONE_TIME", "GIT_SYNC_ONE_TIME"),
        max_failures=_max_failures(env),
        stale_timeout=env.seconds(0, "GITSYNC_STALE_WORKTREE_TIMEOUT"),
        username=username,
        password=password,
        password_file=password_file,
        add_user=env.boolean(False, "GITSYNC_ADD_USER", "GIT_SYNC_ADD_USER"),
        group_write=env.boolean(False, "GITSYNC_GROUP_WRITE", "GIT_SYNC_GROUP_WRITE"),
        http_bind=env.text("", "GITSYNC_HTTP_BIND", "GIT_SYNC_HTTP_BIND"),
        touch_file=os.path.join(root, touch_file) if touch_file else "",
        git=env.text("git", "GITSYNC_GIT", "GIT_SYNC_GIT"),
        git_config=tuple(parse_git_config(env.text("", "GITSYNC_GIT_CONFIG", "GIT_SYNC_GIT_CONFIG"))),
        ignored=(*env.unread(), *(name for name in _FOREIGN if variables.get(name))),
        overridden=tuple(env.overridden),
    )
    _check(settings)
    if env.integer(0, "GIT_SYNC_PERMISSIONS"):
        raise SettingsError("deprecated flag: --change-permissions is no longer supported")
    return settings


def _ref(env: Environment) -> str:
    """The legacy branch and revision come before the ref; both together contradict each other unless it is HEAD."""
    ref = env.text("HEAD", "GITSYNC_REF")
    branch, rev = env.text("", "GIT_SYNC_BRANCH"), env.text("", "GIT_SYNC_REV")
    if branch and rev in {"", "HEAD"}:
        return branch
    if branch:
        raise SettingsError(
            "deprecated flag combo: can't set --ref from deprecated --branch and --rev (one or the other is OK)"
        )
    if not (rev or ref):
        raise SettingsError("required flag: --ref must be specified")
    return rev or ref


def _or(link: str, repo: str) -> str:
    """The link, by default the last part of the repository's URL."""
    return link or repo.strip("/").rpartition("/")[2]


def _period(env: Environment) -> float:
    period = env.seconds(10, "GITSYNC_PERIOD", "GIT_SYNC_PERIOD")
    return int(env.number(0, "GIT_SYNC_WAIT") * 1000) / 1000 or period


def _sync_timeout(env: Environment) -> float:
    timeout = env.seconds(120, "GITSYNC_SYNC_TIMEOUT", "GIT_SYNC_SYNC_TIMEOUT")
    return float(env.integer(0, "GIT_SYNC_TIMEOUT")) or timeout


def _max_failures(env: Environment) -> int:
    failures = env.integer(0, "GITSYNC_MAX_FAILURES", "GIT_SYNC_MAX_FAILURES")
    return env.integer(0, "GIT_SYNC_MAX_SYNC_FAILURES") or failures


def _credentials(env: Environment, repo: str) -> tuple[str, str, str, str]:
    """The URL without credentials, user name, password, password file."""
    username = env.text("", "GITSYNC_USERNAME", "GIT_SYNC_USERNAME")
    password = env.text("", "GITSYNC_PASSWORD", "GIT_SYNC_PASSWORD")
    file = env.text("", "GITSYNC_PASSWORD_FILE", "GIT_SYNC_PASSWORD_FILE")
    if username and not (password or file):
        raise SettingsError(
            "required flag: $GITSYNC_PASSWORD or --password-file must be specified when --username is specified"
        )
    if username and password and file:
        raise SettingsError("invalid flag: only one of $GITSYNC_PASSWORD and --password-file may be specified")
    if not username and (password or file):
        name = "$GITSYNC_PASSWORD" if password else "--password-file"
        raise SettingsError(f"invalid flag: {name} may only be specified when --username is specified")
    url = urlsplit(repo)
    if "@" not in url.netloc or url.scheme not in {"http", "https"}:
        return repo, username, password, file
    if username:
        raise SettingsError("invalid flag: credentials may not be specified in --repo when --username is specified")
    from urllib.parse import unquote  # noqa: PLC0415 - rare

    return (
        urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2])),
        unquote(url.username or ""),
        unquote(url.password or ""),
        "",
    )


def _check(settings: Settings) -> None:
    if settings.depth < 0:
        raise SettingsError("invalid flag: --depth must be greater than or equal to 0")
    if settings.submodules not in {"recursive", "shallow", "off"}:
        raise SettingsError('invalid flag: --submodules must be one of "recursive", "shallow", or "off"')
    if settings.gc not in {"auto", "always", "aggressive", "off"}:
        raise SettingsError('invalid flag: --git-gc must be one of "auto", "always", "aggressive", or "off"')
    if settings.period < _SHORTEST:
        raise SettingsError("invalid flag: --period must be at least 10ms")
    if settings.sync_timeout < _SHORTEST:
        raise SettingsError("invalid flag: --sync-timeout must be at least 10ms")
