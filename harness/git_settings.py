"""Settings of a Git server outside of the cluster, in place of the harness's own: which repository, and who asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from harness.errors import UsageError

# What names a throw-away branch begins with, and all that may stand behind it: a run's id (harness.environment).
BRANCHES: Final = "harness/"
_BRANCH: Final = re.compile(r"harness/\d{8}-\d{6}-[0-9a-f]{4}")
_FORM: Final = "use the address of a repository such as https://git.example.com/team/pipeline.git"


class GitSettings(BaseModel):
    """A repository on a real Git server, in which a run makes a branch of its own for as long as it lasts.

    Attributes:
        remote: Address of the repository, https:// and without user or token; None takes the harness's own server.
        username: Whom the server is told. Where a token alone counts, any will do.
        token: What it is told as the password: from `HARNESS_GIT__TOKEN`, never a flag, never `pyproject.toml`.
        token_file: A file with the token, in place of `token`.
        ca_file: Certificate authorities that the server's certificate is held to, in PEM, by the harness and by pods;
            None takes what each has of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    remote: str | None = None
    username: str = "git"
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None

    @field_validator("remote")
    @classmethod
    def _check_remote(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - asks for it: one that is no number raises
        except ValueError:
            raise ValueError(_FORM) from None
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "a user or token must not stand in the address: use HARNESS_GIT__USERNAME, and HARNESS_GIT__TOKEN or "
                "HARNESS_GIT__TOKEN_FILE"
            )
        if parts.scheme == "http":
            raise ValueError("plain http would show the token to everybody on the way: use https")
        whole = parts.scheme == "https" and parts.hostname and parts.path.strip("/")
        if not whole or parts.query or parts.fragment or not url.isprintable() or " " in url:
            raise ValueError(_FORM)
        return url

    @field_validator("username")
    @classmethod
    def _check_username(cls, name: str) -> str:
        if not name or not name.isprintable():
            raise ValueError("use a name of printable characters; where a token alone counts, leave it out")
        return name

    def secret(self) -> SecretStr:
        """The token.

        Raises:
            UsageError: There is none, there are two, or its file cannot be read.
        """
        if self.token is not None and self.token_file is not None:
            raise UsageError("the Git token is given twice", next_step="leave out git.token or git.token_file")
        if self.token_file is not None:
            try:
                text = self.token_file.expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"the Git token cannot be read from {self.token_file}: {_why(error)}",
                    next_step="name a file with the token in its one line by HARNESS_GIT__TOKEN_FILE (git.token_file)",
                ) from None
        else:
            text = self.token.get_secret_value().strip() if self.token is not None else ""
        if not text or "\n" in text:
            raise UsageError(
                "there is no token for the Git remote",
                next_step="set HARNESS_GIT__TOKEN, or HARNESS_GIT__TOKEN_FILE to a file with the token in its one line",
            )
        return SecretStr(text)

    def authorities(self) -> Path | None:
        """The file with the certificate authorities, seen to be there; None for those that each has of its own.

        Raises:
            UsageError: It cannot be read, or holds no certificate.
        """
        if self.ca_file is None:
            return None
        path = self.ca_file.expanduser().absolute()
        try:
            whole = "-----BEGIN CERTIFICATE-----" in path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the Git server's authorities cannot be read from {path}: {_why(error)}",
                next_step="name a file in PEM by HARNESS_GIT__CA_FILE (git.ca_file)",
            ) from None
        if not whole:
            raise UsageError(f"{path} holds no certificate in PEM", next_step="name the server's CA in git.ca_file")
        return path


def _why(error: OSError | UnicodeDecodeError) -> str:
    """Why a file was not read, without its name and Python's number for it."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not a text file"


def throw_away_branch(run_id: str) -> str:
    """What the branch of a run is called."""
    return f"{BRANCHES}{run_id}"


def is_throw_away(branch: str) -> bool:
    """Whether a branch is called as that of a run is, and nothing else."""
    return _BRANCH.fullmatch(branch) is not None
