"""The files of a DAG folder, read without Airflow: do they compile, and which DAG ids do they seem to define?

Found here in a blink is what a run would only find after minutes: a syntax error, an id that no file names, a tracked
file that the DAG overrides. Where only an import could tell, nothing is refused; Airflow's own parse has the last word.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import UsageError

# Airflow's image may have a newer Python than this one: what only a newer one takes (PEP 695 and 701) is left to it.
_NEWER: Final = re.compile(r"\s*(?:type\s+\w+\b[^=]*=|(?:async\s+)?def\s+\w+\[|class\s+\w+\[)")
_LONGEST_FILE: Final = 1_000_000
# Through these, code can call what it does not name.
_BY_NAME: Final = frozenset({"globals", "locals", "vars", "getattr", "eval", "exec"})
_DATA_FILE: Final = "DVC_DATA_FILE"


@dataclass(frozen=True, slots=True)
class DagFiles:
    """What the files of a DAG folder say.

    Attributes:
        folder: The folder.
        ids: DAG ids by file, relative to the folder; of files that make DAGs, so a file may have none that is plain.
        certain: Whether every id is plain: none is computed, and every file could be read.
    """

    folder: Path
    ids: dict[str, tuple[str, ...]]
    certain: bool

    def naming(self, dag_id: str) -> tuple[str, ...]:
        """Files that may define a DAG, relative to the folder: those that name it; where none does, all of them."""
        files = python_files(self.folder)
        naming = [path for path in files if dag_id in path.read_text(encoding="utf-8", errors="replace")]
        return tuple(path.relative_to(self.folder).as_posix() for path in naming or files)


def python_files(folder: Path) -> list[Path]:
    """Every Python file of a folder, in order; a folder of such a name, or an editor's dangling link, is none."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts and path.is_file())


def read_dag_files(folder: Path) -> DagFiles:
    """Compile every file and collect the ids.

    Raises:
        UsageError: There is no such folder, it holds no Python file, or one of them has a syntax error.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no DAG folder {folder}", next_step="name the folder with --dags")
    _check_readable(folder)
    files = python_files(folder)
    if not files:
        raise UsageError(f"there is no DAG file in {folder}", next_step="name the folder with --dags")
    ids: dict[str, tuple[str, ...]] = {}
    certain = True
    for path in files:
        tree = _parsed(path)
        if tree is None:
            certain = False
            continue
        found = list(_dag_ids(tree))
        if found:
            ids[path.relative_to(folder).as_posix()] = tuple(name for name in found if name is not None)
            certain = certain and None not in found
    return DagFiles(folder, ids, certain)


def _check_readable(folder: Path) -> None:
    """Refuse what cannot be copied into a repository: pipes, sockets, links in a circle, folders that are closed.

    Raises:
        UsageError: There is such a thing; names it.
    """

    def closed(error: OSError) -> None:
        raise UsageError(
            f"{error.filename} in the DAG folder cannot be read: {error.strerror}", next_step="open it, or move it away"
        ) from error

    for name, folders, files in os.walk(folder, followlinks=True, onerror=closed):
        here = Path(name)
        for link in (here / one for one in folders if (here / one).is_symlink()):
            if link.resolve() in here.resolve().parents or link.resolve() == here.resolve():
                raise UsageError(
                    f"the link {link} leads back to a folder above it", next_step="remove it from the DAG folder"
                )
        for path in (here / one for one in files):
            if path.exists() and not path.is_file():
                raise UsageError(
                    f"{path} is no file and no folder (a pipe, a socket or a device)",
                    next_step="remove it from the DAG folder",
                )


def check_dag_id(files: DagFiles, dag_id: str) -> None:
    """Refuse an id that no file can define.

    Raises:
        UsageError: No file of the folder names it, and every id that the files define is plain to see.
    """
    known = [name for names in files.ids.values() for name in names]
    if dag_id in known or not known or not files.certain or _named_anywhere(files.folder, dag_id):
        return
    evidence = {f"{name} seems to define": ", ".join(names) for name, names in files.ids.items() if names}
    raise UsageError(
        f"no file in {files.folder} names the DAG {dag_id!r}",
        evidence=evidence,
        next_step="give the id of the DAG under test with --dag-id, or its folder with --dags",
    )


def check_made(files: DagFiles, dag_id: str) -> None:
    """Refuse a DAG that its file describes and never makes: a function under `@dag` that nothing calls.

    Airflow takes such a file without a word, so that only a deadline would tell.

    Raises:
        UsageError: The only thing of that id is such a function, and its name stands nowhere else in the folder.
    """
    trees = {path: tree for path in python_files(files.folder) if (tree := _parsed(path)) is not None}
    if not files.certain:
        return
    described = [
        (path, node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and dag_id in _decorated_ids(node)
    ]
    made = [name for tree in trees.values() for name in _constructed_ids(tree)]
    if not described or dag_id in made:
        return
    mentioned = {_name(node) for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.expr)}
    mentioned |= {
        alias.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    if mentioned & _BY_NAME or any(node.name in mentioned for _, node in described):
        return
    path, node = described[0]
    raise UsageError(
        f"nothing calls the function {node.name} under @dag in {path}:{node.lineno}, so nothing makes DAG {dag_id!r}",
        next_step=f"add the line {node.name}() at the end of {path}",
    )


def check_tracked_file(files: DagFiles, tracked_file: str) -> None:
    """Refuse a DAG whose tasks are told of another tracked file than the one that is judged.

    Raises:
        UsageError: A file sets `DVC_DATA_FILE`, which the ConfigMap `dataset-pipeline` gives, to another path.
    """
    for path in python_files(files.folder):
        tree = _parsed(path)
        for line, value in _data_files(tree) if tree is not None else ():
            if value != tracked_file:
                raise UsageError(
                    f"the DAG works on another file than the one under test: {path}:{line} sets "
                    f"{_DATA_FILE} to {value!r}, and the tracked file is {tracked_file!r}",
                    next_step=f"give --tracked-file {value}, or leave {_DATA_FILE} to the ConfigMap dataset-pipeline",
                )


def _parsed(path: Path) -> ast.Module | None:
    """The file's tree; None where only a newer Python than this one can tell."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the DAG file {path} cannot be read: {error.strerror}", next_step=f"mend {path}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string is the DAG's own affair
            tree = ast.parse(source, filename=str(path))
            # Some errors, such as a `return` outside of a function, are only found by the compiler.
            compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        if _newer(error, source):
            return None
        raise _refused(path, error) from None
    except (MemoryError, RecursionError):
        raise UsageError(
            f"the DAG file {path} is nested too deep for Python to compile", next_step=f"correct {path}"
        ) from None
    except ValueError as error:  # null bytes
        raise UsageError(f"the DAG file {path} is not Python: {error}", next_step=f"correct {path}") from None
    return tree


def _newer(error: SyntaxError, source: bytes) -> bool:
    lines = source.decode("utf-8", errors="replace").splitlines()
    line = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
    return _NEWER.match(line) is not None or error.msg.startswith("f-string")


def _refused(path: Path, error: SyntaxError) -> UsageError:
    shown = (error.text or "").rstrip("\n")
    caret = " " * (error.offset - 1) + "^" if error.offset and error.offset > 0 else ""
    evidence = {"line": f"{shown}\n{caret}"} if shown else {}
    return UsageError(
        f"the DAG file {path}, line {error.lineno}, does not compile: {error.msg}",
        evidence={**evidence, "compiled by": f"Python {sys.version.split()[0]}"},
        next_step=f"correct {path}",
    )


def _dag_ids(tree: ast.Module) -> Iterator[str | None]:
    """Id of each DAG that the file makes; None for one that is computed."""
    yield from _constructed_ids(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _decorated_ids(node)


def _constructed_ids(tree: ast.Module) -> Iterator[str | None]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) == "DAG":
            yield _given_id(node, first=True)


def _decorated_ids(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str | None]:
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if _name(call.func if call else decorator) != "dag":
            continue
        own = call is None or not (call.args or any(key.arg in {"dag_id", None} for key in call.keywords))
        yield function.name if own or call is None else _given_id(call, first=True)


def _given_id(call: ast.Call, *, first: bool) -> str | None:
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "dag_id"), None)
    if given is None and first and call.args:
        given = call.args[0]
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _data_files(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, path) where `DVC_DATA_FILE` is given a plain value: in a dict, or as `V1EnvVar(name=..., value=...)`."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr | None]] = []
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        if isinstance(node, ast.Call) and _name(node.func) == "V1EnvVar":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            pairs = [(given.get("name"), given.get("value"))]
        for key, value in pairs:
            plain = isinstance(key, ast.Constant) and key.value == _DATA_FILE
            if plain and isinstance(value, ast.Constant) and isinstance(value.value, str) and "{{" not in value.value:
                yield value.lineno, value.value


def _named_anywhere(folder: Path, dag_id: str) -> bool:
    """Whether any file holds the id: a DAG may be made from YAML or JSON beside it."""
    for path in folder.rglob("*"):
        if "__pycache__" in path.parts or not path.is_file() or path.stat().st_size > _LONGEST_FILE:
            continue
        if dag_id in path.read_text(encoding="utf-8", errors="replace"):
            return True
    return False
