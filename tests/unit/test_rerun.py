"""A run is recorded so that it can be run again: the same settings and input, and what is not to be had is said."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
from rich.console import Console

from harness import rerun, session
from harness.environment import Environment
from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode, UsageError
from harness.model import Diagnosis
from harness.options import OPTIONS
from harness.pipeline.inputs import check_inputs
from harness.process import SubprocessRunner
from harness.recording import Recorder, cause
from harness.redaction import Redactor
from harness.report import history, repro
from harness.report.model import Report, RunFacts
from harness.settings import Settings, SupplyKind, settings_alone
from harness.timeline import Phase

SECRET = "correct-horse-battery-staple"
DAG = 'from airflow.sdk import dag\n@dag(dag_id="birds")\ndef birds():\n    pass\nbirds()\n'
NOTHING: dict[str, Any] = {option.name: None for option in OPTIONS}


def check(name: str, *, passed: bool) -> SimpleNamespace:
    return SimpleNamespace(
        id=name, title=name, passed=passed, evaluated=True, counts=True, expected="1", found="2", explanation=""
    )


RED = SimpleNamespace(
    green=False,
    red_expected=False,
    must_fail="",
    checks=[check("a", passed=True), check("object.present", passed=False)],
)
UNBROKEN = SimpleNamespace(green=True, red_expected=True, must_fail="", checks=[check("a", passed=True)])


class Site:
    """A reader's own folder, with a DAG, data, values and a chart, and the machine's folders."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for folder in ("dags", "chart/templates"):
            (home / folder).mkdir(parents=True)
        (home / "dags" / "birds.py").write_text(DAG)
        (home / "birds.csv").write_text("a,b\n1,2\n")
        (home / "team.yaml").write_text("env:\n- name: COLOUR\n  value: blue\n")
        (home / "chart" / "Chart.yaml").write_text("name: airflow\n")
        self.settings = Settings(
            dags=home / "dags",
            dag_id="birds",
            data=home / "birds.csv",
            values=(home / "team.yaml",),
            airflow_chart=str(home / "chart"),
            supply=SupplyKind.AUTO,
            policy={"branch": "team/data", "authors": ["a@example.invalid"]},
            state_dir=home / "state",
            cache_dir=home / "cache",
            evidence_dir=home / "evidence",
        )
        self.redactor = Redactor()

    def environment(self, settings: Settings | None = None, **other: Any) -> Environment:
        facts = {
            "settings": settings or self.settings,
            "run_id": "r-1",
            "evidence": self.home / "evidence" / "r-1",
            "redactor": self.redactor,
            "runner": SubprocessRunner(),
            "toolchain": None,
            "ready": None,
            "supply_note": "packages (so said)",
            "cluster_name": "harness-r-1",
            "stand_ins": (),
        }
        facts["given"] = facts["settings"]
        return cast("Environment", SimpleNamespace(**{**facts, **other}))

    def record(
        self, settings: Settings | None = None, *, verb: Any = "run", report: Report | None = None, **other: Any
    ) -> dict[str, Any]:
        environment = self.environment(settings, **other)
        recorder = Recorder(environment, verb=verb)
        recorder.take(check_inputs(environment.settings, dvc=Path("/bin/true")))
        recorder.conclude(report or self.report(), None, paused=2.0)
        assert recorder.problems == []
        return repro.read(self.evidence)

    @property
    def evidence(self) -> Path:
        return self.home / "evidence" / "r-1"

    def report(self, code: ExitCode = ExitCode.VERDICT_RED, **other: Any) -> Report:
        facts = RunFacts("r-1", "kind", "packages", "chart", "3.3.2", "LocalStack")
        given: dict[str, Any] = {"phases": (Phase("DAG run", 1.0, 31.0, "done"),), "verdicts": (RED,), **other}
        return Report(facts=facts, code=code, seconds=42.0, evidence=self.evidence, **given)

    def again(self, recorded: Mapping[str, Any], folder: Path | None = None, **given: Any) -> Settings:
        here = settings_alone(
            state_dir=self.home / "other-state", cache_dir=self.home / "other-cache", evidence_dir=self.home / "other",
            **given,
        )  # fmt: skip
        names = frozenset({"cluster" if name == "cluster_name" else name for name in given})
        return rerun.recorded_settings(recorded, folder or self.evidence, here, names)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def toolchain(**images: str) -> SimpleNamespace:
    return SimpleNamespace(
        supply="packages",
        engine=SimpleNamespace(version="20.10"),
        node_image="node:1",
        kubernetes_version="v1.34.4",
        images={name: f"{name}:1" for name in images},
        image_digests={name: (f"sha256:{digest}",) for name, digest in images.items()},
    )


def test_what_is_written_follows_its_schema(site: Site) -> None:
    jsonschema.Draft202012Validator.check_schema(repro.schema())
    document = site.record(toolchain=toolchain(worker="a"))
    jsonschema.validate(document, repro.schema(), format_checker=jsonschema.FormatChecker())
    assert (document["run"]["outcome"], document["run"]["code"]) == ("RED", "object.present")
    assert document["environment"]["images"] == {"worker": {"reference": "worker:1", "id": "sha256:a"}}


def test_a_run_that_is_killed_is_on_record_with_its_input(site: Site) -> None:
    environment = site.environment()
    Recorder(environment, verb="run").take(check_inputs(site.settings, dvc=Path("/bin/true")))
    document = repro.read(site.evidence)
    assert (document["run"]["outcome"], document["run"]["exit_code"]) == ("RUNNING", None)
    assert site.again(document).dags == site.evidence / "inputs" / "dags"


def test_the_recorded_settings_come_back_with_the_input_from_the_bundle(site: Site) -> None:
    document = site.record(toolchain=toolchain())
    found = site.again(document)
    recorded = site.evidence / "inputs"
    assert (found.dags, found.data) == (recorded / "dags", recorded / "data" / "birds.csv")
    assert found.values == (recorded / "values" / "00-team.yaml",)
    assert found.airflow_chart == str(recorded / "chart" / "chart")
    assert (found.policy, found.tracked_file, found.dag_id) == (site.settings.policy, "datasets/birds.csv", "birds")
    assert found.supply is SupplyKind.PACKAGES, "what auto chose"
    assert found.state_dir == site.home / "other-state", "this machine's own"


def test_a_bundle_needs_nothing_of_the_machine_that_made_it(site: Site, tmp_path: Path) -> None:
    document = site.record()
    moved = tmp_path / "moved"
    shutil.move(site.evidence, moved)
    shutil.rmtree(site.home / "dags")
    (site.home / "birds.csv").unlink()
    assert (site.again(document, moved).dags or Path()).joinpath("birds.py").read_text() == DAG


def test_variables_of_this_machine_do_not_leak_into_a_recorded_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    document = site.record()
    monkeypatch.setenv("HARNESS_S3", "strict")
    monkeypatch.setenv("HARNESS_POLICY__COMMITS", "3")
    monkeypatch.setenv("HARNESS_IMAGE_DIGESTS", json.dumps({"airflow": f"sha256:{'0' * 64}"}))
    found = site.again(document)
    assert (found.s3, found.policy.commits, found.image_digests) == ("localstack", 1, {})


def test_what_is_given_goes_before_what_is_recorded(site: Site, tmp_path: Path) -> None:
    document = site.record()
    (tmp_path / "other.csv").write_text("a,b\n")
    found = site.again(document, data=tmp_path / "other.csv", patience=3.0, cluster_name="mine")
    assert (found.data, found.patience, found.cluster_name) == (tmp_path / "other.csv", 3.0, "mine")
    assert found.tracked_file == "datasets/birds.csv"


def test_a_values_file_with_secrets_stays_where_it_is_and_is_taken_from_there_unchanged(site: Site) -> None:
    (site.home / "team.yaml").write_text(f"webserver:\n  secretKey: {SECRET}\n")
    document = site.record()
    files = [path for path in site.evidence.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET in path.read_text()]
    assert site.again(document).values == (site.home / "team.yaml",)
    (site.home / "team.yaml").write_text("webserver: {}\n")
    with pytest.raises(UsageError, match="not everything") as caught:
        site.again(document)
    assert "has changed since" in str(caught.value)
    assert "--values" in caught.value.next_step


def test_everything_that_is_not_to_be_had_is_named_at_once(site: Site) -> None:
    (site.home / "team.yaml").write_text(f"webserver:\n  secretKey: {SECRET}\n")
    (site.home / "dags" / "birds.py").write_text(f"{DAG}\nKEY = 'AKIAIOSFODNN7EXAMPLE'\n")
    document = site.record()
    shutil.rmtree(site.home / "dags")
    (site.home / "team.yaml").unlink()
    with pytest.raises(UsageError) as caught:
        site.again(document)
    assert {"dags", f"values file {site.home / 'team.yaml'}"} <= set(caught.value.evidence)
    assert "looks like a secret stands in birds.py" in caught.value.evidence["dags"]


def test_a_bundle_that_was_changed_is_refused(site: Site) -> None:
    document = site.record()
    (site.evidence / "inputs" / "dags" / "birds.py").write_text("import os\n")
    with pytest.raises(UsageError, match="not everything") as caught:
        site.again(document)
    assert "the bundle was changed" in caught.value.evidence["dags"]


@pytest.mark.parametrize("copy", ["../../etc", "/etc", "inputs/out"])
def test_a_record_that_points_out_of_its_bundle_is_refused(copy: str, site: Site) -> None:
    document = site.record()
    document["inputs"]["dags"]["copy"] = copy
    (site.evidence / "inputs" / "out").symlink_to("/etc")
    with pytest.raises(UsageError, match=r"not inside it|symbolic link"):
        site.again(document)


def test_a_secret_in_a_setting_is_not_recorded_and_asked_for(site: Site) -> None:
    chart = f"https://user:{SECRET}@charts.example.invalid/airflow.tgz"
    document = site.record(site.settings.model_copy(update={"airflow_chart": chart}))
    assert SECRET not in json.dumps(document)
    with pytest.raises(UsageError) as caught:
        site.again(document)
    assert "setting airflow_chart" in caught.value.evidence
    assert site.again(document, airflow_chart="airflow.tgz").airflow_chart == "airflow.tgz"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": True}, "schema version True"),
        ({"inputs": []}, "damaged at inputs"),
        ({"settings": None}, "damaged at settings"),
    ],
)
def test_a_record_that_is_not_understood_is_refused(change: dict[str, Any], says: str, site: Site) -> None:
    document = {**site.record(), **change}
    repro.write(site.evidence, document)
    with pytest.raises(UsageError, match=says):
        repro.read(site.evidence)


def test_a_setting_that_this_version_does_not_know_is_refused(site: Site) -> None:
    document = site.record()
    document["settings"]["colour"] = "blue"
    with pytest.raises(UsageError, match="a setting cannot be used") as caught:
        site.again(document)
    assert "colour" in caught.value.evidence


def test_what_differs_is_told_and_what_neither_came_to_know_is_not(site: Site) -> None:
    old = site.record(toolchain=toolchain(worker="a", git="b"))
    new = json.loads(json.dumps(old))
    assert repro.differences(old, new) == ()
    new["harness"]["commit"] = "f00"
    new["environment"]["images"]["worker"]["id"] = "sha256:c"
    new["environment"]["chart"] = ""
    new["settings"]["patience"] = 2.0
    old["harness"]["commit"] = "beef"
    told = [str(one) for one in repro.differences(old, new)]
    assert told == [
        "harness commit: was beef, is f00",
        "image worker: was sha256:a, is sha256:c",
        "setting patience: was 1.0, is 2.0",
    ]


def test_the_reader_is_told_whether_it_ended_as_before(site: Site) -> None:
    old = site.record()
    assert rerun.comparison(old, old)[-1].endswith("RED (object.present); now: RED (object.present): the same")
    new = {**old, "run": {**old["run"], "outcome": "GREEN", "code": ""}}
    assert rerun.comparison(old, new)[-1].endswith("now: GREEN: not the same")


def driven(site: Site, monkeypatch: pytest.MonkeyPatch, bundle: Path, **given: Any) -> tuple[ExitCode, str, Settings]:
    seen: list[Settings] = []

    def drive(settings: Settings, _console: Console, *, rerun_of: str, recorded: Any) -> ExitCode:
        assert rerun_of == "r-1"
        assert (settings.dags or Path()).joinpath("birds.py").is_file(), "there while it runs"
        seen.append(settings)
        recorded(site.record())
        return ExitCode.VERDICT_RED

    monkeypatch.setattr(session, "run_once", drive)
    monkeypatch.setenv("HARNESS_STATE_DIR", str(site.home / "state"))
    output = io.StringIO()
    code = rerun.rerun(bundle, {**NOTHING, **given}, Console(file=output, width=200))
    return code, output.getvalue(), seen[0]


@pytest.mark.parametrize("packed", [False, True])
def test_a_bundle_is_run_again_from_a_folder_or_an_archive(
    packed: bool,  # noqa: FBT001 - pytest's form
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.record()
    bundle = site.evidence
    if packed:
        bundle = site.home / "bundle.tar.gz"
        with tarfile.open(bundle, "w:gz") as archive:
            archive.add(site.evidence, "r-1")
        shutil.rmtree(site.home / "dags")
        (site.home / "dags").mkdir()
        (site.home / "dags" / "birds.py").write_text(DAG)
    code, text, settings = driven(site, monkeypatch, bundle, patience=2.0)
    assert code is ExitCode.VERDICT_RED
    assert settings.patience == 2.0
    assert "again: run r-1" in text
    assert "the same" in text
    assert list((site.home / "state" / "runs").iterdir()) == [], "what was unpacked is gone"


def test_of_a_pytest_run_it_says_that_its_tests_are_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.record(verb="pytest")
    _code, text, _settings = driven(site, monkeypatch, site.evidence)
    assert "its tests are not in the bundle" in text


def test_the_commit_of_the_dag_folder_is_recorded_and_whether_it_was_changed(site: Site) -> None:
    git = ["git", "-C", str(site.home), "-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    for command in (["init", "-q"], ["add", "dags"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *command], check=True)
    sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert site.record()["dag_commit"] == sha
    (site.home / "dags" / "birds.py").write_text(f"{DAG}# more\n")
    assert site.record()["dag_commit"] == f"{sha}+"
    assert {one.dag_sha for one in history.read(site.home / "evidence" / history.FILE).lines} == {sha, f"{sha}+"}


def test_each_run_has_a_line_of_history_without_the_time_it_waited_for_its_reader(site: Site) -> None:
    site.record()
    (line,) = history.read(site.home / "evidence" / history.FILE).lines
    assert (line.outcome, line.exit_code, line.code, line.seconds) == ("red", 1, "object.present", 40.0)
    assert (line.run, line.verb, line.phases, line.target) == ("r-1", "run", {"DAG run": 30.0}, "kind")


def test_what_was_never_run_is_not_in_the_history(site: Site) -> None:
    site.record(report=site.report(ExitCode.USAGE))
    assert not (site.home / "evidence" / history.FILE).exists()


def test_a_history_that_cannot_be_written_is_told_and_costs_nothing_else(site: Site) -> None:
    (site.home / "evidence" / history.FILE).mkdir(parents=True)
    recorder = Recorder(site.environment(), verb="run")
    recorder.conclude(site.report(), None, paused=0.0)
    assert "not in the history" in recorder.problems[0]
    assert (site.evidence / "repro.json").is_file()


def test_a_verdict_that_cannot_be_read_costs_the_record_and_not_the_report(site: Site) -> None:
    site.evidence.mkdir(parents=True)
    (site.evidence / "verdict.json").write_text("{}")
    recorder = Recorder(site.environment(), verb="run")
    assert recorder.conclude(site.report(), None, paused=0.0) is None
    assert "repro.json was not written" in recorder.problems[0]
    assert len(history.read(site.home / "evidence" / history.FILE).lines) == 1


@pytest.mark.parametrize(
    ("code", "other", "error", "word"),
    [
        (ExitCode.GREEN, {"diagnoses": (Diagnosis("IMAGE_PULL", "x", "y", "z"),)}, None, ""),
        (ExitCode.INTERRUPTED, {}, KeyboardInterrupt(), ""),
        (ExitCode.VERDICT_RED, {}, None, "object.present"),
        (
            ExitCode.VERDICT_RED,
            {"diagnoses": (Diagnosis("OUT_OF_MEMORY", "killed", "pod", "more"),)},
            None,
            "OUT_OF_MEMORY",
        ),
        (ExitCode.VERDICT_RED, {"verdicts": (UNBROKEN,)}, None, "declared-red-is-green"),
        (ExitCode.VERDICT_RED, {"verdicts": ()}, None, "test-failed"),
        (
            ExitCode.ENVIRONMENT_FAILED,
            {"diagnoses": (Diagnosis("UNKNOWN", "x", "y", "z"),)},
            EnvironmentFailed("x"),
            "EnvironmentFailed",
        ),
        (ExitCode.ENVIRONMENT_FAILED, {}, CleanupFailed("x"), "CleanupFailed"),
        (ExitCode.ENVIRONMENT_FAILED, {}, KeyError("x"), "HARNESS_FAULT"),
    ],
)
def test_one_word_says_why_a_run_ended(
    code: ExitCode, other: dict[str, Any], error: BaseException | None, word: str, site: Site
) -> None:
    assert cause(replace(site.report(code), **other), error) == word
