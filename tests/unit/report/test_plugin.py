"""The pytest plug-in with an environment that is not there: exit codes, the report, and the JUnit file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from harness import session as sessions
from harness.errors import CleanupFailed, EnvironmentFailed, ExitCode, HarnessError
from harness.redaction import Redactor
from harness.timeline import Timeline

pytest_plugins = ["pytester"]

SECRET = "correct-horse-battery"
Run = Callable[..., tuple[pytest.RunResult, ET.Element]]


class FakeEnvironment:
    """What a session needs of an environment; it comes up with or without an error, and judges nothing itself."""

    fails: BaseException | None = None
    stays: HarnessError | None = None
    lasts: float | None = None

    def __init__(self, settings: object, *, timeline: Timeline, status: Callable[[str], None]) -> None:
        self.settings = self.given = settings
        self.timeline = timeline
        self.run_id = "r-1"
        self.evidence = Path("evidence")
        self.redactor = Redactor()
        self.redactor.learn(SECRET)
        self.usual = SimpleNamespace(of=lambda _name: None)
        self.failed = False
        self.verdicts: list[object] = []
        self.supply_note = f"packages (because {SECRET} says so)"
        self.cache_bytes: int | None = 12_300_000_000
        self.stand_ins = ()
        self.cluster_name = "h-1"
        self.ready = self.cluster = self.toolchain = None
        self.keeps_cluster = False
        self.object_store = "localstack"
        self.target_flags = ""
        self.max_lifetime = self.lasts
        self.outlived = False

    def up(self) -> None:
        with self.timeline.phase("kind cluster"):
            if self.fails is not None:
                raise self.fails

    def down(self) -> None:
        with self.timeline.phase("removing the cluster"):
            if self.stays is not None:
                raise self.stays


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs tests in a pytest of their own, in this process."""
    monkeypatch.setenv("HARNESS_STATE_DIR", str(pytester.path / "state"))
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(pytester.path / "cache"))
    monkeypatch.setattr(sessions, "Environment", FakeEnvironment)
    monkeypatch.setattr(sessions, "explain", lambda _environment, _error: ())
    # The inner pytest loads the plug-in by name where no entry point brings it.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def made(
        tests: str, *, fails: BaseException | None = None, stays: HarnessError | None = None
    ) -> tuple[pytest.RunResult, ET.Element]:
        monkeypatch.setattr(FakeEnvironment, "fails", fails)
        monkeypatch.setattr(FakeEnvironment, "stays", stays)
        pytester.makepyfile(tests)
        result = pytester.runpytest_inprocess("-p", "harness.plugin", "--junit-xml=junit.xml", no_reraise_ctrlc=True)
        return result, ET.parse(pytester.path / "junit.xml").getroot()  # noqa: S314 - our own file

    return made


def of_suite(root: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in root.iterfind("testsuite/properties/property")}


def of_test(root: ET.Element, name: str) -> list[tuple[str, str]]:
    found = root.iterfind(f"testsuite/testcase[@name='{name}']/properties/property")
    return [(one.attrib["name"], one.attrib["value"]) for one in found]


JUDGING = """
from types import SimpleNamespace as Some

from harness.model import Diagnosis

CAUSE = Diagnosis("DNS", "a name cannot be resolved", "task pull_data", "see CoreDNS")

def check(id, passed):
    outcome = "passed" if passed else "failed"
    asked = dict(outcome=outcome, passed=passed, evaluated=True, counts=True)
    return Some(id=id, title=id, expected="1", found="2", explanation="", **asked)

GREEN = Some(green=True, red_expected=False, must_fail="", diagnoses=[], checks=[check("object.present", True)])
RED = Some(
    green=False, red_expected=False, must_fail="", diagnoses=[CAUSE],
    checks=[check("object.present", True), check("commit.one", False)],
)
DECLARED = Some(green=False, red_expected=True, must_fail="commit.one", diagnoses=[], checks=RED.checks)
BY_ANOTHER = Some(
    green=False, red_expected=True, must_fail="object.present", diagnoses=[], checks=RED.checks
)
UNBROKEN = Some(green=True, red_expected=True, must_fail="", diagnoses=[], checks=GREEN.checks)

def test_first(environment):
    environment.verdicts.append({first})

def test_second(environment):
    environment.verdicts.append({second})

def test_without(environment):
    assert {holds}
"""


def judging(*, first: str = "GREEN", second: str = "DECLARED", holds: bool = True) -> str:
    return JUDGING.format(first=first, second=second, holds=holds)


SETUP = (
    JUDGING.split("def test_first", maxsplit=1)[0]
    + """
import pytest

@pytest.fixture
def run(environment):
    environment.verdicts.append(RED)

def test_it(run):
    pass
"""
)
TEARDOWN = SETUP.replace("    environment.verdicts", "    yield\n    environment.verdicts")
XFAIL = SETUP.replace("def test_it(run):\n    pass", "@pytest.mark.xfail\ndef test_it(run):\n    assert False")


def test_a_green_run_has_its_facts_verdict_and_phases_in_the_junit_file(run: Run) -> None:
    result, root = run(judging())
    found = of_suite(root)
    assert int(result.ret) == 0
    assert (found["harness.run"], found["harness.outcome"], found["harness.exit-code"]) == ("r-1", "GREEN", "0")
    assert (found["harness.verdict"], found["harness.check.object.present"]) == ("green", "pass")
    assert float(found["harness.phase.kind-cluster"]) >= 0
    assert "harness.phase.removing-the-cluster" in found, "what is recorded is the whole run"
    assert int(found["harness.memory"]) > 0


def test_each_test_has_its_own_verdict_in_the_junit_file(run: Run) -> None:
    _result, root = run(judging())
    assert of_test(root, "test_first") == [("harness.verdict", "green")]
    assert of_test(root, "test_second") == [
        ("harness.verdict", "red"), ("harness.red-expected", "true"), ("harness.failed-check", "commit.one"),
    ]  # fmt: skip
    assert of_test(root, "test_without") == []


def test_a_test_whose_runs_task_failed_has_the_cause_in_the_junit_file(run: Run) -> None:
    _result, root = run(judging(first="RED"))
    found = dict(of_test(root, "test_first"))
    assert found["harness.diagnosis-code"] == "DNS"
    assert found["harness.diagnosis"] == "DNS: a name cannot be resolved | task pull_data | see CoreDNS"


def test_no_secret_is_in_the_junit_file(run: Run, pytester: pytest.Pytester) -> None:
    run(judging())
    assert SECRET not in (pytester.path / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("tests", "fails", "code", "word"),
    [
        (judging(), None, 0, "GREEN"),
        (judging(first="RED", holds=False), None, 1, "RED"),
        (judging(first="RED"), None, 1, "RED"),
        (judging(second="RED"), None, 1, "RED"),
        (judging(second="UNBROKEN"), None, 1, "RED"),
        (judging(second="BY_ANOTHER"), None, 1, "RED"),
        (judging(holds=False), None, 1, "RED"),
        (SETUP, None, 1, "RED"),
        (TEARDOWN, None, 1, "RED"),
        (XFAIL, None, 1, "RED"),
        ("def test_it(environment): raise KeyboardInterrupt", None, 2, "INTERRUPTED"),
        (
            "def test_it(environment): pass",
            EnvironmentFailed("no disk", next_step="free some"),
            3,
            "ENVIRONMENT FAILED",
        ),
        ("def test_it(environment): assert False", None, 3, "ENVIRONMENT FAILED"),
        ("def test_it(environment): pass", None, 5, "NOTHING PROVEN"),
    ],
    ids=[
        "green",
        "red",
        "a red verdict that no test looks at",
        "a later one",
        "declared red, but green",
        "declared red by another check",
        "a test beside the verdicts",
        "a red verdict of a fixture",
        "of a fixture's end",
        "an expected failure",
        "interrupted",
        "not up",
        "failed before a verdict",
        "nothing proven",
    ],
)
def test_exit_code_last_line_and_junit_file_say_the_same(
    run: Run, pytester: pytest.Pytester, tests: str, fails: HarnessError | None, code: int, word: str
) -> None:
    result, root = run(tests, fails=fails)
    lines = [line for line in result.outlines if line.startswith(f"{word} ") and "evidence in" in line]
    assert int(result.ret) == code
    assert len(lines) == 1, "the report stands there once"
    assert (pytester.path / "evidence" / "report.html").is_file()
    assert of_suite(root)["harness.outcome"] == word


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        (judging(second="RED"), "the verdict is red (commit.one)"),
        (judging(second="UNBROKEN"), "a run that was declared red is green"),
        (judging(second="BY_ANOTHER"), "the verdict is red (commit.one), where object.present was declared"),
        (SETUP, "the verdict is red (commit.one)"),
    ],
    ids=["in the test", "declared red, but green", "declared red by another check", "in a fixture"],
)
def test_a_test_whose_verdict_is_not_as_declared_fails_in_pytests_own_words_too(run: Run, tests: str, why: str) -> None:
    result, root = run(tests)
    result.assert_outcomes(passed=0 if tests is SETUP else 2, failed=1)
    result.stdout.fnmatch_lines([f"{why}; declare a run that must be red with prove(expect_red=CHECK)"])
    assert [case.attrib["name"] for case in root.iter("testcase") if case.find("failure") is not None] == [
        "test_it" if tests is SETUP else "test_second"
    ]


def test_a_later_red_verdict_is_the_one_in_the_report_and_the_junit_file(run: Run) -> None:
    result, root = run(judging(second="RED"))
    result.stdout.fnmatch_lines(
        [
            "run 2 is red, not declared: commit.one (verdict-2.json)",
            "commit.one *FAIL*",
            "run 1 is green, 1 checks passed (verdict.json)",
            "RED (1 of 2 checks of run 2 failed) in *",
        ]
    )
    found = of_suite(root)
    assert (found["harness.verdict"], found["harness.check.commit.one"]) == ("red", "fail")
    assert found["harness.further-verdict"] == "run 1 is green, 1 checks passed (verdict.json)"


def test_a_cluster_that_is_kept_on_failure_stays_after_a_verdict_that_no_test_looks_at(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    down = FakeEnvironment.down

    def noted(environment: FakeEnvironment) -> None:
        seen.append(environment.failed)
        down(environment)

    monkeypatch.setattr(FakeEnvironment, "down", noted)
    run(XFAIL)
    run(judging())
    assert seen == [True, False]


def test_an_error_of_the_environment_in_a_test_is_the_environments_failure(run: Run) -> None:
    tests = """
from harness.errors import EnvironmentFailed

def test_it(environment):
    raise EnvironmentFailed("the pod is gone", next_step="look")
"""
    result, root = run(tests)
    assert int(result.ret) == 3
    assert of_suite(root)["harness.exit-code"] == "3"
    result.stdout.fnmatch_lines(["*the pod is gone", "  next: look"])


NOT_JUDGED = """

def test_not_judged(environment):
    from harness.errors import EnvironmentFailed

    raise EnvironmentFailed("the run cannot be judged", next_step="run again")
"""


def test_a_red_verdict_is_not_hidden_by_a_run_that_could_not_be_judged(run: Run) -> None:
    result, root = run(judging(first="RED") + NOT_JUDGED)
    assert int(result.ret) == 1
    found = of_suite(root)
    assert (found["harness.exit-code"], found["harness.outcome"], found["harness.verdict"]) == ("1", "RED", "red")
    result.stdout.fnmatch_lines(
        ["commit.one *FAIL*", "*the run cannot be judged", "  next: run again", "RED (1 of 2 checks of run 1 failed) *"]
    )


@pytest.mark.parametrize("first", ["GREEN", "DECLARED"])
def test_a_run_that_could_not_be_judged_beside_verdicts_as_declared_says_nothing_of_the_dag(
    run: Run, first: str
) -> None:
    result, _root = run(judging(first=first) + NOT_JUDGED)
    assert int(result.ret) == 3


@pytest.mark.parametrize("more", ["", NOT_JUDGED], ids=["red", "red, and one that could not be judged"])
def test_what_could_not_be_removed_is_the_exit_code_of_a_red_run_too(run: Run, more: str) -> None:
    result, _root = run(judging(first="RED") + more, stays=STAYS)
    assert int(result.ret) == 3
    result.stdout.fnmatch_lines(["*network kind-h-1 is still there*"])


STAYS = CleanupFailed("network kind-h-1 is still there", next_step="harness sweep")


@pytest.mark.parametrize(
    ("tests", "fails"),
    [
        ("def test_it(environment): raise KeyboardInterrupt", None),
        ("def test_it(environment): pass", KeyboardInterrupt()),
    ],
    ids=["in a test", "while it comes up"],
)
def test_what_could_not_be_removed_is_named_after_an_interrupt_too(
    run: Run, tests: str, fails: BaseException | None
) -> None:
    result, _root = run(tests, fails=fails, stays=STAYS)
    assert int(result.ret) == 2
    result.stdout.fnmatch_lines(["network kind-h-1 is still there", "  next: harness sweep"])


def test_a_run_that_outlives_its_time_is_a_failed_environment_and_no_interrupt(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEnvironment, "lasts", 0.2 / 3600)
    result, root = run("def test_it(environment): __import__('threading').Event().wait(20)")
    assert int(result.ret) == 3
    assert of_suite(root)["harness.exit-code"] == "3"
    # By the setting of its target: here of kind, where only the stand-in has such a limit.
    result.stdout.fnmatch_lines(["*the run has lasted the * h that it may (kind.max_lifetime), and was ended*"])


def test_what_could_not_be_removed_fails_a_green_run(run: Run) -> None:
    result, _root = run(judging(), stays=STAYS)
    assert int(result.ret) == 3
    result.stdout.fnmatch_lines(["network kind-h-1 is still there"])


@pytest.mark.parametrize(
    "tests",
    [judging(), judging(first="RED"), judging(first="RED") + NOT_JUDGED],
    ids=["green", "red", "red, and one that could not be judged"],
)
def test_evidence_that_cannot_be_written_is_the_exit_code_of_pytest_too(
    run: Run, pytester: pytest.Pytester, tests: str
) -> None:
    (pytester.path / "evidence").write_text("a file where the folder goes")
    result, root = run(tests)
    assert int(result.ret) == 3
    assert (of_suite(root)["harness.exit-code"], of_suite(root)["harness.outcome"]) == ("3", "ENVIRONMENT FAILED")
    assert [line for line in result.outlines if line.startswith("ENVIRONMENT FAILED ")]
    result.stdout.fnmatch_lines(["*the evidence could not be written into evidence: *"])


def test_an_interrupt_is_an_interrupt_though_the_evidence_cannot_be_written(
    run: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "evidence").write_text("a file where the folder goes")
    result, _root = run("def test_it(environment): raise KeyboardInterrupt")
    assert int(result.ret) == 2


def test_a_session_that_wants_no_environment_has_no_report_and_no_properties(run: Run) -> None:
    result, root = run("def test_it(): pass")
    assert int(result.ret) == 0
    assert of_suite(root) == {}
    assert not [line for line in result.outlines if "evidence in" in line]


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--cluster-name=x", "next: give --cluster NAME"),
        ("--keep-cluster", "next: give --keep always"),
        ("--kubeconfig=x", "next: leave it out"),
    ],
)
def test_an_option_of_pytest_kind_is_refused_where_it_would_be_passed_over(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, instead: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(sessions, "Environment", FakeEnvironment)
    pytester.makepyfile("def test_it(prover): pass")
    plugins = ("-p", "harness.plugin", "-p", "pytest_kind.plugin")
    result = pytester.runpytest_inprocess(*plugins, option, no_reraise_ctrlc=True)
    assert int(result.ret) == ExitCode.USAGE
    result.stdout.fnmatch_lines([f"*{option.partition('=')[0]} is an option of pytest-kind*", f"*{instead}*"])


def test_an_option_of_pytest_kind_is_nobody_s_business_without_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess("-p", "harness.plugin", "-p", "pytest_kind.plugin", "--cluster-name=x")
    assert int(result.ret) == ExitCode.GREEN
