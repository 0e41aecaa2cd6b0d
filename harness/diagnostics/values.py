"""Helm values for the bundle: readable, with everything masked that may be a secret by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from harness.redaction import MASK

# The redactor knows the run's own secrets; what somebody wrote into a values file of theirs it cannot know.
_SECRET: Final = re.compile(
    r"pass(?:word|wd|phrase)?$|secret|token|fernet|jwt|private|credential|api_?key|access_?key|ssh_?key", re.IGNORECASE
)
# Secret as one text (a URL with a password in it), but not as a mapping: host and user of a connection may be read.
_SECRET_TEXT: Final = re.compile(r"connection|conn$|brokerurl|dsn$", re.IGNORECASE)
# Keys that hold the name of a secret, or a switch, and not a secret.
_NAMES: Final = re.compile(
    r"(?:credentialssecret|existingsecret|name|ref|enabled|file|path|annotations|labels)$", re.IGNORECASE
)
_FOLDED_NEVER: Final = 1_000_000


def masked(text: str) -> str:
    """The same YAML with the values of keys, and of environment variables, that sound like secrets masked.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return yaml.safe_dump(_masked(yaml.safe_load(text), secret=False), sort_keys=False, width=_FOLDED_NEVER)


def _masked(value: Any, *, secret: bool) -> Any:
    if isinstance(value, Mapping):
        # {name: AWS_SECRET_ACCESS_KEY, value: ...}, as in a container's environment
        variable = value.get("name") if "value" in value else None
        return {
            key: _masked(item, secret=secret or _hides(str(variable if variable and key == "value" else key), item))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, secret=secret) for item in value]
    return MASK if secret and isinstance(value, str) and value else value


def _hides(name: str, item: Any) -> bool:
    if _NAMES.search(name):
        return False
    return bool(_SECRET.search(name)) or (isinstance(item, str) and bool(_SECRET_TEXT.search(name)))
