"""The e2e and the identity tests with --target eks, on an EKS look-alike of their own; then parity with kind.

The look-alike is removed at the end, after a signal too: each program has a session of its own, so that Ctrl-C in a
terminal reaches this one alone, which hands it on and stays to clean up. The run is then compared with the newest run
of the e2e tests on kind with the same chart in the evidence folder, if there is one: other suites change the pipeline.

    python -m tests.e2e_lookalike [ARGUMENTS OF PYTEST]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from harness.errors import ExitCode, HarnessError
from harness.parity.document import FILE
from harness.settings import resolve
from harness.signals import handled

CHECKOUT: Final = Path(__file__).parents[1]
SUITE: Final = "tests/e2e"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# AWS's endpoints, its files, region, and what allows the cluster, as a shell reads them; the program stays the child.
_WITHIN: Final = '. "$0" && exec "$@"'


@dataclass(slots=True)
class Programs:
    """Programs one after the other, and the signals of whoever waits for them.

    Attributes:
        signalled: Number of the last signal; 0 for none.
    """

    signalled: int = 0
    _child: subprocess.Popen[bytes] | None = None

    def run(self, *argv: str | Path, environment: Mapping[str, str] = os.environ) -> int:
        """Run one to its end; its exit code. None is begun after a signal."""
        if self.signalled:
            return 128 + self.signalled
        return self._end(argv, environment)

    def remove(self, *argv: str | Path) -> int:
        """The same of what cleans up: a signal neither keeps it from beginning nor ends it."""
        with handled(lambda *_: None, _SIGNALS):
            return self._end(argv, os.environ)

    def hand_on(self, number: int, _frame: FrameType | None) -> None:
        """Let the program that runs have a signal."""
        self.signalled = number
        if self._child is not None:
            self._child.send_signal(number)

    def _end(self, argv: Sequence[str | Path], environment: Mapping[str, str]) -> int:
        before = self.signalled
        child = subprocess.Popen([*argv], cwd=CHECKOUT, env=environment, start_new_session=True)
        self._child = child
        if self.signalled != before:  # while it was started
            child.send_signal(self.signalled)
        try:
            code = child.wait()
        finally:
            self._child = None
        return code if code >= 0 else 128 - code


def of_the_tests(runs: Path) -> Iterator[tuple[Path, object]]:
    """Runs of the e2e tests that can be compared, the newest first: the folder of each, and the chart that it named."""
    for file in sorted(runs.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            said = json.loads((file.parent / "repro.json").read_bytes())
            if SUITE in said["run"]["arguments"]:
                yield file.parent, said["settings"]["airflow_chart"]
        except (OSError, ValueError, LookupError, TypeError):
            continue


def main(asked: Sequence[str]) -> int:
    """All of it; the exit code of the first that is not 0."""
    settings = resolve()
    name = f"e2e-{os.getpid()}"
    within = settings.state_dir / "clusters" / name / "lookalike" / "env"
    evidence = CHECKOUT / settings.evidence_dir
    programs = Programs()
    environment = {**os.environ, "HARNESS_EVIDENCE_DIR": str(evidence / "eks-lookalike")}
    tests = ("pytest", SUITE, "tests/identity", "--target", "eks", "-p", "no:cacheprovider", *asked)
    with handled(programs.hand_on, _SIGNALS):
        try:
            code = programs.run("harness", "eks-lookalike", "up", "--cluster", name)
            code = code or programs.run("sh", "-c", _WITHIN, within, *tests, environment=environment)
        finally:
            removed = programs.remove("harness", "eks-lookalike", "down", "--cluster", name)
        if code := code or removed:
            return code
        on_eks, chart = next(of_the_tests(evidence / "eks-lookalike"), (None, None))
        on_kind = next((run for run, of in of_the_tests(evidence) if of == chart), None)
        if on_eks is None or on_kind is None:
            which = f"{SUITE} on kind" + (f" with the chart {chart}" if chart else "")
            sys.stdout.write(f"no run of {which} in {evidence}: nothing to compare with; make e2e, then this again\n")
            return ExitCode.GREEN
        return programs.run("harness", "parity", on_kind, on_eks)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"{error.message}; {error.next_step}")
