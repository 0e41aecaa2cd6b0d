"""What may differ between a run on kind and one on another target: `allowed.toml`, and differences held against it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from harness.errors import EnvironmentFailed
from harness.parity.compare import Difference

_FILE: Final = Path(__file__).with_name("allowed.toml")
# Any number of segments of a path, also none.
_ANY: Final = "**"


@dataclass(frozen=True, slots=True)
class Where:
    """A place at which something may differ, and how.

    Attributes:
        at: Segments of the path; `*` stands for anything within a segment, a segment `**` for any number of them.
        kind: What kind must have there, a regular expression for its JSON as a whole; None: nothing.
        eks: What the other target must have there, likewise.
        both: A regular expression for both, kind's and a line end first; None asks for nothing more.
    """

    at: tuple[str, ...]
    kind: re.Pattern[str] | None
    eks: re.Pattern[str] | None
    both: re.Pattern[str] | None = None

    def covers(self, difference: Difference) -> bool:
        """Whether a difference is this one; its left side is kind's."""
        return (
            _matches(self.at, difference.path)
            and _fits(self.kind, difference.left)
            and _fits(self.eks, difference.right)
            and (self.both is None or self.both.fullmatch(f"{difference.left}\n{difference.right}") is not None)
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """One thing that may differ.

    Attributes:
        what: Its name, as the design has it.
        because: Why.
        where: At which places.
    """

    what: str
    because: str
    where: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison came to.

    Attributes:
        allowed: Differences by the entry of the list that they fall under, in the order of the list.
        unintended: Those that fall under none.
        unseen: Entries of the list under which none falls.
    """

    allowed: tuple[tuple[Allowed, tuple[Difference, ...]], ...]
    unintended: tuple[Difference, ...]
    unseen: tuple[Allowed, ...]


def weigh(differences: Iterable[Difference], allowed: Sequence[Allowed]) -> Parity:
    """Hold differences against the list; one that several entries cover counts for the first.

    Args:
        differences: Kind's side left.
        allowed: The list; empty between runs on one target, of which nothing may differ.
    """
    found: list[list[Difference]] = [[] for _ in allowed]
    unintended: list[Difference] = []
    for difference in differences:
        number = next(
            (number for number, one in enumerate(allowed) if any(where.covers(difference) for where in one.where)), None
        )
        (unintended if number is None else found[number]).append(difference)
    return Parity(
        allowed=tuple((one, tuple(those)) for one, those in zip(allowed, found, strict=True) if those),
        unintended=tuple(unintended),
        unseen=tuple(one for one, those in zip(allowed, found, strict=True) if not those),
    )


@cache
def allow_list() -> tuple[Allowed, ...]:
    """The list that comes with the harness.

    Raises:
        EnvironmentFailed: It is damaged.
    """
    return parse(_FILE.read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Allowed, ...]:
    """The list in its TOML form: `[[allowed]]` with `what`, `because` and `[[allowed.where]]`, as in `Where`.

    Raises:
        EnvironmentFailed: It has another form.
    """
    try:
        return tuple(_entry(one) for one in tomllib.loads(text)["allowed"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, re.error) as error:
        raise EnvironmentFailed(
            f"the list of what may differ cannot be read: {type(error).__name__}: {error}"
        ) from error


def _entry(found: Mapping[str, Any]) -> Allowed:
    if unknown := set(found) - {"what", "because", "where"}:
        raise KeyError(*sorted(unknown))
    return Allowed(str(found["what"]), str(found["because"]), tuple(_where(**one) for one in found["where"]))


def _where(*, at: list[str], kind: str | None = None, eks: str | None = None, both: str | None = None) -> Where:
    if kind is None and eks is None:
        raise TypeError(f"{at} is something that neither has")
    return Where(tuple(at), *(re.compile(one, re.DOTALL) if one is not None else None for one in (kind, eks, both)))


def _fits(pattern: re.Pattern[str] | None, text: str | None) -> bool:
    if pattern is None or text is None:
        return pattern is None and text is None
    return pattern.fullmatch(text) is not None


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    first, rest = pattern[0], pattern[1:]
    if first == _ANY:
        return any(_matches(rest, path[start:]) for start in range(len(path) + 1))
    return bool(path) and _segment(first).fullmatch(path[0]) is not None and _matches(rest, path[1:])


@cache
def _segment(pattern: str) -> re.Pattern[str]:
    """A segment in which `*` stands for anything, and every other character for itself."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
