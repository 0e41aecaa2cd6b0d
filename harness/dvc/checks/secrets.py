"""The check on what the run's commits hold: a secret in a commit stays in the history, for all who may clone it.

Only secrets of this run count, in any form that the redactor knows, as in logs; and only what the run brought: what
stood in a file before is not its doing.
"""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case
from harness.dvc.rules import Finding, Rule, counted, cut

_SHOWN = 3


def _no_secrets(case: Case) -> Finding:
    found = [f"{exposure.where}, commit {exposure.sha[:10]}" for exposure in case.evidence.exposures]
    expected = "no secret in the run's commits"
    if not found:
        return Finding(passed=True, expected=expected, found="none")
    why = f"a secret of this run can be read by whoever may clone the repository: it stands in {cut(found, _SHOWN)}."
    return Finding(False, expected, f"{counted(len(found), 'place')} with one", why)


SECRET_RULES: Final = (Rule("commit.no-secrets", "no secret of this run stands in its commits", _no_secrets),)
