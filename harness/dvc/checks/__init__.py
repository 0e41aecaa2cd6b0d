"""The checks, in the order in which a reader wants them: history, commit, pointer, objects, data, code, pods."""

from __future__ import annotations

from typing import Final

from harness.dvc.checks.code import CODE_RULES
from harness.dvc.checks.commit import COMMIT_RULES
from harness.dvc.checks.data import DATA_RULES
from harness.dvc.checks.logs import LOG_RULES
from harness.dvc.checks.objects import OBJECT_RULES
from harness.dvc.checks.order import ORDER_RULES
from harness.dvc.checks.pointer import POINTER_RULES
from harness.dvc.checks.refs import REF_RULES
from harness.dvc.checks.secrets import SECRET_RULES
from harness.dvc.checks.traffic import TRAFFIC_RULES
from harness.dvc.rules import Rule

RULES: Final[tuple[Rule, ...]] = (
    *COMMIT_RULES, *REF_RULES, *POINTER_RULES, *OBJECT_RULES, *ORDER_RULES, *DATA_RULES,
    *CODE_RULES, *LOG_RULES, *SECRET_RULES, *TRAFFIC_RULES,
)  # fmt: skip
