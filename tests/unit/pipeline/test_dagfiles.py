"""What is found in a DAG folder before anything is started, and what is left to Airflow's own parse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.assets import asset
from harness.errors import ExitCode, UsageError
from harness.pipeline.dagfiles import check_dag_id, check_made, check_tracked_file, read_dag_files

ONE = 'from airflow.sdk import DAG\nwith DAG("one", schedule=None):\n    pass\n'


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.py").write_text(text, encoding="utf-8")
    return path


def test_the_shipped_dag_is_read() -> None:
    files = read_dag_files(asset("dags"))
    assert files.ids == {"dataset_pipeline.py": ("dataset_pipeline",)}
    assert files.certain
    check_dag_id(files, "dataset_pipeline")
    check_tracked_file(files, "anything/else.csv")


def test_a_folder_that_is_not_there_and_one_without_a_dag_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no DAG folder .*gone") as caught:
        read_dag_files(tmp_path / "gone")
    assert caught.value.next_step == "name the folder with --dags"
    with pytest.raises(UsageError, match="there is no DAG file in"):
        read_dag_files(tmp_path)


def test_a_syntax_error_is_a_usage_error_that_shows_the_line(tmp_path: Path) -> None:
    folder(tmp_path, good=ONE, bad="import os\n\ndef broken(:\n    pass\n")
    with pytest.raises(UsageError, match=r"bad\.py, line 3, does not compile") as caught:
        read_dag_files(tmp_path)
    assert "def broken(:" in caught.value.evidence["line"]
    assert caught.value.evidence["line"].splitlines()[1].strip() == "^"
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("text", ["return 1\n", "x = '\n", "print 'hello'\n", "a = 1\x00\n", "if True:\npass\n"])
def test_every_kind_of_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"bad\.py"):
        read_dag_files(folder(tmp_path, bad=text))


@pytest.mark.parametrize("text", ["type Rows[T] = list[T]\n", "def first[T](rows: list[T]) -> T: ...\n"])
def test_what_only_a_newer_python_takes_is_left_to_airflow(tmp_path: Path, text: str) -> None:
    files = read_dag_files(folder(tmp_path, new=text, one=ONE))
    check_dag_id(files, "one")


def test_an_odd_escape_in_a_string_is_no_error(tmp_path: Path) -> None:
    read_dag_files(folder(tmp_path, odd="pattern = '\\d+'\n"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('DAG("a")', ("a",)),
        ('models.DAG(dag_id="a")', ("a",)),
        ("@dag\ndef a(): ...", ("a",)),
        ("@dag()\ndef a(): ...", ("a",)),
        ("@dag(schedule=None)\ndef a(): ...", ("a",)),
        ('@dag(dag_id="a")\ndef b(): ...', ("a",)),
        ('@dag("a")\ndef b(): ...', ("a",)),
    ],
)
def test_the_ways_to_name_a_dag_are_read(tmp_path: Path, text: str, ids: tuple[str, ...]) -> None:
    files = read_dag_files(folder(tmp_path, f=text))
    assert (files.ids, files.certain) == ({"f.py": ids}, True)


def test_an_id_that_no_file_names_is_refused_with_those_that_are(tmp_path: Path) -> None:
    files = read_dag_files(folder(tmp_path, one=ONE, two="@dag\ndef other(): ...\n"))
    with pytest.raises(UsageError, match=r"no file in .* names the DAG 'three'") as caught:
        check_dag_id(files, "three")
    assert caught.value.evidence == {"one.py seems to define": "one", "two.py seems to define": "other"}
    assert "--dag-id" in caught.value.next_step


@pytest.mark.parametrize(
    "extra",
    [
        'for team in TEAMS:\n    DAG(f"{team}_data")\n',
        "@dag(dag_id=NAME)\ndef x(): ...\n",
        "@dag(**OPTIONS)\ndef x(): ...\n",
    ],
)
def test_where_an_id_is_computed_nothing_is_refused(tmp_path: Path, extra: str) -> None:
    check_dag_id(read_dag_files(folder(tmp_path, one=ONE, more=extra)), "three")


def test_an_id_that_stands_in_a_file_beside_the_code_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "dags.yaml").write_text("three: {schedule: null}\n", encoding="utf-8")
    check_dag_id(read_dag_files(folder(tmp_path, one=ONE)), "three")


def test_files_that_name_an_id_come_before_all_others(tmp_path: Path) -> None:
    files = read_dag_files(folder(tmp_path, one=ONE, two=ONE.replace("one", "two")))
    assert files.naming("two") == ("two.py",)
    assert files.naming("three") == ("one.py", "two.py")


@pytest.mark.parametrize(
    "text",
    [
        'env = {"DVC_DATA_FILE": "datasets/other.csv"}\n',
        'env = [k8s.V1EnvVar(name="DVC_DATA_FILE", value="datasets/other.csv")]\n',
    ],
)
def test_a_dag_that_works_on_another_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    files = read_dag_files(folder(tmp_path, one=ONE + text))
    with pytest.raises(UsageError, match=r"one\.py:4 sets DVC_DATA_FILE to 'datasets/other\.csv'") as caught:
        check_tracked_file(files, "datasets/penguins.csv")
    assert "--tracked-file datasets/other.csv" in caught.value.next_step
    check_tracked_file(files, "datasets/other.csv")


def test_a_file_that_the_dag_computes_is_not_judged(tmp_path: Path) -> None:
    text = 'env = {"DVC_DATA_FILE": "{{ params.file }}", **{"DVC_DATA_FILE": FILE}}\n'
    check_tracked_file(read_dag_files(folder(tmp_path, one=ONE + text)), "datasets/penguins.csv")


def test_a_decorated_function_that_nothing_calls_makes_no_dag(tmp_path: Path) -> None:
    dags = folder(tmp_path, team="from airflow.sdk import dag\n\n@dag(schedule=None)\ndef birds():\n    pass\n")
    with pytest.raises(UsageError, match=r"nothing calls the function birds under @dag in .*team\.py:4") as told:
        check_made(read_dag_files(dags), "birds")
    assert "add the line birds() at the end" in told.value.next_step


@pytest.mark.parametrize(
    "end",
    [
        "birds()\n",
        "made = [make() for make in (birds,)]\n",
        "globals()['birds']()\n",
        "DAG('birds')\n",
        "with DAG(compute()):\n    pass\n",
    ],
)
def test_a_decorated_function_that_something_may_call_is_left_to_airflow(tmp_path: Path, end: str) -> None:
    check_made(read_dag_files(folder(tmp_path, team=f"@dag\ndef birds():\n    pass\n{end}")), "birds")


def test_a_decorated_function_may_be_called_from_another_file(tmp_path: Path) -> None:
    dags = folder(tmp_path, team="@dag\ndef birds():\n    pass\n", main="from team import birds as b\nb()\n")
    check_made(read_dag_files(dags), "birds")


def test_what_is_no_file_in_a_dag_folder_is_named_and_never_waited_for(tmp_path: Path) -> None:
    dags = folder(tmp_path, team="DAG('birds')\n")
    os.mkfifo(dags / "pipe.py")
    with pytest.raises(UsageError, match=r"pipe\.py is no file"):
        read_dag_files(dags)


def test_a_link_that_leads_back_is_named(tmp_path: Path) -> None:
    dags = folder(tmp_path, team="DAG('birds')\n")
    (dags / "below").mkdir()
    (dags / "below" / "again").symlink_to("..")
    with pytest.raises(UsageError, match="below/again leads back"):
        read_dag_files(dags)


def test_an_editors_lock_and_a_folder_with_the_name_of_a_file_are_passed_over(tmp_path: Path) -> None:
    dags = folder(tmp_path, team="DAG('birds')\n")
    (dags / ".#team.py").symlink_to("somebody@elsewhere.1234")
    (dags / "folder.py").mkdir()
    assert read_dag_files(dags).ids == {"team.py": ("birds",)}


def test_a_file_that_is_nested_too_deep_is_the_dags_fault(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nested too deep"):
        read_dag_files(folder(tmp_path, team=f"x = {'-' * 200_000}1\n"))
