"""The oracle tested: any one fact that is wrong turns it red for its own reason; legal variations stay green."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dvc import (
    Address,
    Astray,
    Check,
    Commit,
    Digest,
    Evidence,
    Outcome,
    Reproduction,
    RivalPointer,
    decided,
    judge,
)
from harness.dvc.evidence import Exposure
from harness.dvc.table import TableComparison
from harness.errors import EnvironmentFailed
from harness.model import BlockedEgress, Leak

from .conftest import NEW, POINTER, PUSHED, RIVAL, SEED, SIDE, Facts, Folder, commit

GreenFacts = Callable[..., Facts]
Corruption = Callable[[Evidence], Evidence]

OTHER_MD5 = "0" * 32


def merge(sha: str, *parents: str) -> Commit:
    return commit(sha, *parents, email="other@example.invalid", paths=())


def rival(sha: str, *parents: str) -> Commit:
    return commit(sha, *parents, email="other@example.invalid", paths=("other/x.csv.dvc",))


def new_address(evidence: Evidence) -> Address:
    (key,) = set(evidence.listing) - set(evidence.before.listing)
    return Address("bucket", key)


def old_address(evidence: Evidence) -> Address:
    (address,) = evidence.before.digests
    return address


def pointer(evidence: Evidence, old: str, new: str) -> Evidence:
    data = evidence.pointers[POINTER]
    assert data is not None
    changed = data.replace(old.encode(), new.encode())
    assert changed != data
    return replace(evidence, pointers={POINTER: changed}, tip_pointer=changed)


def without_new_object(evidence: Evidence) -> Evidence:
    address = new_address(evidence)
    return replace(
        evidence,
        listing={key: size for key, size in evidence.listing.items() if key != address.key},
        digests={where: found for where, found in evidence.digests.items() if where != address},
    )


def other_bytes(evidence: Evidence) -> Evidence:
    return replace(evidence, digests={**evidence.digests, new_address(evidence): Digest(21, OTHER_MD5, OTHER_MD5)})


def without_old_object(evidence: Evidence) -> Evidence:
    address = old_address(evidence)
    return replace(
        evidence,
        listing={key: size for key, size in evidence.listing.items() if key != address.key},
        digests={where: found for where, found in evidence.digests.items() if where != address},
    )


def pods(evidence: Evidence, role: str, **changes: Any) -> Evidence:
    index = next(index for index, pod in enumerate(evidence.pods) if pod.role == role)
    changed = replace(evidence.pods[index], **changes)
    return replace(evidence, pods=(*evidence.pods[:index], changed, *evidence.pods[index + 1 :]))


def task_state(evidence: Evidence, state: str) -> Evidence:
    outcome = evidence.outcome
    tasks = {**outcome.tasks, "push_data": replace(outcome.tasks["push_data"], state=state)}
    return replace(evidence, outcome=replace(outcome, tasks=tasks))


def nothing_pushed(evidence: Evidence) -> Evidence:
    return replace(
        without_new_object(evidence),
        tip=SEED,
        commits=(),
        commit=SEED,
        pointers={POINTER: evidence.before.pointer},
        tip_pointer=evidence.before.pointer,
    )


def tag_only(evidence: Evidence) -> Evidence:
    return replace(nothing_pushed(evidence), astray=(Astray(evidence.commits[0], ("refs/tags/v1",)),))


def stale_pointer(evidence: Evidence) -> Evidence:
    return replace(evidence, pointers={POINTER: evidence.before.pointer}, tip_pointer=evidence.before.pointer)


OWN_MERGE = commit(RIVAL, NEW, SIDE, paths=())
# name: (what is made wrong, the check that must say so, words that it must use). One or a few for each check, to be
# mixed with each other: all that a check can find wrong is in the tables of test_check_*.py.
CORRUPTIONS: dict[str, tuple[Corruption, str, str]] = {
    "history rewritten": (lambda e: replace(e, grew=False, commits=()), "history.grew", "was rewritten"),
    "nothing pushed": (nothing_pushed, "commit.on-branch", "left no commit"),
    "tag only": (tag_only, "commit.on-branch", "only on tag v1"),
    "two commits": (
        lambda e: replace(e, commits=(commit(SIDE, SEED, paths=("x",)), commit(NEW, SIDE))),
        "commit.count", "2 commits",
    ),
    "own merge": (
        lambda e: replace(e, tip=RIVAL, commits=(rival(SIDE, SEED), commit(NEW, SEED), OWN_MERGE)),
        "commit.parent", "is a merge",
    ),
    "wrong author": (lambda e: replace(e, commits=(commit(NEW, SEED, email="m@x"),)), "commit.author", "by m@x"),
    "foreign path": (
        lambda e: replace(e, commits=(commit(NEW, SEED, paths=(POINTER, "dags/x.py")),)), "commit.paths", "dags/x.py",
    ),
    "pointer deleted": (lambda e: replace(e, pointers={POINTER: None}), "pointer.wellformed", "there is no file"),
    "malformed pointer": (lambda e: pointer(e, "outs:", "outs: ["), "pointer.wellformed", "not YAML"),
    "capitals": (lambda e: pointer(e, "md5: ", "md5: ABCDEF"), "pointer.wellformed", "digits"),
    "wrong path": (lambda e: pointer(e, "penguins.csv", "p.csv"), "pointer.wellformed", "its path is"),
    "stale pointer": (stale_pointer, "pointer.new", "same data as before"),
    "undone at the tip": (lambda e: replace(e, tip_pointer=b"x"), "pointer.at-tip", "undid it"),
    "wrong size": (lambda e: pointer(e, "size: 21", "size: 20"), "pointer.size", "20 bytes, but the data has 21"),
    "other prefix": (
        lambda e: replace(e, config=(e.config or b"").replace(b"runs/r1", b"runs/r2")), "remote.expected", "runs/r2",
    ),
    "object missing": (without_new_object, "object.present", "dvc push did not happen"),
    "object elsewhere": (
        lambda e: replace(without_new_object(e), sightings={new_address(e): ("s3://bucket/else",)}),
        "object.present", "an object of that name is at s3://bucket/else",
    ),
    "other bytes": (other_bytes, "object.bytes", "not the data"),
    "previous object lost": (without_old_object, "object.previous-kept", "is gone"),
    "stray object": (lambda e: replace(e, listing={**e.listing, "runs/r1/x": 1}), "object.no-strays", "runs/r1/x"),
    "commit before its object": (
        lambda e: replace(e, stored={new_address(e): PUSHED + timedelta(seconds=1)}),
        "object.before-commit", "was stored at 12:00:04",
    ),
    "secret in a commit": (
        lambda e: replace(e, exposures=(Exposure(NEW, "file x"),)), "commit.no-secrets", "file x, commit bbbbbbbbbb",
    ),
    "no row": (lambda e: replace(e, table=TableComparison(1, 1, None, None)), "rows.appended", "added 0 rows"),
    "no table": (lambda e: replace(e, table=None, table_problem="no CSV"), "rows.appended", "no CSV"),
    "pull fails": (lambda e: replace(e, reproduction=Reproduction(1, "oh", {})), "clone.reproduces", "exit code 1: oh"),
    "executor on another commit": (lambda e: pods(e, "executor", synced_sha=SIDE), "code.dag-sha", "dddddddddd"),
    "stale worker image": (
        lambda e: pods(e, "task", image_id=f"docker.io/worker@sha256:{'2' * 64}"), "code.worker-image", "sha256:222",
    ),
    "task failed": (lambda e: task_state(e, "failed"), "tasks.succeeded", "push_data is failed"),
    "secret in a log": (
        lambda e: pods(e, "task", leaks=(Leak("base", 1, 7),)), "logs.no-secrets", "container base, line 7",
    ),
    "call outside": (
        lambda e: pods(e, "task", blocked=(BlockedEgress("10.244.0.9", "192.0.2.1", "tcp", 443, 1),)),
        "traffic.none-outside", "called 192.0.2.1:443",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_one_wrong_fact_turns_the_verdict_red_for_its_own_reason(name: str, green_facts: GreenFacts) -> None:
    corrupt, check_id, words = CORRUPTIONS[name]
    expectation, evidence = green_facts()
    verdict = judge(expectation, corrupt(evidence))
    assert not verdict.green
    told = {check.id: check.explanation for check in verdict.failures if check.evaluated}
    assert words in told[check_id]
    assert all(told.values()), "every failed check says why"


def test_a_run_on_which_everything_agrees_is_green(green_facts: GreenFacts) -> None:
    verdict = judge(*green_facts())
    assert verdict.green, verdict.headline
    assert verdict.commit == NEW
    assert verdict.headline == f"green: commit bbbbbbbbbb, {len(verdict.checks)} checks passed"
    assert all(check.expected and check.found and not check.explanation for check in verdict.checks)


ORDER = [
    "history.grew", "commit.on-branch", "commit.count", "commit.parent", "commit.author", "commit.paths",
    "history.other-refs", "pointer.wellformed", "pointer.new", "pointer.same-outputs", "pointer.at-tip",
    "remote.expected", "object.present", "object.bytes", "pointer.size", "object.not-empty", "object.previous-kept",
    "object.no-strays", "object.before-commit", "rows.appended", "clone.reproduces", "code.dag-sha",
    "code.worker-image", "tasks.succeeded", "logs.no-secrets", "commit.no-secrets", "traffic.none-outside",
]  # fmt: skip


@given(names=st.sets(st.sampled_from(sorted(CORRUPTIONS)), min_size=1, max_size=4))
def test_no_mixture_of_wrong_facts_is_green_or_changes_the_list(green_facts: GreenFacts, names: set[str]) -> None:
    expectation, evidence = green_facts()
    for name in sorted(names):
        try:
            evidence = CORRUPTIONS[name][0](evidence)
        except (AssertionError, ValueError, IndexError, StopIteration):
            continue  # an earlier corruption took away what this one would change
    verdict = judge(expectation, evidence)
    assert not verdict.green
    assert [check.id for check in verdict.checks] == ORDER
    assert verdict.failures[0].evaluated
    assert all(check.explanation for check in verdict.failures)


@given(data=st.data())
def test_no_digest_can_change_unnoticed(green_facts: GreenFacts, data: st.DataObject) -> None:
    expectation, evidence = green_facts()
    address = data.draw(st.sampled_from(sorted(evidence.digests, key=str)))
    size = data.draw(st.integers(0, 100))
    md5 = data.draw(st.text("0123456789abcdef", min_size=32, max_size=32))
    changed = Digest(size, md5, md5)
    verdict = judge(expectation, replace(evidence, digests={**evidence.digests, address: changed}))
    assert verdict.green is (changed == evidence.digests[address])


def test_a_check_that_cannot_be_evaluated_says_because_of_which(green_facts: GreenFacts) -> None:
    expectation, evidence = green_facts()
    verdict = judge(expectation, without_new_object(evidence))
    check = next(check for check in verdict.checks if check.id == "object.bytes")
    why = "not evaluated because object.present did not pass"
    title = "its bytes hash to the pointer's md5"
    assert check == Check("object.bytes", title, Outcome.NOT_EVALUATED, expected="", found="", explanation=why)


def test_airflow_saying_success_is_never_enough(green_facts: GreenFacts) -> None:
    expectation, evidence = green_facts()
    verdict = judge(expectation, nothing_pushed(evidence))
    assert next(check for check in verdict.checks if check.id == "tasks.succeeded").passed
    assert not verdict.green


class TestLegalVariations:
    def test_a_rival_commit_before_the_push(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        assert judge(expectation, replace(evidence, commits=(rival(RIVAL, SEED), commit(NEW, RIVAL)))).green

    def test_a_rival_commit_after_the_push(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        changed = replace(evidence, tip=RIVAL, commits=(commit(NEW, SEED), rival(RIVAL, NEW)))
        assert judge(expectation, changed).green

    def test_a_rival_merge_before_the_push(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        commits = (rival(SIDE, "e" * 40), merge(RIVAL, SEED, SIDE), commit(NEW, RIVAL))
        changed = replace(evidence, commits=commits)
        assert judge(expectation, changed).green

    def test_a_rival_with_an_object_of_its_own(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        data = f"outs:\n- md5: '{OTHER_MD5}'\n  size: 1\n  hash: md5\n  path: x.csv\n"
        changed = replace(
            evidence,
            commits=(rival(RIVAL, SEED), commit(NEW, RIVAL)),
            rivals=(RivalPointer(RIVAL, "other/x.csv.dvc", data.encode(), evidence.config),),
            listing={**evidence.listing, f"runs/r1/files/md5/00/{'0' * 30}": 1},
        )
        assert judge(expectation, changed).green
        assert not judge(expectation, replace(changed, rivals=())).green

    def test_a_rival_with_a_folder_of_its_own(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        folder = Folder({"x.csv": b"x"})
        changed = replace(
            evidence,
            commits=(rival(RIVAL, SEED), commit(NEW, RIVAL)),
            rivals=(RivalPointer(RIVAL, "other/all.dvc", folder.pointer, evidence.config),),
            listing={**evidence.listing, **folder.listing},
            manifests=folder.manifests,
        )
        assert judge(expectation, changed).green
        unread = judge(expectation, replace(changed, manifests={}))
        assert [check.id for check in unread.failures] == ["object.no-strays"]

    def test_a_merge_where_the_policy_allows_it(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(merge_commits=True)
        own_merge = commit(RIVAL, NEW, SIDE, paths=())
        changed = replace(evidence, tip=RIVAL, commits=(rival(SIDE, SEED), commit(NEW, SEED), own_merge))
        assert judge(expectation, changed).green

    def test_several_commits_where_the_policy_asks_for_them(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(commits=2, extra_paths=("docs/",))
        changed = replace(evidence, commits=(commit(SIDE, SEED, paths=("docs/a",)), commit(NEW, SIDE)))
        assert judge(expectation, changed).green

    def test_any_author_where_the_policy_names_none(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(authors=())
        assert judge(expectation, replace(evidence, commits=(commit(NEW, SEED, email="any@x"),))).green

    def test_a_new_data_branch(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(branch="data")
        assert judge(expectation, replace(evidence, before=replace(evidence.before, tip=None))).green

    def test_a_first_version(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(new_rows=None)
        before = replace(evidence.before, pointer=None, listing={}, digests={})
        changed = replace(evidence, before=before, listing={new_address(evidence).key: 21})
        assert judge(expectation, changed).green

    @pytest.mark.parametrize(("old", "new"), [(True, False), (True, True), (False, True)])
    def test_legacy_pointers(self, old: bool, new: bool, green_facts: GreenFacts) -> None:  # noqa: FBT001
        assert judge(*green_facts(old_legacy=old, new_legacy=new)).green

    def test_data_that_is_no_table(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(new_rows=None)
        verdict = judge(expectation, replace(evidence, table=None))
        assert verdict.green
        assert "rows.appended" not in {check.id for check in verdict.checks}

    def test_an_object_that_was_there_before_as_after_a_revert(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        before = replace(evidence.before, listing=evidence.listing)
        assert judge(expectation, replace(evidence, before=before)).green

    def test_an_executor_on_a_commit_that_leaves_the_dags_as_they_are(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        changed = pods(evidence, "executor", synced_sha=RIVAL)
        assert judge(expectation, replace(changed, same_code=frozenset({RIVAL}))).green
        assert not judge(expectation, changed).green

    def test_a_retried_task_with_two_pods(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        again = replace(evidence.pods[0], name="again", phase="Failed")
        assert judge(expectation, replace(evidence, pods=(*evidence.pods, again))).green

    def test_a_version_aware_remote(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts()
        config = (evidence.config or b"") + b"    version_aware = true\n"
        old, new = (evidence.before.digests[old_address(evidence)], evidence.digests[new_address(evidence)])

        def versioned(found: Digest, version: str) -> bytes:
            return (
                f"outs:\n- md5: {found.md5}\n  size: {found.size}\n  hash: md5\n  path: penguins.csv\n"
                f"  cloud:\n    store:\n      version_id: {version}\n"
            ).encode()

        key = "runs/r1/datasets/penguins.csv"
        first, second = Address("bucket", key, "v1"), Address("bucket", key, "v2")
        before = replace(
            evidence.before, pointer=versioned(old, "v1"), config=config, listing={key: old.size}, digests={first: old}
        )
        changed = replace(
            evidence,
            before=before,
            config=config,
            pointers={POINTER: versioned(new, "v2")},
            tip_pointer=versioned(new, "v2"),
            listing={key: new.size},
            digests={first: old, second: new},
            stored={second: PUSHED},
        )
        assert judge(expectation, changed).green
        lost = judge(expectation, replace(changed, digests={second: new}))
        assert [check.id for check in lost.failures] == ["object.previous-kept"]


class TestNothingToChange:
    def test_a_run_that_leaves_everything_as_it_was_is_green(self, green_facts: GreenFacts) -> None:
        verdict = judge(*green_facts(changes=False))
        assert verdict.green, verdict.headline
        assert "nothing changed" in verdict.headline

    def test_a_rival_commit_is_legal(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(changes=False)
        assert judge(expectation, replace(evidence, tip=RIVAL, commit=RIVAL, commits=(rival(RIVAL, SEED),))).green

    def test_a_commit_is_red(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(changes=False)
        verdict = judge(expectation, replace(evidence, tip=NEW, commits=(commit(NEW, SEED, paths=()),)))
        assert [check.id for check in verdict.failures] == ["commit.count"]

    def test_a_commit_elsewhere_is_red(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(changes=False)
        astray = (Astray(commit(NEW, SEED), ("refs/heads/else",)),)
        assert [check.id for check in judge(expectation, replace(evidence, astray=astray)).failures] == ["commit.count"]

    def test_a_new_object_is_red(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(changes=False)
        verdict = judge(expectation, replace(evidence, listing={**evidence.listing, "runs/r1/x": 1}))
        assert [check.id for check in verdict.failures] == ["object.no-strays"]

    def test_a_changed_pointer_is_red(self, green_facts: GreenFacts) -> None:
        expectation, evidence = green_facts(changes=False)
        other = green_facts()[1].pointers[POINTER]
        verdict = judge(expectation, replace(evidence, pointers={POINTER: other}))
        assert "pointer.unchanged" in {check.id for check in verdict.failures}


class TestUndecided:
    """What could not be seen makes a run neither green nor red; what is known to be wrong makes it red all the same."""

    UNREAD: Final[dict[str, Any]] = {"unread": ("base: gone with its pod",)}

    def facts(self, green_facts: GreenFacts, **changed: Any) -> Facts:
        expectation, evidence = green_facts()
        return expectation, replace(evidence, pods=tuple(replace(pod, **changed) for pod in evidence.pods))

    def test_it_is_an_error_that_names_pod_and_reason(self, green_facts: GreenFacts) -> None:
        verdict = judge(*self.facts(green_facts, synced_sha=None, **self.UNREAD))
        assert verdict.headline.startswith("undecided: code.dag-sha: which code ran could not be established")
        assert [check.outcome for check in verdict.undecided] == [Outcome.NOT_ESTABLISHED] * 2
        assert not any(check.passed or check.evaluated for check in verdict.undecided)
        with pytest.raises(EnvironmentFailed, match=r"cannot be judged: code\.dag-sha: .*pull_data-executor") as caught:
            decided(verdict)
        assert "container base: gone with its pod" in caught.value.evidence["logs.no-secrets"]
        assert caught.value.next_step == (
            "run again; where it comes back, see that the API server and the node keep up, or raise --patience"
        )

    def test_a_run_that_is_red_for_something_else_stays_red(self, green_facts: GreenFacts) -> None:
        expectation, evidence = self.facts(green_facts, **self.UNREAD)
        verdict = judge(expectation, replace(evidence, grew=False))
        assert verdict.undecided == ()
        assert decided(verdict) is verdict
        assert [check.id for check in verdict.failures][:2] == ["history.grew", "logs.no-secrets"]
        assert verdict.headline.startswith("red: history.grew")

    def test_green_stays_green(self, green_facts: GreenFacts) -> None:
        verdict = judge(*green_facts())
        assert decided(verdict) is verdict
