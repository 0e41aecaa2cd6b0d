"""What a run does beside its branch and its remote, on real parts: other refs, other keys, other people."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.dvc import Verdict

BUCKET, PREFIX, TRACKED = "mlops", "runs/r1", "datasets/penguins.csv"
POINTER = f"{TRACKED}.dvc"
RIVAL = "rival@example.invalid"
EARLIER = "runs/r0/files/md5/00/x"


def red(verdict: Verdict) -> dict[str, str]:
    return {check.id: check.explanation for check in verdict.failures if check.evaluated}


def again(played: Any) -> Any:
    """The state before the run, as it is now but for what the run left on its branch and under its remote."""
    pipeline = played.pipeline
    at = pipeline.git("rev-parse", "HEAD")
    pipeline.git("push", "-q", "--force", "origin", f"{played.expectation.seeded.sha}:main")
    objects = pipeline.s3.objects()
    new = {key: data for key, data in objects.items() if key.startswith(PREFIX) and key not in played.before.listing}
    for key in new:
        pipeline.s3.client.delete_object(Bucket=BUCKET, Key=key)
    before = pipeline.gatherer(played.expectation).snapshot()
    pipeline.git("push", "-q", "origin", f"{at}:main")
    pipeline.s3.put(new)
    return before


def test_a_branch_or_a_tag_pushed_beside_the_branch_is_red_unless_the_policy_allows_it(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.git("tag", "-a", "v1", "-m", "v1")
    pipeline.git("push", "-q", "origin", "v1", "HEAD:refs/heads/latest", f"{played.expectation.seeded.sha}:refs/exps/x")
    told = red(played.verdict())
    assert list(told) == ["history.other-refs"]
    for words in ("branch latest was made at", "tag v1 was made at", "refs/exps/x was made at"):
        assert words in told["history.other-refs"]
    assert played.verdict(extra_refs=("refs/tags/v*", "refs/heads/latest", "refs/exps/*")).green


def test_a_branch_that_the_run_moved_rewound_or_removed_is_red(played: Any) -> None:
    pipeline, seed = played.pipeline, played.expectation.seeded.sha
    run = pipeline.git("rev-parse", "HEAD")
    pipeline.git("checkout", "-q", "-b", "side", seed)
    pipeline.write({"side.txt": b"x"})
    pipeline.commit("before the run", email=RIVAL, to="rewound")
    pipeline.git("push", "-q", "origin", f"{seed}:refs/heads/moved", f"{seed}:refs/heads/removed")
    pipeline.git("checkout", "-q", "--detach", run)
    before = again(played)
    pipeline.git("push", "-q", "--force", "origin", "HEAD:moved", f"{seed}:rewound", ":removed")
    told = red(pipeline.verdict(played.expectation, before))
    assert list(told) == ["history.other-refs"]
    assert "branch moved was moved" in told["history.other-refs"]
    assert "branch rewound was moved" in told["history.other-refs"]
    assert "branch removed was removed" in told["history.other-refs"]


def test_somebody_else_may_push_to_a_branch_of_theirs_with_data_of_theirs(played: Any) -> None:
    pipeline, seed = played.pipeline, played.expectation.seeded.sha
    pipeline.git("checkout", "-q", "-b", "theirs", seed)
    pipeline.write({"other/x.csv": b"1\n"})
    pipeline.dvc("add", "-q", "other/x.csv")
    pipeline.dvc("push", "-q")
    pipeline.commit("rival", email=RIVAL, to="theirs")
    verdict = played.verdict()
    assert verdict.green, verdict.failures


def test_a_commit_of_the_runs_on_somebody_elses_branch_is_red(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.git("checkout", "-q", "-b", "theirs", played.expectation.seeded.sha)
    pipeline.write({"other.txt": b"x"})
    pipeline.commit("not mine", to="theirs")
    assert list(red(played.verdict())) == ["history.other-refs"]


def test_a_commit_under_another_authors_name_is_told_by_its_committer(played: Any) -> None:
    pipeline = played.pipeline
    run = pipeline.git("rev-parse", "HEAD")
    pipeline.git("reset", "-q", "--hard", played.expectation.seeded.sha)
    pipeline.write({"other.txt": b"x"})
    pipeline.git("add", "-A")
    pipeline.git("commit", "-q", "-m", "not theirs", "--author", f"Rival <{RIVAL}>")
    pipeline.git("cherry-pick", run)
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    assert set(red(played.verdict())) == {"commit.count", "commit.author", "commit.paths"}


def test_a_push_by_somebody_else_that_a_forced_one_wrote_over_is_missed(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = played.pipeline
    run, made = pipeline.git("rev-parse", "HEAD"), pipeline.gatherer
    pipeline.git("reset", "-q", "--hard", played.expectation.seeded.sha)
    pipeline.write({"other.txt": b"x"})
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    rival = pipeline.commit("a rival's", email=RIVAL)
    monkeypatch.setattr(
        type(pipeline), "gatherer", lambda _self, wanted: replace(made(wanted), published=lambda: [rival])
    )
    pipeline.git("push", "-q", "--force", "origin", f"{run}:main")
    assert rival[:10] in red(played.verdict())["history.grew"]


def test_the_whole_bucket_is_looked_at(played: Any) -> None:
    store = played.pipeline.s3
    store.put({EARLIER: b"earlier"})
    before = again(played)
    assert played.pipeline.verdict(played.expectation, before).green
    store.put({EARLIER: b"changed", "elsewhere/x": b"x"})
    told = red(played.pipeline.verdict(played.expectation, before))
    assert told == {
        "object.previous-kept": (
            f"the object at s3://{BUCKET}/{EARLIER} was overwritten: 7 bytes as before, but other ones."
        ),
        "object.no-strays": f"the run left objects that no pointer names: s3://{BUCKET}/elsewhere/x.",
    }
    store.client.delete_object(Bucket=BUCKET, Key=EARLIER)
    assert "is gone" in red(played.pipeline.verdict(played.expectation, before))["object.previous-kept"]


def test_what_is_left_to_the_dag_is_not_looked_at(played: Any) -> None:
    played.pipeline.s3.put({"reports/x": b"x", f"{PREFIX}/cache/x": b"x"})
    assert list(red(played.verdict())) == ["object.no-strays"]
    verdict = played.verdict(extra_objects=("reports/", "./cache/"))
    assert verdict.green, verdict.failures


@pytest.mark.parametrize("mode", ["120000", "160000"], ids=["symbolic link", "submodule"])
def test_a_pointer_that_is_no_file_is_red(mode: str, played: Any) -> None:
    pipeline = played.pipeline
    blob = pipeline.git("hash-object", "-w", "--stdin") if mode == "120000" else "1" * 40
    pipeline.git("update-index", "--cacheinfo", f"{mode},{blob},{POINTER}")
    pipeline.git("commit", "-q", "--amend", "--no-edit")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    assert "pointer.wellformed" in red(played.verdict())


def test_a_folder_in_place_of_the_file_is_red(played: Any) -> None:
    pipeline = played.pipeline
    (pipeline.clone / TRACKED).unlink()
    pipeline.write({f"{TRACKED}/part-0.csv": b"x\n1\n"})
    pipeline.dvc("add", "-q", TRACKED)
    pipeline.dvc("push", "-q")
    pipeline.git("commit", "-q", "-a", "--amend", "--no-edit")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    told = red(played.verdict(new_rows=None))
    assert f"file {TRACKED} became folder {TRACKED}" in told["pointer.same-outputs"]


def test_data_pushed_to_another_remote_is_red_though_a_clean_clone_gets_it(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.dvc("remote", "add", "side", f"s3://{BUCKET}/side")
    pointer = pipeline.clone / POINTER
    pointer.write_text(pointer.read_text() + "  remote: side\n")
    pipeline.dvc("push", "-q")
    pipeline.git("commit", "-q", "-a", "--amend", "--no-edit")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    told = red(played.verdict(extra_paths=(".dvc/",)))
    assert "binds its data to remote side" in told["remote.expected"]
    assert "clone.reproduces" not in told


NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "environment",
    [
        {"http_proxy": NOBODY, "https_proxy": NOBODY},
        # AWS is asked by https alone: by way of a proxy that is not there, so that nothing of this gets out.
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "https_proxy": NOBODY},
    ],
    ids=["a proxy", "endpoints ignored"],
)
def test_the_clean_clone_pulls_from_the_store_of_the_run_whatever_the_environment_says(
    played: Any, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    verdict = played.verdict()
    assert verdict.green, verdict.failures


@pytest.mark.parametrize("named_in", ["config", "config.local"])
@pytest.mark.parametrize(
    "cache",
    ["[cache]\n    dir = {}\n", "[cache]\n    local = shared\n['remote \"shared\"']\n    url = {}\n"],
    ids=["dir", "local"],
)
def test_a_cache_that_the_repository_names_is_neither_filled_nor_pulled_from(
    played: Any, tmp_path: Path, cache: str, named_in: str
) -> None:
    pipeline, shared = played.pipeline, tmp_path / "shared"
    pipeline.git("rm", "-q", "--cached", ".dvc/.gitignore")
    (pipeline.clone / ".dvc/.gitignore").unlink()
    with (pipeline.clone / ".dvc" / named_in).open("a") as config:
        config.write(cache.format(shared))
    pipeline.git("add", f".dvc/{named_in}")
    pipeline.git("commit", "-q", "-a", "--amend", "--no-edit")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    verdict = played.verdict(extra_paths=(".dvc/",))
    assert verdict.green, verdict.failures
    assert not shared.exists()

    (md5,) = {out["md5"] for out in yaml.safe_load((pipeline.clone / POINTER).read_text())["outs"]}
    shutil.copytree(pipeline.clone / ".dvc/cache", shared)
    pipeline.s3.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}")
    assert "clone.reproduces" in red(played.verdict(extra_paths=(".dvc/",)))


def test_a_committed_link_to_a_configuration_of_this_machine_leaves_that_as_it_is(played: Any, tmp_path: Path) -> None:
    pipeline, mine = played.pipeline, tmp_path / "mine"
    mine.write_text("[core]\n")
    (pipeline.clone / ".dvc/config.local").symlink_to(mine)
    pipeline.git("add", "--force", ".dvc/config.local")
    pipeline.git("commit", "-q", "--amend", "--no-edit")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    assert played.verdict(extra_paths=(".dvc/",)).green
    assert mine.read_text() == "[core]\n"
