"""From evidence to one line: what happened, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.diagnostics.catalogue import CATALOGUE, UNKNOWN
from harness.diagnostics.causes import Cause
from harness.diagnostics.evidence import Evidence, Observation, Source
from harness.errors import HarnessError


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause that was recognised.

    Attributes:
        code: Of the cause, stable.
        what: What happened, with the words that gave it away.
        where: The object it was seen at.
        do: What the reader should do.
        source: How close to the end of the run it was seen.
    """

    code: str
    what: str
    where: str
    do: str
    source: Source

    def __str__(self) -> str:
        return f"{self.code}: {self.what} | {self.where} | {self.do}"


def diagnose(evidence: Evidence, *, catalogue: Sequence[Cause] = CATALOGUE) -> tuple[Diagnosis, ...]:
    """The causes that the evidence shows, the likeliest first, each code once; never empty.

    A cause goes before what usually only follows from one; then what was seen closest to what ended the run (the
    error itself, states, events, logs), then the order of the catalogue. Not redacted: whoever shows it does that.
    """
    ranked: list[tuple[tuple[bool, Source, int], Diagnosis]] = []
    seen = list(evidence.observations())
    for place, cause in enumerate(catalogue):
        shown = _first(cause, seen)
        if shown is not None:
            ranked.append(((cause.symptom, shown.source, place), shown))
    found: dict[str, Diagnosis] = {}
    for _rank, diagnosis in sorted(ranked, key=lambda pair: pair[0]):
        found.setdefault(diagnosis.code, diagnosis)
    return tuple(found.values()) or (_unknown(evidence),)


def _first(cause: Cause, seen: Sequence[Observation]) -> Diagnosis | None:
    for observation in seen:
        for sign in cause.signs:
            words = sign.shown_by(observation)
            if words is not None:
                what = f"{cause.what}: {words}" if words else cause.what
                return Diagnosis(cause.code, what, observation.where, cause.do, observation.source)
    return None


def _unknown(evidence: Evidence) -> Diagnosis:
    error = evidence.error
    advice = "see error.txt, pods.txt and events.txt in the evidence folder"
    if isinstance(error, HarnessError):
        return Diagnosis(UNKNOWN, error.message, type(error).__name__, error.next_step or advice, Source.ERROR)
    what = f"{type(error).__name__}: {error}" if error is not None else "nothing in the evidence says why"
    return Diagnosis(UNKNOWN, " ".join(what.split()), "the run", advice, Source.ERROR)
