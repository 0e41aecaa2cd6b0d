"""How git-sync reads its environment: two names for a setting, and Go's forms of values."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(_SECONDS)})")
_DURATION = re.compile(rf"([-+]?)((?:{_PART.pattern})+)")


class SettingsError(Exception):
    """git-sync would not start with this environment."""


class Environment:
    """The settings in an environment.

    Where a setting has several names and more than one is set, the last one counts: git-sync lets a legacy name
    override the name that replaced it (env.go). Set to nothing is set.

    Attributes:
        read: The names that were looked up, set or not.
        overridden: Pairs of a name and the legacy name that overrode it with another value.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.read: set[str] = set()
        self.overridden: list[tuple[str, str]] = []

    def text(self, default: str, *names: str) -> str:
        """A text."""
        found = self._find(names)
        return default if found is None else found[1]

    def boolean(self, default: bool, *names: str) -> bool:  # noqa: FBT001 - default first, as in git-sync's env.go
        """A boolean in Go's spelling (strconv.ParseBool).

        Raises:
            SettingsError: It is something else.
        """
        found = self._find(names)
        if found is None:
            return default
        name, value = found
        if value not in _TRUE | _FALSE:
            raise SettingsError(f"invalid bool env {name}={value!r}")
        return value in _TRUE

    def integer(self, default: int, *names: str) -> int:
        """A whole number.

        Raises:
            SettingsError: It is something else.
        """
        found = self._find(names)
        if found is None:
            return default
        name, value = found
        try:
            return int(value, 0)
        except ValueError:
            raise SettingsError(f"invalid int env {name}={value!r}") from None

    def number(self, default: float, *names: str) -> float:
        """A number.

        Raises:
            SettingsError: It is something else.
        """
        found = self._find(names)
        if found is None:
            return default
        name, value = found
        try:
            return float(value)
        except ValueError:
            raise SettingsError(f"invalid float env {name}={value!r}") from None

    def seconds(self, default: float, *names: str) -> float:
        """A duration such as 1m30s, in seconds.

        Raises:
            SettingsError: It is something else.
        """
        found = self._find(names)
        if found is None:
            return default
        name, value = found
        try:
            return parse_duration(value)
        except ValueError:
            raise SettingsError(f"invalid duration env {name}={value!r}") from None

    def unread(self) -> list[str]:
        """Settings that have a value and that nothing has asked for, by name."""
        return sorted(
            name
            for name, value in self._variables.items()
            if name.startswith(("GITSYNC_", "GIT_SYNC_")) and value and name not in self.read
        )

    def _find(self, names: tuple[str, ...]) -> tuple[str, str] | None:
        self.read.update(names)
        found = [(name, self._variables[name]) for name in names if name in self._variables]
        for name, value in found[:-1]:
            if value != found[-1][1]:
                self.overridden.append((name, found[-1][0]))
        return found[-1] if found else None


def parse_duration(text: str) -> float:
    """Seconds in a Go duration (time.ParseDuration): 300ms, 1.5h, 1m30s.

    Raises:
        ValueError: It is no duration; a plain number other than 0 is none.
    """
    if text in {"0", "+0", "-0"}:
        return 0.0
    whole = _DURATION.fullmatch(text)
    if whole is None:
        raise ValueError(f"{text!r} is no duration such as 1m30s")
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(whole[2]))
    return -total if whole[1] == "-" else total


def parse_git_config(text: str) -> list[tuple[str, str]]:
    r"""Options in git-sync's form `section.var1:val1,"section.sub.var2":"val2"`.

    Either side may be quoted; `\n`, `\t`, `\"`, `\,` and `\\` are escapes, but not in an unquoted key.

    Raises:
        SettingsError: The form is wrong.
    """
    options = []
    at = 0
    while at < len(text):
        key, at = _quoted(text, at) if text[at] == '"' else _until(text, at, ":", escapes=False)
        if text[at : at + 1] != ":":
            raise SettingsError(f"can't parse --git-config: a colon is missing after {key!r}")
        at += 1
        if at == len(text):
            raise SettingsError(f"can't parse --git-config: key {key!r} has no value")
        value, at = _quoted(text, at) if text[at] == '"' else _until(text, at, ",", escapes=True)
        if text[at : at + 1] not in {"", ","}:
            raise SettingsError(f"can't parse --git-config: a comma is missing after the value of {key!r}")
        at += 1
        options.append((key, value))
    return options


def _quoted(text: str, at: int) -> tuple[str, int]:
    value, end = _until(text, at + 1, '"', escapes=True)
    if end == len(text):
        raise SettingsError("can't parse --git-config: a quoted string has no end")
    return value, end + 1


def _until(text: str, at: int, end: str, *, escapes: bool) -> tuple[str, int]:
    """What stands before the next `end` or the end of the text, and where that is."""
    value = []
    while at < len(text) and text[at] != end:
        if escapes and text[at] == "\\":
            at += 1
            escaped = {"n": "\n", "t": "\t", '"': '"', ",": ",", "\\": "\\"}.get(text[at : at + 1])
            if escaped is None:
                raise SettingsError(f"can't parse --git-config: unknown escape \\{text[at : at + 1]}")
            value.append(escaped)
        else:
            value.append(text[at])
        at += 1
    return "".join(value), at
