"""What a seed says of itself: on a server of the reader's own whose the branch is, on the harness's own nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import seeding
from harness.pipeline.seed import SeedPlan
from harness.seeding import Seeder
from harness.settings import settings_alone
from harness.targets.attached.expiry import is_past


@pytest.mark.parametrize("foreign", [None, object()])
def test_a_seed_says_whose_its_branch_is_where_others_have_branches_too(
    foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[SeedPlan] = []
    monkeypatch.setattr(seeding, "build_seed", lambda plan, **_: plans.append(plan))
    inputs: Any = SimpleNamespace(template=tmp_path, dags=tmp_path, data=tmp_path)
    services: Any = SimpleNamespace(s3=SimpleNamespace(bucket="b", root=""))
    nobody: Any = None
    Seeder(settings_alone(), inputs, "run-7", tmp_path, nobody, nobody, foreign).build(services)
    said = plans[0].trailers
    if foreign is None:
        assert said == {}
    else:
        assert said["Harness-Run"] == "run-7"
        assert is_past(said["Harness-Expires"]) is False
