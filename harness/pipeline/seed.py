"""Makes the fixed repository and a fresh bucket prefix ready for one run.

The seed is what a team's repository holds before the run: the DAG folder under test, one DVC configuration for every
target, the tracked data's pointer, and the data itself in the remote. The repository is replaced on the server's
side, never by force push; each run gets a key prefix of its own, which stands in the seed commit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.errors import UsageError
from harness.model import Seeded
from harness.process import Runner

_DAGS = "dags"
_IDENTITY = ("-c", "user.name=Harness", "-c", "user.email=harness@example.invalid")


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """What goes into the seed.

    Attributes:
        template: Folder with the repository's files; `.dvc/config.j2` is rendered.
        dags: Folder with the DAGs under test.
        data: The data set.
        tracked_file: Where it stands in the repository.
        bucket: Of the remote.
        prefix: Of this run in the bucket, without a trailing slash.
        branch: The branch to seed.
    """

    template: Path
    dags: Path
    data: Path
    tracked_file: str
    bucket: str
    prefix: str
    branch: str


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
    """Make the seed in an empty folder.

    Raises:
        UsageError: There is no DAG in the DAG folder.
    """
    if not any(plan.dags.rglob("*.py")):
        raise UsageError(f"there is no DAG file in {plan.dags}", next_step="name the folder with --dags")
    tree = scratch / "repository"
    shutil.copytree(plan.template, tree)
    shutil.copytree(plan.dags, tree / _DAGS, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    templates = Environment(  # noqa: S701 - a configuration file, not HTML
        loader=FileSystemLoader(tree / ".dvc"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    config = templates.get_template("config.j2").render(bucket=plan.bucket, prefix=plan.prefix)
    (tree / ".dvc" / "config").write_text(config, encoding="utf-8")
    (tree / ".dvc" / "config.j2").unlink()
    md5 = hashlib.md5(plan.data.read_bytes(), usedforsecurity=False).hexdigest()
    pointer = tree / f"{plan.tracked_file}.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    out = {"md5": md5, "size": plan.data.stat().st_size, "hash": "md5", "path": pointer.with_suffix("").name}
    pointer.write_text(yaml.safe_dump({"outs": [out]}, sort_keys=False), encoding="utf-8")
    sha, bundle = _commit(tree, plan.branch, scratch, runner)
    return Seed(
        seeded=Seeded(sha=sha, branch=plan.branch, prefix=plan.prefix, dags_path=_DAGS),
        bundle=bundle,
        objects={f"{plan.prefix}/files/md5/{md5[:2]}/{md5[2:]}": plan.data},
    )


def _commit(tree: Path, branch: str, scratch: Path, runner: Runner) -> tuple[str, Path]:
    # The reader's own Git configuration (hooks, signing, attributes) has no say in a seed.
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    git: Callable[..., str] = lambda *args: runner.run(["git", "-C", tree, *args], env=env).stdout.strip()  # noqa: E731
    git("init", "--quiet", "--initial-branch", branch)
    git("add", "--all")
    git(*_IDENTITY, "commit", "--quiet", "--message", "Seed of the run")
    sha = git("rev-parse", "HEAD")
    bundle = scratch / "seed.bundle"
    git("bundle", "create", "--quiet", str(bundle), branch)
    return sha, bundle
