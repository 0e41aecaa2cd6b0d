"""Makes the fixed repository and a fresh bucket prefix ready for one run.

The seed is what a team's repository holds before the run: the DAG folder under test, one DVC configuration for every
target, the tracked data's pointer, and the data itself in the remote. The repository is replaced on the server's
side, never by force push; each run gets a key prefix of its own, which stands in the seed commit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.errors import UsageError
from harness.gitaccess import git_environment
from harness.model import Seeded
from harness.pipeline.dagfiles import python_files
from harness.pipeline.inputs import DAGS
from harness.pipeline.remoteconfig import point_remote
from harness.process import Runner

# Of a team's own folders: histories (a file in a worktree and a submodule; with one, Git takes no file of that folder,
# but a link to a commit), caches, and what DVC keeps beside its configuration (`config.local` may hold keys).
_NOT_COPIED = frozenset({".git", "__pycache__"})
_DVC_OWN = frozenset({"cache", "tmp", "config.local"})
# Of what cannot be copied, for the reader.
_SHOWN = 3
# Of a pointer. All else says where its data came from, or where it is (`deps`, `wdir`): not so of seeded data, which is
# as `dvc add` leaves it (dvc 3.67.1, `schema.py`: `SINGLE_STAGE_SCHEMA`).
_FOR_PEOPLE = ("desc", "meta")
_IDENTITY = ("-c", "user.name=Harness", "-c", "user.email=harness@example.invalid")


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """What goes into the seed.

    Attributes:
        template: Folder with the repository's files; its DVC remote is pointed at the run's bucket and prefix.
        dags: Folder with the DAGs under test.
        data: The data set.
        tracked_file: Where it stands in the repository.
        bucket: Of the remote.
        prefix: Of this run in the bucket, without a trailing slash.
        branch: The branch to seed.
        trailers: Of the commit, by name: what says of a branch on somebody else's server whose it is.
    """

    template: Path
    dags: Path
    data: Path
    tracked_file: str
    bucket: str
    prefix: str
    branch: str
    trailers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed on disk, ready to be sent.

    Attributes:
        seeded: What the run starts from.
        bundle: Git bundle with the branch.
        objects: Files to put, by their key in the bucket.
    """

    seeded: Seeded
    bundle: Path
    objects: dict[str, Path]


def build_seed(plan: SeedPlan, *, scratch: Path, runner: Runner) -> Seed:
    """Make the seed in an empty folder, from inputs that were checked (`inputs.check_inputs`).

    Raises:
        UsageError: Something cannot be copied, or Git would take none of the DAG files.
    """
    tree = scratch / "repository"
    _copy(plan, tree)
    point_remote(tree, bucket=plan.bucket, prefix=plan.prefix)
    with plan.data.open("rb") as data:
        md5 = hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    _write_pointer(tree / f"{plan.tracked_file}.dvc", md5, plan.data.stat().st_size)
    sha, bundle = _commit(plan, tree, scratch, runner)
    return Seed(
        seeded=Seeded(sha=sha, branch=plan.branch, prefix=plan.prefix, dags_path=DAGS),
        bundle=bundle,
        objects={f"{plan.prefix}/files/md5/{md5[:2]}/{md5[2:]}": plan.data},
    )


def _copy(plan: SeedPlan, tree: Path) -> None:
    """The template with the DAGs under test and no others, and without the data itself."""
    _copytree(plan.template, tree)
    if (tree / DAGS).exists():
        shutil.rmtree(tree / DAGS)
    _copytree(plan.dags, tree / DAGS)
    data = tree / plan.tracked_file
    data.unlink(missing_ok=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    # As `dvc add` does it: Git must not see the file once it is pulled.
    ignore = data.parent / ".gitignore"
    entry = f"/{data.name}"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    if entry not in lines:
        ignore.write_text("\n".join([*lines, entry, ""]), encoding="utf-8")


def _not_copied(folder: str, names: list[str]) -> set[str]:
    return set(names) & (_NOT_COPIED | _DVC_OWN if Path(folder).name == ".dvc" else _NOT_COPIED)


def _copytree(source: Path, target: Path) -> None:
    """Copy a folder, links as what they lead to; those that lead nowhere (an editor's lock) are left out.

    Raises:
        UsageError: Something in it cannot be copied; names it.
    """
    try:
        shutil.copytree(source, target, ignore=_not_copied, ignore_dangling_symlinks=True)
    except shutil.Error as error:
        problems = {str(path): str(why) for path, _, why in error.args[0][:_SHOWN]}
        raise UsageError(
            f"{len(error.args[0])} things in {source} cannot be copied into the repository under test",
            evidence=problems,
            next_step="remove them from that folder, or make them readable",
        ) from None


def _write_pointer(pointer: Path, md5: str, size: int) -> None:
    """The pointer of the seeded data; what a team's own pointer says of it for people stays."""
    document = yaml.safe_load(pointer.read_text(encoding="utf-8")) if pointer.exists() else None
    document = {key: document[key] for key in _FOR_PEOPLE if key in document} if isinstance(document, dict) else {}
    document["outs"] = [{"md5": md5, "size": size, "hash": "md5", "path": pointer.name.removesuffix(".dvc")}]
    pointer.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _commit(plan: SeedPlan, tree: Path, scratch: Path, runner: Runner) -> tuple[str, Path]:
    # The reader's own Git configuration (hooks, signing, attributes, what is ignored) has no say in a seed.
    env = git_environment()
    git: Callable[..., str] = lambda *args: runner.run(["git", "-C", tree, *args], env=env).stdout.strip()  # noqa: E731
    git("init", "--quiet", "--initial-branch", plan.branch)
    git("add", "--all")
    _check_dag_files(plan, tree, git("ls-files", "-z", "--", DAGS).split("\0"))
    trailers = "\n".join(f"{name}: {value}" for name, value in plan.trailers.items())
    git(*_IDENTITY, "commit", "--quiet", "--message", f"Seed of the run\n\n{trailers}")
    sha = git("rev-parse", "HEAD")
    bundle = scratch / "seed.bundle"
    git("bundle", "create", "--quiet", str(bundle), plan.branch)
    return sha, bundle


def _check_dag_files(plan: SeedPlan, tree: Path, taken: list[str]) -> None:
    """What a `.gitignore` names is in no repository of a team either; that of a generated folder may name all of it."""
    if not any(path.relative_to(tree).as_posix() in taken for path in python_files(tree / DAGS)):
        raise UsageError(
            f"a .gitignore names every DAG file in {plan.dags}, so that Git would bring none to Airflow",
            next_step="take the files out of the .gitignore there or in the repository's folder, or remove it",
        )
