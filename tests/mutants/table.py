"""The mutants: in each, the pipeline does one thing wrong, and one check must say so. A row is a program in a pod.

`also` holds what else fails: the same fact seen from another side, such as the clean clone that cannot be had without
the object. Every row is played by a DAG run of its own on a fresh repository and prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.mutations.table import Mutation, Program, Row


def _by_the_pipeline(_play: object) -> None:
    """What a row of the other table does itself is done here by a DAG run."""


@dataclass(frozen=True, kw_only=True)
class Mutant(Mutation):
    """A pipeline in which one thing is wrong."""

    act: Program = _by_the_pipeline

    @property
    def program(self) -> str:
        """Name of its program's file."""
        return self.name.replace("-", "_")


CONTROL: Final = Row(name="plain", act=_by_the_pipeline)
_ROWS: Final = (
    Mutant(
        name="skip-dvc-push",
        killed_by="object.present",
        says=("names md5", "but no object is at", "dvc push did not happen"),
        also=("clone.reproduces",),
    ),
    # From outside the same as no upload at all: too early, `dvc push` finds everything uploaded and sends nothing.
    Mutant(
        name="push-before-add",
        killed_by="object.present",
        says=("names md5", "but no object is at", "dvc push did not happen"),
        also=("clone.reproduces",),
    ),
    # The object that no pointer names tells this one from a run that has made nothing.
    Mutant(
        name="commit-without-push",
        killed_by="commit.on-branch",
        says=("the run left no commit on main", "git push did not happen"),
        also=("object.no-strays",),
    ),
    Mutant(
        name="swallow-an-error",
        killed_by="commit.on-branch",
        says=("the run left no commit on main", "nothing was committed"),
    ),
    Mutant(
        name="write-to-another-branch",
        killed_by="commit.on-branch",
        says=("the run's commit is only on branch main-data, not on main", "git push went elsewhere"),
        also=("history.other-refs", "object.no-strays"),
    ),
    Mutant(
        name="run-twice",
        killed_by="commit.count",
        says=("the run made 2 commits on main where 1 is the rule",),
        also=("rows.appended",),
    ),
    Mutant(
        name="leak-the-token",
        killed_by="logs.no-secrets",
        says=("the log of task pull_data (pod dvc-pull-", "container base, line"),
    ),
    Mutant(
        name="git-before-dvc",
        killed_by="object.before-commit",
        says=("the commit was published before its data", "was stored at", "after the push of"),
    ),
    Mutant(
        name="token-in-the-commit",
        killed_by="commit.no-secrets",
        says=("it stands in the message, author or committer, commit ",),
    ),
    Mutant(
        name="call-outside",
        killed_by="traffic.none-outside",
        says=("task modify_data called ", ":443 (tcp, pod dvc-modify-"),
    ),
)
MUTANTS: Final[dict[str, Mutant]] = {row.name: row for row in _ROWS}
