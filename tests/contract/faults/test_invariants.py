"""Each invariant broken once on real services, and told by its name; nothing told where all is well."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping

import pytest

from harness.dvc.bucket import BotoStore
from harness.settings import Policy
from tests.faults.invariants import INVARIANTS, Done, Look, Reader, violations
from tests.mutations.play import AUTHOR, MAIN, RIVAL, Play
from tests.mutations.recording import Recorded
from tests.mutations.site import Site

Break = Callable[[Play], None]
ONE, NONE = Done(successes=1), Done(successes=0)
UNDER_WAY = Done(successes=0, under_way=1)


@pytest.fixture
def play(site: Site, recorded: Mapping[str, Recorded]) -> Iterator[Play]:
    """A seeded repository and bucket of its own."""
    name = f"invariants-{secrets.token_hex(4)}"
    play = Play(site=site, name=name, recorded=recorded["table"], prefix="runs/x", policy=Policy())
    play.publish(play.begin())
    yield play
    site.admin.remove(play.server_name)
    shutil.rmtree(play.folder)


def look(play: Play) -> Look:
    return Reader(
        runner=play.site.runner,
        access=play.access,
        store=BotoStore(play.site.client),
        bucket=play.bucket,
        prefix=play.prefix,
        branch=MAIN,
        tracked_file=play.recorded.tracked,
        workspace=play.folder,
    ).look()


def found(play: Play, act: Break, done: Done) -> dict[str, str]:
    before = look(play)
    act(play)
    return violations(before, look(play), done, author=AUTHOR)


def nothing(_play: Play) -> None:
    """A run that failed and left all as it was."""


def one_version(play: Play) -> None:
    play.complete()


def object_without_a_commit(play: Play) -> None:
    """What a crash between `dvc push` and `git push` leaves."""
    play.store(play.recorded.after)


def rival_on_another_branch(play: Play) -> None:
    play.push(play.commit({"notes.txt": b"n"}, on=play.seed, email=RIVAL), to="refs/heads/other")


def version_of_a_rival(play: Play) -> None:
    play.complete(email=RIVAL)


@pytest.mark.parametrize(
    ("act", "done"),
    [
        (nothing, NONE),
        (one_version, ONE),
        (object_without_a_commit, NONE),
        (rival_on_another_branch, NONE),
        (nothing, UNDER_WAY),
        (one_version, UNDER_WAY),
        (object_without_a_commit, UNDER_WAY),
    ],
)
def test_what_may_happen_breaks_nothing(play: Play, act: Break, done: Done) -> None:
    assert found(play, act, done) == {}


def test_rows_of_a_rival_are_not_the_runs(play: Play) -> None:
    assert found(play, version_of_a_rival, Done(successes=0, rival_rows=1)) == {}


def history_rewritten(play: Play) -> None:
    play.rewrite({f"refs/heads/{MAIN}": play.begin({"README.md": b"x"})})


def branch_gone(play: Play) -> None:
    play.rewrite({"refs/heads/other": play.seed})


def pointer_cut_off(play: Play) -> None:
    pointer = play.recorded.after.pointer
    play.complete(pointer=pointer[: pointer.index(b"md5: ") + 20])


def pointer_cut_off_on_another_branch(play: Play) -> None:
    pointer = play.recorded.after.pointer
    sha = play.commit({play.pointer_path: pointer[: pointer.index(b"md5: ") + 20]}, on=play.seed, email=RIVAL)
    play.push(sha, to="refs/heads/other")


def object_never_pushed(play: Play) -> None:
    play.complete()
    play.delete(play.new_key)


def object_of_an_old_commit_lost(play: Play) -> None:
    play.complete()
    play.delete(play.old_key)


def object_half_written(play: Play) -> None:
    play.complete()
    play.put(play.new_key, play.recorded.after.data[:20])


def half_an_object_that_nobody_names(play: Play) -> None:
    """The next run that makes these very bytes would find them "pushed"."""
    play.put(play.new_key, play.recorded.after.data[:20])


def wrong_size(play: Play) -> None:
    size = len(play.recorded.after.data)
    play.complete(pointer=play.recorded.after.pointer.replace(b"size: %d\n" % size, b"size: %d\n" % (size + 1)))


def two_rows(play: Play) -> None:
    row = play.recorded.after.data.splitlines(keepends=True)[-1]
    play.complete(version=play.recorded.after.of(play.recorded.after.data + row))


def old_rows_changed(play: Play) -> None:
    play.complete(version=play.recorded.after.of(play.recorded.after.data.replace(b"3750", b"3751")))


def two_commits(play: Play) -> None:
    first = play.complete()
    play.push(play.commit({"notes.txt": b"n"}, on=first))


@pytest.mark.parametrize(
    ("act", "done", "codes", "says"),
    [
        (history_rewritten, NONE, {"history.grew"}, "does not any more"),
        (branch_gone, NONE, {"history.grew", "rows.once"}, f"refs/heads/{MAIN} held"),
        (pointer_cut_off, ONE, {"pointer.whole", "rows.once"}, "an output has no 'path'"),
        (pointer_cut_off_on_another_branch, NONE, {"pointer.whole"}, "an output has no 'path'"),
        (object_never_pushed, ONE, {"object.present", "rows.once"}, "but no object is at"),
        (object_of_an_old_commit_lost, ONE, {"object.present"}, "but no object is at"),
        (object_half_written, ONE, {"object.bytes", "object.whole", "rows.once"}, "but the bytes at"),
        (half_an_object_that_nobody_names, NONE, {"object.whole"}, "have md5"),
        (wrong_size, ONE, {"pointer.size"}, "bytes, but there are"),
        (two_rows, ONE, {"rows.once"}, "2 new rows, where 1 runs succeeded"),
        (old_rows_changed, ONE, {"rows.once"}, "row 1 was"),
        (nothing, ONE, {"rows.once", "commits.once"}, "0 new rows, where 1 runs succeeded"),
        (one_version, NONE, {"rows.once", "commits.once"}, "1 new rows, where 0 runs succeeded"),
        (two_commits, ONE, {"commits.once"}, "2 new commits of the pipeline's"),
        # A run that publishes before it uploads is seen while it is under way.
        (object_never_pushed, UNDER_WAY, {"object.present", "rows.once"}, "but no object is at"),
        (two_rows, UNDER_WAY, {"rows.once"}, "2 new rows, where 0 runs succeeded and 1 were under way"),
        (two_commits, UNDER_WAY, {"commits.once"}, "2 new commits of the pipeline's"),
    ],
)
def test_what_must_not_happen_is_named(play: Play, act: Break, done: Done, codes: set[str], says: str) -> None:
    broken = found(play, act, done)
    assert set(broken) == codes
    assert any(says in sentence for sentence in broken.values()), broken


def test_every_invariant_is_broken_once() -> None:
    (mark,) = (one for one in test_what_must_not_happen_is_named.pytestmark if one.name == "parametrize")  # type: ignore[attr-defined]
    assert set().union(*(row[2] for row in mark.args[1])) == set(INVARIANTS)
