"""How a cause of failure is described. The causes themselves are in `catalogue/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from harness.diagnostics.evidence import Observation, Source

_MOST_CHARACTERS: Final = 240
# The kubelet's, before each line of a log.
_STAMP: Final = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z ")
# Of them so many behind the words that gave a cause away.
_AFTER: Final = 60


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What gives a cause away. An observation shows it if everything that is given here fits.

    Attributes:
        said: Pattern searched in its text, in any case of letters; the last place where it fits counts.
        reasons: Its reason is one of these.
        where: Pattern searched in the name of where it was seen, in any case of letters.
        sources: It comes from one of these.
        unless: Its reason is none of these.
    """

    said: str = ""
    reasons: frozenset[str] = frozenset()
    where: str = ""
    sources: frozenset[Source] = frozenset(Source)
    unless: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what fits everything.

        Raises:
            ValueError: Nothing that tells one failure from another is given.
        """
        if not (self.said or self.reasons):
            raise ValueError("a sign needs a pattern or a reason")

    def shown_by(self, seen: Observation) -> str | None:
        """The line of the observation that shows the sign, for the reader; None if it does not."""
        if not self._fits(seen):
            return None
        if not self.said:
            return _shortened(seen.text)
        last = self._last(seen)
        if last is None:
            return None
        end = seen.text.find("\n", last.end())
        return _shortened(seen.text[_line_of(last) : end if end >= 0 else None], last[0])

    def line_in(self, seen: Observation) -> int:
        """Where the line begins, of the last words in the observation that show the sign; -1 where none do."""
        last = self._last(seen) if self.said and self._fits(seen) else None
        return -1 if last is None else _line_of(last)

    def _fits(self, seen: Observation) -> bool:
        """Whether all fits but the words."""
        if (
            seen.source not in self.sources
            or seen.reason in self.unless
            or (self.reasons and seen.reason not in self.reasons)
        ):
            return False
        return not self.where or self._where.search(seen.where) is not None

    def _last(self, seen: Observation) -> re.Match[str] | None:
        last = None
        for last in self._said.finditer(seen.text):  # noqa: B007 - the last one is what is wanted
            pass
        return last

    @cached_property
    def _said(self) -> re.Pattern[str]:
        return re.compile(self.said, re.IGNORECASE)

    @cached_property
    def _where(self) -> re.Pattern[str]:
        return re.compile(self.where, re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A way for a run to fail.

    Attributes:
        code: Stable name, for statistics and searching.
        what: What happened, for the reader.
        do: What the reader should do.
        signs: Any of these shows it.
        symptom: Whether it usually follows from another cause, which then is named first.
        survived: Whether programs often go on after it: then what the same log tells later goes first.
    """

    code: str
    what: str
    do: str
    signs: tuple[Sign, ...]
    symptom: bool = False
    survived: bool = False

    def line_in(self, seen: Observation) -> int:
        """Where the line begins, of the last words in the observation that show it; -1 where none do."""
        return max(sign.line_in(seen) for sign in self.signs)


def said(
    pattern: str,
    *,
    where: str = "",
    sources: frozenset[Source] = frozenset(Source),
    unless: frozenset[str] = frozenset(),
) -> Sign:
    """Something said this."""
    return Sign(said=pattern, where=where, sources=sources, unless=unless)


def reason(*names: str, text: str = "", where: str = "") -> Sign:
    """A container state, an event or an exception has one of these reasons (and said this)."""
    return Sign(reasons=frozenset(names), said=text, where=where)


def _line_of(found: re.Match[str]) -> int:
    return found.string.rfind("\n", 0, found.start()) + 1


def _shortened(text: str, words: str = "") -> str:
    """The text as one line; of a long one as much as a reader wants, the words that gave a cause away among it."""
    line, words = " ".join(_STAMP.sub("", text).split()), " ".join(words.split())
    if len(line) <= _MOST_CHARACTERS:
        return line
    wanted = min(line.rfind(words) + len(words) + _AFTER, len(line))
    begin = max(wanted - _MOST_CHARACTERS, 0)
    end = begin + _MOST_CHARACTERS
    head = f"...{line[begin + 3 : end]}" if begin else line[:end]
    return head if end >= len(line) else f"{head[:-3]}..."
