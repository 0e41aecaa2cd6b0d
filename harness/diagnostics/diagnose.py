"""From evidence to one line: what happened, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnostics.catalogue import CATALOGUE, UNKNOWN
from harness.diagnostics.causes import Cause
from harness.diagnostics.evidence import Evidence, Observation, Source
from harness.errors import HarnessError
from harness.model import Diagnosis

__all__ = ["Diagnosis", "diagnose"]


def diagnose(evidence: Evidence, *, catalogue: Sequence[Cause] = CATALOGUE) -> tuple[Diagnosis, ...]:
    """The causes that the evidence shows, the likeliest first, each code once; never empty.

    A cause goes before what usually only follows from one, unless it only stands in the log of what works; then what
    was seen closest to what ended the run (the error's own message, what else it carries, states, events, logs, blocked
    traffic), then the order of the catalogue. Not redacted: whoever shows it does that.
    """
    ranked: list[tuple[tuple[bool, Source, bool, int], Diagnosis, str]] = []
    seen = list(evidence.observations())
    for place, cause in enumerate(catalogue):
        shown = _first(cause, seen)
        if shown is not None:
            seen_at, words, closest = shown
            # Its message is the first thing that is told of an error.
            further = seen_at.source is Source.ERROR and seen_at is not seen[0]
            what = f"{cause.what}: {words}" if words else cause.what
            diagnosis = Diagnosis(cause.code, what, seen_at.where, cause.do)
            late = cause.symptom or closest is Source.ASIDE or (cause.survived and _went_on(cause, seen_at, catalogue))
            ranked.append(((late, closest, further, place), diagnosis, words))
    found: dict[str, Diagnosis] = {}
    told: set[tuple[str, str]] = set()
    for _rank, diagnosis, words in sorted(ranked, key=lambda one: one[0]):
        # The same words show one cause, the more special one; the general one says nothing new.
        if diagnosis.code not in found and not (words and (diagnosis.where, words) in told):
            found[diagnosis.code] = diagnosis
            told.add((diagnosis.where, words))
    return tuple(found.values()) or (_unknown(evidence),)


def _first(cause: Cause, seen: Sequence[Observation]) -> tuple[Observation, str, Source] | None:
    """The first observation that shows the cause, the words that do, and the closest source of any that does."""
    shown = [
        (observation, words)
        for observation in seen
        if (words := next((said for sign in cause.signs if (said := sign.shown_by(observation)) is not None), None))
        is not None
    ]
    return (*shown[0], min(observation.source for observation, _words in shown)) if shown else None


def _went_on(cause: Cause, seen: Observation, catalogue: Sequence[Cause]) -> bool:
    """Whether a log that shows the cause tells of another one later."""
    if seen.source is not Source.LOG:
        return False
    own = cause.line_in(seen)
    return any(other.line_in(seen) > own for other in catalogue if other.code != cause.code and not other.symptom)


def _unknown(evidence: Evidence) -> Diagnosis:
    error = evidence.error
    advice = "see error.txt, pods.txt and events.txt in the evidence folder"
    if isinstance(error, HarnessError):
        return Diagnosis(UNKNOWN, error.message, type(error).__name__, error.next_step or advice)
    what = f"{type(error).__name__}: {error}" if error is not None else "nothing in the evidence says why"
    return Diagnosis(UNKNOWN, " ".join(what.split()), "the run", advice)
