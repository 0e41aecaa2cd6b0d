"""What a run asks of its target, in the same words whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.journal import Journal
from harness.model import Engine
from harness.process import Runner
from harness.settings import Settings
from harness.wait import Waiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run asks of its target.

    Attributes:
        name: Of the cluster, as the harness calls it.
        run_id: Of the run.
        settings: Of the run.
        engine: Where images are.
        runner: Runs programs.
        journal: Told of everything before it is created.
        waiter: How patient to be.
        status: Told what is going on.
    """

    name: str
    run_id: str
    settings: Settings
    engine: Engine
    runner: Runner
    journal: Journal
    waiter: Waiter
    status: Callable[[str], None]
