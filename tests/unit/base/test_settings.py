"""Every setting, resolved once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import ExitCode, UsageError
from harness.settings import Keep, S3Backend, Settings, SupplyKind, mirrors, part_flags, resolve


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a pyproject.toml, and an environment without settings."""
    for name in os.environ:
        if name.upper().startswith("HARNESS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pyproject(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)


def test_the_defaults_are_the_guides_pipeline_on_kind() -> None:
    settings = resolve()
    assert (settings.target, settings.supply, settings.s3, settings.keep) == (
        "kind",
        SupplyKind.AUTO,
        S3Backend.LOCALSTACK,
        Keep.NEVER,
    )
    assert settings.policy.branch == "main"
    assert settings.policy.authors == ("airflow@example.invalid",)


def test_a_flag_beats_the_environment_beats_the_project_beats_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve().keep is Keep.NEVER
    pyproject(folder, '[tool.harness]\nkeep = "on-failure"\n')
    assert resolve().keep is Keep.ON_FAILURE
    monkeypatch.setenv("HARNESS_KEEP", "always")
    assert resolve().keep is Keep.ALWAYS
    assert resolve(keep="never").keep is Keep.NEVER


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PATIENCE", "2.5")
    assert resolve(patience=None).patience == 2.5


def test_the_parts_of_the_policy_may_come_from_different_places(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyproject(folder, "[tool.harness.policy]\nbranch = 'data'\ncommits = 2\n")
    monkeypatch.setenv("HARNESS_POLICY__COMMITS", "3")
    policy = resolve(policy={"new_rows": None}).policy
    assert (policy.branch, policy.commits, policy.new_rows) == ("data", 3, None)


@pytest.mark.parametrize(
    "text",
    ["[tool.harness]\nkep = 'always'\n", "[tool.harness.policy]\nbranches = ['main']\n"],
)
def test_an_unknown_key_in_the_project_is_a_usage_error_that_names_it(folder: Path, text: str) -> None:
    pyproject(folder, text)
    with pytest.raises(UsageError, match=r"kep|branches") as caught:
        resolve()
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_unknown_flag_is_a_usage_error_that_names_it() -> None:
    with pytest.raises(UsageError, match="kep"):
        resolve(kep="always")


@pytest.mark.parametrize("name", ["HARNESS_KEP", "HARNESS_POLICIES__BRANCH", "harness_kep"])
def test_an_unknown_variable_is_a_usage_error_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "always")
    with pytest.raises(UsageError, match=name.upper()):
        resolve()


def test_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP", "always")
    monkeypatch.setenv("MY_HARNESS_KEEP", "always")
    assert resolve().keep is Keep.NEVER


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("keep", "sometimes"),
        ("patience", 0),
        ("patience", 21),
        ("run_timeout", 9),
        ("run_timeout", 86401),
        ("cache_limit_gb", 1),
        ("cluster_name", "Upper"),
        ("cluster_name", "-dash"),
        ("cluster_name", ""),
        ("cluster_name", "x" * 41),
        ("image_digests", {"airflow": "sha256:12"}),
        ("image_digests", {"worker": f"sha256:{'0' * 64}"}),
        ("tracked_file", "/etc/passwd"),
        ("tracked_file", "../outside.csv"),
        ("tracked_file", ""),
        ("policy", {"commits": 0}),
        ("policy", {"branch": "a..b"}),
        ("policy", {"branch": "-x"}),
        ("policy", {"branch": "x/"}),
        ("policy", {"branch": "x.lock"}),
        ("policy", {"branch": "two words"}),
        ("worker_image", "registry.example/worker"),
        ("worker_image", "Upper/worker:1"),
        ("worker_image", "worker:1@sha256:abc"),
    ],
)
def test_a_bad_value_is_a_usage_error_that_names_the_setting(flag: str, value: object) -> None:
    with pytest.raises(UsageError, match=flag):
        resolve(**{flag: value})


def test_every_bad_setting_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(keep="sometimes", patience=0)
    assert {"keep", "patience"} <= set(caught.value.evidence)


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_VALUES", '["a.yaml", "b.yaml"]')
    assert resolve().values == (Path("a.yaml"), Path("b.yaml"))


def test_a_list_in_the_environment_that_is_not_json_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_VALUES", "a.yaml")
    with pytest.raises(UsageError, match="JSON") as caught:
        resolve()
    assert "values" in str(caught.value)


def test_a_damaged_pyproject_is_a_usage_error(folder: Path) -> None:
    pyproject(folder, "[tool.harness\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        resolve()


def test_a_pyproject_without_our_table_changes_nothing(folder: Path) -> None:
    pyproject(folder, "[tool.other]\nkeep = 'always'\n")
    assert resolve().keep is Keep.NEVER


def test_folders_are_absolute_so_that_a_change_of_folder_moves_nothing(folder: Path) -> None:
    settings = resolve(evidence_dir=Path("out"), cache_dir=Path("~/cache"))
    assert settings.evidence_dir == folder / "out"
    assert settings.cache_dir == Path.home() / "cache"


def test_settings_are_frozen() -> None:
    settings = resolve()
    with pytest.raises(ValidationError):
        settings.keep = Keep.ALWAYS  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "reference", ["worker:1", "team/worker:1.4-rc1", "localhost:5000/a/b:x", "r.example/team/w_x:2"]
)
def test_an_image_is_named_by_its_tag(reference: str) -> None:
    assert resolve(worker_image=reference).worker_image == reference


def test_digests_of_images_come_from_the_environment_as_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = f"sha256:{'0a' * 32}"
    monkeypatch.setenv("HARNESS_IMAGE_DIGESTS", f'{{"airflow": "{digest}", "git-sync": "{digest}"}}')
    assert resolve().image_digests == {"airflow": digest, "git-sync": digest}


@pytest.mark.parametrize("branch", ["main", "team/data", "release-1.2", "a_b"])
def test_a_branch_flag_leaves_the_rest_of_the_policy_alone(folder: Path, branch: str) -> None:
    pyproject(folder, "[tool.harness.policy]\nbranch = 'other'\ncommits = 2\n")
    policy = resolve(policy=part_flags(branch=branch)).policy
    assert (policy.branch, policy.commits) == (branch, 2)
    assert resolve(policy=part_flags(branch=None)).policy.branch == "other"


def test_data_brings_its_own_place_in_the_repository() -> None:
    assert resolve(data=Path("there/cars.csv")).tracked_file == "datasets/cars.csv"
    assert resolve(data=Path("there/cars.csv"), tracked_file="x/y.csv").tracked_file == "x/y.csv"


def test_only_a_csv_table_has_rows_to_count_unless_the_policy_says_so() -> None:
    assert resolve(data=Path("cars.csv")).policy.new_rows == 1
    assert resolve(data=Path("cars.parquet")).policy.new_rows is None
    assert resolve(tracked_file="models/model.bin").policy.new_rows is None
    assert resolve(data=Path("cars.txt"), policy={"new_rows": 3}).policy.new_rows == 3


def test_a_file_without_null_can_also_ask_for_no_rows(folder: Path) -> None:
    pyproject(folder, "[tool.harness.policy]\nnew_rows = 'any'\n")
    assert resolve().policy.new_rows is None


def test_what_pods_may_reach_is_checked_before_anything_runs() -> None:
    assert resolve(egress_allow=("192.0.2.7:443",)).egress_allow == ("192.0.2.7:443",)
    with pytest.raises(UsageError, match=r"'example\.invalid' is not what pods may reach"):
        resolve(egress_allow=("example.invalid",))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"cache_limit_gb": float("inf")}, "cache_limit_gb"),
        ({"dag_id": ""}, "dag_id"),
        ({"dag_id": "two words"}, "dag_id"),
        ({"tracked_file": "datasets/"}, "a file inside the repository"),
        ({"tracked_file": "two\nlines.csv"}, "printable"),
        ({"tracked_file": f"{'x' * 300}.csv"}, "at most 200 bytes"),
        ({"tracked_file": ".git/config"}, "outside of .git and .dvc"),
        ({"tracked_file": "team/.dvc/config"}, "outside of .git and .dvc"),
        ({"tracked_file": "datasets/penguins.csv.dvc"}, "not its pointer"),
        ({"policy": {"branch": "HEAD"}}, "policy.branch"),
        ({"policy": {"branch": "refs/heads/main"}}, "policy.branch"),
        ({"policy": {"new_rows": -1}}, "policy.new_rows"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(flags: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match="cannot be used") as told:
        resolve(**flags)
    assert named in str(told.value)


@pytest.mark.parametrize("name", ["dags", "repository", "data", "evidence_dir", "cache_dir", "state_dir"])
def test_an_empty_path_is_not_taken_for_the_working_directory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HARNESS_{name.upper()}", "")
    with pytest.raises(UsageError, match="cannot be used") as told:
        resolve()
    assert f"{name}: is empty" in str(told.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HARNESS_VALUES", "team.yaml", "HARNESS_VALUES: is not JSON: write lists as"),
        ("HARNESS_POLICY", "data", "HARNESS_POLICY: is not JSON: set its parts by themselves, as HARNESS_POLICY__NAME"),
        ("HARNESS_POLICY__NOPE", "1", "policy.nope: there is no such setting"),
        ("HARNESS_WORKER_IMAGE", "team", "worker_image: use an image reference with a tag"),
        (
            "HARNESS_EKS__ACCOUNTS",
            "111122223333",
            """eks.accounts: should be a list: ["111122223333"] (a variable""",
        ),
        ("HARNESS_EKS__ACCOUNTS", "111122223333", """(a variable in a shell: '["111122223333"]')"""),
        ("HARNESS_EKS__ACCOUNTS", "[111122223333]", "eks.accounts.0: should be text: put it in quotes"),
        ("HARNESS_EKS__ACCOUNTS", "team, nightly", "HARNESS_EKS__ACCOUNTS: is not JSON: write lists as"),
        ("HARNESS_VALUES", "{}", """values: should be a list: ["a", "b"]"""),
        ("HARNESS_PAUSE_ON_FAILURE", "perhaps", "pause_on_failure: should be true or false"),
        ("HARNESS_PATIENCE", "much", "patience: should be a number"),
        ("HARNESS_POLICY__COMMITS", "1.5", "policy.commits: should be a whole number"),
        ("HARNESS_RUN_TIMEOUT", "1", "run_timeout: should be greater than or equal to 10"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_in_words_for_the_reader(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match="cannot be used") as told:
        resolve()
    assert said in str(told.value)
    assert "docs/settings.md" in told.value.next_step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.harness]\neks = 'x'\n", "eks: has parts: set them in [tool.harness.eks], or each as HARNESS_EKS__NAME"),
        ("[tool.harness.eks]\naccounts = [111122223333]\n", "eks.accounts.0: should be text: put it in quotes"),
        ("[tool.harness]\nregistry_mirror = 'x'\n", "registry_mirror: should be a map: "),
        ("[tool.harness]\ndags = 3\n", "dags: should be a path, in quotes"),
    ],
)
def test_a_file_with_a_value_of_another_form_is_told_how_to_write_it(folder: Path, text: str, said: str) -> None:
    pyproject(folder, text)
    with pytest.raises(UsageError, match="cannot be used") as told:
        resolve()
    assert said in str(told.value)


def test_the_words_of_python_are_in_no_error_of_a_setting() -> None:
    wrong: dict[str, Any] = dict.fromkeys(Settings.model_fields, object())
    with pytest.raises(UsageError) as told:
        resolve(**wrong)
    assert re.findall(r"Input|tuple|dictionary|instance|<class|NoneType", str(told.value)) == []


def test_a_mirror_that_lacks_its_host_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError, match="HOST=MIRROR") as told:
        mirrors(["mirror.example"])
    assert "docker.io=" in told.value.next_step


@pytest.mark.parametrize(
    "content", [b"[tool]\nharness = 3\n", b"tool = []\n", b"\xff\xfe[tool.harness]\n", b"[tool.harness\n"]
)
def test_a_project_file_that_cannot_hold_settings_is_named(folder: Path, content: bytes) -> None:
    (folder / "pyproject.toml").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be used") as told:
        resolve()
    assert "pyproject.toml" in str(told.value)
