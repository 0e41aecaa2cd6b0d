"""Who interrupts `eks-lookalike up` is told what there is of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import eks_verbs
from harness.errors import ExitCode, Interrupted
from harness.settings import Settings, settings_alone


def _settings(tmp_path: Path) -> Settings:
    folders: dict[str, Any] = {name: tmp_path / name for name in ("state_dir", "cache_dir", "evidence_dir")}
    return settings_alone(cluster_name="mlops", **folders)


def _kept(cluster: Path) -> None:
    cluster.mkdir(parents=True)
    (cluster / "kept").touch()


@pytest.mark.parametrize(
    ("left", "said", "next_step"),
    [
        (lambda _cluster: None, "nothing of mlops is left", "harness eks-lookalike up --cluster mlops"),
        (_kept, "mlops was up by then, and stays", "harness eks-lookalike status --cluster mlops"),
        (lambda cluster: cluster.mkdir(parents=True), "something of mlops is left", "harness down --cluster mlops"),
    ],
    ids=["taken down", "up already", "not all gone"],
)
def test_an_interrupt_is_told_with_what_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: Callable[[Path], None],
    said: str,
    next_step: str,
) -> None:
    class Broken:
        def __init__(self, *_given: object, **_more: object) -> None:
            pass

        def __call__(self) -> None:
            left(tmp_path / "state_dir" / "clusters" / "mlops")
            raise KeyboardInterrupt

    monkeypatch.setattr(eks_verbs, "LookAlikeBringUp", Broken)
    with pytest.raises(Interrupted, match=said) as caught:
        eks_verbs.lookalike_up(_settings(tmp_path), Console(file=io.StringIO()))
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert next_step in caught.value.next_step
