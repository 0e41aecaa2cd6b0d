"""The pytest plug-in: options, fixtures, and the report. Nothing starts on `--collect-only`, `--help` or import.

A test that needs the environment asks for the fixture `prover` (or `environment`); the first to do so brings it up,
and the end of the session takes it down, whatever happened.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ExitCode, HarnessError, LifetimeOver
from harness.options import OPTIONS, settings_from
from harness.settings import Settings

if TYPE_CHECKING:
    from harness.environment import Environment
    from harness.proof import Prover
    from harness.session import Session

_STDERR = "harness-stderr"
_SESSION = pytest.StashKey["Session"]()
_RECORD = pytest.StashKey["Callable[[str, object], None]"]()
_JUDGED = pytest.StashKey[int]()
_CODE = pytest.StashKey[ExitCode]()
# pytest-kind's, which comes with the harness: its plug-in takes them, and nothing here reads them (pytest-kind 22.11.1,
# pytest_kind/plugin.py, `pytest_addoption`). The cluster's name is never unset there.
_UNNAMED = "pytest-kind"
_OF_PYTEST_KIND = {
    "--cluster-name": "give --cluster NAME",
    "--keep-cluster": "give --keep always, or --keep on-failure",
    "--kubeconfig": "leave it out: the harness makes a cluster and a kubeconfig of its own",
}
# Why a test fails whose run's verdict is not as declared.
_UNDECLARED = pytest.StashKey[str]()


class _Stderr:
    """The standard error of the process, taken before pytest captures it.

    Phases are for the person who waits: they must be seen while the tests run, captured or not.
    """

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)

    def pytest_unconfigure(self) -> None:
        """Close it: a program may run pytest more than once."""
        self.stream.close()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """The settings of the harness as options; each has an environment variable `HARNESS_...` of the same meaning."""
    pluginmanager.register(_Stderr(), _STDERR)
    group = parser.getgroup("harness", "airflow-dvc-harness: a real cluster, from nothing to a verdict")
    for option in OPTIONS:
        how: dict[str, Any] = {"metavar": option.metavar, "type": option.kind} if option.metavar else {}
        if issubclass(option.kind, StrEnum):
            how = {"choices": [str(choice) for choice in option.kind]}
        if option.kind is bool:
            how = {"action": "store_true", "default": None}
        group.addoption(option.flag, help=option.help, **how, **({"action": "append"} if option.many else {}))


def _refuse_options_of_pytest_kind(config: pytest.Config) -> None:
    """End the session if an option was given that looks like one of ours, and would be passed over in silence."""
    for flag, instead in _OF_PYTEST_KIND.items():
        if config.getoption(flag, default=None) not in {None, False, _UNNAMED}:
            pytest.exit(
                f"harness: {flag} is an option of pytest-kind, which the harness does not read\n  next: {instead}",
                returncode=int(ExitCode.USAGE),
            )


def _settings(config: pytest.Config) -> Settings:
    return settings_from({option.name: config.getoption(option.flag) for option in OPTIONS})


@pytest.fixture(scope="session")
def harness_settings(pytestconfig: pytest.Config) -> Settings:
    """The settings of this session; override it to fix some for a suite."""
    return _settings(pytestconfig)


@pytest.fixture(scope="session")
def harness_session(
    pytestconfig: pytest.Config,
    harness_settings: Settings,
    record_testsuite_property: Callable[[str, object], None],
) -> Iterator[Session]:
    """The whole environment, up; taken down at the end of the session."""
    _refuse_options_of_pytest_kind(pytestconfig)
    from harness.report.console import ReportConsole  # noqa: PLC0415 - a test run without a cluster loads none of this
    from harness.session import Session  # noqa: PLC0415 - likewise
    from harness.signals import interrupted_once  # noqa: PLC0415 - likewise

    stderr = pytestconfig.pluginmanager.get_plugin(_STDERR)
    if not isinstance(stderr, _Stderr):
        raise pytest.UsageError("the harness plug-in was loaded in part; do not unregister parts of it")
    # Plain lines, also on a terminal: a live display and pytest's own would overwrite each other.
    console = ReportConsole(file=stderr.stream, force_terminal=False, soft_wrap=True)
    with ExitStack() as until_down:
        until_down.enter_context(interrupted_once(console))
        session = Session(harness_settings, console)
        until_down.callback(session.down)  # an interrupt may come between any two lines
        pytestconfig.stash[_SESSION] = session
        pytestconfig.stash[_RECORD] = record_testsuite_property
        until_down.enter_context(session.phases())
        console.print()
        try:
            session.environment.up()
            yield session
        except BaseException as error:
            session.error = error
            session.environment.failed = True
            # First, since it decides what the error tells the reader to do next.
            session.down()
            if isinstance(error, HarnessError):
                # The rest of it stands in the report.
                pytest.exit(f"harness: {error.message}", returncode=int(error.exit_code))
            raise
        session.down()


@pytest.fixture(scope="session")
def environment(harness_session: Session) -> Environment:
    """The environment, up."""
    return harness_session.environment


@pytest.fixture(scope="session")
def prover(harness_session: Session) -> Prover:
    """Runs the pipeline and judges it."""
    from harness.proof import Prover  # noqa: PLC0415 - a test run that needs no cluster loads none of this

    return Prover(harness_session.environment)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that something failed (`--keep on-failure` needs to know), and put verdicts beside their test."""
    session = item.config.stash.get(_SESSION, None)
    if session is not None:
        _note_verdicts(item, session)
    report = yield
    undeclared = item.stash.get(_UNDECLARED, "")
    if undeclared and call.when == "call" and report.passed:
        # A test may look at something else, or forget to look: the verdict counts all the same.
        report.outcome = "failed"
        report.longrepr = undeclared
    if session is not None and report.failed:
        session.environment.failed = True
        error = call.excinfo.value if call.excinfo is not None else None
        if isinstance(error, HarnessError):
            session.error = session.error or error
    return report


def _note_verdicts(item: pytest.Item, session: Session) -> None:
    """Give a test the verdicts that came since the last one; JUnit shows them as the test's properties."""
    from harness.report.junit import verdict_properties  # noqa: PLC0415 - a run without a cluster loads none of this
    from harness.report.protocols import as_declared  # noqa: PLC0415 - likewise

    verdicts, judged = session.environment.verdicts, item.config.stash.get(_JUDGED, 0)
    for verdict in verdicts[judged:]:
        item.user_properties += verdict_properties(verdict, redactor=session.environment.redactor)
        if not as_declared(verdict):
            found = ", ".join(check.id for check in verdict.checks if not check.passed)
            what = "a run that was declared red is green" if verdict.green else f"the verdict is red ({found})"
            if verdict.red_expected and not verdict.green:
                what += f", where {verdict.must_fail} was declared"
            item.stash[_UNDECLARED] = f"{what}; declare a run that must be red with prove(expect_red=CHECK)"
    item.config.stash[_JUDGED] = len(verdicts)


# The innermost wrapper: its first half runs before pytest writes its JUnit file, its second half after what an
# interrupt left standing is torn down, and before the terminal's summary.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Put the run's facts into the JUnit file, and tell an environment that failed from a verdict that is red."""
    harness = session.config.stash.get(_SESSION, None)
    if harness is None:
        return (yield)
    from harness.report.junit import properties  # noqa: PLC0415 - a run without a cluster loads none of this

    # Before the exit code is settled: evidence that cannot be written is what the run ended with.
    report = harness.report(code=harness.write(code=_exit_code(harness, exitstatus)))
    for name, value in properties(report, redactor=harness.environment.redactor):
        session.config.stash[_RECORD](name, value)
    yield
    # Again, for what an interrupt left to take down.
    code = harness.write(code=_exit_code(harness, exitstatus))
    if code is not None:
        session.exitstatus = int(code)
        session.config.stash[_CODE] = code
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR and isinstance(terminal, pytest.TerminalReporter):
        # The number is ours too, for an environment that did not come up; pytest calls no summary for it
        # (pytest 9, TerminalReporter.pytest_sessionfinish).
        _conclude(harness, terminal)


def _exit_code(harness: Session, exitstatus: int) -> ExitCode | None:
    """How the run ended; None where pytest has a code of its own for it."""
    if harness.outlived:
        return LifetimeOver.exit_code  # pytest takes it for an interrupt
    if exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        if harness.error is not None or exitstatus == pytest.ExitCode.OK:
            return harness.exit_code
        return ExitCode.VERDICT_RED if harness.verdicts else ExitCode.ENVIRONMENT_FAILED
    return ExitCode(int(exitstatus)) if int(exitstatus) in set(ExitCode) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The report: verdict, stand-ins, timeline, evidence."""
    session = config.stash.get(_SESSION, None)
    if session is not None:
        _conclude(session, terminalreporter)


def _conclude(session: Session, terminal: pytest.TerminalReporter) -> None:
    # A test run without a cluster loads none of this.
    from harness.report.console import LOG_COLUMNS, ReportConsole  # noqa: PLC0415

    terminal.section("harness")
    text = io.StringIO()
    # Through pytest's own writer, so that the lines stand where pytest's do; wide enough for the table in any log.
    console = ReportConsole(file=text, width=max(shutil.get_terminal_size().columns, LOG_COLUMNS))
    # Not the hooks' own `exitstatus`: that is pytest's, from before `pytest_sessionfinish`.
    session.tell(console, code=terminal.config.stash.get(_CODE, None))
    terminal.write(text.getvalue())
