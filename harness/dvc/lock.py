"""`dvc.lock`, which does for the stages of a DVC pipeline what pointers do for single files.

A lock file has md5 and size of each output. Whether the output is pushed, and to which remote, stands only in the
`dvc.yaml` beside it (dvc 3.67.1, `dvc/stage/serialize.py`: `to_single_stage_lockfile` and `_get_flags`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.dvc.dvcfile import PointerError, flag, kind, load, load_any, mapping
from harness.dvc.pointer import Output, Pointer, output

LOCK = "dvc.lock"
STAGES = "dvc.yaml"
# What is filled in from parameters (dvc 3.67.1, `dvc/parsing/interpolate.py`), so that the text is not known here.
_FILLED_IN = re.compile(r"\$\{[^}]*\}")
# Lists of outputs in a stage of `dvc.yaml`; the lock file has all of them under `outs`.
_OUTPUTS = ("outs", "metrics", "plots")


@dataclass(frozen=True, slots=True)
class Declared:
    """How `dvc.yaml` declares an output.

    Attributes:
        path: As it is written there.
        pushed: False if it says `cache: false` or `push: false`.
        remote: Name of the remote that it is bound to; None for the default remote.
    """

    path: str
    pushed: bool
    remote: str | None

    def fits(self, path: str) -> bool:
        """Whether an output of the lock file, by its path there, may be this one."""
        return re.fullmatch(".+".join(map(re.escape, _FILLED_IN.split(self.path))), path) is not None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of `dvc.yaml`, as far as it concerns where its outputs are.

    Attributes:
        wdir: Folder that paths are relative to, from that of `dvc.yaml`.
        outs: Its outputs.
    """

    wdir: str
    outs: tuple[Declared, ...]


def parse_lock(data: bytes, *, path: str, stages: bytes | None = None) -> Pointer:
    """The outputs in a lock file; none where its stages only check something, or only data sets are locked.

    Args:
        data: Its bytes.
        path: Its own path in the repository.
        stages: Bytes of the `dvc.yaml` beside it; None if there is none. An output that is not declared there is
            taken for a pushed one.

    Raises:
        PointerError: The bytes are no lock file, or those of `dvc.yaml` are no list of stages.
    """
    declared = _parse_stages(stages) if stages is not None else {}
    folder = posixpath.dirname(path)
    outs = []
    for name, stage in mapping(mapping(load(data), "the document").get("stages"), "'stages'").items():
        entries = mapping(stage, f"stage {name!r}").get("outs") or []
        if not isinstance(entries, list):
            raise PointerError(f"the outputs of stage {name!r} are {kind(entries)}, not a list")
        # `train@0` is made of `train`, a stage with `foreach` or `matrix`.
        made_of = declared.get(name) or declared.get(name.rpartition("@")[0]) or Stage("", ())
        for entry in entries:
            found = mapping(entry, f"an output of stage {name!r}")
            out = output(found, posixpath.join(folder, made_of.wdir))
            outs.append(_as_declared(out, str(found["path"]), made_of.outs))
    return Pointer(tuple(outs))


def _as_declared(out: Output, path: str, declared: Sequence[Declared]) -> Output:
    fitting = [one for one in declared if one.fits(path)]
    own = [one for one in fitting if one.path == path] or fitting
    # Of several that may be meant, only what all of them say is known.
    remotes = {one.remote for one in own}
    pushed = not own or any(one.pushed for one in own)
    return replace(out, pushed=out.pushed and pushed, remote=remotes.pop() if len(remotes) == 1 else out.remote)


def _parse_stages(data: bytes) -> dict[str, Stage]:
    try:
        stages = mapping(load_any(data) or {}, "the document").get("stages") or {}
        return {name: _stage(entry, f"stage {name!r}") for name, entry in mapping(stages, "'stages'").items()}
    except PointerError as error:
        raise PointerError(f"the {STAGES} beside it is unusable: {error}") from None


def _stage(entry: object, what: str) -> Stage:
    stage = mapping(entry, what)
    stage = mapping(stage.get("do", stage), what)
    wdir = stage.get("wdir") or ""
    if not isinstance(wdir, str):
        raise PointerError(f"'wdir' of {what} is {kind(wdir)}, not text")
    declared = tuple(one for key in _OUTPUTS for one in _declared(stage.get(key) or [], what))
    return Stage("" if _FILLED_IN.search(wdir) else wdir, declared)


def _declared(entries: object, what: str) -> Iterator[Declared]:
    if not isinstance(entries, list):
        raise PointerError(f"the outputs of {what} are {kind(entries)}, not a list")
    for entry in entries:
        outs: Mapping[str, object] = {entry: {}} if isinstance(entry, str) else mapping(entry, f"an output of {what}")
        for path, given in outs.items():
            # How a plot is drawn may be a list.
            flags = mapping(given, path) if isinstance(given, dict) else {}
            remote = flags.get("remote")
            if remote is not None and not isinstance(remote, str):
                raise PointerError(f"{path}: 'remote' is {kind(remote)}, not text")
            yield Declared(path, flag(flags, "cache", path) and flag(flags, "push", path), remote)
