"""The pytest plug-in with an environment that is not there: exit codes, the report, and the JUnit file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from harness import session as sessions
from harness.errors import CleanupFailed, EnvironmentFailed, HarnessError
from harness.redaction import Redactor
from harness.timeline import Timeline

pytest_plugins = ["pytester"]

SECRET = "correct-horse-battery"
Run = Callable[..., tuple[pytest.RunResult, ET.Element]]


class FakeEnvironment:
    """What a session needs of an environment; it comes up with or without an error, and judges nothing itself."""

    fails: BaseException | None = None
    stays: HarnessError | None = None

    def __init__(self, settings: object, *, timeline: Timeline, status: Callable[[str], None]) -> None:
        self.settings = settings
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

def check(id, passed):
    return Some(id=id, title=id, passed=passed, expected="1", found="2", explanation="")

GREEN = Some(green=True, checks=[check("object.present", True)])
RED = Some(green=False, checks=[check("object.present", True), check("commit.one", False)])

def test_first(environment):
    environment.verdicts.append({first})

def test_second(environment):
    environment.verdicts.append(RED)

def test_without(environment):
    assert {holds}
"""


def test_a_green_run_has_its_facts_verdict_and_phases_in_the_junit_file(run: Run) -> None:
    result, root = run(JUDGING.format(first="GREEN", holds=True))
    found = of_suite(root)
    assert int(result.ret) == 0
    assert (found["harness.run"], found["harness.outcome"], found["harness.exit-code"]) == ("r-1", "GREEN", "0")
    assert (found["harness.verdict"], found["harness.check.object.present"]) == ("green", "pass")
    assert float(found["harness.phase.kind-cluster"]) >= 0
    assert "harness.phase.removing-the-cluster" in found, "what is recorded is the whole run"
    assert int(found["harness.memory"]) > 0


def test_each_test_has_its_own_verdict_in_the_junit_file(run: Run) -> None:
    _result, root = run(JUDGING.format(first="GREEN", holds=True))
    assert of_test(root, "test_first") == [("harness.verdict", "green")]
    assert of_test(root, "test_second") == [("harness.verdict", "red"), ("harness.failed-check", "commit.one")]
    assert of_test(root, "test_without") == []


def test_no_secret_is_in_the_junit_file(run: Run, pytester: pytest.Pytester) -> None:
    run(JUDGING.format(first="GREEN", holds=True))
    assert SECRET not in (pytester.path / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("tests", "fails", "code", "word"),
    [
        (JUDGING.format(first="GREEN", holds=True), None, 0, "GREEN"),
        (JUDGING.format(first="RED", holds=False), None, 1, "RED"),
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
    ids=["green", "red", "interrupted", "not up", "failed before a verdict", "nothing proven"],
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


def test_what_could_not_be_removed_fails_a_green_run(run: Run) -> None:
    result, _root = run(JUDGING.format(first="GREEN", holds=True), stays=STAYS)
    assert int(result.ret) == 3
    result.stdout.fnmatch_lines(["network kind-h-1 is still there"])


def test_a_session_that_wants_no_environment_has_no_report_and_no_properties(run: Run) -> None:
    result, root = run("def test_it(): pass")
    assert int(result.ret) == 0
    assert of_suite(root) == {}
    assert not [line for line in result.outlines if "evidence in" in line]
