"""Tokens of Airflow's API: fetched with a password, refreshed before they expire.

POST /auth/token with JSON {username, password} answers 201 {"access_token"} with both the FAB and the Simple auth
manager (apache-airflow-providers-fab 3.10.2, auth_manager/api_fastapi/routes/login.py; apache-airflow-core 3.3.2,
api_fastapi/auth/managers/simple/routes/login.py). The Python client neither fetches nor refreshes tokens.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from harness.airflow.transport import Backoff, Transient, transient_status
from harness.errors import EnvironmentFailed
from harness.wait import Clock

_CREATED, _OK, _NOT_FOUND = 201, 200, 404
_REFUSED = frozenset({400, 401, 403, 422})
# A token whose lifetime cannot be read is used for as long as Airflow's shortest-lived kind.
_UNKNOWN_LIFETIME = 600.0
_LONGEST_MARGIN = 60.0


@dataclass(frozen=True, slots=True)
class _Token:
    value: SecretStr
    refresh_at: float


class TokenSource:
    """The current token of one user; safe to share between threads.

    Args:
        http: Client whose base URL is the root of Airflow.
        username: Of the user.
        password: Of the user.
        clock: Where time comes from.
        backoff: How to ask again after a passing failure.
    """

    def __init__(
        self, http: httpx.Client, username: str, password: SecretStr, *, clock: Clock, backoff: Backoff
    ) -> None:
        self._http = http
        self._username = username
        self._password = password
        self._clock = clock
        self._backoff = backoff
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def token(self) -> SecretStr:
        """A token that is not about to expire.

        Raises:
            EnvironmentFailed: Airflow does not accept the credentials, or does not answer.
        """
        with self._lock:
            if self._token is None or self._clock.monotonic() >= self._token.refresh_at:
                self._token = self._fetch()
            return self._token.value

    def renew(self, rejected: SecretStr) -> SecretStr:
        """A token other than one that Airflow has just rejected; errors as `token`."""
        with self._lock:
            # Another thread may have renewed it meanwhile.
            if self._token is None or self._token.value.get_secret_value() == rejected.get_secret_value():
                self._token = self._fetch()
            return self._token.value

    def _fetch(self) -> _Token:
        asked_at = self._clock.monotonic()
        answer = self._backoff.call("POST /auth/token", self._post)
        if answer.status_code in _REFUSED:
            raise EnvironmentFailed(
                f"Airflow does not accept the user name and password of {self._username!r} (HTTP {answer.status_code})",
                next_step="use the administrator that the release was installed with; on a kept cluster whose "
                "password is lost, run `harness down` and start again",
            )
        if answer.status_code == _NOT_FOUND:
            raise EnvironmentFailed(
                "this Airflow has no POST /auth/token",
                next_step="see that the address is Airflow 3's API server and that its auth manager gives tokens",
            )
        value = _access_token(answer)
        if value is None:
            raise EnvironmentFailed(
                f"POST /auth/token answered HTTP {answer.status_code} without an access token",
                next_step="see that the address is Airflow's API server and not something in front of it",
            )
        lifetime = _lifetime(value) or _UNKNOWN_LIFETIME
        return _Token(SecretStr(value), asked_at + lifetime - min(_LONGEST_MARGIN, lifetime / 5))

    def _post(self) -> httpx.Response:
        credentials = {"username": self._username, "password": self._password.get_secret_value()}
        try:
            answer = self._http.post("/auth/token", json=credentials)
        except httpx.HTTPError as error:
            raise Transient(f"POST /auth/token: {str(error) or type(error).__name__}") from error
        if transient_status(answer.status_code):
            raise Transient(
                f"POST /auth/token: HTTP {answer.status_code}", retry_after=answer.headers.get("retry-after")
            )
        return answer


def _access_token(answer: httpx.Response) -> str | None:
    if answer.status_code not in (_CREATED, _OK):
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    value = body.get("access_token") if isinstance(body, dict) else None
    return value if isinstance(value, str) and value else None


def _lifetime(token: str) -> float | None:
    """Seconds a JWT lives, by its own claims `iat` and `exp` (both the server's clock, so skew does not matter)."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7519)
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        lifetime = float(claims["exp"]) - float(claims["iat"])
    except (ValueError, KeyError, TypeError):
        return None
    return lifetime if lifetime > 0 else None
