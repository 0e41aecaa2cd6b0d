"""How git gets into a repository: credentials by its environment alone, and nobody's configuration.

Credentials reach git through a credential helper that prints two variables of git's own environment: they are in
no URL, no argument list and no file. No configuration of this machine or its user is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

_USERNAME, _PASSWORD = "VERDICT_GIT_USERNAME", "VERDICT_GIT_PASSWORD"
_HELPER = f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${_USERNAME}" "${_PASSWORD}"; }}; f'


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How a repository is reached.

    Attributes:
        url: Without credentials.
        username: For HTTPS; None for none.
        password: Likewise.
        ca_file: Certificate authority of the server; None for the system's own.
    """

    url: str
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        """What git needs in its environment. Holds the password: for `Runner.run(env=...)` only."""
        settings = [
            # The empty helper first: it clears whatever was configured before it.
            ("credential.helper", ""),
            ("advice.detachedHead", "false"),
            # The helper answers whoever asks: a server must not send git, and with it the password, somewhere else.
            ("http.followRedirects", "false"),
        ]
        env = {
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "LC_ALL": "C",
            # A mirror has refs/replace, which an ordinary clone has not: all read what was pushed.
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        if self.ca_file is not None:
            # Without the second, git trusts the system's authorities too, and takes 30 ms to read all of them.
            env |= {"GIT_SSL_CAINFO": str(self.ca_file), "GIT_SSL_CAPATH": os.devnull}
        if self.username is not None and self.password is not None:
            settings.append(("credential.helper", _HELPER))
            env |= {_USERNAME: self.username, _PASSWORD: self.password.get_secret_value()}
        return env | git_environment(settings)


def git_environment(settings: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Variables with which git reads no configuration of this machine or its user, but these settings, and asks nobody.

    What is ignored, and which attributes files have, stands in files of their own, which git reads also where its
    configuration is switched off (gitignore(5), gitattributes(5)).
    """
    pairs = [("core.excludesFile", os.devnull), ("core.attributesFile", os.devnull), *settings]
    env = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(pairs)),
    }
    for number, (key, value) in enumerate(pairs):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env
