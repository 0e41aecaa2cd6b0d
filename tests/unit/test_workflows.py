"""Workflows may do little, and run nothing that somebody else can change under them."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from harness import cli
from harness.options import OPTIONS, settings_from
from harness.targets.attached.expiry import expiry

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = {path.name: path for path in sorted((CHECKOUT / ".github" / "workflows").iterdir())}
ON_AWS = ("nightly-eks.yml", "sweep.yml")
# An action by the commit that it is at, and which version that was.
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
every_workflow = pytest.mark.parametrize("name", list(WORKFLOWS))


def read(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load(WORKFLOWS[name].read_text())
    assert isinstance(loaded, dict)
    # YAML 1.1 reads the key `on` as a truth value.
    return {"on" if key is True else key: value for key, value in loaded.items()}


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_these_are_all() -> None:
    assert list(WORKFLOWS) == ["audit.yml", "ci.yml", "nightly-eks.yml", "sweep.yml"]


@every_workflow
def test_a_workflow_has_no_rights_but_those_that_a_job_asks_for(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        oidc = {"id-token": "write"} if name in ON_AWS else {}
        assert job["permissions"] == {"contents": "read", **oidc}


@every_workflow
def test_every_job_ends_by_itself_and_workflows_of_a_kind_do_not_run_side_by_side(name: str) -> None:
    workflow = read(name)
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 150


@every_workflow
def test_every_action_is_pinned_by_its_commit_and_keeps_no_credentials(name: str) -> None:
    text = WORKFLOWS[name].read_text()
    for step in steps(read(name)):
        if "uses" not in step:
            continue
        assert _PINNED.fullmatch(step["uses"]), step
        assert re.search(rf"{re.escape(step['uses'])} # v\d+\.\d+\.\d+\n", text), "the version stands beside it"
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_an_action_has_one_version_in_all_workflows() -> None:
    used = {step["uses"] for name in WORKFLOWS for step in steps(read(name)) if "uses" in step}
    assert len({one.partition("@")[0] for one in used}) == len(used)


@every_workflow
def test_nothing_from_outside_is_put_into_a_command_and_no_host_is_named(name: str) -> None:
    assert "://" not in WORKFLOWS[name].read_text()
    for step in steps(read(name)):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_every_command_is_one_that_this_repository_has(name: str) -> None:
    commands = [step["run"] for step in steps(read(name)) if "run" in step]
    assert commands
    for command in commands:
        check_command(command)


@pytest.mark.parametrize(
    "command",
    ["scripts/none", "make nothing", "pip install tox", 'make harness FLAGS="no-such-verb"',
     'make harness FLAGS="doctor --no-such-flag"', 'make e2e FLAGS="--no-such-flag"', 'make test FLAGS="--target eks"'],
)  # fmt: skip
def test_a_command_that_is_not_there_is_noticed(command: str) -> None:
    with pytest.raises(AssertionError):
        check_command(command)


def check_command(command: str) -> None:
    program, *words = shlex.split(command)
    if program != "make":
        assert (CHECKOUT / program).is_file()
        assert not words
        return
    target, *given = words
    rule = re.search(rf"^{re.escape(target)}:.*\n\t(.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert rule is not None, target
    for environments in re.findall(r"run -e (\S+)", rule[1]):
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(CHECKOUT / "tox.ini")
        assert {f"testenv:{name}" for name in environments.split(",")} <= set(tox.sections())
    if given:
        assert "$(FLAGS)" in rule[1]
        flags = shlex.split(given[0].removeprefix("FLAGS="))
        if target == "harness":
            check_verb(flags)
        else:
            assert {word for word in flags if word.startswith("--")} <= {option.flag for option in OPTIONS}


@pytest.mark.parametrize("name", ON_AWS)
def test_whatever_is_done_in_aws_runs_where_tox_hands_the_roles_keys_on(name: str) -> None:
    # configure-aws-credentials leaves them in variables alone, and tox hands on no variable that it is not told of.
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(CHECKOUT / "tox.ini")
    targets = {shlex.split(step["run"])[1] for step in steps(read(name)) if "run" in step}
    makefile = (CHECKOUT / "Makefile").read_text()
    rules = re.findall(rf"^(?:{'|'.join(sorted(targets))}):.*\n\t.*run -e (\S+)", makefile, re.MULTILINE)
    assert len(rules) == len(targets)
    assert [one for one in rules if "AWS_*" not in tox[f"testenv:{one}"].get("pass_env", "").split()] == []


def check_verb(words: list[str]) -> None:
    command: Any = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    assert not hasattr(command, "commands"), "no such verb"
    known = {flag for one in command.params for flag in one.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ON_AWS)
def test_what_is_done_in_aws_is_done_by_a_role_without_keys_and_never_twice_at_once(name: str) -> None:
    workflow, text = read(name), WORKFLOWS[name].read_text()
    assert "secrets." not in text
    assert not re.search(r"access-key|AWS_ACCESS_KEY|AWS_SECRET|AKIA", text)
    assert workflow["concurrency"] == {"group": "eks-${{ vars.EKS_CLUSTER }}", "cancel-in-progress": False}
    assert set(workflow["on"]) == {"schedule", "workflow_dispatch"}
    for job in workflow["jobs"].values():
        assert job["environment"] == "eks-e2e"
        taken = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("aws-actions/")]
        assert [one["role-to-assume"] for one in taken] == ["${{ vars.EKS_ROLE }}"]
        assert taken[0]["allowed-account-ids"] == "${{ vars.EKS_ACCOUNT }}"


def test_behind_the_nightly_run_a_job_of_its_own_sweeps_what_is_past_its_time_whatever_became_of_it() -> None:
    suite, teardown = read("nightly-eks.yml")["jobs"].values()
    assert teardown["needs"] == "suite"
    assert teardown["if"].startswith("always()")
    assert teardown["steps"][-1]["run"] == 'make harness FLAGS="sweep --target eks --yes"'
    kept = suite["steps"][-1]
    assert kept["if"] == "always()"
    assert kept["uses"].startswith("actions/upload-artifact@")


def test_what_a_nightly_run_that_hung_has_left_is_past_its_time_when_its_teardown_begins() -> None:
    nightly = read("nightly-eks.yml")
    suite = nightly["jobs"]["suite"]
    hours = float(nightly["env"]["HARNESS_EKS__MAX_LIFETIME"])
    # The run begins when the machine is set up, and takes or renews its environment at the latest when it ends itself.
    setting_up = timedelta(minutes=10)
    taken = setting_up + timedelta(hours=hours)
    left_behind = datetime.fromisoformat(expiry(hours)) - datetime.now(UTC)
    assert taken + left_behind < timedelta(minutes=suite["timeout-minutes"])
    role = next(step["with"] for step in suite["steps"] if step.get("uses", "").startswith("aws-actions/"))
    assert role["role-duration-seconds"] > 60 * suite["timeout-minutes"], "or a run that lasts cannot take itself down"


def test_the_sweep_that_what_is_left_of_a_cancelled_night_waits_for_comes_four_times_a_day() -> None:
    nightly, sweep = read("nightly-eks.yml"), read("sweep.yml")
    (at,) = sweep["on"]["schedule"]
    hours = [int(hour) for hour in at["cron"].split()[1].split(",")]
    apart = [later - earlier for earlier, later in pairwise([*hours, hours[0] + 24])]
    assert apart == [6] * 4
    assert [step["run"] for step in steps(sweep) if "run" in step] == [nightly["jobs"]["teardown"]["steps"][-1]["run"]]


def test_the_sweep_reaches_what_the_nightly_run_writes_to() -> None:
    nightly, sweep = read("nightly-eks.yml")["env"], read("sweep.yml")["env"]
    assert sweep.items() <= nightly.items()
    assert nightly.keys() - sweep.keys() == {"HARNESS_EKS__REGISTRY", "HARNESS_EKS__MAX_LIFETIME"}


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov"])
@pytest.mark.parametrize("name", ON_AWS)
def test_the_variables_of_the_repository_become_the_settings_that_allow_a_run(
    name: str, partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        **({} if partition == "aws" else {"EKS_PARTITION": partition}),
        "EKS_ACCOUNT": "111122223333",
        "EKS_REGION": "eu-central-1",
        "EKS_CLUSTER": "mlops",
        "EKS_BUCKET": "team-dvc",
    }
    for variable, text in read(name)["env"].items():
        assert variable.startswith("HARNESS_"), "the harness names it if it knows it not"
        monkeypatch.setenv(
            variable, re.sub(r"\$\{\{ vars\.(\w+)(?: \|\| '(\w+)')? \}\}", lambda f: told.get(f[1], f[2]), text)
        )
    eks = settings_from({"target": "eks", "eks_consent": True}).eks
    assert (eks.cluster, eks.region, eks.bucket, eks.prefix) == ("mlops", "eu-central-1", "team-dvc", "nightly")
    assert eks.accounts == ("111122223333",)
    assert eks.clusters == (f"arn:{partition}:eks:eu-central-1:111122223333:cluster/mlops",)


def test_nothing_runs_a_red_test_again() -> None:
    again = re.compile(r"reruns|pytest-(?:rerunfailures|retry)|flaky", re.IGNORECASE)
    for path in (*WORKFLOWS.values(), *(CHECKOUT / "requirements").iterdir(), CHECKOUT / "tox.ini"):
        assert not again.search(path.read_text()), path


@pytest.mark.parametrize(("job", "command"), [("test", "make test"), ("e2e", "make e2e")])
def test_a_change_is_checked_by_the_two_commands_of_the_readme(job: str, command: str) -> None:
    assert read("ci.yml")["jobs"][job]["steps"][-2]["run"] == command
    assert re.search(rf"^{command} ", (CHECKOUT / "README.md").read_text(), re.MULTILINE)


def test_what_ci_keeps_between_runs_goes_by_the_locks_that_it_was_made_from() -> None:
    for step in steps(read("ci.yml")):
        if step.get("uses", "").startswith("actions/cache@"):
            patterns = re.findall(r"'([^']+)'", step["with"]["key"])
            assert "requirements/*.txt" in patterns
            assert all(list(CHECKOUT.glob(pattern)) for pattern in patterns)


def test_every_lock_file_is_audited() -> None:
    found = subprocess.run(
        ["/usr/bin/env", "git", "grep", "-lF", "-e", "--hash=sha256:", "--", "*.txt"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    compiled = re.findall(r"--output-file (\S+)", (CHECKOUT / "scripts" / "compile-locks").read_text())
    names = [name.replace("$images", "harness/supply/images").strip('"') for name in compiled if "$name" not in name]
    assert names
    assert set(names) <= set(found)
    assert {"requirements/engine.txt", "requirements/audit.txt"} <= set(found)


def test_every_go_program_that_is_built_is_audited() -> None:
    built = (CHECKOUT / "harness/supply/images/go-tools/Dockerfile").read_text()
    audited = (CHECKOUT / "scripts" / "audit").read_text()
    programs = {words.split()[-1] for words in re.findall(r"go build -o [^&\n]*", built.replace("\\\n", " "))}
    assert len(programs) == 7
    assert programs <= set(audited.split())


def test_every_go_module_is_audited() -> None:
    listed = ["/usr/bin/env", "git", "ls-files", "*go.mod"]
    found = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    audited = (CHECKOUT / "scripts" / "audit").read_text()
    assert set(re.findall(r"^in_module (\S+)", audited, re.MULTILINE)) == {str(Path(name).parent) for name in found}
    # Those of the fault tests and of lint name the programs that are built of them.
    for module in ("tests/faults/toxiproxy", "tests/lint"):
        tools = re.search(
            r"^tool (?:\((.*?)\)|(\S+))", (CHECKOUT / module / "go.mod").read_text(), re.DOTALL | re.MULTILINE
        )
        assert tools is not None
        assert set((tools[1] or tools[2]).split()) <= set(audited.split())
