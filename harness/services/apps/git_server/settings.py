"""What the server is told by its environment, and who may do what."""

from __future__ import annotations

import base64
import binascii
import enum
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.git")
# Repositories that the admin makes and removes while the server runs. A lasting one may not have such a name.
SCRATCH = re.compile(r"scratch-[a-z0-9-]{1,40}\.git")
_MEBIBYTE = 1024 * 1024


class SettingsError(Exception):
    """The server cannot start with this environment."""


class Role(enum.IntEnum):
    """What a user may do; each role may do all that the ones before it may."""

    READER = 1
    WRITER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class User:
    """Someone who has shown the right password."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server finds its parts.

    Attributes:
        address: Where it listens: host and port.
        root: Folder of the bare repositories.
        certificate: PEM file with the server's certificate chain.
        key: PEM file with its private key.
        users: Folder with one file per user, named `<role>.<user>`, holding the password; the form in which a
            Secret is mounted. Read at every request, so that a changed Secret counts at once.
        repositories: The repositories that last, such as `mlops.git`.
        reseed_limit: The largest body of a re-seed, in bytes.
    """

    address: tuple[str, int]
    root: Path
    certificate: Path
    key: Path
    users: Path
    repositories: tuple[str, ...]
    reseed_limit: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read `GIT_SERVER_*`.

        Raises:
            SettingsError: A value has the wrong form, or a file that must be there is not.
        """
        host, _, port = environment.get("GIT_SERVER_LISTEN", "0.0.0.0:8443").rpartition(":")
        if not port.isdecimal():
            raise SettingsError("GIT_SERVER_LISTEN must have the form host:port")
        tls = Path(environment.get("GIT_SERVER_TLS", "/etc/git-server/tls"))
        names = tuple(environment.get("GIT_SERVER_REPOSITORIES", "mlops.git").split(","))
        for name in names:
            if not _REPOSITORY.fullmatch(name):
                raise SettingsError(f"GIT_SERVER_REPOSITORIES: {name!r} is not a name such as mlops.git")
            if SCRATCH.fullmatch(name):
                raise SettingsError(f"GIT_SERVER_REPOSITORIES: {name!r} is a name of repositories that do not last")
        limit = environment.get("GIT_SERVER_RESEED_LIMIT_MIB", "512")
        if not limit.isdecimal():
            raise SettingsError("GIT_SERVER_RESEED_LIMIT_MIB must be a whole number of MiB")
        settings = cls(
            address=(host, int(port)),
            root=Path(environment.get("GIT_SERVER_ROOT", "/srv/git")),
            certificate=tls / "tls.crt",
            key=tls / "tls.key",
            users=Path(environment.get("GIT_SERVER_USERS", "/etc/git-server/users")),
            repositories=names,
            reseed_limit=int(limit) * _MEBIBYTE,
        )
        for path in (settings.certificate, settings.key):
            if not path.is_file():
                raise SettingsError(f"{path} is missing; mount the TLS secret at {tls} (GIT_SERVER_TLS)")
        if not any(role is Role.ADMIN for _, role, _ in _accounts(settings.users)):
            raise SettingsError(f"{settings.users} holds no admin.<user> file; mount the users secret there")
        return settings

    def authenticate(self, authorization: str | None) -> User | None:
        """The user that an Authorization header proves, or None."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            shown = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        found: User | None = None
        for name, role, password in _accounts(self.users):
            # Every account is compared in full: time tells nothing of which one matched.
            if hmac.compare_digest(shown, name.encode() + b":" + password):
                found = User(name, role)
        return found


def _accounts(folder: Path) -> list[tuple[str, Role, bytes]]:
    """All users with a password; empty passwords let nobody in."""
    accounts = []
    for path in sorted(folder.iterdir() if folder.is_dir() else []):
        # A mounted Secret also holds ..data and ..<time stamp>.
        role, dot, name = path.name.partition(".")
        if not dot or not name or role.upper() not in Role.__members__:
            continue
        password = path.read_bytes().rstrip(b"\r\n")
        if password:
            accounts.append((name, Role[role.upper()], password))
    return accounts
