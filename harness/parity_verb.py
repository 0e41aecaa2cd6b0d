"""`harness parity`: a run on kind and a run on another target compared, and what differs held against the list."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from harness.errors import ExitCode, UsageError
from harness.liveness import scratch
from harness.parity.allowed import Parity, allow_list, weigh
from harness.parity.compare import Difference, differences
from harness.parity.document import FILE, SCHEMA
from harness.report.bundles import inside, located
from harness.settings import Settings

_KIND: Final = "kind"
_RUN_AGAIN: Final = "run it again with this harness"


def parity(settings: Settings, bundles: tuple[Path, Path], console: Console, *, as_json: bool = False) -> ExitCode:
    """Compare two runs; red where something differs that is not on the list.

    Between runs on one target nothing may differ.

    Args:
        settings: Where archives are unpacked.
        bundles: Evidence folder, or an archive of it, of either run; not trusted. That of kind may come second.
        console: Where it is told.
        as_json: For programs.

    Raises:
        UsageError: One of them is no run of which such a record is there.
    """
    with scratch(settings.state_dir, "parity") as unpacked:
        left, right = (_read(bundle, unpacked / str(number)) for number, bundle in enumerate(bundles))
    if right["target"] == _KIND != left["target"]:
        left, right = right, left
    alike = left["target"] == right["target"]
    if not alike and left["target"] != _KIND:
        raise UsageError(
            f"of {left['target']} and {right['target']} neither is {_KIND}, which others are compared with",
            next_step=f"name a run on {_KIND}",
        )
    found = weigh(differences(left, right), () if alike else allow_list())
    if as_json:
        console.file.write(json.dumps(_document(left, right, found), indent=1) + "\n")
    else:
        for line in _told(left, right, found):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return ExitCode.VERDICT_RED if found.unintended else ExitCode.GREEN


def _read(bundle: Path, unpacked: Path) -> Mapping[str, Any]:
    unpacked.mkdir()
    folder = located(bundle, scratch=unpacked)
    try:
        found = json.loads(inside(folder, FILE).read_bytes())
        schema, target, run = found["schema"], str(found["target"]), str(found["run"])
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{FILE} of {bundle} is damaged: {error}", next_step=_RUN_AGAIN) from None
    if schema != SCHEMA:
        raise UsageError(f"{FILE} of {bundle} has schema {schema}, not {SCHEMA}", next_step=_RUN_AGAIN)
    if problem := found.get("problem"):
        raise UsageError(f"the run {run} on {target} could not be recorded: {problem}", next_step=_RUN_AGAIN)
    return dict(found)


def _told(left: Mapping[str, Any], right: Mapping[str, Any], found: Parity) -> Iterator[str]:
    yield f"{left['run']} ({left['target']}) -> {right['run']} ({right['target']}), {_versions(left)}"
    yield f"  compared: {_extent(left)}"
    yield f"            {_extent(right)}"
    for entry, those in found.allowed:
        yield f"  {entry.what}, {_places(len(those))}: {entry.because}"
        yield from (f"    {line}" for line in _grouped(those))
    for entry in found.unseen:
        yield f"  {entry.what}: no difference, though one is allowed"
    yield f"  unintended differences: {len(found.unintended)}"
    yield from (f"    {difference}" for difference in found.unintended)


def _grouped(those: tuple[Difference, ...]) -> Iterator[str]:
    """Each change once, with the first place at which it is."""
    count = Counter((one.path[-1], one.change) for one in those)
    shown = set()
    for one in those:
        kind = (one.path[-1], one.change)
        if kind not in shown:
            shown.add(kind)
            yield f"{one}" + (f"; and {_places(count[kind] - 1)} more" if count[kind] > 1 else "")


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


def _versions(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(one["versions"].items()))


def _extent(one: Mapping[str, Any]) -> str:
    """How much was compared: nothing is equal to nothing, too."""
    containers = [variables for pod in one["environment"].values() for variables in pod.values()]
    return (
        f"{one['target']}: {len(one['manifests'])} manifests, {len(one['pods'])} pods, "
        f"{sum(map(len, containers))} variables of {len(containers)} containers, "
        f"{len(one['dags'])} files of the DAG folder"
    )


def _document(left: Mapping[str, Any], right: Mapping[str, Any], found: Parity) -> dict[str, Any]:
    def listed(those: tuple[Difference, ...]) -> list[dict[str, Any]]:
        return [{"path": list(one.path), "left": one.left, "right": one.right} for one in those]

    return {
        "left": {"run": left["run"], "target": left["target"]},
        "right": {"run": right["run"], "target": right["target"]},
        "allowed": [
            {"what": entry.what, "because": entry.because, "differences": listed(those)}
            for entry, those in found.allowed
        ],
        "unseen": [entry.what for entry in found.unseen],
        "unintended": listed(found.unintended),
    }
