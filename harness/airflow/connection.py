"""Calls to Airflow's API: authorised, bounded in time, made again after a passing failure, and what a refusal means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import urllib3
from pydantic import SecretStr

from harness.airflow import generated
from harness.airflow.auth import TokenSource
from harness.airflow.transport import Backoff, Transient, transient_status
from harness.airflow.values import Document, Reader
from harness.errors import EnvironmentFailed
from harness.loopback import on_loopback
from harness.wait import Clock

_PAGE: Final = 100
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_WELL: Final = frozenset({200, 201, 204})


class ApiRefused(EnvironmentFailed):
    """Airflow refused a call.

    Attributes:
        status: HTTP status.
        detail: The server's own words.
    """

    def __init__(self, what: str, *, status: int, detail: str, next_step: str = "") -> None:
        super().__init__(f"Airflow refused {what}: HTTP {status}: {detail}", next_step=next_step)
        self.status = status
        self.detail = detail


class Connection:
    """A connection to one Airflow as one user, by the generated client and by plain HTTP. Thread-safe.

    Attributes:
        client: The generated client's `ApiClient`.
        reader: Reads its answers.
    """

    def __init__(
        self, url: str, username: str, password: SecretStr, *, clock: Clock, http: httpx.Client | None, timeout: float
    ) -> None:
        local = on_loopback(url)
        self._timeout = float(timeout)
        self._own_http = http is None
        # The environment's proxy cannot reach this machine's loopback.
        self._http = http or httpx.Client(base_url=url, timeout=timeout, trust_env=not local)
        self._backoff = Backoff(clock)
        self._tokens = TokenSource(self._http, username, password, clock=clock, backoff=self._backoff)
        configuration = generated.Configuration(host=url, retries=False)
        if local:
            configuration.proxy = None
        self.client: Any = generated.ApiClient(configuration)
        self.reader = Reader(client_version=str(generated.__version__))

    def close(self) -> None:
        """Close what was opened here; a client that was handed in stays open."""
        self.client.rest_client.pool_manager.clear()
        if self._own_http:
            self._http.close()

    def pages(self, what: str, ask: Callable[..., Any], model: Any, key: str) -> list[Document]:
        """Every item of a list that is given out page by page, under `key`. Errors as `call`."""
        found: list[Document] = []
        while True:
            offset = len(found)
            body = self.call(what, lambda offset=offset, **o: ask(limit=_PAGE, offset=offset, **o))
            document = self.reader.document(what, body, model)
            page = self.reader.items(what, document, key)
            found += page
            if not page or len(found) >= int(self.reader.number(what, document, "total_entries") or 0):
                return found

    def call(self, what: str, ask: Callable[..., Any], *, anonymous: bool = False) -> bytes:
        """Make a call of the generated client; the body of an answer of success.

        Args:
            what: The call, for messages.
            ask: A generated `..._without_preload_content` method; takes the request's own options as keywords.
            anonymous: Whether it needs no token.

        Raises:
            ApiRefused: The server refused it.
            AirflowUnavailable: It does not answer, or says that it cannot now.
        """

        def send(token: SecretStr | None) -> tuple[int, bytes, str | None]:
            options: dict[str, Any] = {"_request_timeout": self._timeout}
            if token is not None:
                options["_request_auth"] = {
                    "type": "bearer",
                    "in": "header",
                    "key": "Authorization",
                    "value": f"Bearer {token.get_secret_value()}",
                }
            return _exchange(what, lambda: ask(**options))

        def attempt() -> bytes:
            token = None if anonymous else self._tokens.token()
            status, body, retry_after = send(token)
            if status == _UNAUTHORIZED and token is not None:
                status, body, retry_after = send(self._tokens.renew(token))
            return _accepted(what, status, body, retry_after)

        return self._backoff.call(what, attempt)

    def plain_get(self, path: str, query: Mapping[str, str | int]) -> Document | None:
        """GET by plain HTTP, past the generated client; the JSON object, or None for 404. Errors as `call`."""
        what = f"GET {path}"

        def send(token: SecretStr) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token.get_secret_value()}", "Accept": "application/json"}
            try:
                return self._http.get(path, params=query, headers=headers)
            except httpx.HTTPError as error:
                raise Transient(f"{what}: {str(error) or type(error).__name__}") from error

        def attempt() -> Document | None:
            token = self._tokens.token()
            answer = send(token)
            if answer.status_code == _UNAUTHORIZED:
                answer = send(self._tokens.renew(token))
            if answer.status_code == _NOT_FOUND:
                return None
            body = _accepted(what, answer.status_code, answer.content, answer.headers.get("retry-after"))
            try:
                document = json.loads(body)
            except ValueError as error:
                raise self.reader.unreadable(what, "it is not JSON") from error
            if not isinstance(document, dict):
                raise self.reader.unreadable(what, "it is not a JSON object")
            return document

        return self._backoff.call(what, attempt)


def _exchange(what: str, ask: Callable[[], Any]) -> tuple[int, bytes, str | None]:
    """(status, body, Retry-After) of a raw answer of the generated client."""
    try:
        response = ask()
        return int(response.status), bytes(response.data), response.headers.get("retry-after")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Transient(f"{what}: {error}") from error
    except generated.ApiException as error:  # the client's own transport gave up, such as over TLS
        raise Transient(f"{what}: {error.reason}") from error


def _accepted(what: str, status: int, body: bytes, retry_after: str | None) -> bytes:
    if status in _WELL:
        return body
    detail = _detail(body)
    if transient_status(status):
        raise Transient(f"{what}: HTTP {status}: {detail}", retry_after=retry_after)
    advice = {
        _UNAUTHORIZED: "the token was renewed and is still refused: see the API server's JWT secret and its clock",
        _FORBIDDEN: "the user needs the role Admin",
    }.get(status, "")
    raise ApiRefused(what, status=status, detail=detail, next_step=advice)


def _detail(body: bytes) -> str:
    """The server's own words: `detail` of its JSON, as text or as FastAPI's list of what is wrong where."""
    text = body.decode("utf-8", errors="replace")
    try:
        document = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:300] or "no explanation"
    detail = document.get("detail") if isinstance(document, dict) else document
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg')}" if isinstance(item, dict) else str(item)
            for item in detail
        )
    return str(detail)
