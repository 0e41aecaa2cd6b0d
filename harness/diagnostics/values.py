"""Helm values: masked for the bundle where a key sounds like a secret, and such secrets told to the redactor."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from harness.redaction import MASK, Redactor

# What somebody wrote into a values file of theirs is known to be secret by its key alone.
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
# Shorter ones, and what is words or a name ("postgres", "my-secret", "a.b.Backend"), stand in many a log by themselves.
_SHORTEST: Final = 8
_WORDS: Final = re.compile(r"[A-Za-z]*(?:[\s./:_-]+[A-Za-z]+)*[\s./:_-]*")
# What Helm fills in when it installs.
_TEMPLATE: Final = "{{"
# Beside `secretName`: which key of that Secret.
_KEY_OF_SECRET: Final = "secretKey"  # noqa: S105


def masked(text: str) -> str:
    """The same YAML with the values of keys, and of environment variables, that sound like secrets masked.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return yaml.safe_dump(_masked(yaml.safe_load(text), secret=False), sort_keys=False, width=_FOLDED_NEVER)


def learn_secrets(files: Iterable[Path], redactor: Redactor, *, further: Iterable[str] = ()) -> None:
    """Have the secrets in values files masked wherever text is kept, and counted where a pod logs one.

    Args:
        files: The user's own; what stands in ours is no secret.
        redactor: Of the run.
        further: Secrets that stand elsewhere; they too as far as they can be told from ordinary words.
    """
    redactor.learn(*filter(_tellable, further))
    for path in files:
        try:
            found = secrets_in(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # the check of the values says what is wrong with it, and nothing is installed with it
        redactor.learn(*found)


def secrets_in(text: str) -> tuple[str, ...]:
    """What `masked` masks, as far as it can be told from ordinary words: with eight characters, and not just words.

    Of an address the password; of text that is a mapping itself (`extraSecrets`) its values, decoded where they are
    base64. The name of a Secret, of a variable or of a key is none.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return tuple(dict.fromkeys(_secrets(yaml.safe_load(text), secret=False)))


def _secrets(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        variable = value.get("name") if "value" in value else None
        for key, item in value.items():
            name = str(variable if variable and key == "value" else key)
            named = bool(_NAMES.search(name)) or (name == _KEY_OF_SECRET and "secretName" in value)
            yield from _secrets(item, secret=not named and (secret or _hides(name, item)))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, secret=secret)
    elif secret and isinstance(value, str):
        yield from _in_text(value)


def _in_text(text: str) -> Iterator[str]:
    try:
        inner = yaml.safe_load(text)
    except yaml.YAMLError:
        inner = None
    if isinstance(inner, Mapping):
        yield from _secrets(inner, secret=True)
        return
    if "://" in text:
        yield from _in_address(text)
        return
    yield from filter(_tellable, (text.strip(), _decoded(text)))


def _in_address(text: str) -> Iterator[str]:
    try:
        password = urlsplit(text.strip()).password or ""
    except ValueError:
        password = text.strip()  # no address after all
    yield from filter(_tellable, (password, unquote(password)))


def _tellable(text: str) -> bool:
    return len(text) >= _SHORTEST and _TEMPLATE not in text and not _WORDS.fullmatch(text)


def _decoded(text: str) -> str:
    """What the text is in base64; empty where it is none, or of no text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8").strip()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


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
