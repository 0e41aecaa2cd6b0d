"""Checks on the pointer itself, and on the remote that it means."""

from __future__ import annotations

from typing import Final

from harness.dvc.case import Case, Reading
from harness.dvc.checks.commit import changes
from harness.dvc.evidence import Expectation
from harness.dvc.pointer import Output, Pointer
from harness.dvc.rules import Finding, Rule, counted


def _wellformed(case: Case) -> Finding:
    path = case.expectation.pointer_path
    expected = f"{path} names {case.expectation.tracked_file}"
    problems = [f"{path}: {case.after.problem}"] if case.after.problem else []
    problems += [
        f"{other}: {reading.problem}"
        for other, reading in case.others.items()
        if reading.problem and not _as_before(case, other)
    ]
    if problems:
        why = f"the pointer at {case.at} is unusable: {'; '.join(problems)}."
        return Finding(False, expected, "; ".join(problems), why)
    return Finding(passed=True, expected=expected, found=", ".join(map(_identity, _outs(case))))


def _as_before(case: Case, path: str) -> bool:
    """Whether another pointer was unusable already and is left as it was: a `dvc.lock` whose `dvc.yaml` changed."""
    same = case.evidence.pointers[path] == case.evidence.earlier.get(path)
    return same and case.earlier[path].problem == case.others[path].problem


def _new(case: Case) -> Finding:
    before, after = _tracked(case)
    if after is None:
        tracked = case.expectation.tracked_file
        return Finding(False, "a new md5", "none", f"the pointer at {case.at} does not name {tracked}.")
    if case.before.problem:
        why = f"whether the data is new cannot be told: the pointer before the run is unusable: {case.before.problem}."
        return Finding(False, "a new md5", _identity(after), why)
    if before is None:
        return Finding(passed=True, expected="a first version", found=_identity(after))
    if _content(before) == _content(after):
        why = (
            f"the pointer at {case.at} names the same data as before ({_identity(after)}): "
            "the data was not changed, or dvc add did not happen."
        )
        return Finding(False, f"an md5 other than {_identity(before)}", "the same", why)
    if _same_bytes(case):
        why = (
            f"the pointer went from {_identity(before)} to {_identity(after)}, but the data is byte for byte "
            "what it was: only the way in which it is hashed has changed."
        )
        return Finding(False, f"other data than {_identity(before)}", "the same data", why)
    return Finding(passed=True, expected=f"other than {_identity(before)}", found=_identity(after))


def _same_outputs(case: Case) -> Finding:
    elsewhere = [problem for path in sorted(case.earlier) for problem in _lost(case, path)]
    if case.before.pointer is None or case.after.pointer is None:
        why = f"data that was in the remote no longer is, or is no longer tracked: {'; '.join(elsewhere)}."
        why = why if elsewhere else ""
        return Finding(not elsewhere, "a first version", ", ".join(map(_shape, _outs(case))), why)
    before, after = ({out.path: out for out in pointer.outs} for pointer in (case.before.pointer, case.after.pointer))
    problems = [f"it no longer names {path}" for path in before if path not in after]
    problems += [f"it names {path} too" for path in after if path not in before]
    for path in before.keys() & after.keys():
        if _shape(before[path]) != _shape(after[path]):
            problems.append(f"{_shape(before[path])} became {_shape(after[path])}")
    expected, found = (", ".join(_shape(outs[path]) for path in sorted(outs)) for outs in (before, after))
    problems = [*sorted(problems), *elsewhere]
    why = f"the pointer at {case.at} does not track what it tracked: {'; '.join(problems)}."
    return Finding(not problems, expected, found, why if problems else "")


def _lost(case: Case, path: str) -> list[str]:
    """Outputs of another pointer that a remote held before the run and none does now: nobody can get their data.

    One that another of the run's pointers has taken over is not lost; more than before may be tracked.
    """
    before, after = case.earlier[path].pointer, case.others.get(path)
    if before is None or (after is not None and after.pointer is None):
        return []
    held_back = {out.path for out in (after.pointer.outs if after and after.pointer else ()) if not out.pushed}
    lost = [out.path for out in before.outs if out.pushed and not _pushed_now(case, out.path)]
    if after is None:
        return [f"{path}, which names {', '.join(lost)}, is gone"] if lost else []
    return [f"{path} no longer {'pushes' if output in held_back else 'names'} {output}" for output in lost]


def _pushed_now(case: Case, output: str) -> bool:
    now = (reading.pointer.covering(output) for reading in (case.after, *case.others.values()) if reading.pointer)
    return any(out is not None and out.pushed for out in now)


def _unchanged(case: Case) -> Finding:
    before, after = _tracked(case)
    old = _identity(before)
    same = before is not None and _content(before) == _content(after)
    why = f"nothing was to change, yet the pointer went from {old} to {_identity(after)}."
    return Finding(same, old, _identity(after), "" if same else why)


def _at_tip(case: Case) -> Finding:
    path = case.expectation.pointer_path
    same = case.evidence.tip_pointer == case.evidence.pointers.get(path)
    why = f"the branch's tip no longer has the pointer that the run committed at {case.at}: a later commit undid it."
    return Finding(same, f"{path} as at {case.at}", "the same" if same else "another", "" if same else why)


def _remote(case: Case) -> Finding:
    wanted = f"s3://{case.expectation.bucket}/{case.expectation.seeded.prefix}".rstrip("/")
    if case.remote is None:
        why = f".dvc/config at {case.at} is unusable: {case.remote_problem}."
        return Finding(False, wanted, case.remote_problem, why)
    if case.remote.url != wanted:
        why = f"the default remote in .dvc/config at {case.at} is {case.remote.url}, but this run's is {wanted}."
        return Finding(False, wanted, case.remote.url, why)
    # A team may have bound an output to a remote of its own; a run may not.
    pairs: dict[str, tuple[Reading, Reading | None]] = {"the pointer": (case.after, case.before)}
    pairs |= {path: (now, case.earlier.get(path)) for path, now in sorted(case.others.items())}
    found = {what: _bound(now) - {case.remote.name} - _bound(old) for what, (now, old) in pairs.items()}
    strange = {what: ", ".join(sorted(names)) for what, names in found.items() if names}
    told = "; ".join(f"{what} at {case.at} binds its data to remote {names}" for what, names in strange.items())
    why = f"{told}, not to the default one ({wanted})."
    return Finding(not strange, wanted, ", ".join(strange.values()) or wanted, why if strange else "")


def _bound(reading: Reading | None) -> set[str]:
    """Names of the remotes that a pointer's outputs are bound to, in small letters."""
    outs = reading.pointer.outs if reading is not None and reading.pointer is not None else ()
    versions = [version for out in outs for version in (out.version, *(member.version for member in out.files or ()))]
    names = {out.remote for out in outs if out.remote} | {version.remote for version in versions if version}
    return {name.lower() for name in names}


def _same_bytes(case: Case) -> bool:
    """Whether all files of before and after are known and equal, whatever their pointers call them."""
    old = [(named, case.evidence.before.digests.get(named.address)) for named in case.before.naming.objects]
    new = [(named, case.evidence.digests.get(named.address)) for named in case.after.naming.objects]
    if not old or not new or None in (digest for _named, digest in (*old, *new)):
        return False
    files = [
        {named.label: digest.md5 for named, digest in found if digest is not None and not named.manifest}
        for found in (old, new)
    ]
    return files[0] == files[1]


def _tracked(case: Case) -> tuple[Output | None, Output | None]:
    tracked = case.expectation.tracked_file
    return _covering(case.before.pointer, tracked), _covering(case.after.pointer, tracked)


def _covering(pointer: Pointer | None, tracked: str) -> Output | None:
    return pointer.covering(tracked) if pointer is not None else None


def _outs(case: Case) -> tuple[Output, ...]:
    return case.after.pointer.outs if case.after.pointer is not None else ()


def _content(out: Output | None) -> object:
    if out is None:
        return None
    return out.content


def _shape(out: Output) -> str:
    return f"{'folder' if out.is_dir else 'file'} {out.path}{'' if out.pushed else ' (in no remote)'}"


def _identity(out: Output | None) -> str:
    if out is None:
        return "no pointer"
    if not out.md5:
        return f"{out.path}, a folder of {counted(len(out.files or ()), 'file')}"
    return f"md5 {out.md5}{'.dir' if out.is_dir else ''}{' (legacy)' if out.legacy else ''}"


def _unchanging(expectation: Expectation) -> bool:
    return not expectation.changes


POINTER_RULES: Final = (
    Rule("pointer.wellformed", "the pointer is one that DVC reads", _wellformed, ("history.grew", "commit.on-branch")),
    Rule("pointer.new", "it names new data", _new, ("pointer.wellformed",), changes),
    Rule("pointer.same-outputs", "it tracks what it tracked", _same_outputs, ("pointer.wellformed",), changes),
    Rule("pointer.unchanged", "it names the same data as before", _unchanged, ("pointer.wellformed",), _unchanging),
    Rule("pointer.at-tip", "the branch's tip still has it", _at_tip, ("pointer.wellformed",), changes),
    Rule("remote.expected", "the default remote is this run's", _remote, ("history.grew", "commit.on-branch")),
)
