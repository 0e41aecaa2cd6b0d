"""The mutations: in each, one thing is wrong, and one check must say so. A row is a small program.

Two are about what was not seen of a run: on such a run there is no verdict.

In the order of the checks. `also` holds what else fails: the same fact seen from another side, such as the clean clone
that cannot be had without the object.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

from harness.model import BlockedEgress, Leak, TaskOutcome
from harness.settings import Policy

from .play import MAIN, RIVAL, SEEDER, Play
from .recording import ROW, ROWS, STAGES, StageOutput, Version, crlf, lock_of, remote_config
from .table import mutation, undecided

MERGES = Policy(merge_commits=True)
FOLDER = Policy(new_rows=None)
TWO_VERSIONS = Policy(commits=2, new_rows=2)
CLONE = ("clone.reproduces",)
UNNAMED = ("object.no-strays",)


# History and commit.


@mutation("history.grew", "was rewritten")
def history_without_its_past(play: Play) -> None:
    play.rewrite({f"refs/heads/{MAIN}": play.begin(version=play.recorded.after)})


@mutation("history.grew", "was rewritten")
def seed_commit_amended_and_forced(play: Play) -> None:
    stored = play.store(play.recorded.after)
    amended = play.begin({"README.md": b"another story"}, version=play.recorded.before)
    play.rewrite({f"refs/heads/{MAIN}": play.commit({play.pointer_path: stored.pointer}, on=amended)})


@mutation("history.grew", "is gone", also=UNNAMED)
def branch_deleted(play: Play) -> None:
    play.complete()
    play.rewrite({"refs/heads/elsewhere": play.commit({"README.md": b"x"}, on=None, email=RIVAL)})


@mutation("commit.on-branch", "the run left no commit on main", "git push did not happen", also=UNNAMED)
def commit_not_pushed(play: Play) -> None:
    stored = play.store(play.recorded.after)
    play.commit({play.pointer_path: stored.pointer}, on=play.seed)


@mutation("commit.on-branch", "the run's commit is only on tag v2", also=("history.other-refs", *UNNAMED))
def commit_on_a_tag_only(play: Play) -> None:
    play.complete(to="refs/tags/v2")


@mutation(
    "commit.on-branch", "the run's commit is only on branch data", "git push went elsewhere",
    also=("history.other-refs", *UNNAMED),
)  # fmt: skip
def commit_on_another_branch(play: Play) -> None:
    play.complete(to="refs/heads/data")


@mutation("commit.on-branch", "nothing was committed")
def no_change_though_one_was_expected(play: Play) -> None:
    assert play.seed


@mutation("commit.on-branch", "1 of other authors", also=UNNAMED)
def only_a_rival_committed(play: Play) -> None:
    play.store(play.recorded.after)
    play.rival({"other/notes.txt": b"n"})


@mutation("commit.count", "the run had nothing to change", also=("pointer.unchanged",), changes=False)
def a_change_though_none_was_expected(play: Play) -> None:
    play.complete()


@mutation("commit.count", "the run had nothing to change", also=("history.other-refs",), changes=False)
def a_commit_aside_though_none_was_expected(play: Play) -> None:
    play.push(
        play.commit({play.pointer_path: play.recorded.before.pointer + b"desc: x\n"}, on=play.seed), to="refs/heads/x"
    )


@mutation("commit.count", "the run made 2 commits on main where 1 is the rule")
def two_commits(play: Play) -> None:
    first = play.complete()
    play.push(play.commit({play.pointer_path: play.recorded.after.pointer + b"desc: again\n"}, on=first))


def _two_seeds(play: Play) -> None:
    play.publish(play.commit({"README.md": b"newer"}, on=play.begin(), email=SEEDER))


@mutation("commit.parent", "which is older than", prepare=_two_seeds, policy=MERGES)
def commit_on_an_older_parent(play: Play) -> None:
    pointer = play.store(play.recorded.after).pointer
    run = play.commit({play.pointer_path: pointer}, on=play.parent(play.seed))
    play.push(play.commit({play.pointer_path: pointer}, on=play.seed, merging=run, email=RIVAL))


@mutation("commit.parent", "is a merge, which the policy does not allow")
def merge_where_none_is_allowed(play: Play) -> None:
    rival = play.rival({"other/notes.txt": b"n"})
    pointer = play.store(play.recorded.after).pointer
    run = play.commit({play.pointer_path: pointer}, on=play.seed)
    play.push(play.commit({"other/notes.txt": b"n"}, on=run, merging=rival))


@mutation("commit.parent", "not on the tip, and came in by a merge")
def brought_in_by_a_rivals_merge(play: Play) -> None:
    rival = play.rival({"other/notes.txt": b"n"})
    pointer = play.store(play.recorded.after).pointer
    run = play.commit({play.pointer_path: pointer}, on=play.seed)
    play.push(play.commit({play.pointer_path: pointer}, on=rival, merging=run, email=RIVAL))


@mutation("commit.author", "mallory@example.invalid")
def wrong_author(play: Play) -> None:
    play.complete(email="mallory@example.invalid")


@mutation("commit.paths", "the commit touches notes.txt")
def foreign_path(play: Play) -> None:
    play.complete(files={"notes.txt": b"n"})


@mutation(
    "commit.paths",
    "leaves the pointer datasets/penguins.csv.dvc as it was; it touches data.log",
    also=("pointer.new", "object.no-strays", "rows.appended"),
)
def data_but_not_the_pointer(play: Play) -> None:
    play.store(play.recorded.after)
    play.push(play.commit({"data.log": b"pushed"}, on=play.seed))


@mutation("history.other-refs", "but branch copy was made at", "a commit of the run's")
def commit_pushed_to_another_branch_too(play: Play) -> None:
    play.push(play.complete(), to="refs/heads/copy")


@mutation("history.other-refs", "but tag v1 was made at", "which holds no new commit")
def old_commit_tagged(play: Play) -> None:
    play.complete()
    play.push(play.seed, to="refs/tags/v1")


# Pointer.


def _pointer(change: Callable[[bytes], bytes]) -> Callable[[Play], None]:
    def act(play: Play) -> None:
        play.complete(pointer=change(play.recorded.after.pointer))

    return act


def _unusable(name: str, words: str, change: Callable[[bytes], bytes]) -> None:
    act = _pointer(change)
    act.__name__ = name
    mutation("pointer.wellformed", "is unusable", words, also=UNNAMED)(act)


_unusable("pointer_malformed", "not YAML", lambda text: text.replace(b"- md5:", b"- md5: ["))
_unusable(
    "pointer_with_conflict_markers",
    "not YAML",
    lambda text: b"<<<<<<< HEAD\n" + text + b"=======\n" + text + b">>>>>>> theirs\n",
)
_unusable("pointer_in_capitals", "has capital letters", lambda text: text[:12] + text[12:44].upper() + text[44:])
_unusable("pointer_cut_off", "has no 'path'", lambda text: text[: text.index(b"  path:")])
_unusable("pointer_half_merged", "is given twice", lambda text: text + text)
_unusable("pointer_to_a_wrong_path", "its path is", lambda text: text.replace(b"path: ", b"path: x"))
_unusable("pointer_empty", "it is empty", lambda _text: b"")
_unusable("pointer_to_a_short_md5", "digits, not 32", lambda text: text[:43] + text[44:])
_unusable("pointer_not_pushed_by_its_own_word", "no remote holds it", lambda text: text + b"  push: false\n")


@mutation("pointer.wellformed", "there is no file datasets/penguins.csv.dvc", also=UNNAMED)
def pointer_deleted(play: Play) -> None:
    play.store(play.recorded.after)
    play.push(play.commit({play.pointer_path: None}, on=play.seed))


@mutation("pointer.new", "names the same data as before", also=("object.no-strays", "rows.appended"))
def pointer_stale(play: Play) -> None:
    play.complete(pointer=play.recorded.before.pointer + b"desc: as before\n")


def _windows_lines_in_dvc_2(play: Play) -> None:
    """DVC 2 hashed text as if its line ends were Unix ones, so DVC 3 has another md5 for the same bytes."""
    old, data = play.recorded.before.legacy(), crlf(ROWS)
    pointer = old.pointer.replace(b"size: %d" % len(ROWS), b"size: %d" % len(data))
    play.publish(play.begin(version=Version(pointer, {old.key: data})))


@mutation("pointer.new", "only the way in which it is hashed", also=("rows.appended",), prepare=_windows_lines_in_dvc_2)
def pointer_rewritten_for_the_same_data(play: Play) -> None:
    play.complete(version=play.recorded.after.of(crlf(ROWS)))


@mutation("pointer.same-outputs", "it names datasets/islands.csv too")
def pointer_to_a_further_file(play: Play) -> None:
    after, more = play.recorded.after, play.store(play.recorded.after.of(b"island\nDream\n"))
    play.complete(pointer=after.pointer + more.pointer.removeprefix(b"outs:\n").replace(b"penguins", b"islands"))


def _with_a_stage(play: Play) -> None:
    data = StageOutput("report", b"four rows\n")
    play.put(f"{play.prefix}/{data.key}", data.content)
    play.publish(play.begin({"dvc.yaml": STAGES, "dvc.lock": lock_of(data)}))


@mutation(
    "pointer.same-outputs", "dvc.lock no longer pushes report.txt", prepare=_with_a_stage,
    policy=Policy(extra_paths=("dvc.yaml",)),
)  # fmt: skip
def stage_output_held_back_by_dvc_yaml(play: Play) -> None:
    play.complete(files={"dvc.yaml": STAGES.replace(b"- report.txt", b"- report.txt: {push: false}")})


@mutation("pointer.at-tip", "a later commit undid it", policy=MERGES)
def pointer_undone_by_a_merge(play: Play) -> None:
    run = play.complete()
    rival = play.commit({"other/notes.txt": b"n"}, on=play.seed, email=RIVAL)
    ours = {play.pointer_path: play.recorded.before.pointer}
    play.push(play.commit({**ours, "other/notes.txt": b"n"}, on=run, merging=rival, email=RIVAL))


@mutation("pointer.size", "is said to be 1")
def pointer_with_a_wrong_size(play: Play) -> None:
    pointer = play.recorded.after.pointer
    play.complete(pointer=pointer.replace(b"size: ", b"size: 1"))


@mutation("object.present", "dvc push went elsewhere", also=("object.no-strays", *CLONE))
def pointer_without_its_hash_field(play: Play) -> None:
    play.complete(pointer=play.recorded.after.pointer.replace(b"  hash: md5\n", b""))


@mutation("remote.expected", "the default remote in .dvc/config", also=("commit.paths", "object.no-strays"))
def another_remote(play: Play) -> None:
    after = play.recorded.after
    play.put(f"elsewhere/{after.key}", after.data)
    play.complete(files={".dvc/config": remote_config(play.bucket, "elsewhere")})


def _with_two_remotes(play: Play) -> None:
    second = remote_config(play.bucket, "second").partition(b"['remote")[2].replace(b"store", b"second")
    play.publish(play.begin({".dvc/config": remote_config(play.bucket, play.prefix) + b"['remote" + second}))


@mutation("remote.expected", "binds its data to remote second", prepare=_with_two_remotes)
def pointer_bound_to_another_remote(play: Play) -> None:
    after = play.recorded.after
    play.put(f"second/{after.key}", after.data)
    play.push(play.commit({play.pointer_path: after.pointer + b"  remote: second\n"}, on=play.seed))


# Objects.


@mutation("object.present", "dvc push did not happen", also=CLONE)
def object_never_pushed(play: Play) -> None:
    play.push(play.commit({play.pointer_path: play.recorded.after.pointer}, on=play.seed))


@mutation("object.present", "dvc push did not happen", also=CLONE)
def object_missing(play: Play) -> None:
    play.complete()
    play.delete(play.new_key)


@mutation("object.present", "dvc push did not happen", policy=TWO_VERSIONS)
def earlier_of_two_commits_never_pushed(play: Play) -> None:
    """The clean clone is of the last commit, whose data is there: it reproduces."""
    first = play.commit({play.pointer_path: play.recorded.after.pointer}, on=play.seed)
    play.complete(version=play.recorded.after.of(ROWS + ROW * 2), on=first)


LOCK_TWICE = Policy(commits=2, extra_paths=("dvc.lock",))


@mutation("object.present", "dvc push did not happen", "(report.txt)", prepare=_with_a_stage, policy=LOCK_TWICE)
def earlier_lock_file_never_pushed(play: Play) -> None:
    report = StageOutput("report", b"five rows\n")
    play.put(f"{play.prefix}/{report.key}", report.content)
    first = play.commit({"dvc.lock": lock_of(StageOutput("report", b"no rows\n"))}, on=play.seed)
    play.complete(files={"dvc.lock": lock_of(report)}, on=first)


@mutation("object.present", "a delete marker hides it", also=CLONE, versioned=True)
def object_behind_a_delete_marker(play: Play) -> None:
    play.complete()
    play.delete(play.new_key)


def _moved(play: Play, key: str, *, bucket: str | None = None) -> None:
    play.complete()
    play.put(key, play.recorded.after.data, bucket=bucket)
    play.delete(play.new_key)


@mutation("object.present", "dvc push went elsewhere", also=("object.no-strays", *CLONE))
def object_at_the_legacy_key_only(play: Play) -> None:
    _moved(play, play.new_key.replace("files/md5/", ""))


@mutation("object.present", "dvc push went elsewhere", "/elsewhere/files/md5/", also=("object.no-strays", *CLONE))
def object_under_a_wrong_prefix(play: Play) -> None:
    _moved(play, f"elsewhere/{play.recorded.after.key}")


@mutation("object.present", "dvc push went elsewhere", "-2/", also=CLONE)
def object_in_a_wrong_bucket(play: Play) -> None:
    _moved(play, play.new_key, bucket=play.other_bucket())


def _members(play: Play) -> tuple[str, str]:
    """Keys of the new manifest and of the new member."""
    new = [key for key in play.recorded.after.objects if key not in play.recorded.before.objects]
    (manifest,) = (key for key in new if key.endswith(".dir"))
    (member,) = (key for key in new if not key.endswith(".dir"))
    return f"{play.prefix}/{manifest}", f"{play.prefix}/{member}"


@mutation("object.present", "(data/c.csv)", also=CLONE, data="folder", policy=FOLDER)
def member_of_a_folder_missing(play: Play) -> None:
    play.complete()
    play.delete(_members(play)[1])


@mutation("object.present", "manifest of data/", also=("object.no-strays", *CLONE), data="folder", policy=FOLDER)
def manifest_of_a_folder_missing(play: Play) -> None:
    play.complete()
    play.delete(_members(play)[0])


def _overwritten(change: Callable[[bytes], bytes]) -> Callable[[Play], None]:
    def act(play: Play) -> None:
        play.complete()
        play.put(play.new_key, change(play.recorded.after.data))

    return act


def _wrong_bytes(name: str, change: Callable[[bytes], bytes], *also: str) -> None:
    act = _overwritten(change)
    act.__name__ = name
    mutation("object.bytes", "they are not the data that the pointer", also=(*also, *CLONE))(act)


_wrong_bytes("object_with_other_bytes", lambda data: data.replace(b"5700", b"5701"))
_wrong_bytes("object_truncated", lambda data: data[:-3], "pointer.size")
_wrong_bytes("object_empty", lambda _data: b"", "pointer.size", "object.not-empty")


@mutation(
    "object.previous-kept", "is gone, so the previous commit can no longer be reproduced", also=("rows.appended",)
)
def previous_object_lost(play: Play) -> None:
    play.complete()
    play.delete(play.old_key)


@mutation("object.previous-kept", "was overwritten: its md5 was", also=("rows.appended",))
def previous_object_overwritten(play: Play) -> None:
    play.complete()
    play.put(play.old_key, play.recorded.after.data)


@mutation(
    "object.previous-kept", "is gone, so the previous commit", also=("rows.appended",),
    data="version-aware", versioned=True, options=("version_aware = true",),
)  # fmt: skip
def previous_version_id_lost(play: Play) -> None:
    play.complete()
    (version,) = play.recorded.before.version_ids.values()
    play.delete(play.old_key, version=version)


def _with_an_older_object(play: Play) -> None:
    play.put(f"{play.prefix}/files/md5/00/older", b"of an earlier version")
    play.publish(play.begin())


@mutation("object.previous-kept", "files/md5/00/older is gone", prepare=_with_an_older_object)
def object_of_an_earlier_version_lost(play: Play) -> None:
    play.complete()
    play.delete(f"{play.prefix}/files/md5/00/older")


@mutation("object.previous-kept", "21 bytes as before, but other ones", prepare=_with_an_older_object)
def object_of_an_earlier_version_overwritten(play: Play) -> None:
    play.complete()
    play.put(f"{play.prefix}/files/md5/00/older", b"of another version...")


@mutation("object.not-empty", "the new version of datasets/penguins.csv is empty", also=("rows.appended",))
def data_emptied(play: Play) -> None:
    play.complete(version=play.recorded.after.of(b""))


@mutation("object.no-strays", "the run left objects that no pointer names", "files/md5/00/stray")
def stray_object(play: Play) -> None:
    play.complete()
    play.put(f"{play.prefix}/files/md5/00/stray", b"x")


@mutation("object.no-strays", "models/latest.bin")
def stray_object_outside_of_the_remote(play: Play) -> None:
    play.complete()
    play.put("models/latest.bin", b"x")


@mutation("object.before-commit", "the commit was published before its data", "after the push of")
def commit_before_its_object(play: Play) -> None:
    play.push(play.commit({play.pointer_path: play.recorded.after.pointer}, on=play.seed))
    play.let_a_second_pass()
    play.store(play.recorded.after)


@mutation("object.before-commit", "the commit was published before its data", policy=TWO_VERSIONS)
def earlier_of_two_commits_before_its_object(play: Play) -> None:
    first = play.commit({play.pointer_path: play.recorded.after.pointer}, on=play.seed)
    play.push(first)
    play.let_a_second_pass()
    play.store(play.recorded.after)
    play.complete(version=play.recorded.after.of(ROWS + ROW * 2), on=first)


# Data.


def _rows(name: str, words: str, data: bytes) -> None:
    def act(play: Play) -> None:
        play.complete(version=play.recorded.after.of(data))

    act.__name__ = name
    mutation("rows.appended", words)(act)


_rows(
    "row_lost", "row 1 was Adelie,Torgersen,3750 and is Gentoo", ROWS.replace(b"Adelie,Torgersen,3750\n", b"") + ROW * 2
)
_rows("row_doubled", "added 2 rows to datasets/penguins.csv where 1 is the rule", ROWS + ROW * 2)
_rows("row_not_added", "added 0 rows", ROWS.replace(b"\n", b"\r\n"))
_rows("header_changed", "the header was species,island,mass", ROWS.replace(b"mass", b"weight") + ROW)
_rows("row_ragged", "has 2 cells, the header 3", ROWS + b"Gentoo,Biscoe\n")
_rows("data_not_text", "not a CSV table in UTF-8", b"\xff\xfe\x00" + ROWS)


@mutation("clone.reproduces", "dvc pull ended with exit code", options=("frobnicate = 1",))
def configuration_that_dvc_refuses(play: Play) -> None:
    play.complete()


# Code and tasks.


@mutation("code.dag-sha", "ran the DAG of commit", needs_pods=True)
def executor_pod_on_another_commit(play: Play) -> None:
    other = play.rival({"dags/pipeline.py": b"# another DAG\n"})
    play.replace_pod(play.cluster.executor("modify_data", repository=play.server_name, ref=MAIN))
    play.complete(on=other)


@mutation("code.worker-image", "the worker image under test is not the one that ran", needs_pods=True)
def stale_worker_image(play: Play) -> None:
    play.replace_pod(play.cluster.task("modify_data", image="airflow"))
    play.complete()


@undecided("code.dag-sha", "the run cannot be judged", "no executor pod of task push_data was seen")
def executor_pod_missing(play: Play) -> None:
    play.complete()
    play.drop_pod("push_data", "executor")


@undecided("code.worker-image", "the run cannot be judged", "no pod of task push_data was seen")
def task_pod_missing(play: Play) -> None:
    play.complete()
    play.drop_pod("push_data", "task")


@mutation("tasks.succeeded", "the DAG run harness-20260101T000000-00000000 ended as failed", "task push_data is failed")
def task_failed(play: Play) -> None:
    play.complete()
    play.state = "failed"
    play.tasks["push_data"] = TaskOutcome("push_data", "failed", 1, 1.0)


@mutation("tasks.succeeded", "task pull_data is skipped")
def task_skipped(play: Play) -> None:
    play.complete()
    play.tasks["pull_data"] = TaskOutcome("pull_data", "skipped", 1, None)


@mutation("logs.no-secrets", "the log of task pull_data", "container base, line 3")
def secret_in_a_task_log(play: Play) -> None:
    play.complete()
    (pod,) = (pod for pod in play.pods if (pod.task_id, pod.role) == ("pull_data", "task"))
    play.replace_pod(replace(pod, leaks=(Leak("base", 1, 3),)))


@mutation("commit.no-secrets", "it stands in the message, author or committer", "file datasets/penguins.csv.dvc")
def secrets_in_the_commit(play: Play) -> None:
    password = play.site.git.password.get_secret_value()
    pointer = play.store(play.recorded.after).pointer + b"desc: from https://u:%b@git/x.git\n" % password.encode()
    message = f"Data version\n\nSource: {base64.b64encode(f'u:{password}'.encode()).decode()}"
    play.push(play.commit({play.pointer_path: pointer}, on=play.seed, message=message))


@mutation("traffic.none-outside", "task modify_data called 198.51.100.7:443 (tcp", "egress_allow")
def call_outside(play: Play) -> None:
    play.complete()
    (pod,) = (pod for pod in play.pods if (pod.task_id, pod.role) == ("modify_data", "task"))
    blocked = BlockedEgress("10.244.0.9", "198.51.100.7", "tcp", 443, 2, f"airflow/{pod.name}")
    play.replace_pod(replace(pod, blocked=(blocked,)))
