"""What lies under `kubeobjects.py` and `kubeapi.py`: opening a context, timeouts, streams, and what a refusal means.

Workarounds for the official Python client (kubernetes 37.0.1) stay here, each with what it works around.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from harness.errors import EnvironmentFailed
from harness.loopback import on_loopback

_UNAUTHORIZED, _TOO_MANY, _SERVER_ERROR = 401, 429, 500
# A context of ours for EKS is named by the cluster's ARN, as `aws eks update-kubeconfig` names its own.
_EKS: Final = re.compile(r"arn:aws[\w-]*:eks:[^/]*:cluster/(?P<cluster>.+)")
# The arguments of our own plug-in begin so (harness/targets/eks/attach.py): cluster, region and profile, no secret.
_OUR_PLUGIN: Final = ["-m", "harness.eks_token"]


class KubeApiError(EnvironmentFailed):
    """The API server refused a request.

    Attributes:
        status: HTTP status; 0 when there was no answer.
    """

    def __init__(self, message: str, *, status: int, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


class KubeUnavailable(KubeApiError):
    """The API server did not answer, or asked to come back later (429, 5xx); a wait may take this as "not yet"."""


class BoundedClient(client.ApiClient):
    """Gives every request a timeout, also those that the generated code and the discovery make without one."""

    def __init__(self, configuration: Any, timeout: float) -> None:
        super().__init__(configuration=configuration)
        self._timeout = timeout

    def call_api(  # noqa: D102 - the client's own, see there
        self,
        method: Any,
        url: Any,
        header_params: Any = None,
        body: Any = None,
        post_params: Any = None,
        _request_timeout: Any = None,
    ) -> Any:
        timeout = _request_timeout or self._timeout
        return super().call_api(method, url, header_params, body, post_params, timeout)


@dataclass(frozen=True, slots=True)
class LogStream(AbstractContextManager["LogStream"]):
    """The open log of a container; iterate over `lines`, close it from any thread to end the iteration."""

    response: Any

    def lines(self) -> Iterator[str]:
        """Lines without their ends, as they are written; ends when the container does.

        Raises:
            KubeUnavailable: The stream broke off.
        """
        rest = b""
        try:
            for chunk in self.response.stream(amt=None, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", errors="replace")
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # ValueError and AttributeError: urllib3's way to say that another thread has closed the response.
            raise KubeUnavailable(f"a log stream broke off: {error}", status=0) from error
        if rest:
            yield rest.decode("utf-8", errors="replace")

    def close(self) -> None:
        """Hang up; wakes a thread that is blocked in `lines`."""
        hang_up(self.response)

    def __exit__(self, *_exception: object) -> None:
        self.response.close()


def hang_up(response: Any) -> None:
    """End a response that another thread may be blocked in, by shutting its socket down.

    Closing it instead can wait for the reader's lock for ever (the same workaround is in kubernetes 37.0.1,
    `watch.Watch.stop`).
    """
    sock = getattr(getattr(response, "connection", None), "sock", None)
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker


def drop(session: Any) -> None:
    """Close the socket of an exec session (a `WSClient`).

    Its own `close` leaves the socket open where the other side closed first, and waits three seconds for a farewell
    where it did not (websocket-client 1.9.2, `WebSocket.close`).
    """
    session.sock.shutdown()


def configuration(kubeconfig: Path, context: str) -> Any:
    """The client's configuration for one context of one file; `KUBECONFIG` and `~/.kube/config` are never read.

    Raises:
        EnvironmentFailed: The file cannot be read or has no such context.
    """
    if not kubeconfig.is_file():
        raise EnvironmentFailed(f"there is no kubeconfig {kubeconfig}", next_step="bring the cluster up again")
    made = client.Configuration()
    load: Any = config.load_kube_config  # carries no types
    try:
        load(
            config_file=str(kubeconfig),
            context=context,
            client_configuration=made,
            persist_config=False,
            # The client needs certificates as files; they hold the same secret as the kubeconfig, so beside it.
            temp_file_path=str(kubeconfig.absolute().parent),
        )
    except ConfigException as error:
        raise EnvironmentFailed(
            f"the kubeconfig {kubeconfig} cannot be used with context {context!r}: {error}",
            next_step="name a context that is in that file",
        ) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        # The client reads a file that is none as if it were one (kubernetes 34, config/kube_config.py, `load_config`).
        raise EnvironmentFailed(
            f"the kubeconfig {kubeconfig} is damaged: {type(error).__name__}: {error}",
            next_step="remove the cluster with `harness down`, then bring it up again",
        ) from error
    _refuse_anonymous(made, kubeconfig, context)
    made.retries = False  # whoever waits asks again; silent repetition would hide how long an answer took
    made.keep_alive = True
    if on_loopback(made.host):
        made.proxy = None  # the environment's proxy cannot reach this machine's loopback
    return made


def _refuse_anonymous(made: Any, kubeconfig: Path, context: str) -> None:
    """Refuse to go on without a token where a plug-in should have given one.

    The client (kubernetes 37.0.1, `_load_from_exec_plugin`) only logs that it failed, and is nobody then.

    Raises:
        EnvironmentFailed: It gave none.
    """
    if made.api_key or made.cert_file:
        return
    loaded = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    users = {entry["name"]: entry["user"] for entry in loaded.get("users") or ()}
    of = {entry["name"]: entry["context"].get("user") for entry in loaded["contexts"]}
    plugin = (users.get(of[context]) or {}).get("exec")
    if plugin:
        arguments = list(plugin.get("args") or ())
        shown = [plugin["command"], *arguments]
        if arguments[: len(_OUR_PLUGIN)] != _OUR_PLUGIN:
            # Those of another may hold a secret, as kubelogin's --oidc-client-secret does.
            shown = [plugin["command"], "with the arguments that the kubeconfig has for it"]
        raise EnvironmentFailed(
            "there is no token for the cluster: the plug-in of its kubeconfig gave none",
            evidence={"kubeconfig": str(kubeconfig)},
            next_step=f"see what it says: {' '.join(shown)}",
        )


def refused(what: str, error: Any, *, context: str) -> KubeApiError:
    """The error for the reader of a `kubernetes.client.ApiException`; only the server's own message is shown.

    Args:
        what: What was asked.
        error: It.
        context: Name of the context that it was asked by.
    """
    status = int(error.status or 0)
    message = str(error.reason or "").strip()
    try:
        body = json.loads(error.body or "")
    except (TypeError, ValueError):
        body = None
    if isinstance(body, dict) and body.get("message"):
        message = str(body["message"])
    if status in (0, _TOO_MANY) or status >= _SERVER_ERROR:
        return KubeUnavailable(f"{what}: {message or 'no answer'}", status=status)
    next_step = _let_in(context) if status == _UNAUTHORIZED else ""
    return KubeApiError(f"{what}: {message} (HTTP {status})", status=status, next_step=next_step)


def _let_in(context: str) -> str:
    """What to do where the server does not know who calls.

    EKS answers so, too, where AWS knows them and the cluster has no access entry for them
    (https://repost.aws/knowledge-center/eks-api-server-unauthorized-error).
    """
    eks = _EKS.fullmatch(context)
    if eks is None:
        return f"log in again, or see whether the user of the context {context} may still get in"
    return (
        "see that the role or user of AWS has an access entry in the cluster (aws eks list-access-entries "
        f"--cluster-name {eks['cluster']}; docs/how-to/eks.md), or log in again: aws sso login, or renew the keys"
    )
