"""Plays faults, and keeps what came of each; a test looks its row up, the matrix shows all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from .invariants import INVARIANTS, Done, Reader, violations
from .scene import Scene, Stage, run
from .table import Fault, Whole


@dataclass(frozen=True)
class Played:
    """What came of a fault.

    Attributes:
        fault: It.
        state: How the run ended.
        tries: Of the task that was struck.
        complaints: What the task program gave as its reasons.
        broken: Invariants that do not hold, with what is wrong.
        seconds: Of all of it.
    """

    fault: Fault
    state: str
    tries: int
    complaints: tuple[str, ...]
    broken: Mapping[str, str]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What is not as the row says."""
        fault, found = self.fault, []
        if self.state != fault.ends:
            found.append(f"the run ended as {self.state}, not as {fault.ends}")
        if fault.tries not in {None, self.tries}:
            found.append(f"the task was tried {self.tries} times, not {fault.tries}")
        said = "\n".join(self.complaints)
        found += [
            f"no try gave the reason {words!r}, but: {said or 'none'}" for words in fault.says if words not in said
        ]
        return found + [f"{code}: {problem}" for code, problem in self.broken.items()]


@dataclass
class Results:
    """What came of all rows so far, and of the clean run behind each group.

    Attributes:
        rows: By name.
        clean: Whether the clean run was green, and its seconds, by group.
        errors: Of rows that could not be played, by name.
    """

    rows: dict[str, Played] = field(default_factory=dict)
    clean: dict[str, tuple[bool, float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        good = sum(not played.problems for played in self.rows.values())
        green = sum(one for one, _ in self.clean.values())
        seconds = sum(played.seconds for played in self.rows.values()) + sum(one for _, one in self.clean.values())
        total = len(self.rows) + len(self.errors)
        return f"faults survived: {good} of {total}, clean runs green: {green} of {len(self.clean)}, {seconds:.0f} s"

    def matrix(self) -> str:
        """Faults against invariants, as text."""
        codes = list(INVARIANTS)
        width = max((len(name) for name in (*self.rows, *self.errors)), default=0)
        lines = [self.headline, ""]
        lines += [f"{'':{width}}  {'  ' * number}{code}" for number, code in enumerate(codes)]
        for name, played in self.rows.items():
            marks = " ".join("!" if code in played.broken else "." for code in codes)
            ended = f"{played.state}, try {played.tries}"
            lines.append(f"{name:{width}}  {marks}  {ended:14} {played.seconds:5.1f} s  {played.fault.group}")
            lines += [f"{'':{width}}  NOT AS WANTED: {problem}" for problem in played.problems]
        lines += [f"{name:{width}}  NOT PLAYED: {error}" for name, error in self.errors.items()]
        lines += [
            f"{f'clean run behind {group}':{width}}  {'green' if green else 'RED'}  {seconds:.1f} s"
            for group, (green, seconds) in self.clean.items()
        ]
        return "\n".join([*lines, "", ". holds, ! does not", ""])

    def write(self, folder: Path) -> None:
        """`fault-matrix.json` and `fault-matrix.txt`."""
        document = {
            "headline": self.headline,
            "rows": {
                name: {
                    "as_wanted": not played.problems,
                    "group": played.fault.group,
                    "state": played.state,
                    "tries": played.tries,
                    "seconds": round(played.seconds, 1),
                    "invariants": {code: played.broken.get(code, "holds") for code in INVARIANTS},
                    "reasons": list(played.complaints),
                    "problems": played.problems,
                }
                for name, played in self.rows.items()
            },
            "clean": {name: {"green": green, "seconds": round(one, 1)} for name, (green, one) in self.clean.items()},
            "errors": self.errors,
        }
        (folder / "fault-matrix.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (folder / "fault-matrix.txt").write_text(self.matrix(), encoding="utf-8")


def play(stage: Stage, fault: Fault) -> Played:
    """A run in which this breaks."""
    started = time.monotonic()
    invariants = Invariants(stage.reader, stage.environment.settings.policy.authors[0])
    # Only this task publishes anything: there is nothing to be seen before it.
    publishes = fault.gate.startswith("push.")
    with fault.around(stage) if fault.around else nullcontext():
        with run(stage, fault.gate) as scene:
            scene.held = fault.held
            scene.reach()
            if publishes:
                invariants.check(Done(0, under_way=1), f"while the pod was held at {fault.gate}")
            with fault.breaks(scene):
                refusals = scene.refusals() if fault.whole is Whole.REFUSED else None
                if fault.opens_first:
                    scene.open()
                _stay_broken(scene, fault.whole, refusals)
            if publishes and fault.whole is not Whole.ENDED:
                # Before another try has mended what the first one left.
                done = Done(scene.company.count("success"), scene.rival_rows, under_way=1)
                invariants.check(done, "when all was whole again")
            if not fault.opens_first:
                scene.open()
            state = stage.ended(stage.dag_id, scene.run_id)
            scene.follower.settle(stage.waiter)
            tries, complaints = scene.tries().get(scene.task, 0), scene.complaints()
        stage.quiet()
    successes = [state, *scene.company].count("success")
    invariants.check(Done(successes, scene.rival_rows), "")
    return Played(fault, state, tries, complaints, invariants.broken, time.monotonic() - started)


class Invariants:
    """What must hold at all times, looked at several times within a run.

    Args:
        reader: Reads what there is; at once, what there was before.
        author: E-mail address of the pipeline's commits.
    """

    def __init__(self, reader: Reader, author: str) -> None:
        self._reader = reader
        self._author = author
        self._before = reader.look()
        self._found: dict[str, list[str]] = {}

    def check(self, done: Done, moment: str) -> None:
        """Look now, and remember what does not hold, and when; Git and S3 have to answer."""
        for code, problem in violations(self._before, self._reader.look(), done, author=self._author).items():
            self._found.setdefault(code, []).append(f"{moment}: {problem}" if moment else problem)

    @property
    def broken(self) -> Mapping[str, str]:
        """What did not hold at one moment or another, by invariant."""
        return {code: "; ".join(self._found[code]) for code in INVARIANTS if code in self._found}


def _stay_broken(scene: Scene, whole: Whole, refusals: int | None) -> None:
    if whole is Whole.HELD:
        scene.stage.hold(scene.held)
    elif whole is Whole.REFUSED:
        scene.refused(refusals)
    elif whole is Whole.FAILED:
        scene.failed_once()
    elif whole is Whole.ENDED:
        scene.stage.ended(scene.stage.dag_id, scene.run_id)
