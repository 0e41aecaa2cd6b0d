"""Plays faults, and keeps what came of each; a test looks its row up, the matrix shows all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from .invariants import INVARIANTS, Done, violations
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
    before = stage.reader.look()
    with fault.around(stage) if fault.around else nullcontext():
        with run(stage, fault.gate) as scene:
            scene.held = fault.held
            scene.reach()
            with fault.breaks(scene):
                if fault.opens_first:
                    scene.open()
                _stay_broken(scene, fault.whole)
            if not fault.opens_first:
                scene.open()
            state = stage.ended(stage.dag_id, scene.run_id)
            scene.follower.settle(stage.waiter)
            tries, complaints = scene.tries().get(scene.task, 0), scene.complaints()
        stage.quiet()
    after = stage.reader.look()
    successes = [state, *scene.company].count("success")
    authors = stage.environment.settings.policy.authors
    broken = violations(before, after, Done(successes, scene.rival_rows), author=authors[0])
    return Played(fault, state, tries, complaints, broken, time.monotonic() - started)


def _stay_broken(scene: Scene, whole: Whole) -> None:
    if whole is Whole.HELD:
        scene.stage.hold(scene.held)
    elif whole is Whole.FAILED:
        scene.failed_once()
    elif whole is Whole.ENDED:
        scene.stage.ended(scene.stage.dag_id, scene.run_id)
