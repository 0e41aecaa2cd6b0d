"""Legal variations: runs that differ from the plain one and are right. Each must stay green."""

from __future__ import annotations

from dataclasses import replace

from harness.dvc.repository import check_out
from harness.model import BlockedEgress, PodEvidence, TaskOutcome
from harness.settings import Policy

from .play import MAIN, SEEDER, Play
from .recording import ROW, ROWS, STAGES, StageOutput, crlf, lock_of, remote_config
from .table import legal

MERGES = Policy(merge_commits=True)
ANY_DATA = Policy(new_rows=None)
DATA_BRANCH = Policy(branch="data")
OTHER_POINTER = "other/islands.csv.dvc"


@legal()
def plain_run(play: Play) -> None:
    play.complete()


# Others work on the same branch.


@legal()
def rival_commit_before(play: Play) -> None:
    play.complete(on=play.rival({"other/notes.txt": b"n"}))


@legal()
def rival_commit_after(play: Play) -> None:
    play.rival({"other/notes.txt": b"n"}, on=play.complete())


@legal()
def rival_with_a_pointer_and_data_of_its_own(play: Play) -> None:
    other = play.store(play.recorded.after.of(b"island\nDream\n"))
    play.complete(on=play.rival({OTHER_POINTER: other.pointer.replace(b"penguins", b"islands")}))


@legal()
def executor_pods_on_a_rivals_same_dags(play: Play) -> None:
    rival = play.rival({"other/notes.txt": b"n"})
    play.pods = [replace(pod, synced_sha=rival) if pod.role == "executor" else pod for pod in play.pods]
    play.complete(on=rival)


@legal(policy=MERGES)
def merge_of_a_rivals_commit(play: Play) -> None:
    rival = play.rival({"other/notes.txt": b"n"})
    pointer = play.store(play.recorded.after).pointer
    run = play.commit({play.pointer_path: pointer}, on=play.seed)
    play.push(play.commit({"other/notes.txt": b"n"}, on=run, merging=rival))


@legal(policy=MERGES)
def merged_by_a_rival(play: Play) -> None:
    rival = play.rival({"other/notes.txt": b"n"})
    pointer = play.store(play.recorded.after).pointer
    run = play.commit({play.pointer_path: pointer}, on=play.seed)
    play.push(play.commit({play.pointer_path: pointer}, on=rival, merging=run, email="rival@example.invalid"))


def _with_another_output(play: Play) -> None:
    other = play.store(play.recorded.before.of(b"island\nDream\n"))
    play.publish(play.begin({OTHER_POINTER: other.pointer.replace(b"penguins", b"islands")}))


@legal(prepare=_with_another_output)
def another_output_in_the_repository(play: Play) -> None:
    play.complete()


# Branches and what was before.


def _with_a_data_branch(play: Play) -> None:
    play.publish(play.begin(), branches=(MAIN, "data"))


@legal(policy=DATA_BRANCH, prepare=_with_a_data_branch)
def data_branch(play: Play) -> None:
    play.complete(to="refs/heads/data")


@legal(policy=DATA_BRANCH)
def data_branch_that_the_run_makes(play: Play) -> None:
    play.complete(to="refs/heads/data")


def _reverted(play: Play) -> None:
    first = play.begin()
    later = play.store(play.recorded.after)
    second = play.commit({play.pointer_path: later.pointer}, on=first)
    play.publish(
        play.commit({play.pointer_path: play.recorded.before.pointer}, on=second, email=SEEDER, message="revert")
    )


@legal(prepare=_reverted)
def run_after_a_revert(play: Play) -> None:
    """Its object was there before: that it is uploaded once more after the push takes nothing from anybody."""
    play.complete()
    play.let_a_second_pass()
    play.store(play.recorded.after)


def _without_a_pointer(play: Play) -> None:
    config = remote_config(play.bucket, play.prefix)
    play.publish(play.commit({".dvc/config": config, "dags/pipeline.py": b"#"}, on=None, email=SEEDER))


@legal(prepare=_without_a_pointer, policy=ANY_DATA)
def first_version_ever(play: Play) -> None:
    play.complete()


@legal(changes=False)
def unchanged_run(play: Play) -> None:
    assert play.seed


@legal(changes=False)
def unchanged_run_beside_a_rival(play: Play) -> None:
    play.rival({"other/notes.txt": b"n"})


# What the team's policy says.


@legal(policy=Policy(authors=("team@example.invalid", "bot@example.invalid")))
def author_by_policy(play: Play) -> None:
    play.complete(email="bot@example.invalid")


@legal(policy=Policy(authors=()))
def any_author(play: Play) -> None:
    play.complete(email="whoever@example.invalid")


@legal(policy=Policy(extra_paths=("reports/", "CHANGELOG.md")))
def extra_paths_by_policy(play: Play) -> None:
    play.complete(files={"reports/rows.txt": b"4", "CHANGELOG.md": b"one row more"})


INDEX, REPORT = StageOutput("index", b"a, b\n"), StageOutput("report", b"three rows\n")


def _with_stages(play: Play) -> None:
    """Their outputs are not in the prefix, which is fresh: a seed puts the tracked data alone there."""
    play.publish(play.begin({"dvc.yaml": STAGES, "dvc.lock": lock_of(INDEX, REPORT)}))


@legal(prepare=_with_stages, policy=Policy(extra_paths=("dvc.lock",)))
def one_stage_of_two_run_again(play: Play) -> None:
    report = replace(REPORT, content=b"four rows\n")
    play.put(f"{play.prefix}/{report.key}", report.content)
    play.complete(files={"dvc.lock": lock_of(INDEX, report)})


@legal(policy=Policy(commits=2, extra_paths=("CHANGELOG.md",)))
def two_commits_by_policy(play: Play) -> None:
    play.push(play.commit({"CHANGELOG.md": b"one row more"}, on=play.complete()))


@legal(policy=Policy(commits=2, new_rows=2))
def two_commits_each_with_its_data(play: Play) -> None:
    play.complete(version=play.recorded.after.of(ROWS + ROW * 2), on=play.complete())


@legal(prepare=_with_stages, policy=Policy(commits=2, extra_paths=("dvc.lock",)))
def one_stage_of_two_run_again_twice(play: Play) -> None:
    """What the stage wrote first is in the bucket as well; the other stage's output, which never was, need not be."""
    first, second = (replace(REPORT, content=content) for content in (b"four rows\n", b"five rows\n"))
    for report in (first, second):
        play.put(f"{play.prefix}/{report.key}", report.content)
    commit = play.commit({"dvc.lock": lock_of(INDEX, first)}, on=play.seed)
    play.complete(files={"dvc.lock": lock_of(INDEX, second)}, on=commit)


@legal(policy=Policy(new_rows=2))
def two_rows_by_policy(play: Play) -> None:
    play.complete(version=play.recorded.after.of(ROWS + ROW * 2))


@legal(policy=Policy(extra_objects=("reports/", "./latest.csv"), extra_refs=("refs/tags/v*",)))
def extra_objects_and_tags_by_policy(play: Play) -> None:
    play.put("reports/rows.txt", b"4")
    play.put(f"{play.prefix}/latest.csv", ROWS + ROW)
    play.push(play.complete(), to="refs/tags/v2")


# Kinds of data and remotes.


@legal(data="folder", policy=ANY_DATA)
def folder_output(play: Play) -> None:
    play.complete()


@legal(data="blob", policy=ANY_DATA)
def data_that_is_no_table(play: Play) -> None:
    play.complete()


@legal(data="crlf")
def windows_line_ends(play: Play) -> None:
    play.complete()


@legal()
def line_ends_made_windows_ones_by_the_run(play: Play) -> None:
    play.complete(version=play.recorded.after.of(crlf(ROWS + ROW)))


@legal(data="version-aware", versioned=True, options=("version_aware = true",))
def version_aware_remote(play: Play) -> None:
    play.complete()


def _legacy(play: Play) -> None:
    play.publish(play.begin(version=play.recorded.before.legacy()))


@legal(prepare=_legacy)
def legacy_pointer_gives_way_to_a_new_one(play: Play) -> None:
    play.complete()


@legal(prepare=_legacy)
def legacy_pointer_stays_legacy(play: Play) -> None:
    play.complete(version=play.recorded.after.legacy())


@legal(prepare=_legacy, changes=False)
def legacy_pointer_unchanged(play: Play) -> None:
    assert play.seed


@legal()
def autostage(play: Play) -> None:
    """The one row in which real dvc runs as the DAG runs it: what is committed is what dvc itself has staged."""
    site, clone, home = play.site, play.folder / "clone", play.folder / "home"
    env = {**play.access.env, **site.dvc.env(home)}
    env |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Airflow"), ("EMAIL", "airflow@example.invalid"))}  # fmt: skip
    check_out(site.runner, play.access, sha=play.seed, into=clone)
    (clone / ".dvc/config.local").write_text("[core]\n    autostage = true\n")
    # As in the recorded repositories of dvc: neither the data nor the cache is Git's.
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/exclude").write_text("/datasets/penguins.csv\n/.dvc/config.local\n/.dvc/cache\n/.dvc/tmp\n")
    (clone / "datasets/penguins.csv").write_bytes(ROWS + ROW)
    site.runner.run([site.program, "add", "--quiet", "datasets/penguins.csv"], cwd=clone, env=env)
    site.runner.run([site.program, "push", "--quiet"], cwd=clone, env=env)
    site.runner.run(["git", "commit", "--quiet", "--message", "Data version"], cwd=clone, env=env)
    site.runner.run(["git", "push", "--quiet", "origin", f"HEAD:{MAIN}"], cwd=clone, env=env)


# What Airflow and the pods say.


@legal()
def task_tried_twice(play: Play) -> None:
    play.complete()
    play.tasks["push_data"] = TaskOutcome("push_data", "success", 2, 1.0)
    play.pods.append(
        PodEvidence("push-2", "push_data", "executor", "Succeeded", "airflow", play.site.image_id, play.seed)
    )


@legal(policy=Policy(skipped_tasks=True))
def task_skipped_by_policy(play: Play) -> None:
    play.complete()
    play.tasks["pull_data"] = TaskOutcome("pull_data", "skipped", 1, None)
    play.drop_pod("pull_data", "task")


@legal(policy=Policy(blocked_calls=True))
def call_outside_in_vain_by_policy(play: Play) -> None:
    play.complete()
    (pod,) = (pod for pod in play.pods if (pod.task_id, pod.role) == ("modify_data", "task"))
    play.replace_pod(replace(pod, blocked=(BlockedEgress("10.244.0.9", "198.51.100.7", "tcp", 443, 2),)))


@legal(changes=False)
def run_without_a_logical_date(play: Play) -> None:
    play.run_id = "manual-without-a-date"


@legal(needs_pods=True)
def real_pods_of_the_right_code(play: Play) -> None:
    """The other side of the two mutations with real pods: they are red for what the pods ran, not for being real."""
    play.replace_pod(play.cluster.executor("modify_data", repository=play.server_name, ref=MAIN))
    play.replace_pod(play.cluster.task("modify_data", image="worker"))
    play.complete()
