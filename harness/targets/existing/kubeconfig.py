"""One context by its exact name, taken out of the reader's kubeconfig into one of our own that holds nothing else.

The reader's files are read once, for this, and no call to a cluster ever goes by them. What they do with relative paths
and with several files is as kubectl has it ("Organizing Cluster Access Using kubeconfig Files" in Kubernetes' docs);
but a name that stands there twice is refused, where kubectl takes the first.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from harness.errors import GuardError, UsageError
from harness.existing_settings import ExistingSettings

_VARIABLE: Final = "KUBECONFIG"
# What is taken over as it is ("Kubeconfig (v1)" in Kubernetes' reference); files are taken in, see `_with_data`.
_CLUSTER: Final = frozenset({"server", "certificate-authority-data", "tls-server-name", "proxy-url"})
_USER: Final = frozenset(
    {"token", "tokenFile", "client-certificate-data", "client-key-data", "username", "password", "exec"}
)
# Say nothing of where a call goes or who makes it.
_PASSED_OVER: Final = frozenset({"extensions", "disable-compression"})
# What a plug-in's variables and flags that hold a secret end in: OIDC_CLIENT_SECRET, --oidc-client-secret.
_SECRET: Final = re.compile(r"(?:secret|token|pass(?:word|wd|phrase)?|(?:api|access)[-_]?key)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """A context as a kubeconfig has it.

    Attributes:
        name: Its name.
        server: URL of its API server, without a slash at its end.
        config: A kubeconfig with this context alone; holds what its user gets in with.
    """

    name: str
    server: str
    config: Mapping[str, Any]

    def secrets(self) -> tuple[str, ...]:
        """What its user gets in with, as far as it stands there; not what a plug-in answers."""
        return tuple(dict.fromkeys(_secrets(self.config["users"][0]["user"])))


def look_up(settings: ExistingSettings) -> Context:
    """The context that is named.

    Raises:
        UsageError: None is named or there is none of that name, or a file cannot be read.
        GuardError: The name stands for several, or what it says cannot be used without saying something else.
    """
    if settings.context is None:
        raise UsageError(
            "no context of a kubeconfig is named",
            next_step="name it with --context (existing.context, HARNESS_EXISTING__CONTEXT); the current one is "
            "never taken",
        )
    files = {path: _read(path) for path in _files(settings)}
    context, _ = _one(files, "context", settings.context)
    cluster, of_cluster = _one(files, "cluster", str(context.get("cluster") or ""))
    user, of_user = _one(files, "user", str(context.get("user") or ""))
    made_cluster = _known(
        "cluster", settings.context, _with_data(cluster, of_cluster, "certificate-authority"), _CLUSTER
    )
    made_user = _with_data(_with_data(user, of_user, "client-certificate"), of_user, "client-key")
    made_user = _known("user", settings.context, _from_anywhere(made_user, of_user), _USER)
    server = str(made_cluster.get("server") or "").rstrip("/")
    if not server.startswith("https://"):
        raise GuardError(
            f"the context {settings.context} leads to {server or 'no server'}: only https is spoken to",
            next_step=f"give its cluster an https:// server in {of_cluster}",
        )
    name = settings.context
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": made_cluster}],
        "users": [{"name": name, "user": made_user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return Context(name, server, config)


def _files(settings: ExistingSettings) -> list[Path]:
    if settings.kubeconfig is not None:
        return [settings.kubeconfig.expanduser().absolute()]
    named = [Path(one).absolute() for one in os.environ.get(_VARIABLE, "").split(os.pathsep) if one]
    # Those that are named there need not all exist.
    return [one for one in dict.fromkeys(named) if one.exists()] if named else [Path("~/.kube/config").expanduser()]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = _why(error)
        raise UsageError(
            f"the kubeconfig {path} cannot be read: {why}",
            next_step="name another with HARNESS_EXISTING__KUBECONFIG (existing.kubeconfig)",
        ) from None
    return found if isinstance(found, dict) else {}


def _why(error: OSError | ValueError | yaml.YAMLError) -> str:
    """Why it cannot be read, in no words of the file: it may hold keys."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"not valid YAML at line {mark.line + 1}, column {mark.column + 1}"
    return "not valid YAML" if isinstance(error, yaml.YAMLError) else "not a text file"


def _one(files: Mapping[Path, Mapping[str, Any]], kind: str, name: str) -> tuple[dict[str, Any], Path]:
    """The one entry of a name, and the file that has it."""
    listed = [(entry, path) for path, said in files.items() for entry in said.get(f"{kind}s") or ()
              if isinstance(entry, dict)]  # fmt: skip
    found = [(entry, path) for entry, path in listed if entry.get("name") == name]
    looked_in = ", ".join(map(str, files)) or "no file: none of those that KUBECONFIG names is there"
    if not found:
        there = sorted({str(entry.get("name")) for entry, _ in listed})
        raise UsageError(
            f"there is no {kind} {name!r} in the kubeconfig",
            evidence={"looked in": looked_in, f"{kind}s": ", ".join(there) or "none"},
            next_step="name a context exactly as `kubectl config get-contexts` lists it, or its file with "
            "HARNESS_EXISTING__KUBECONFIG",
        )
    if len(found) > 1:
        raise GuardError(
            f"the {kind} {name!r} stands in the kubeconfig {len(found)} times: nobody can tell which cluster is meant",
            evidence={"in": ", ".join(str(path) for _, path in found)},
            next_step="name one file with HARNESS_EXISTING__KUBECONFIG (existing.kubeconfig), or rename one of them",
        )
    entry, path = found[0]
    inside = entry.get(kind)
    return dict(inside) if isinstance(inside, dict) else {}, path


def _known(kind: str, context: str, said: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What is said, if all of it can be kept to: acting as somebody else, or unverified, is never done by omission."""
    others = sorted(name for name, value in said.items() if name not in known | _PASSED_OVER and value)
    if others:
        raise GuardError(
            f"the {kind} of the context {context} has {', '.join(others)}, which the harness does not do",
            next_step="name a context that gets in with a token, a client certificate or an exec plug-in, and verifies "
            "the server",
        )
    return {name: value for name, value in said.items() if name in known}


def _with_data(said: Mapping[str, Any], file: Path, name: str) -> dict[str, Any]:
    """With the content of a file that is named, in place of its name; content that is there wins."""
    made = {key: value for key, value in said.items() if key != name}
    if said.get(name) and not said.get(f"{name}-data"):
        path = file.parent / str(said[name])
        try:
            made[f"{name}-data"] = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise UsageError(
                f"{name} in the kubeconfig {file} cannot be read: {error.strerror}: {path}",
                next_step="see that the file is there and may be read",
            ) from None
    return made


def _from_anywhere(user: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """With paths that hold wherever the kubeconfig is: of a token that is renewed in its file, of a plug-in."""
    made = dict(user)
    if made.get("tokenFile"):
        made["tokenFile"] = str(file.parent / str(made["tokenFile"]))
    plugin = made.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command") or ""):
        made["exec"] = {**plugin, "command": str(file.parent / str(plugin["command"]))}
    return made


def _secrets(user: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(user[name]) for name in ("token", "password", "client-key-data") if user.get(name))
    if user.get("tokenFile"):
        with suppress(OSError, ValueError):  # nobody gets in with it then: the first request says so
            yield Path(user["tokenFile"]).read_text(encoding="utf-8").strip()
    plugin = user.get("exec")
    if not isinstance(plugin, dict):
        return
    variables = [one for one in plugin.get("env") or () if isinstance(one, dict)]
    yield from (str(one.get("value") or "") for one in variables if _SECRET.search(str(one.get("name"))))
    arguments = [str(one) for one in plugin.get("args") or ()]
    for flag, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, given, value = flag.partition("=")
        if flag.startswith("-") and _SECRET.search(name):
            yield value if given else following
