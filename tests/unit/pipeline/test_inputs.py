"""What a run is given is checked before anything starts, and becomes the seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from harness.assets import asset
from harness.dvc.pointer import parse_pointer
from harness.errors import UsageError
from harness.pipeline.inputs import check_inputs, dvc_program
from harness.pipeline.remoteconfig import check_remote
from harness.pipeline.seed import Seed, SeedPlan, build_seed
from harness.process import SubprocessRunner
from harness.settings import Settings

CONFIG = "[core]\n    remote = ours\n['remote \"ours\"']\n    url = s3://team-bucket/data\n"


@pytest.fixture
def dvc(tmp_path: Path) -> Path:
    program = tmp_path / "dvc"
    program.touch()
    return program


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A team's repository: a tracked file with its data, a DAG of its own, keys that are nobody's business."""
    root = tmp_path / "team"
    for name, text in {
        ".dvc/config": CONFIG,
        ".dvc/config.local": "secret",
        ".dvc/cache/files/md5/aa/bb": "old",
        ".git/HEAD": "ref: refs/heads/main",
        "data/cache/keep.txt": "a folder of this name elsewhere is the team's own",
        "data/birds.parquet": "PAR1 not really",
        "data/birds.parquet.dvc": "desc: birds\nouts:\n- {md5: aa, size: 1, path: birds.parquet}\n",
        "dags/birds.py": 'DAG("birds")\n',
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def seed(settings: Settings, dvc: Path, scratch: Path) -> tuple[Seed, Path]:
    inputs = check_inputs(settings, dvc=dvc)
    scratch.mkdir()
    plan = SeedPlan(
        template=inputs.template,
        dags=inputs.dags,
        data=inputs.data,
        tracked_file=settings.tracked_file,
        bucket="bucket",
        prefix="runs/1",
        branch=settings.policy.branch,
    )
    return build_seed(plan, scratch=scratch, runner=SubprocessRunner()), scratch / "repository"


def test_by_default_everything_is_the_shipped_one(dvc: Path) -> None:
    inputs = check_inputs(Settings(), dvc=dvc)
    assert inputs.dags == asset("dags")
    assert inputs.data.name == "penguins.csv"
    assert inputs.template == asset("fixtures") / "repository"


def test_without_dvc_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no dvc beside this Python") as caught:
        check_inputs(Settings(), dvc=tmp_path / "gone")
    assert caught.value.next_step == "install airflow-dvc-harness[dvc]"


def test_the_dvc_beside_this_python_is_found() -> None:
    assert dvc_program().name == "dvc"


@pytest.mark.parametrize("name", ["data", "repository"])
def test_a_path_that_is_not_there_is_named_with_its_flag(dvc: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="gone") as caught:
        check_inputs(Settings.model_validate({name: tmp_path / "gone", "tracked_file": "a.csv"}), dvc=dvc)
    assert f"--{name}" in caught.value.next_step


def test_another_data_set_is_seeded_under_its_own_name_and_hidden_from_git(dvc: Path, tmp_path: Path) -> None:
    data = tmp_path / "cars.csv"
    data.write_bytes(b"id\n1\n")
    made, tree = seed(Settings(data=data), dvc, tmp_path / "scratch")
    pointer = yaml.safe_load((tree / "datasets" / "cars.csv.dvc").read_text(encoding="utf-8"))
    assert pointer["outs"] == [
        {"md5": "bc9280dfc1d4e67233f138f5bbbf0951", "size": 5, "hash": "md5", "path": "cars.csv"}
    ]
    assert made.objects == {"runs/1/files/md5/bc/9280dfc1d4e67233f138f5bbbf0951": data}
    assert "/cars.csv" in (tree / "datasets" / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_branch_of_the_settings_is_the_branch_of_the_seed(dvc: Path, tmp_path: Path) -> None:
    made, _tree = seed(Settings(policy={"branch": "team/data"}), dvc, tmp_path / "scratch")
    heads = SubprocessRunner().run(["git", "bundle", "list-heads", str(made.bundle)]).stdout.split()
    assert heads == [made.seeded.sha, "refs/heads/team/data"]
    assert made.seeded.branch == "team/data"


def test_a_teams_repository_is_seeded_without_its_history_keys_and_data(
    dvc: Path, repository: Path, tmp_path: Path
) -> None:
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dag_id="birds")
    made, tree = seed(settings, dvc, tmp_path / "scratch")
    listed = set(SubprocessRunner().run(["git", "-C", tree, "ls-files"]).stdout.split())
    assert listed == {
        ".dvc/config", "dags/birds.py", "data/.gitignore", "data/birds.parquet.dvc", "data/cache/keep.txt",
    }  # fmt: skip
    assert "url = s3://bucket/runs/1\n" in (tree / ".dvc" / "config").read_text(encoding="utf-8")
    assert yaml.safe_load((tree / "data" / "birds.parquet.dvc").read_text(encoding="utf-8"))["desc"] == "birds"
    assert [path.name for path in made.objects.values()] == ["birds.parquet"]
    assert settings.policy.new_rows is None


@pytest.mark.parametrize(
    "more",
    [
        "wdir: ..\nouts: [{md5: aa, size: 1, path: data/birds.parquet}]\n",
        "frozen: true\ndeps: [{path: b, repo: {url: u}}]\nouts: [{md5: aa, size: 1, path: birds.parquet}]\n",
    ],
    ids=["wdir", "import"],
)
def test_the_seeds_pointer_names_the_tracked_file_wherever_the_teams_own_one_had_it_from(
    dvc: Path, repository: Path, tmp_path: Path, more: str
) -> None:
    path = repository / "data" / "birds.parquet.dvc"
    path.write_text(f"desc: birds\nmeta: {{owner: us}}\n{more}", encoding="utf-8")
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dag_id="birds")
    made, tree = seed(settings, dvc, tmp_path / "scratch")
    data = (tree / "data" / "birds.parquet.dvc").read_bytes()
    (out,) = parse_pointer(data, path="data/birds.parquet.dvc", tracked="data/birds.parquet").outs
    assert list(made.objects) == [f"runs/1/files/md5/{out.md5[:2]}/{out.md5[2:]}"]
    assert yaml.safe_load(data).keys() == {"desc", "meta", "outs"}


def test_dags_that_are_given_take_the_place_of_the_repositorys(dvc: Path, repository: Path, tmp_path: Path) -> None:
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dags=asset("dags"))
    _made, tree = seed(settings, dvc, tmp_path / "scratch")
    assert [path.name for path in (tree / "dags").iterdir()] == ["dataset_pipeline.py"]


def in_the_seed(tree: Path) -> list[str]:
    """What a clone of it gets: mode and path of everything in its commit."""
    listed = SubprocessRunner().run(["git", "-C", tree, "ls-tree", "-r", "HEAD"]).stdout.splitlines()
    return [line.split()[0] + " " + line.partition("\t")[2] for line in listed]


def checkout(folder: Path) -> Path:
    """A checkout with a DAG file in its root."""
    folder.mkdir(parents=True)
    (folder / "birds.py").write_text('DAG("birds")\n', encoding="utf-8")
    run = SubprocessRunner().run
    run(["git", "-C", folder, "init", "-q"])
    run(["git", "-C", folder, "add", "-A"])
    run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@x", "commit", "-q", "-m", "x"])
    return folder


def test_the_root_of_a_checkout_is_seeded_with_its_files(dvc: Path, tmp_path: Path) -> None:
    _made, tree = seed(Settings(dags=checkout(tmp_path / "team"), dag_id="birds"), dvc, tmp_path / "scratch")
    assert "100644 dags/birds.py" in in_the_seed(tree)


def test_a_worktree_is_seeded_with_its_files(dvc: Path, tmp_path: Path) -> None:
    other = tmp_path / "worktree"
    SubprocessRunner().run(["git", "-C", checkout(tmp_path / "team"), "worktree", "add", "-q", str(other)])
    _made, tree = seed(Settings(dags=other, dag_id="birds"), dvc, tmp_path / "scratch")
    assert "100644 dags/birds.py" in in_the_seed(tree)


def test_a_repository_within_the_dag_folder_is_seeded_with_its_files(dvc: Path, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    checkout(dags / "shared" / "lib")
    _made, tree = seed(Settings(dags=dags, dag_id="birds"), dvc, tmp_path / "scratch")
    assert "100644 dags/shared/lib/birds.py" in in_the_seed(tree)


def test_what_dvc_keeps_for_one_machine_is_not_seeded_from_a_dag_folder_either(dvc: Path, tmp_path: Path) -> None:
    dags = checkout(tmp_path / "team")
    for name in ("config", "config.local", "cache/aa", "tmp/lock"):
        (dags / ".dvc" / name).parent.mkdir(parents=True, exist_ok=True)
        (dags / ".dvc" / name).write_text("", encoding="utf-8")
    _made, tree = seed(Settings(dags=dags, dag_id="birds"), dvc, tmp_path / "scratch")
    assert [path.name for path in (tree / "dags/.dvc").iterdir()] == ["config"]


def test_what_a_gitignore_names_is_not_in_the_seed_as_it_is_not_in_a_teams_repository(
    dvc: Path, tmp_path: Path
) -> None:
    dags = checkout(tmp_path / "team")
    (dags / ".gitignore").write_text("local_*\n", encoding="utf-8")
    (dags / "local_birds.py").touch()
    _made, tree = seed(Settings(dags=dags, dag_id="birds"), dvc, tmp_path / "scratch")
    assert [line for line in in_the_seed(tree) if " dags/" in line] == [
        "100644 dags/.gitignore",
        "100644 dags/birds.py",
    ]


def test_what_the_reader_has_git_ignore_or_convert_has_no_say_in_the_seed(
    dvc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/git").mkdir(parents=True)
    (tmp_path / "config/git/ignore").write_text("generated/\n", encoding="utf-8")
    (tmp_path / "config/git/attributes").write_text("*.py text\n", encoding="utf-8")
    dags = checkout(tmp_path / "team")
    (dags / "generated").mkdir()
    (dags / "generated/lines.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    _made, tree = seed(Settings(dags=dags, dag_id="birds"), dvc, tmp_path / "scratch")
    assert "100644 dags/generated/lines.py" in in_the_seed(tree)
    blob = SubprocessRunner().run(["git", "-C", tree, "cat-file", "blob", "HEAD:dags/generated/lines.py"])
    assert blob.raw == b"a = 1\r\nb = 2\r\n"


def test_a_dag_folder_of_which_git_would_take_no_dag_file_is_refused(dvc: Path, tmp_path: Path) -> None:
    dags = checkout(tmp_path / "team")
    (dags / ".gitignore").write_text("*\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a \.gitignore names every DAG file in .*team") as caught:
        seed(Settings(dags=dags, dag_id="birds"), dvc, tmp_path / "scratch")
    assert caught.value.exit_code == 4
    assert caught.value.next_step


def test_a_file_that_is_not_under_dvc_is_refused_with_those_that_are(dvc: Path, repository: Path) -> None:
    settings = Settings(repository=repository, tracked_file="data/cars.csv", dag_id="birds")
    with pytest.raises(
        UsageError, match=r"data/cars\.csv is not under DVC in .*team: there is no data/cars\.csv\.dvc"
    ) as e:
        check_inputs(settings, dvc=dvc)
    assert e.value.evidence == {"under DVC there": "data/birds.parquet"}
    assert "--tracked-file" in e.value.next_step


def test_a_pointer_without_its_data_asks_for_data(dvc: Path, repository: Path) -> None:
    (repository / "data" / "birds.parquet").unlink()
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dag_id="birds")
    with pytest.raises(UsageError, match="not the file itself") as caught:
        check_inputs(settings, dvc=dvc)
    assert "--data" in caught.value.next_step


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "cannot be read"),
        ("[core]\nremote = ours\n", "no default remote on S3"),
        (CONFIG.replace("s3://", "gs://"), "no default remote on S3"),
        (CONFIG + "    endpointurl = http://minio.example\n    profile = team\n", "sets endpointurl, profile"),
        ("not a section\n", "cannot be read"),
    ],
)
def test_a_remote_that_cannot_be_pointed_elsewhere_is_refused(repository: Path, config: str | None, says: str) -> None:
    path = repository / ".dvc" / "config"
    path.unlink() if config is None else path.write_text(config, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        check_remote(repository)


@pytest.mark.parametrize("option", ["version_aware", "worktree"])
def test_a_remote_that_keeps_versions_is_refused_with_what_to_do(repository: Path, option: str) -> None:
    (repository / ".dvc" / "config").write_text(f"{CONFIG}    {option} = True\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"sets {option} for the remote 'ours', and a run starts from") as caught:
        check_remote(repository)
    assert f"`dvc remote modify ours {option} false`" in caught.value.next_step


@pytest.mark.parametrize("more", ["    version_aware = false\n", "['remote \"another\"']\n    version_aware = true\n"])
def test_a_remote_that_keeps_no_versions_is_taken(repository: Path, more: str) -> None:
    (repository / ".dvc" / "config").write_text(CONFIG + more, encoding="utf-8")
    check_remote(repository)


def test_a_run_without_git_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no git on PATH"):
        check_inputs(Settings())


def test_a_tracked_folder_is_called_that(repository: Path, dvc: Path) -> None:
    (repository / "data.dvc").write_text("outs:\n- {md5: aa.dir, path: data}\n")
    with pytest.raises(UsageError, match="data is a folder"):
        check_inputs(Settings(repository=repository, tracked_file="data", dag_id="birds"), dvc=dvc)


def test_links_that_lead_nowhere_are_left_out_of_the_seed(repository: Path, dvc: Path, tmp_path: Path) -> None:
    (repository / "dags" / ".#birds.py").symlink_to("somebody@elsewhere.1234")
    (repository / "gone").symlink_to("nowhere")
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dag_id="birds")
    _, tree = seed(settings, dvc, tmp_path / "scratch")
    assert (tree / "dags" / "birds.py").exists()
    assert not os.path.lexists(tree / "gone")


def test_what_cannot_be_copied_into_the_seed_is_named(repository: Path, dvc: Path, tmp_path: Path) -> None:
    os.mkfifo(repository / "pipe")
    settings = Settings(repository=repository, tracked_file="data/birds.parquet", dag_id="birds")
    with pytest.raises(UsageError, match="cannot be copied into the repository") as told:
        seed(settings, dvc, tmp_path / "scratch")
    assert "pipe" in str(told.value)
