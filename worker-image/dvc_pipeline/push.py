"""`dvc-pipeline push`: the object first, then the commit that points to it.

The order decides what a failure can leave behind: at worst an object that no commit names, never a commit whose object
is missing. A retry asks the remote branch how far the earlier try came: the commit carries the run's id.
"""

from __future__ import annotations

import logging
from pathlib import Path

from dvc_pipeline.config import Config
from dvc_pipeline.errors import PipelineError
from dvc_pipeline.pointer import read_pointer
from dvc_pipeline.programs import Programs
from dvc_pipeline.workspace import Pulled, Workspace, fingerprint

_log = logging.getLogger(__name__)

RUN_TRAILER = "Airflow-Run"
MD5_TRAILER = "Data-MD5"
_TRIES = 5


def commit_message(config: Config, md5: str) -> str:
    """Subject and trailers; the run's id in it is how a retry knows its own commit."""
    return f"Data version: {config.data_file}\n\n{RUN_TRAILER}: {config.run_id}\n{MD5_TRAILER}: {md5}\n"


def push(config: Config, workspace: Workspace, programs: Programs) -> None:
    """Version the data file, then remove the run's folder.

    Raises:
        PipelineError: A program failed, another run versioned the file first, or the branch kept moving. The run's
            folder is left as it is, for a retry and for the reader.
    """
    with workspace.held():
        pulled = workspace.recall()
        if pulled is None:
            _confirm_earlier_success(config, workspace, programs)
        else:
            workspace.discard_stale_locks()
            _Push(config, workspace, programs, pulled).run()
        workspace.remove()


class _Push:
    """One try."""

    def __init__(self, config: Config, workspace: Workspace, programs: Programs, pulled: Pulled) -> None:
        self._config = config
        self._repository = workspace.repository
        self._programs = programs
        self._pulled = pulled

    def run(self) -> None:
        config, base = self._config, self._pulled.base
        if commit := self._pushed_before(self._fetch()):
            _log.info("an earlier try pushed %s already", commit)
            return
        self._git("reset", "--quiet", "--mixed", base)  # an earlier try may have committed
        md5, size = fingerprint(self._repository / config.data_file)
        if md5 == self._pulled.md5:
            _log.info("%s has not changed: nothing to version, no commit", config.data_file)
            return
        self._programs.dvc("add", str(config.data_file), cwd=self._repository)
        pointed = read_pointer(self._repository / config.pointer)
        if pointed.md5 != md5:
            raise PipelineError(f"dvc add wrote md5 {pointed.md5} for a file of md5 {md5}: something else writes to it")
        self._programs.dvc("push", str(config.pointer), cwd=self._repository)
        _log.info("pushed the object of %s: md5 %s, %d bytes", config.data_file, md5, size)
        self._publish(md5)

    def _publish(self, md5: str) -> None:
        """Commit on the branch's tip, again on its new tip each time someone else was faster."""
        config = self._config
        paths = self._changed_paths()
        tip = self._fetch()
        for _ in range(_TRIES):
            self._refuse_rivals(tip, paths)
            # Our commit is "the tip with our pointer": the index takes the tip's tree, the working tree keeps ours.
            self._git("reset", "--quiet", "--mixed", tip)
            self._git("add", "--", *paths)
            self._git(*self._identity(), "commit", "--quiet", "--message", commit_message(config, md5))
            commit = self._git("rev-parse", "HEAD").strip()
            try:
                self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{config.branch}")
            except PipelineError:
                # Refused, or done without our hearing of it: the branch itself knows.
                moved_to = self._fetch()
                if self._pushed_before(moved_to):
                    break
                if moved_to == tip:
                    raise
                _log.info("branch %s moved from %s to %s meanwhile: trying again on top", config.branch, tip, moved_to)
                tip = moved_to
            else:
                break
        else:
            raise PipelineError(f"branch {config.branch} moved {_TRIES} times while this run tried to push: try again")
        _log.info("pushed commit %s to %s", commit, config.branch)

    def _changed_paths(self) -> list[str]:
        """The pointer, and the .gitignore beside it if `dvc add` wrote to it."""
        paths = [str(self._config.pointer)]
        ignore = str(self._config.data_file.with_name(".gitignore"))
        if self._git("status", "--porcelain", "--", ignore).strip():
            paths.append(ignore)
        return paths

    def _refuse_rivals(self, tip: str, paths: list[str]) -> None:
        same = ("diff", "--quiet", self._pulled.base, tip, "--", *paths)
        if not self._programs.git_says(*same, cwd=self._repository):
            raise PipelineError(
                f"another run versioned {self._config.data_file} first (branch {self._config.branch} is at {tip}): "
                "its rows are not in this run's file; re-run the DAG"
            )

    def _fetch(self) -> str:
        self._git("fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{self._config.branch}:refs/pipeline/tip")
        return self._git("rev-parse", "refs/pipeline/tip").strip()

    def _pushed_before(self, tip: str) -> str | None:
        return _commit_of_run(self._config, self._programs, self._repository, f"{self._pulled.base}..{tip}")

    def _identity(self) -> tuple[str, ...]:
        return ("-c", f"user.name={self._config.author_name}", "-c", f"user.email={self._config.author_email}")

    def _git(self, *arguments: str) -> str:
        return self._programs.git(*arguments, cwd=self._repository)


def _confirm_earlier_success(config: Config, workspace: Workspace, programs: Programs) -> None:
    """The run's folder is empty: right if an earlier try had finished, before Airflow could learn of it."""
    if config.rows == 0:
        _log.info("nothing is left to do: this run changes nothing")
        return
    workspace.start_over()
    clone = ("clone", "--quiet", "--bare", "--single-branch", "--no-tags", "--branch", config.branch)
    programs.git(*clone, "--", config.repository, str(workspace.repository), cwd=workspace.folder)
    commit = _commit_of_run(config, programs, workspace.repository, config.branch)
    workspace.start_over()
    if commit is None:
        raise PipelineError(f"nothing was pulled into {workspace.folder}: clear pull_data to start this run over")
    _log.info("an earlier try pushed %s already and cleaned up", commit)


def _commit_of_run(config: Config, programs: Programs, repository: Path, revisions: str) -> str | None:
    """The newest commit among the revisions that carries this run's id, or None."""
    form = f"--format=%H %(trailers:key={RUN_TRAILER},valueonly,separator=%x00)"
    for line in programs.git("log", form, revisions, "--", str(config.pointer), cwd=repository).splitlines():
        commit, _, run_ids = line.partition(" ")
        if config.run_id.strip() in run_ids.split("\0"):
            return commit
    return None
