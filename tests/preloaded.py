"""A real program in Python, loaded once and forked for each call.

Of the CPU of a `dvc pull` from S3, three fifths go into Python's imports (0.57 of 0.96 s, dvc 3.67.1), of a `harness`
that refuses its input nearly all. Tests that call one of them often have a server that has imported it; a call is a
fork of that server, with the caller's environment, folder and open files, and the function that the installed program
calls. What runs in a pod, and the verdict of every DAG run, use `dvc` as it is installed;
`tests/contract/dvc/test_preloaded.py` and `tests/contract/bad_input/test_front_door.py` hold the two to the same.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.wait import Waiter
from tests.servers import started


@dataclass(frozen=True)
class Program:
    """What is loaded.

    Attributes:
        name: The program's.
        module: What `python -m` runs it by.
        entry: Module and function of its beginning.
        modules: What its calls load, some of it late.
    """

    name: str
    module: str
    entry: tuple[str, str]
    modules: tuple[str, ...] = ()


DVC = Program(
    "dvc", "dvc", ("dvc.cli", "main"),
    # An add, a push to S3 and a pull from there.
    (
        "aiobotocore.session", "boto3", "configobj", "dulwich.porcelain", "dvc.cli.parser", "dvc.data_cloud",
        "dvc.lock", "dvc.repo.artifacts", "dvc.repo.index", "dvc.repo.metrics", "dvc.repo.plots", "dvc.repo.worktree",
        "dvc.scm", "dvc.utils.strictyaml", "dvc_data.index.checkout", "dvc_data.index.collect",
        "dvc_data.index.fetch", "dvc_data.index.push", "dvc_s3", "flufl.lock", "networkx", "psutil", "ruamel.yaml",
        "s3fs", "scmrepo.git", "zc.lockfile",
    ),
)  # fmt: skip
HARNESS = Program("harness", "harness.cli", ("harness.cli", "main"))
_PROGRAMS = {program.name: program for program in (DVC, HARNESS)}

_LENGTH_BYTES = 4
_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_BROKEN = 70
# Isolated and without `site`, a Python begins in a tenth of the time.
_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect({path!r})
    argv = sys.argv[3:] if sys.argv[1:3] == ["-m", {module!r}] else sys.argv[1:]
    request = json.dumps({{"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}}).encode()
    socket.send_fds(door, [len(request).to_bytes({length}, "big")], [0, 1, 2])
    door.sendall(request)
    code = door.recv(1)
sys.exit(code[0] if code else {broken})
"""


@contextmanager
def preloaded(loaded: Program) -> Iterator[Path]:
    """A program that does what the installed one does, and as a Python what `python -m` does with its module.

    Until the block is left. A caller that is killed takes its call with it, and the server ends with the process that
    has started it.
    """
    # Short: the path of a socket has a hundred bytes.
    with tempfile.TemporaryDirectory(prefix=f"harness-{loaded.name}-") as name:
        folder = Path(name)
        door, program, log = folder / "door", folder / loaded.name, folder / "log"
        text = _CLIENT.format(
            python=sys.executable, path=str(door), module=loaded.module, length=_LENGTH_BYTES, broken=_BROKEN
        )
        program.write_text(text, encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with started([sys.executable, "-m", __name__, loaded.name, str(door)], environment, log) as server:
            Waiter().until(
                f"{loaded.name} to be loaded",
                door.exists,
                ready=bool,
                timeout=_SECONDS,
                failed=lambda _: log.read_text()[-500:] if server.poll() is not None else None,
                interval=0.05,
            )
            yield program


def _serve(program: Program, path: Path) -> None:
    """Take calls until whoever started this is gone."""
    for module in (*program.modules, program.entry[0]):
        importlib.import_module(module)
    gc.freeze()
    starter = os.getppid()
    # Nobody waits for those who handle a call.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        # It appears under its name when it answers.
        listener.bind(f"{path}.new")
        listener.listen(64)
        Path(f"{path}.new").rename(path)
        while os.getppid() == starter:
            if not select.select([listener], [], [], _LOOK_SECONDS)[0]:
                continue
            door, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                listener.close()
                _handle(program, door)
                return
            door.close()


def _handle(program: Program, door: socket.socket) -> None:
    """One call: in a child, so that its exit is Python's own; ended with its children when the caller is gone."""
    first, files, _, _ = socket.recv_fds(door, _LENGTH_BYTES, 3)
    missing, text = int.from_bytes(first, "big"), b""
    while len(text) < missing and (part := door.recv(missing - len(text))):
        text += part
    if len(text) < missing:
        os._exit(0)
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        door.close()
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        _call(program, json.loads(text))
        return
    ended = os.pidfd_open(child)
    if ended not in select.select([door.fileno(), ended], [], [])[0]:
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # the caller is gone
        door.send(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def _call(program: Program, request: dict[str, object]) -> None:
    """What the installed program does, as the caller."""
    environment, argv = request["env"], request["argv"]
    assert isinstance(environment, dict)
    assert isinstance(argv, list)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [program.name, *argv]
    module, function = program.entry
    sys.exit(getattr(sys.modules[module], function)())


if __name__ == "__main__":
    _serve(_PROGRAMS[sys.argv[1]], Path(sys.argv[2]))
