"""The command and the pytest plug-in take the same settings under the same flags, and hand on all of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import cli, eks_verbs, git_sweeping, plugin, session
from harness import verbs as local_verbs
from harness.eks_admin import verbs
from harness.eks_admin.making import Wanted
from harness.errors import ExitCode
from harness.options import LOOKALIKE_OPTIONS, OPTIONS
from harness.settings import Settings

FLAGS = {
    "--dags": "my-dags",
    "--dag-id": "birds",
    "--repository": "team",
    "--data": "birds.csv",
    "--tracked-file": "data/birds.csv",
    "--worker-image": "registry.example/team/worker:1.4",
    "--branch": "team/data",
    "--target": "kind",
    "--supply": "packages",
    "--s3": "strict",
    "--cluster": "mine",
    "--airflow-chart": "chart.tgz",
    "--values": "team.yaml",
    "--patience": "2.5",
    "--run-timeout": "120",
    "--registry-mirror": "docker.io=mirror.example:5000",
    "--eks-cluster": "mlops",
    "--eks-region": "eu-central-1",
    "--eks-profile": "nightly",
    "--eks-bucket": "team-dvc",
    "--eks-identity": "irsa",
    "--shared-storage": "efs",
    "--max-cost": "0.5",
    "--max-lifetime": "1.5",
    "--context": "kind-team",
}
SWITCHES = ("--pause-on-failure", "--eks-consent", "--existing-consent")
WORDS = (*(word for pair in FLAGS.items() for word in pair), *SWITCHES)


# `up` keeps, and takes no --keep; --git-remote does not go with --branch (tests/unit/base/test_git_settings.py).
APART = {"--keep", "--git-remote"}


def test_every_option_of_the_table_is_tried_here() -> None:
    assert {option.flag for option in OPTIONS} == {*FLAGS, *SWITCHES, *APART}


def check(settings: Settings) -> None:
    assert (settings.dags, settings.dag_id) == (Path("my-dags"), "birds")
    assert (settings.repository, settings.data) == (Path("team"), Path("birds.csv"))
    assert (settings.tracked_file, settings.policy.branch) == ("data/birds.csv", "team/data")
    assert (settings.supply, settings.s3, settings.patience) == ("packages", "strict", 2.5)
    assert (settings.cluster_name, settings.airflow_chart) == ("mine", "chart.tgz")
    assert settings.values == (Path("team.yaml"),)
    assert settings.registry_mirror == {"docker.io": "mirror.example:5000"}
    assert settings.worker_image == "registry.example/team/worker:1.4"
    assert settings.pause_on_failure


def check_eks(settings: Settings) -> None:
    eks = settings.eks
    assert (eks.cluster, eks.region, eks.profile, eks.bucket) == ("mlops", "eu-central-1", "nightly", "team-dvc")
    assert eks.consent
    assert (eks.max_cost, eks.max_lifetime, eks.shared_storage, eks.identity) == (0.5, 1.5, "efs", "irsa")


def check_existing(settings: Settings) -> None:
    existing = settings.existing
    assert (existing.context, existing.consent, existing.max_lifetime) == ("kind-team", True, 1.5)


# Those that are for some targets only.
OF_EKS = (*(flag for flag in FLAGS if flag.startswith("--eks-")), "--shared-storage", "--max-cost")
OF_TARGETS = {
    "kind": (),
    "eks": (*OF_EKS, "--eks-consent", "--max-lifetime"),
    "existing": ("--context", "--existing-consent", "--max-lifetime"),
}


def words_for(target: str) -> list[str]:
    others = {flag for flags in OF_TARGETS.values() for flag in flags} - set(OF_TARGETS[target])
    given = {**FLAGS, "--target": target}
    switches = [flag for flag in SWITCHES if flag not in others]
    return [*(word for flag, value in given.items() if flag not in others for word in (flag, value)), *switches]


@pytest.mark.parametrize("target", OF_TARGETS)
@pytest.mark.parametrize(("verb", "driven_by"), [("run", "run_once"), ("up", "bring_up")])
def test_the_command_hands_every_flag_on(
    verb: str, driven_by: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def drive(settings: Settings, *_rest: object, **_options: object) -> ExitCode:
        seen.append(settings)
        return ExitCode.GREEN

    monkeypatch.setattr(session, driven_by, drive)
    result = CliRunner().invoke(cli.app, [verb, *words_for(target)])
    assert result.exit_code == 0, result.output
    assert seen[0].target == target
    check(seen[0])
    if target == "eks":
        check_eks(seen[0])
    elif target == "existing":
        check_existing(seen[0])


@pytest.mark.parametrize("verb", ["run", "up"])
@pytest.mark.parametrize(
    ("target", "flags", "said"),
    [
        ("kind", ["--eks-cluster", "mlops"], "--eks-cluster: not for a run with --target kind"),
        ("kind", ["--eks-consent"], "add --target eks, or leave it out"),
        ("kind", ["--context", "team"], "add --target existing, or leave it out"),
        ("kind", ["--max-lifetime", "2"], "add --target eks or --target existing, or leave it out"),
        ("existing", ["--max-cost", "2", "--eks-bucket", "team"], "add --target eks, or leave them out"),
        ("eks", ["--context", "team"], "--context: not for a run with --target eks"),
    ],
)
def test_a_flag_of_another_target_is_refused(verb: str, target: str, flags: list[str], said: str) -> None:
    """The run would be another than the reader means: on kind, where EKS was."""
    result = CliRunner().invoke(cli.app, [verb, "--target", target, *flags])
    assert result.exit_code == ExitCode.USAGE
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize("target", ["eks", "existing"])
def test_a_flag_that_sets_two_is_told_once_and_by_its_name(target: str) -> None:
    result = CliRunner().invoke(cli.app, ["run", "--target", target, "--max-lifetime", "-1"])
    assert result.exit_code == ExitCode.USAGE
    assert "--max-lifetime: should be greater than 0" in result.output
    assert result.output.count("greater than 0") == 1


def test_the_look_alike_takes_what_the_making_of_its_cluster_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    def drive(settings: Settings, _console: object) -> ExitCode:
        seen.append(settings)
        return ExitCode.GREEN

    monkeypatch.setattr(eks_verbs, "lookalike_up", drive)
    words = [f"--{option.replace('_', '-')}" for option in sorted(LOOKALIKE_OPTIONS)]
    result = CliRunner().invoke(
        cli.app, ["eks-lookalike", "up", *(word for flag in words for word in (flag, FLAGS[flag]))]
    )
    assert result.exit_code == 0, result.output
    assert (seen[0].cluster_name, seen[0].supply, seen[0].patience) == ("mine", "packages", 2.5)
    assert seen[0].worker_image == "registry.example/team/worker:1.4"
    refused = CliRunner().invoke(cli.app, ["eks-lookalike", "up", "--keep", "never"])
    assert refused.exit_code != 0, "it is always kept"


def test_the_look_alikes_help_names_its_own_default() -> None:
    # Without the frame that rich draws, at whose edge words go on in the next line.
    told = " ".join(CliRunner().invoke(cli.app, ["eks-lookalike", "up", "--help"]).output.replace("│", " ").split())
    assert "name of the cluster (default: eks-lookalike)" in told
    assert "one per run" not in told


@pytest.mark.parametrize(("flags", "hours"), [(["--lifetime", "720"], 720), (["--max-lifetime", "2"], 2)])
def test_a_cluster_that_is_made_is_priced_for_the_hours_that_it_may_live(
    flags: list[str], hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def drive(*_rest: object, cluster: Wanted, **_options: object) -> ExitCode:
        seen.append(cluster.hours)
        return ExitCode.GREEN

    monkeypatch.setattr(verbs, "create", drive)
    result = CliRunner().invoke(cli.app, ["eks", "create", "--eks-create", *flags])
    assert (result.exit_code, seen) == (0, [hours]), result.output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--eks-config", "/nope"], "add --eks-create, or leave it out"),
        (["--permissions-boundary", "foo"], "'foo' is not the ARN of an IAM policy"),
        (["--eks-create", "--suffix", "PR 7"], "'PR 7' is no suffix for names"),
    ],
)
def test_a_flag_of_a_preparation_that_cannot_be_meant_is_refused_before_anything_is_done(
    flags: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "create", lambda *_, **__: pytest.fail("it was gone on with"))
    result = CliRunner().invoke(cli.app, ["eks", "create", *flags])
    assert result.exit_code == ExitCode.USAGE
    assert said in result.output


@pytest.mark.parametrize(("flags", "asked"), [([], 0), (["--git-remote", "https://git.example/a.git"], 1)])
def test_a_sweep_asks_a_git_server_only_where_its_flag_names_one(
    flags: list[str], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def drive(settings: Settings, _console: object, *, yes: bool) -> ExitCode:
        seen.append(settings.git.remote)
        return ExitCode.ENVIRONMENT_FAILED

    monkeypatch.setattr(git_sweeping, "sweep", drive)
    monkeypatch.setattr(local_verbs, "sweep", lambda *_: ExitCode.GREEN)
    result = CliRunner().invoke(cli.app, ["sweep", *flags])
    assert (result.exit_code, len(seen)) == (3 * asked, asked), result.output


class Options:
    """Stands for pytest's own parser, which takes what argparse takes."""

    def __init__(self) -> None:
        self.parser = argparse.ArgumentParser()

    def getgroup(self, _name: str, _description: str) -> Options:
        return self

    def addoption(self, name: str, **options: Any) -> None:
        self.parser.add_argument(name, **options)

    def parse(self, words: list[str]) -> Any:
        found = vars(self.parser.parse_args(words))
        return SimpleNamespace(getoption=lambda name: found[name.removeprefix("--").replace("-", "_")])


def test_pytest_hands_every_flag_on() -> None:
    options: Any = Options()
    opened: list[Any] = []
    plugins: Any = SimpleNamespace(register=lambda stderr, _name: opened.append(stderr))
    plugin.pytest_addoption(options, plugins)
    for stderr in opened:
        stderr.stream.close()
    settings = plugin._settings(options.parse([*WORDS]))
    for checked in (check, check_eks, check_existing):
        checked(settings)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--bogus"],
        ["frobnicate"],
        ["run", "--bogus"],
        ["run", "extra"],
        ["run", "--keep", "maybe"],
        ["run", "--patience", "much"],
        ["run", "--values"],
        ["logs"],
        ["logs", "airflow", "--tail", "0"],
        ["version"],
        ["statuss"],
        ["run", "--supply", "foo"],
        ["versions", "--bogus"],
        ["down", "foo"],
        ["eks-lookalike", "up", "--bogus"],
        ["eks-lookalike", "frobnicate"],
    ],
)
def test_a_wrong_flag_is_a_usage_error_without_a_traceback(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == ExitCode.USAGE
    assert "next: harness --help" in printed.err if words else "Commands" in printed.out


def test_the_command_itself_ends_with_a_usage_error(tmp_path: Path) -> None:
    # As a shell sees it: nothing between the parser and the exit code may change it.
    command = [sys.executable, "-m", "harness.cli", "down"]
    environment = {**os.environ, "HARNESS_STATE_DIR": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert ended.returncode == ExitCode.USAGE
    assert ended.stderr == "harness: no cluster is kept here\n  next: `harness up` makes one\n"
    assert ended.stdout == ""


def test_the_version_of_the_harness_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.versions.metadata.version", lambda name: f"1.2.3 of {name}")
    monkeypatch.setattr("sys.argv", ["harness", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, "harness 1.2.3 of airflow-dvc-harness\n")


def test_a_fault_of_a_verb_is_never_told_as_a_red_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "status"])
    nothing: dict[str, ExitCode] = {}
    monkeypatch.setattr("harness.verbs.status", lambda *_, **__: nothing["nobody foresaw this"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.ENVIRONMENT_FAILED
    assert "a fault of the harness itself: KeyError: 'nobody foresaw this'" in capsys.readouterr().err


def test_a_path_in_an_error_is_not_folded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a/" + "very/long/" * 20 + "path"
    monkeypatch.setattr("sys.argv", ["harness", "run", "--registry-mirror", path])
    with pytest.raises(SystemExit):
        cli.main()
    assert path in capsys.readouterr().err


def test_the_generated_client_of_airflow_is_loaded_by_nobody_who_does_not_ask_airflow() -> None:
    """It takes longer to load than all the rest, which every `--help` and every usage error would wait for."""
    program = "import sys, harness.cli, harness.session; sys.exit('airflow_client.client' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("words", "said", "next_step"),
    [
        (["sweep", "--yes"], "go with --target eks", "add --target eks"),
        (["sweep", "--eks-cluster", "mlops"], "go with --target eks", "add --target eks"),
        (["cache", "--clear", "--evict"], "--clear removes all", "give one of the two"),
        (["versions", "--sbom", __file__], "is no folder", "name a folder with --sbom"),
        (["history", "--merge", "nowhere.jsonl"], "no history file nowhere.jsonl", "name a history.jsonl"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_touched(
    words: list[str],
    said: str,
    next_step: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == ExitCode.USAGE
    assert said in told
    assert f"next: {next_step}" in told
