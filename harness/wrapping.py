"""Base64 of a secret that is broken into lines, each with something else before and behind it.

That is how a logger writes it (a time and a level before each line), and Airflow: each line that a Python task prints
is a JSON event of its own.

The words of a line that may be base64 are put behind those of the line before, where some secret has these characters
at such a seam; what is put together is then looked through for the whole secret. So time grows with the text alone,
whatever is in it: of each word at most a few places are looked up, and of each track no more is kept than a secret is
long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Self

BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
# `base64` and `openssl` break their lines at 76 and 64 characters. No shorter one is taken to go on in the next.
SHORTEST: Final = 40

_LONG = re.compile(rf"[{BASE64}]{{{SHORTEST}}}")
_LINE = re.compile(r"[^\n]+")
# Each of the two alphabets (RFC 4648, sections 4 and 5) by itself: "-" or "_" before the other one is not part of it.
_WORDS = (re.compile(r"[A-Za-z0-9+/]+"), re.compile(r"[A-Za-z0-9_-]+"))
# Escapes end in a letter: a tab or line end that is written out, a colour (also written out, in JSON or by Python).
_ESCAPE = re.compile(r"\\[nrt]|(?:\x1b|\\x1b|\\u001b)\[[\d;]*m", re.IGNORECASE)
# How much of either side of a seam is looked up.
_SEAM: Final = 3
# Tracks that are followed at a time: a line has few words that are long, and mostly one.
_MOST: Final = 4

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cores:
    """What is looked for: what any base64 that holds a secret must hold.

    Attributes:
        all: They.
        seams: What may stand on either side of where one of them is broken: fewer than `_SEAM` characters only where
            it has no more.
        longest: Of them, in characters.
    """

    all: tuple[str, ...] = field(default=(), repr=False)
    seams: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    longest: int = 0

    @classmethod
    def of(cls, cores: Iterable[str]) -> Self:
        """Ready to be looked for."""
        known = tuple(cores)
        seams = {
            (core[max(0, place - _SEAM) : place], core[place : place + _SEAM])
            for core in known
            for place in range(1, len(core))
        }
        return cls(known, frozenset(seams), max(map(len, known), default=0))

    def may_go_on(self, before: str, after: str) -> bool:
        """Whether one of them may be broken between these two. Never says no of one that is."""
        left, right = before[-_SEAM:], after[:_SEAM]
        shorter = range(1, _SEAM)
        return (
            (left, right) in self.seams
            or any((left[-length:], right) in self.seams for length in shorter)
            or any((left, right[:length]) in self.seams for length in shorter)
        )


@dataclass(frozen=True, slots=True)
class _Word:
    """Characters of base64 that stand together.

    Attributes:
        text: They.
        start: Where they begin.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class _Track:
    """Words of lines that follow on each other."""

    words: tuple[_Word, ...]

    def and_then(self, word: _Word, longest: int) -> _Track:
        """With one more word, and of the first ones no more than a secret that goes on behind it may need."""
        words, needed = [word], longest
        for earlier in reversed(self.words):
            if needed <= 0:
                break
            words.append(_end(earlier, needed))
            needed -= len(words[-1].text)
        return _Track(tuple(reversed(words)))

    def ended(self, cores: Cores) -> Iterator[tuple[Span, ...]]:
        """The cores that end in the last word and begin before it."""
        before, after = "".join(word.text for word in self.words[:-1]), self.words[-1].text
        for core in cores.all:
            begin = max(0, len(before) - len(core) + 1)
            place = (before[begin:] + after[: len(core) - 1]).find(core)
            if place >= 0:
                yield self._spans(begin + place, begin + place + len(core))

    def _spans(self, start: int, end: int) -> tuple[Span, ...]:
        spans, at = [], 0
        for word in self.words:
            first, last = max(start - at, 0), min(end - at, len(word.text))
            if first < last:
                spans.append((word.start + first, word.start + last))
            at += len(word.text)
        return tuple(spans)


@dataclass(slots=True)
class Trail:
    """Follows base64 from line to line.

    Nothing is taken for a secret but its whole base64, put together: whatever else stands in a log is no hit.
    """

    _tracks: tuple[_Track, ...] = field(default=(), repr=False)

    def read(self, line: str, cores: Cores, offset: int = 0) -> list[tuple[Span, ...]]:
        """The places of what ends in this line and began in one before, each as the spans of its parts.

        A blank line parts nothing; any other one that does not go on with it does.

        Args:
            line: The next one.
            cores: What is looked for.
            offset: Of its first character, for the spans.
        """
        if not line.strip() or not (self._tracks or _LONG.search(line)):
            return []
        tracks: list[_Track] = []
        ended: list[tuple[Span, ...]] = []
        for word in _words(line, offset, 1 if self._tracks else SHORTEST):
            longer = [
                track.and_then(word, cores.longest)
                for track in self._tracks
                if cores.may_go_on(track.words[-1].text, word.text)
            ]
            ended += [spans for track in longer for spans in track.ended(cores)]
            if len(word.text) >= SHORTEST:
                tracks += longer or [_Track((_end(word, cores.longest),))]
        self._tracks = tuple(tracks[:_MOST])
        return list(dict.fromkeys(ended))


def _end(word: _Word, longest: int) -> _Word:
    cut = word.text[-longest:]
    return _Word(cut, word.start + len(word.text) - len(cut))


def _words(line: str, offset: int, shortest: int) -> Iterator[_Word]:
    if "\\" in line or "\x1b" in line:
        line = _ESCAPE.sub(lambda found: " " * len(found.group()), line)
    found = {(one.start(), one.group()) for words in _WORDS for one in words.finditer(line)}
    for start, text in sorted(found):
        if len(text) >= shortest:
            yield _Word(text, offset + start)


def broken(text: str, cores: Cores) -> list[tuple[Span, ...]]:
    """The places in a text where something stands between the lines of a secret's base64, as the spans of its parts.

    Where nothing but white space does, it is not among them.
    """
    if not cores.all or _LONG.search(text) is None:
        return []
    trail = Trail()
    return [
        spans
        for line in _LINE.finditer(text)
        for spans in trail.read(line.group(), cores, line.start())
        if any(text[end:start].strip() for (_, end), (start, _) in pairwise(spans))
    ]


def masked(text: str, places: Iterable[tuple[Span, ...]], mask: str) -> tuple[str, int]:
    """The text with these places masked, and how many there are; those that overlap are one."""
    found, reached = 0, 0
    spans: list[Span] = []
    for place in sorted(places):
        found += not reached or place[0][0] >= reached
        reached = max(reached, place[-1][1])
        spans += place
    pieces, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            pieces += [text[at:start], mask]
        at = max(at, end)
    return "".join([*pieces, text[at:]]), found
