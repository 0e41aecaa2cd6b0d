"""A policy of several commits: each version that the run has put into the history has its data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.dvc import Expectation, Snapshot
from harness.settings import Policy

ROWS = b"species,mass\nAdelie,3750\n"
VERSIONS = (ROWS + b"Gentoo,5000\n", ROWS + b"Gentoo,5000\nChinstrap,3800\n")


def two_versions(pipeline: Any, *, first_pushed: bool) -> tuple[Expectation, Snapshot]:
    pipeline.create({pipeline.tracked: ROWS}, add=pipeline.tracked)
    expectation = replace(pipeline.expectation(pipeline.head()), policy=Policy(commits=2, new_rows=2))
    before = pipeline.gatherer(expectation).snapshot()
    for number, data in enumerate(VERSIONS):
        pipeline.write({pipeline.tracked: data})
        pipeline.dvc("add", "-q", pipeline.tracked)
        if number or first_pushed:
            pipeline.dvc("push", "-q")
        pipeline.commit(f"Data version {number}")
    return expectation, before


def test_a_version_in_each_of_two_commits_is_legal(fresh: Any) -> None:
    verdict = fresh.verdict(*two_versions(fresh, first_pushed=True))
    assert verdict.green, verdict.headline


def test_the_data_of_an_earlier_commit_that_was_not_pushed_is_missed(fresh: Any) -> None:
    verdict = fresh.verdict(*two_versions(fresh, first_pushed=False))
    first = fresh.git("rev-parse", "HEAD~1")[:10]
    assert verdict.headline.startswith(f"red: object.present: the pointer at {first} names md5 ")


def test_when_the_data_of_each_commit_was_stored_is_known(fresh: Any) -> None:
    expectation, before = two_versions(fresh, first_pushed=True)
    evidence = fresh.gather(replace(expectation, one_clock=True), before)
    new = {address for address in evidence.digests if address.key not in before.listing}
    assert len(new) == len(VERSIONS)
    assert evidence.stored.keys() == new
