"""Outputs of a DVC pipeline's stages, and folders whose manifest is lost, as the real `dvc` leaves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.dvc import Verdict
from harness.settings import Policy

from .conftest import Pipeline

BUCKET, PREFIX = "mlops", "runs/r1"
STAGES = """\
stages:
  count:
    wdir: report
    cmd: wc -l ../datasets/penguins.csv > lines.txt && wc -c ../datasets/penguins.csv > bytes.txt
    deps: [../datasets/penguins.csv]
    outs: [lines.txt]
    metrics: [bytes.txt: {cache: false}]
"""
POLICY: dict[str, Any] = {"commits": 2, "extra_paths": ("dvc.lock", "dvc.yaml", "report/")}


def red(verdict: Verdict) -> dict[str, str]:
    return {check.id: check.explanation for check in verdict.failures if check.evaluated}


def reproduced(played: Any, stages: str = STAGES, *, push: bool = True) -> None:
    """The run also has a stage of a DVC pipeline done."""
    pipeline = played.pipeline
    pipeline.write({"dvc.yaml": stages.encode(), "report/.gitignore": b"/lines.txt\n"})
    pipeline.dvc("repro", "-q")
    if push:
        pipeline.dvc("push", "-q")
    pipeline.commit("the report")


def test_a_metric_that_stays_in_git_is_not_looked_for_in_the_bucket_and_what_is_cached_is(played: Any) -> None:
    reproduced(played)
    verdict = played.verdict(**POLICY)
    assert verdict.green, red(verdict)


def test_an_output_of_a_stage_that_was_not_pushed_is_red(played: Any) -> None:
    reproduced(played, push=False)
    told = red(played.verdict(**POLICY))
    assert list(told) == ["object.present"]
    assert "report/lines.txt" in told["object.present"]
    assert "bytes.txt" not in told["object.present"]


def test_an_output_of_a_stage_that_a_run_keeps_out_of_the_remote_is_red(played: Any) -> None:
    pipeline = played.pipeline
    reproduced(played)
    before = pipeline.gatherer(played.expectation).snapshot()
    rows = (pipeline.clone / "datasets/penguins.csv").read_bytes()
    pipeline.write({"datasets/penguins.csv": rows + b"Gentoo,4900\n"})
    pipeline.dvc("add", "-q", "datasets/penguins.csv")
    reproduced(played, STAGES.replace("outs: [lines.txt]", "outs: [lines.txt: {push: false}]"))
    expectation = replace(played.expectation, policy=Policy(**{**POLICY, "commits": 1}))
    told = red(pipeline.verdict(expectation, before))
    assert list(told) == ["pointer.same-outputs"]
    assert "dvc.lock no longer pushes report/lines.txt" in told["pointer.same-outputs"]


def test_a_stage_that_only_checks_and_writes_nothing_is_legal(played: Any) -> None:
    reproduced(played, "stages:\n  check:\n    cmd: test -s datasets/penguins.csv\n    deps: [datasets/penguins.csv]\n")
    verdict = played.verdict(**POLICY)
    assert verdict.green, red(verdict)


@pytest.mark.parametrize("download", [True, False])
def test_data_imported_from_another_repository_is_not_looked_for_in_the_bucket(
    played: Any,
    tmp_path: Path,
    download: bool,  # noqa: FBT001
) -> None:
    """`dvc push` leaves it out; what was not downloaded has no md5 either."""
    pipeline = played.pipeline
    other = Pipeline(tmp_path / "other", pipeline.s3, pipeline.program)
    other.create({"islands.csv": b"island\nDream\n"}, add="islands.csv")
    imported = {key: data for key, data in pipeline.s3.objects().items() if data == b"island\nDream\n"}
    how = () if download else ("--no-download",)
    pipeline.dvc("import", "-q", *how, str(other.folder / "remote.git"), "islands.csv")
    pipeline.s3.remove(imported)
    pipeline.dvc("push", "-q")
    pipeline.commit("the islands")
    verdict = played.verdict(commits=2, extra_paths=("islands.csv.dvc", ".gitignore"))
    assert verdict.green, red(verdict)


def folder_run(fresh: Any) -> tuple[Any, Any, str]:
    """A tracked folder, a run that changes one of its files, and the key of its manifest before."""
    pipeline = replace(fresh, tracked="datasets/all", policy=Policy(new_rows=None))
    pipeline.create({"datasets/all/1.csv": b"a\n1\n", "datasets/all/2.csv": b"a\n2\n"}, add="datasets/all")
    expectation = pipeline.expectation(pipeline.head())
    before = pipeline.gatherer(expectation).snapshot()
    (manifest,) = [key for key in before.listing if key.endswith(".dir")]
    pipeline.write({"datasets/all/2.csv": b"a\n2\n3\n"})
    pipeline.dvc("add", "-q", "datasets/all")
    pipeline.dvc("push", "-q")
    pipeline.commit("Data version")
    return pipeline, (expectation, before), manifest


def test_where_the_old_folders_manifest_is_lost_its_files_are_not_called_lost_too(fresh: Any) -> None:
    pipeline, asked, manifest = folder_run(fresh)
    assert pipeline.verdict(*asked).green
    pipeline.s3.client.delete_object(Bucket=BUCKET, Key=manifest)
    assert red(pipeline.verdict(*asked)) == {
        "object.previous-kept": f"the previous version's object at s3://{BUCKET}/{manifest} (datasets/all/) is gone, "
        "so the previous commit can no longer be reproduced."
    }


def test_where_the_old_folders_manifest_is_overwritten_only_that_is_told(fresh: Any) -> None:
    pipeline, asked, manifest = folder_run(fresh)
    pipeline.s3.put({manifest: b"[]"})
    told = red(pipeline.verdict(*asked))
    assert list(told) == ["object.previous-kept"]
    assert "(datasets/all/) was overwritten" in told["object.previous-kept"]
    assert "is gone" not in told["object.previous-kept"]
