"""The same again: a recorded run's settings and inputs, and what is not as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from harness import session
from harness.assets import asset
from harness.errors import ExitCode, UsageError
from harness.liveness import scratch
from harness.options import part_of_eks, settings_from
from harness.redaction import MASK
from harness.report import repro
from harness.report.bundles import inside, located
from harness.report.copies import digest
from harness.settings import MACHINE_SETTINGS, Settings, settings_alone
from harness.surroundings import surroundings

# What an option sets, where that is not a setting of the same name.
_SETTING_OF: Final[Mapping[str, str]] = {"cluster": "cluster_name", "branch": "policy", "git_remote": "git"}


def rerun(bundle: Path, given: Mapping[str, Any], console: Console) -> ExitCode:
    """Run again what is recorded in a bundle.

    Settings and inputs are the recorded ones, whatever variables and `pyproject.toml` say here; what was given on the
    command line goes before them. Only what is this machine's own is taken from here: folders, disk budget, mirrors.

    Args:
        bundle: The evidence folder of a run, or an archive of it. It is not trusted.
        given: Options by name; None for those that were left out.
        console: Where the run is shown.

    Raises:
        UsageError: It holds no recorded run, or something that is needed is not to be had; names all of that.
    """
    here = settings_from(given)
    with scratch(here.state_dir, "rerun") as unpacked:
        folder = located(bundle, scratch=unpacked)
        recorded = repro.read(folder)
        settings = recorded_settings(
            recorded, folder, here, frozenset(name for name in given if given[name] is not None)
        )
        _announce(recorded, settings, console)

        def compare(now: Mapping[str, Any]) -> None:
            for line in comparison(recorded, now):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            console.print()

        drive = session.bring_up if recorded["run"]["verb"] == "up" else session.run_once
        return drive(settings, console, rerun_of=recorded["run"]["id"], recorded=compare)


def recorded_settings(recorded: Mapping[str, Any], folder: Path, here: Settings, given: frozenset[str]) -> Settings:
    """The settings of a recorded run, its inputs where they are now.

    Args:
        recorded: What stands in its `repro.json`.
        folder: Where that stands.
        here: The settings of this machine, with what was given on the command line.
        given: Names of the options that were given.

    Raises:
        UsageError: Something cannot be had; names all of it.
    """
    own = {_SETTING_OF.get(name, name if part_of_eks(name) is None else "eks") for name in given}
    values: dict[str, Any] = dict(recorded["settings"])
    if recorded["environment"]["supply"]:
        values["supply"] = recorded["environment"]["supply"]  # what "auto" chose
    inputs = _Inputs(recorded["inputs"], folder)
    for name in ("dags", "data"):
        if name not in own:
            values[name] = inputs.one(name, recorded=values.get(name))
    if "repository" not in own:
        values["repository"] = inputs.repository(values.get("repository"))
    if "values" not in own:
        values["values"] = inputs.values(values.get("values") or [])
    if "airflow_chart" not in own:
        values["airflow_chart"] = inputs.chart(values.get("airflow_chart"))
    values |= {name: getattr(here, name) for name in MACHINE_SETTINGS}
    values |= {name: getattr(here, name) for name in own if name != "policy"}
    if "policy" in own and isinstance(values.get("policy"), dict):
        values["policy"] = {**values["policy"], "branch": here.policy.branch}
    inputs.problems |= {
        f"setting {name}": "a secret stood in it, which is not recorded; give it on the command line"
        for name, value in values.items()
        if name not in MACHINE_SETTINGS and MASK in str(value)
    }
    if inputs.problems:
        raise UsageError(
            "the recorded run cannot be repeated: not everything that it started from is to be had",
            evidence=inputs.problems,
            next_step="give what is missing on the command line, such as --values FILE or --data FILE",
        )
    return settings_alone(**values)


def comparison(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the reader is told once the run is over: what differs, and whether it ended as before."""
    lines = [f"differs: {one}" for one in repro.differences(recorded, now)]
    if not lines:
        lines.append("nothing differs of what both runs came to record")
    was, is_ = (_ended(one) for one in (recorded, now))
    same = "the same" if was == is_ else "not the same"
    return [*lines, f"recorded run {recorded['run']['id']}: {was}; now: {is_}: {same}"]


class _Inputs:
    """What a run started from, where it is to be had now: its copy in the bundle, or where it was, unchanged."""

    def __init__(self, recorded: Mapping[str, Any], folder: Path) -> None:
        self._recorded = recorded
        self._folder = folder
        self.problems: dict[str, str] = {}

    def one(self, name: str, *, recorded: object) -> Path | None:
        """The DAG folder or the data set; None where the run was over before it was known which."""
        entry = self._recorded[name]
        if entry is not None:
            return self._found(name, entry)
        return Path(str(recorded)) if recorded else None

    def repository(self, recorded: object) -> Path | None:
        """A team's repository; the shipped one goes by its own rules, so it must be the same one here."""
        entry = self._recorded["repository"]
        if entry is None:
            return Path(str(recorded)) if recorded else None
        if not entry["shipped"]:
            return self._found("repository", entry)
        if digest(asset("fixtures") / "repository") != entry["sha256"]:
            self.problems["repository"] = "it was the one that came with the harness, and this version's is another"
        return None

    def values(self, recorded: list[str]) -> list[Path]:
        """The values files, in order."""
        entries = self._recorded["values"]
        if len(entries) != len(recorded):  # the run was over before they were read
            return [Path(path) for path in recorded]
        found = [self._found(f"values file {entry['path']}", entry) for entry in entries]
        return [path for path in found if path is not None]

    def chart(self, recorded: str | None) -> str | None:
        """The chart: an address stays what it is, one on disk may be in the bundle."""
        entry = self._recorded["chart"]
        if entry is None:
            return recorded
        found = self._found("chart", entry)
        return None if found is None else str(found)

    def _found(self, what: str, entry: Mapping[str, Any]) -> Path | None:
        if entry["copy"]:
            copy = inside(self._folder, entry["copy"])
            if digest(copy) == entry["sha256"]:
                return copy
            self.problems[what] = f"its copy {entry['copy']} is not what was recorded: the bundle was changed"
            return None
        original = Path(entry["path"])
        try:
            if digest(original) == entry["sha256"]:
                return original
            why = "has changed since"
        except OSError:
            why = "is not there"
        self.problems[what] = f"not in the bundle ({entry['withheld']}), and {original} {why}"
        return None


def _announce(recorded: Mapping[str, Any], settings: Settings, console: Console) -> None:
    run = recorded["run"]
    lines = [f"again: run {run['id']} of {run['started']}, which ended {_ended(recorded)}"]
    if run["verb"] == "pytest":
        lines.append("it was a pytest session; its tests are not in the bundle: the DAG is run once and judged")
    # Settings are compared once the run is over: only what the reader may want to stop for is said now.
    known = {**surroundings(settings), "settings": {}}
    lines += [f"differs: {one}" for one in repro.differences(recorded, known)]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _ended(document: Mapping[str, Any]) -> str:
    run = document["run"]
    return f"{run['outcome']} ({run['code']})" if run["code"] else str(run["outcome"])
