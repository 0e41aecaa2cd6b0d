"""What the checks on the pointer and its remote tell, word for word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .conftest import (
    BUCKET,
    CONFIG,
    NEW_BYTES,
    OLD_BYTES,
    POINTER,
    PREFIX,
    SEED,
    TRACKED,
    Facts,
    Folder,
    Told,
    address_of,
    digest_of,
    folder_facts,
    given,
    pointer_of,
    told,
    told_of,
)

A, B = "a" * 10, "b" * 10
OLD, OLD_LEGACY = digest_of(OLD_BYTES).md5, digest_of(OLD_BYTES).md5_legacy
NEWER = digest_of(NEW_BYTES).md5
STALE: dict[str, Any] = {"pointers": {POINTER: pointer_of(OLD_BYTES, legacy=False)}}
BROKEN = {"pointer": b"outs: ["}
NOT_YAML = "it is not YAML (expected the node content, but found '<stream end>', line 1)"
TWO_OUTS = pointer_of(NEW_BYTES, legacy=False) + f"- md5: {OLD}\n  path: b.csv\n".encode()
# The same file, but its entry says more.
REWRITTEN = Folder({"one.csv": OLD_BYTES}, more={"isexec": False})
NO_FILES = Folder({})
ONE, TWO = Folder({"one.csv": OLD_BYTES}), Folder({"one.csv": OLD_BYTES, "two.csv": NEW_BYTES})


def listed(*names: str) -> bytes:
    """A pointer to a folder on a version-aware remote."""
    files = "".join(f"  - relpath: {name}\n    md5: {OLD}\n    cloud: {{store: {{version_id: v}}}}\n" for name in names)
    return f"outs:\n- hash: md5\n  path: penguins.csv\n  files:\n{files}".encode()


def outs(*paths: str) -> bytes:
    """A pointer with one output of the old data at each path; at `x.dir`, a folder x."""
    entries = "".join(
        f"- md5: {OLD}{'.dir' if path.endswith('.dir') else ''}\n  size: 15\n  hash: md5\n"
        f"  path: {path.removesuffix('.dir')}\n"
        for path in paths
    )
    return f"outs:\n{entries}".encode()


OTHER = f"outs:\n- md5: {OLD}\n  hash: md5\n  path: o\n".encode()
HELD_BACK = OTHER + b"  push: false\n"
LOCKED = f"stages: {{a: {{outs: [{{path: o, hash: md5, md5: {OLD}}}]}}}}".encode()
TWICE_LOCKED = LOCKED[:-1] + f", b: {{outs: [{{path: p, hash: md5, md5: {OLD}}}]}}}}".encode()


def beside(was: bytes | None, now: bytes | None, path: str = "o.dvc", main: bytes | None = None, **facts: Any) -> Facts:
    """A run that touched another pointer too."""
    pointers = {POINTER: main or pointer_of(NEW_BYTES, legacy=False), path: now}
    return given(pointers=pointers, earlier={path: was, POINTER: pointer_of(OLD_BYTES, legacy=False)}, **facts)


def without_configuration(facts: Facts) -> Facts:
    """The same, and before the run no `.dvc/config` said where objects are."""
    expectation, evidence = facts
    return expectation, replace(evidence, before=replace(evidence.before, config=None))


def bound(data: bytes, remote: str) -> bytes:
    """A pointer whose output is bound to a remote."""
    return pointer_of(data, legacy=False) + f"  remote: {remote}\n".encode()


def in_cloud(*remotes: str) -> bytes:
    """A pointer to a folder whose members have versions on these remotes, one each."""
    files = "".join(
        f"  - relpath: {name}\n    md5: {OLD}\n    cloud: {{{name}: {{version_id: v}}}}\n" for name in remotes
    )
    return f"outs:\n- hash: md5\n  path: penguins.csv\n  files:\n{files}".encode()


SIDES = CONFIG + b"".join(f"['remote \"{name}\"']\n    url = s3://{BUCKET}/{name}\n".encode() for name in ("a", "b"))
WELLFORMED: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, f"{POINTER} names {TRACKED}", f"md5 {NEWER}", "")),
    "two outputs, one legacy": (
        given(pointers={POINTER: TWO_OUTS}),
        (True, f"{POINTER} names {TRACKED}", f"md5 {NEWER}, md5 {OLD} (legacy)", ""),
    ),
    "a folder": (folder_facts(ONE, TWO), (True, "datasets/all.dvc names datasets/all", f"md5 {TWO.md5}.dir", "")),
    "a folder on a version-aware remote": (
        given(pointers={POINTER: listed("a", "b")}),
        (True, f"{POINTER} names {TRACKED}", f"{TRACKED}, a folder of 2 files", ""),
    ),
    "the configuration cannot be read": (
        given(config=b"x"), (True, f"{POINTER} names {TRACKED}", f"md5 {NEWER}", ""),
    ),
    "it is gone, and another is broken": (
        given(pointers={POINTER: None, "b.dvc": b""}),
        (False, f"{POINTER} names {TRACKED}", f"{POINTER}: there is no file {POINTER}; b.dvc: it is empty",
         f"the pointer at {B} is unusable: {POINTER}: there is no file {POINTER}; b.dvc: it is empty."),
    ),
    "another was deleted": (
        given(pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), "b.dvc": None}),
        (True, f"{POINTER} names {TRACKED}", f"md5 {NEWER}", ""),
    ),
    "a lock file is read as one": (
        given(pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), "p/dvc.lock": b"stages: x"}),
        (False, f"{POINTER} names {TRACKED}", "p/dvc.lock: 'stages' is text, not a mapping of names",
         f"the pointer at {B} is unusable: p/dvc.lock: 'stages' is text, not a mapping of names."),
    ),
    "another was as unusable before": (
        beside(b"stages: x", b"stages: x", "dvc.lock"), (True, f"{POINTER} names {TRACKED}", f"md5 {NEWER}", ""),
    ),
    "another was unusable before in the same way, but is not what it was": (
        beside(b"stages:  x", b"stages: x", "dvc.lock"),
        (False, f"{POINTER} names {TRACKED}", "dvc.lock: 'stages' is text, not a mapping of names",
         f"the pointer at {B} is unusable: dvc.lock: 'stages' is text, not a mapping of names."),
    ),
    "the stages beside another became unusable": (
        beside(b"stages: {}", b"stages: {}", "dvc.lock", stages={"dvc.lock": b"x"}),
        (False, f"{POINTER} names {TRACKED}",
         "dvc.lock: the dvc.yaml beside it is unusable: the document is text, not a mapping of names",
         (f"the pointer at {B} is unusable: "
          "dvc.lock: the dvc.yaml beside it is unusable: the document is text, not a mapping of names.")),
    ),
}  # fmt: skip
NEW_DATA: dict[str, tuple[Facts, Told]] = {
    "it is new": (given(), (True, f"other than md5 {OLD}", f"md5 {NEWER}", "")),
    "the first": (
        given(before={"pointer": None, "listing": {}, "digests": {}}), (True, "a first version", f"md5 {NEWER}", ""),
    ),
    "the same": (
        given(**STALE),
        (False, f"an md5 other than md5 {OLD}", "the same",
         (f"the pointer at {B} names the same data as before (md5 {OLD}): "
         "the data was not changed, or dvc add did not happen.")),
    ),
    "cannot be told": (
        given(before=BROKEN),
        (False, "a new md5", f"md5 {NEWER}",
         f"whether the data is new cannot be told: the pointer before the run is unusable: {NOT_YAML}."),
    ),
    "before the run it named something else": (
        given(before={"pointer": pointer_of(OLD_BYTES, legacy=False).replace(b"penguins", b"p")}),
        (False, "a new md5", f"md5 {NEWER}",
         ("whether the data is new cannot be told: the pointer before the run is unusable: "
         f"its path is datasets/p.csv, not {TRACKED}.")),
    ),
    "one more file in a folder's list": (
        given(before={"pointer": listed("a")}, pointers={POINTER: listed("a", "b")}),
        (True, f"other than {TRACKED}, a folder of 1 file", f"{TRACKED}, a folder of 2 files", ""),
    ),
    "a folder's list in another order is the same": (
        given(before={"pointer": listed("a", "b")}, pointers={POINTER: listed("b", "a")}),
        (False, f"an md5 other than {TRACKED}, a folder of 2 files", "the same",
         (f"the pointer at {B} names the same data as before ({TRACKED}, a folder of 2 files): "
         "the data was not changed, or dvc add did not happen.")),
    ),
}  # fmt: skip
NEW_DATA |= {
    "the same bytes under another hash": (
        given(before={"pointer": pointer_of(OLD_BYTES, legacy=True),
                      "digests": {address_of(OLD_BYTES, legacy=True): digest_of(OLD_BYTES)}},
              pointers={POINTER: pointer_of(OLD_BYTES, legacy=False)},
              digests={address_of(OLD_BYTES, legacy=False): digest_of(OLD_BYTES)}),
        (False, f"other data than md5 {OLD_LEGACY} (legacy)", "the same data",
         (f"the pointer went from md5 {OLD_LEGACY} (legacy) to md5 {OLD}, but the data is byte for byte "
          "what it was: only the way in which it is hashed has changed.")),
    ),
    "under another hash, the old bytes not known": (
        given(before={"pointer": pointer_of(OLD_BYTES, legacy=True), "digests": {}},
              pointers={POINTER: pointer_of(OLD_BYTES, legacy=False)},
              digests={address_of(OLD_BYTES, legacy=False): digest_of(OLD_BYTES)}),
        (True, f"other than md5 {OLD_LEGACY} (legacy)", f"md5 {OLD}", ""),
    ),
    "under another hash, the new bytes not known": (
        given(before={"pointer": pointer_of(OLD_BYTES, legacy=True),
                      "digests": {address_of(OLD_BYTES, legacy=True): digest_of(OLD_BYTES)}},
              pointers={POINTER: pointer_of(OLD_BYTES, legacy=False)}, digests={}),
        (True, f"other than md5 {OLD_LEGACY} (legacy)", f"md5 {OLD}", ""),
    ),
    "it does not name the data": (
        given(expect={"pointer_file": "dvc.lock"}, pointers={"dvc.lock": LOCKED}, before={"pointer": None}),
        (False, "a new md5", "none", f"the pointer at {B} does not name {TRACKED}."),
    ),
    "a folder without files, where nobody knows what was in it": (
        without_configuration(folder_facts(ONE, NO_FILES)),
        (True, f"other than md5 {ONE.md5}.dir", f"md5 {NO_FILES.md5}.dir", ""),
    ),
    "a folder with the same files under other names": (
        folder_facts(ONE, Folder({"1.csv": OLD_BYTES})),
        (True, f"other than md5 {ONE.md5}.dir", f"md5 {Folder({'1.csv': OLD_BYTES}).md5}.dir", ""),
    ),
    "a folder whose list is written in another way": (
        folder_facts(ONE, REWRITTEN),
        (False, f"other data than md5 {ONE.md5}.dir", "the same data",
         (f"the pointer went from md5 {ONE.md5}.dir to md5 {REWRITTEN.md5}.dir, but the data is byte for byte "
          "what it was: only the way in which it is hashed has changed.")),
    ),
}  # fmt: skip
SAME_OUTPUTS: dict[str, tuple[Facts, Told]] = {
    "the first version": (
        given(before={"pointer": None}, pointers={POINTER: TWO_OUTS}),
        (True, "a first version", f"file {TRACKED}, file datasets/b.csv", ""),
    ),
    "it does": (given(), (True, f"file {TRACKED}", f"file {TRACKED}", "")),
    "all of several, in another order": (
        given(before={"pointer": outs("penguins.csv", "b.csv")}, pointers={POINTER: outs("b.csv", "penguins.csv")}),
        (True, f"file datasets/b.csv, file {TRACKED}", f"file datasets/b.csv, file {TRACKED}", ""),
    ),
    "one more, one less, one a folder now": (
        given(before={"pointer": outs("penguins.csv", "b.csv", "c")},
              pointers={POINTER: outs("penguins.csv", "c.dir", "d.csv")}),
        (False, f"file datasets/b.csv, file datasets/c, file {TRACKED}",
         f"folder datasets/c, file datasets/d.csv, file {TRACKED}",
         (f"the pointer at {B} does not track what it tracked: file datasets/c became folder datasets/c; "
          "it names datasets/d.csv too; it no longer names datasets/b.csv.")),
    ),
    "one is kept out of the remote now": (
        given(before={"pointer": outs("penguins.csv", "b.csv")},
              pointers={POINTER: outs("penguins.csv", "b.csv") + b"  push: false\n"}),
        (False, f"file datasets/b.csv, file {TRACKED}", f"file datasets/b.csv (in no remote), file {TRACKED}",
         (f"the pointer at {B} does not track what it tracked: "
          "file datasets/b.csv became file datasets/b.csv (in no remote).")),
    ),
    "one is kept out of the remote as before": (
        given(before={"pointer": outs("penguins.csv", "b.csv") + b"  cache: false\n"},
              pointers={POINTER: outs("penguins.csv", "b.csv") + b"  push: false\n"}),
        (True, f"file datasets/b.csv (in no remote), file {TRACKED}",
         f"file datasets/b.csv (in no remote), file {TRACKED}", ""),
    ),
    "an output of another pointer is kept out of the remote now": (
        beside(OTHER, HELD_BACK),
        (False, f"file {TRACKED}", f"file {TRACKED}",
         f"the pointer at {B} does not track what it tracked: o.dvc no longer pushes o."),
    ),
    "an output of another pointer, beside a first version": (
        beside(OTHER, HELD_BACK, before={"pointer": None}),
        (False, "a first version", f"file {TRACKED}",
         "data that was in the remote no longer is, or is no longer tracked: o.dvc no longer pushes o."),
    ),
    "an output of another pointer is in the remote as before": (
        beside(OTHER, OTHER), (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
    "an output of another pointer is kept out of the remote as before": (
        beside(HELD_BACK, HELD_BACK), (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
    "another pointer was unusable before": (beside(b"", HELD_BACK), (True, f"file {TRACKED}", f"file {TRACKED}", "")),
    "another pointer is new": (beside(None, HELD_BACK), (True, f"file {TRACKED}", f"file {TRACKED}", "")),
    "another pointer is gone": (
        beside(OTHER, None),
        (False, f"file {TRACKED}", f"file {TRACKED}",
         f"the pointer at {B} does not track what it tracked: o.dvc, which names o, is gone."),
    ),
    "another pointer is gone, with both its outputs": (
        beside(TWICE_LOCKED, None, "dvc.lock"),
        (False, f"file {TRACKED}", f"file {TRACKED}",
         f"the pointer at {B} does not track what it tracked: dvc.lock, which names o, p, is gone."),
    ),
    "both outputs of another pointer are no longer named, beside a first version": (
        beside(TWICE_LOCKED, b"stages: {}", "dvc.lock", before={"pointer": None}),
        (False, "a first version", f"file {TRACKED}",
         ("data that was in the remote no longer is, or is no longer tracked: "
          "dvc.lock no longer names o; dvc.lock no longer names p.")),
    ),
    "another pointer is gone whose data no remote held": (
        beside(HELD_BACK, None), (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
    "another pointer is gone, and a further one has taken over": (
        given(earlier={"o.dvc": OTHER},
              pointers={POINTER: pointer_of(NEW_BYTES, legacy=False), "o.dvc": None, "p.dvc": OTHER}),
        (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
    "an output of a stage is no longer named": (
        beside(TWICE_LOCKED, LOCKED, "dvc.lock"),
        (False, f"file {TRACKED}", f"file {TRACKED}",
         f"the pointer at {B} does not track what it tracked: dvc.lock no longer names p."),
    ),
    "an output of a stage is named besides": (
        beside(LOCKED, TWICE_LOCKED, "dvc.lock"), (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
    "an output of a stage is kept out of the remote now": (
        beside(LOCKED, LOCKED, "dvc.lock", stages={"dvc.lock": b"stages: {a: {outs: [o: {cache: false}]}}"},
               earlier_stages={"dvc.lock": b"stages: {a: {outs: [o]}}"}),
        (False, f"file {TRACKED}", f"file {TRACKED}",
         f"the pointer at {B} does not track what it tracked: dvc.lock no longer pushes o."),
    ),
    "an output of a stage is kept out of the remote as before": (
        beside(LOCKED, LOCKED, "dvc.lock", stages={"dvc.lock": b"stages: {a: {metrics: [o: {cache: false}]}}"},
               earlier_stages={"dvc.lock": b"stages: {a: {metrics: [o: {cache: false}]}}"}),
        (True, f"file {TRACKED}", f"file {TRACKED}", ""),
    ),
}  # fmt: skip
UNCHANGED: dict[str, tuple[Facts, Told]] = {
    "it is": (given(changes=False), (True, f"md5 {OLD}", f"md5 {OLD}", "")),
    "it changed": (
        given(changes=False, pointers={POINTER: pointer_of(NEW_BYTES, legacy=False)}),
        (False, f"md5 {OLD}", f"md5 {NEWER}",
         f"nothing was to change, yet the pointer went from md5 {OLD} to md5 {NEWER}."),
    ),
    "there was none": (
        given(changes=False, before={"pointer": None}),
        (False, "no pointer", f"md5 {OLD}",
         f"nothing was to change, yet the pointer went from no pointer to md5 {OLD}."),
    ),
}  # fmt: skip
AT_TIP: dict[str, tuple[Facts, Told]] = {
    "it is": (given(), (True, f"{POINTER} as at {B}", "the same", "")),
    "undone": (
        given(tip_pointer=None),
        (False, f"{POINTER} as at {B}", "another",
         f"the branch's tip no longer has the pointer that the run committed at {B}: a later commit undid it."),
    ),
}  # fmt: skip
URL = f"s3://{BUCKET}/{PREFIX}"


def at(prefix: str, url: str) -> Facts:
    expectation, evidence = given(config=CONFIG.replace(URL.encode(), url.encode()))
    seeded = type(expectation.seeded)(sha=SEED, branch="main", prefix=prefix, dags_path="dags")
    return given(expect={"seeded": seeded}, config=evidence.config)


REMOTE: dict[str, tuple[Facts, Told]] = {
    "this run's": (given(), (True, URL, URL, "")),
    "without a prefix": (at("", "s3://bucket/"), (True, "s3://bucket", "s3://bucket", "")),
    "a prefix is kept to its last letter": (at("XX", "s3://bucket/XX"), (True, "s3://bucket/XX", "s3://bucket/XX", "")),
    "another's": (
        at(PREFIX, "s3://bucket/other"),
        (False, URL, "s3://bucket/other",
         f"the default remote in .dvc/config at {B} is s3://bucket/other, but this run's is {URL}."),
    ),
    "no configuration": (
        given(config=None),
        (False, URL, "there is no .dvc/config", f".dvc/config at {B} is unusable: there is no .dvc/config."),
    ),
    "no default": (
        given(config=b"", commit=None),
        (False, URL, "it names no default remote (core.remote)",
         ".dvc/config at the tip is unusable: it names no default remote (core.remote)."),
    ),
}  # fmt: skip

REMOTE |= {
    "the data is bound to it by name": (
        given(pointers={POINTER: bound(NEW_BYTES, "store")}), (True, URL, URL, ""),
    ),
    "the data is bound to it by name, in capitals": (
        given(pointers={POINTER: bound(NEW_BYTES, "STORE")}), (True, URL, URL, ""),
    ),
    "the data is bound to another": (
        given(config=SIDES, pointers={POINTER: bound(NEW_BYTES, "a")}),
        (False, URL, "a", f"the pointer at {B} binds its data to remote a, not to the default one ({URL})."),
    ),
    "the data was bound to it before": (
        given(config=SIDES, before={"pointer": bound(OLD_BYTES, "a")}, pointers={POINTER: bound(NEW_BYTES, "a")}),
        (True, URL, URL, ""),
    ),
    "the data's members have versions on two others": (
        given(config=SIDES, pointers={POINTER: in_cloud("b", "a")}),
        (False, URL, "a, b", f"the pointer at {B} binds its data to remote a, b, not to the default one ({URL})."),
    ),
    "the data has a version on another": (
        given(config=SIDES,
              pointers={POINTER: pointer_of(NEW_BYTES, legacy=False) + b"  cloud: {a: {version_id: v}}\n"}),
        (False, URL, "a", f"the pointer at {B} binds its data to remote a, not to the default one ({URL})."),
    ),
    "another pointer's data is bound to another": (
        beside(OTHER, OTHER + b"  remote: a\n", config=SIDES),
        (False, URL, "a", f"o.dvc at {B} binds its data to remote a, not to the default one ({URL})."),
    ),
    "another pointer is new, and bound to another": (
        beside(None, OTHER + b"  remote: a\n", config=SIDES),
        (False, URL, "a", f"o.dvc at {B} binds its data to remote a, not to the default one ({URL})."),
    ),
    "both are": (
        beside(OTHER, OTHER + b"  remote: b\n", config=SIDES, main=bound(NEW_BYTES, "a")),
        (False, URL, "a, b",
         (f"the pointer at {B} binds its data to remote a; o.dvc at {B} binds its data to remote b, "
          f"not to the default one ({URL}).")),
    ),
    "another pointer's data was bound to it before": (
        beside(OTHER + b"  remote: a\n", OTHER + b"  remote: a\n", config=SIDES), (True, URL, URL, ""),
    ),
    "another pointer's data is bound to the default one by name": (
        beside(OTHER, OTHER + b"  remote: store\n"), (True, URL, URL, ""),
    ),
    "another pointer is unusable": (beside(OTHER, b"x"), (True, URL, URL, "")),
}  # fmt: skip


@told_of(
    {
        "pointer.wellformed": WELLFORMED,
        "pointer.new": NEW_DATA,
        "pointer.same-outputs": SAME_OUTPUTS,
        "pointer.unchanged": UNCHANGED,
        "pointer.at-tip": AT_TIP,
        "remote.expected": REMOTE,
    }
)
def test_a_check_tells_what_it_expected_and_found_and_what_is_wrong(check: str, facts: Facts, expected: Told) -> None:
    assert told(check, facts) == expected
