"""The verdict on real parts: Git repositories, `dvc`, an S3 server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.dvc import Verdict
from harness.settings import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX, TRACKED, BUCKET = "runs/r1", "datasets/penguins.csv", "mlops"
POINTER = f"{TRACKED}.dvc"


def red(verdict: Verdict) -> dict[str, str]:
    return {check.id: check.explanation for check in verdict.failures if check.evaluated}


def new_key(played: Any) -> str:
    store = played.pipeline.gatherer(played.expectation).store
    (key,) = set(store.list_objects(BUCKET, PREFIX)) - set(played.before.listing)
    return str(key)


def old_key(played: Any) -> str:
    (key,) = played.before.listing
    return str(key)


def move(played: Any, key: str, to: str, *, bucket: str = BUCKET) -> None:
    client = played.pipeline.s3.client
    data = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    client.delete_object(Bucket=BUCKET, Key=key)
    client.put_object(Bucket=bucket, Key=to, Body=data)


def edit_pointer(played: Any, change: Callable[[str], str]) -> None:
    """Write another pointer in the run's own commit."""
    path = played.pipeline.clone / POINTER
    path.write_text(change(path.read_text()))
    played.pipeline.git("commit", "-q", "-a", "--amend", "--no-edit")
    played.pipeline.git("push", "-q", "--force", "origin", "HEAD:main")


def test_a_real_run_is_green(played: Any) -> None:
    verdict = played.verdict()
    assert verdict.green, verdict.failures
    assert verdict.commit == played.pipeline.head()


def test_a_run_that_changes_nothing_is_green_when_that_is_expected(seeded: Any) -> None:
    verdict = seeded.verdict()
    assert verdict.green, verdict.failures


def test_a_run_that_changes_nothing_is_red_when_a_change_is_expected(seeded: Any) -> None:
    verdict = seeded.pipeline.verdict(replace(seeded.expectation, changes=True), seeded.before)
    assert list(red(verdict)) == ["commit.on-branch"]


def test_a_missing_object_is_reported_as_unpushed(played: Any) -> None:
    played.pipeline.s3.client.delete_object(Bucket=BUCKET, Key=new_key(played))
    told = red(played.verdict())
    assert "dvc push did not happen" in told["object.present"]
    assert "dvc pull ended with exit code 1" in told["clone.reproduces"]


@pytest.mark.parametrize(
    ("bucket", "key"),
    [(BUCKET, f"{PREFIX}/{{tail}}"), (BUCKET, "other/files/md5/{tail}"), ("elsewhere", "files/md5/{tail}")],
    ids=["legacy key", "wrong prefix", "wrong bucket"],
)
def test_an_object_in_the_wrong_place_is_reported_with_that_place(bucket: str, key: str, played: Any) -> None:
    source = new_key(played)
    target = key.format(tail="/".join(source.split("/")[-2:]))
    move(played, source, target, bucket=bucket)
    assert f"s3://{bucket}/{target}" in red(played.verdict())["object.present"]


@pytest.mark.parametrize("data", [b"", b"species,mass\nAdelie,3750\n", b"x"], ids=["empty", "truncated", "other"])
def test_other_bytes_under_the_right_key_are_red(data: bytes, played: Any) -> None:
    played.pipeline.s3.put({new_key(played): data})
    assert "not the data that the pointer" in red(played.verdict())["object.bytes"]


def test_a_lost_previous_version_is_red(played: Any) -> None:
    played.pipeline.s3.client.delete_object(Bucket=BUCKET, Key=old_key(played))
    told = red(played.verdict())
    assert "is gone" in told["object.previous-kept"]
    assert set(told) == {"object.previous-kept", "rows.appended"}


def test_a_stray_object_is_red(played: Any) -> None:
    played.pipeline.s3.put({f"{PREFIX}/files/md5/00/stray": b"x"})
    assert list(red(played.verdict())) == ["object.no-strays"]


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (lambda text: text + "<<<<<<< HEAD\n", "pointer.wellformed", "not YAML"),
        (lambda text: text.replace("path: ", "path: x"), "pointer.wellformed", "its path is"),
        (lambda text: text.replace("size: ", "size: 1"), "pointer.size", "is said to be"),
        (lambda text: text.replace("  hash: md5\n", ""), "object.present", "dvc push went elsewhere"),
        (lambda text: text.upper().replace("OUTS", "outs"), "pointer.wellformed", "unusable"),
    ],
    ids=["malformed", "wrong path", "wrong size", "hash field lost", "capitals"],
)
def test_a_bad_pointer_is_red(change: Callable[[str], str], check: str, words: str, played: Any) -> None:
    edit_pointer(played, change)
    assert words in red(played.verdict())[check]


def test_a_tag_alone_is_no_push(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.git("tag", "-a", "v1", "-m", "v1")
    pipeline.git("push", "-q", "origin", "v1")
    pipeline.git("push", "-q", "--force", "origin", f"{played.expectation.seeded.sha}:main")
    assert "only on tag v1" in red(played.verdict())["commit.on-branch"]


def test_a_push_to_another_branch_is_red(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.git("push", "-q", "origin", "HEAD:else")
    pipeline.git("push", "-q", "--force", "origin", f"{played.expectation.seeded.sha}:main")
    assert "only on branch else" in red(played.verdict())["commit.on-branch"]


def test_rewritten_history_is_red(played: Any) -> None:
    pipeline = played.pipeline
    tree = pipeline.git("rev-parse", "HEAD^{tree}")
    orphan = pipeline.git("commit-tree", tree, "-m", "all new")
    pipeline.git("push", "-q", "--force", "origin", f"{orphan}:main")
    assert "was rewritten" in red(played.verdict())["history.grew"]


def test_a_second_commit_is_red(played: Any) -> None:
    played.pipeline.write({"notes.txt": b"x"})
    played.pipeline.commit("more")
    told = red(played.verdict())
    assert set(told) == {"commit.count", "commit.paths"}


def test_another_author_is_red(played: Any) -> None:
    pipeline = played.pipeline
    pipeline.git("commit", "-q", "--amend", "--reset-author", "--no-edit", email="mallory@example.invalid")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    assert "mallory@example.invalid" in red(played.verdict())["commit.author"]
    assert played.verdict(authors=("mallory@example.invalid",)).green


def test_a_rival_commit_on_either_side_is_legal(played: Any) -> None:
    pipeline, seed = played.pipeline, played.expectation.seeded.sha
    run = pipeline.git("rev-parse", "HEAD")
    pipeline.git("reset", "-q", "--hard", seed)
    pipeline.write({"other/a.txt": b"a"})
    pipeline.git("add", "-A")
    pipeline.git("commit", "-q", "-m", "rival", email="rival@example.invalid")
    pipeline.git("cherry-pick", run)
    pipeline.write({"other/b.txt": b"b"})
    pipeline.git("add", "-A")
    pipeline.git("commit", "-q", "-m", "rival", email="rival@example.invalid")
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    verdict = played.verdict()
    assert verdict.green, verdict.failures


def test_a_merge_of_a_rivals_commit_is_legal_where_the_policy_allows_it(played: Any) -> None:
    pipeline, seed = played.pipeline, played.expectation.seeded.sha
    run = pipeline.git("rev-parse", "HEAD")
    pipeline.git("reset", "-q", "--hard", seed)
    pipeline.write({"other/a.txt": b"a"})
    pipeline.git("add", "-A")
    pipeline.git("commit", "-q", "-m", "rival", email="rival@example.invalid")
    rival = pipeline.git("rev-parse", "HEAD")
    pipeline.git("reset", "-q", "--hard", run)
    pipeline.git("merge", "-q", "--no-edit", rival)
    pipeline.git("push", "-q", "--force", "origin", "HEAD:main")
    assert list(red(played.verdict())) == ["commit.parent"]
    verdict = played.verdict(merge_commits=True)
    assert verdict.green, verdict.failures


def test_a_folder_is_judged_with_its_manifest_and_every_member(fresh: Any) -> None:
    pipeline = replace(fresh, tracked="data", policy=Policy(new_rows=None))
    pipeline.create({"data/a.csv": b"1\r\n", "data/sub/b.csv": b"2\n"}, add="data")
    expectation = pipeline.expectation(pipeline.head())
    before = pipeline.gatherer(expectation).snapshot()
    pipeline.write({"data/c.csv": b"3\n"})
    pipeline.dvc("add", "-q", "data")
    pipeline.dvc("push", "-q")
    pipeline.commit("Data version")
    verdict = pipeline.verdict(expectation, before)
    assert verdict.green, verdict.failures
    evidence = pipeline.gather(expectation, before)
    (manifest,) = (where for where in evidence.manifests if where not in before.manifests)
    members = {entry["relpath"]: entry["md5"] for entry in json.loads(evidence.manifests[manifest])}
    assert set(members) == {"a.csv", "sub/b.csv", "c.csv"}
    lost = members["c.csv"]
    pipeline.s3.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/files/md5/{lost[:2]}/{lost[2:]}")
    assert "data/c.csv" in red(pipeline.verdict(expectation, before))["object.present"]
    pipeline.s3.client.delete_object(Bucket=BUCKET, Key=manifest.key)
    assert "manifest of data/" in red(pipeline.verdict(expectation, before))["object.present"]


def test_a_legacy_pointer_gives_way_to_a_new_one(fresh: Any) -> None:
    """As DVC 2 left it: no `hash`, the object at the short key, its md5 taken with Unix line ends."""
    old, unix = b"id,mass\r\n1,20\r\n", b"id,mass\n1,20\n"
    fresh.create({TRACKED: unix}, add=TRACKED)
    (key,) = fresh.s3.objects()
    fresh.s3.empty()
    fresh.s3.put({key.replace("/files/md5/", "/"): old})
    text = (
        (fresh.clone / POINTER)
        .read_text()
        .replace("  hash: md5\n", "")
        .replace(f"size: {len(unix)}", f"size: {len(old)}")
    )
    (fresh.clone / POINTER).write_text(text)
    fresh.write({TRACKED: old})
    seed = fresh.commit("as DVC 2 left it", email="seed@example.invalid")
    unchanged = fresh.expectation(seed, changes=False)
    verdict = fresh.verdict(unchanged, fresh.gatherer(unchanged).snapshot())
    assert verdict.green, verdict.failures

    expectation = fresh.expectation(seed)
    before = fresh.gatherer(expectation).snapshot()
    fresh.write({TRACKED: old + b"2,30\r\n"})
    fresh.dvc("add", "-q", TRACKED)
    fresh.dvc("push", "-q")
    fresh.commit("Data version")
    verdict = fresh.verdict(expectation, before)
    assert verdict.green, verdict.failures


def test_a_version_aware_remote_keeps_both_versions_under_one_key(fresh: Any) -> None:
    pipeline = replace(fresh, bucket="versioned")
    rows = b"id,mass\n1,20\n"
    pipeline.create({TRACKED: rows}, add=TRACKED, config="    version_aware = true\n")
    expectation = pipeline.expectation(pipeline.head())
    before = pipeline.gatherer(expectation).snapshot()
    pipeline.write({TRACKED: rows + b"2,30\n"})
    pipeline.dvc("add", "-q", TRACKED)
    pipeline.dvc("push", "-q")
    pipeline.commit("Data version")
    verdict = pipeline.verdict(expectation, before)
    assert verdict.green, verdict.failures
    (address,) = before.digests
    pipeline.s3.client.delete_object(Bucket="versioned", Key=address.key, VersionId=address.version_id)
    assert "object.previous-kept" in red(pipeline.verdict(expectation, before))


def test_a_delete_marker_is_told_from_an_object_that_never_came(fresh: Any) -> None:
    pipeline = replace(fresh, bucket="versioned")
    rows = b"id,mass\n1,20\n"
    pipeline.create({TRACKED: rows}, add=TRACKED)
    expectation = pipeline.expectation(pipeline.head())
    before = pipeline.gatherer(expectation).snapshot()
    pipeline.write({TRACKED: rows + b"2,30\n"})
    pipeline.dvc("add", "-q", TRACKED)
    pipeline.dvc("push", "-q")
    pipeline.commit("Data version")
    listing = pipeline.gatherer(expectation).store.list_objects("versioned", PREFIX)
    (key,) = set(listing) - set(before.listing)
    pipeline.s3.client.delete_object(Bucket="versioned", Key=key)
    assert "a delete marker hides it" in red(pipeline.verdict(expectation, before))["object.present"]
