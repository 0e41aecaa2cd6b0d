"""The two webhooks that EKS's control plane runs beside the API server, over TLS: `/mutate` and `/authenticate`."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

from harness.lookalike import injector
from harness.lookalike.eks import Eks
from harness.lookalike.listener import Listener
from harness.lookalike.service import Account
from harness.lookalike.token_webhook import TokenWebhook

# The API server's own limit of a request is 3 MiB; a review wraps it.
_LARGEST: Final = 8 << 20
_API_VERSIONS: Final = ("admission.k8s.io/v1", "authentication.k8s.io/v1")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are two packets: the second would wait 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    timeout = 30
    webhooks: Webhooks

    def do_POST(self) -> None:
        """Answer a review."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self.close_connection = True
            self._answer(413, {"message": f"a review has a Content-Length of at most {_LARGEST}"})
            return
        body = self.rfile.read(int(length))
        try:
            review = json.loads(body)
            answer = self.webhooks.answer(urlsplit(self.path).path, review)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._answer(400, {"message": f"this is no review: {type(error).__name__}: {error}"})
            return
        self._answer(200 if answer else 404, answer or {"message": "there are /mutate and /authenticate"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
        """Say nothing: what pods were given is in their specs."""


class Webhooks(Listener):
    """Both webhooks of a cluster; they serve inside `with`, at the paths `/mutate` and `/authenticate`."""

    def __init__(
        self,
        cluster: str,
        *,
        account: Account,
        eks: Eks,
        tokens: TokenWebhook,
        address: tuple[str, int],
        tls: ssl.SSLContext,
        role_of: Callable[[str, str], str] = lambda _namespace, _account: "",
    ) -> None:
        """Bind.

        Args:
            cluster: Name of the cluster.
            account: Where.
            eks: Whose associations.
            tokens: Reviews tokens of AWS.
            address: Where to listen.
            tls: Serves https.
            role_of: ARN of the role that a service account names (IRSA); empty for none.

        Raises:
            OSError: The address is taken or not of this machine.
        """
        self._cluster = cluster
        self._account = account
        self._eks = eks
        self._tokens = tokens
        self._role_of = role_of
        super().__init__(_Handler, address, name="webhooks", tls=tls, webhooks=self)

    def answer(self, path: str, review: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a review; None where no webhook is at the path."""
        if path == "/authenticate":
            _check_version(review)
            return self._tokens.review(review)
        if path != "/mutate":
            return None
        _check_version(review)
        response = injector.review(
            review["request"], region=self._account.region, associated=self._associated, role_of=self._role_of
        )
        return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}

    def _associated(self, namespace: str, account: str) -> bool:
        return self._eks.associations.find(self._cluster, namespace, account) is not None


def _check_version(review: dict[str, Any]) -> None:
    if review.get("apiVersion") not in _API_VERSIONS:
        raise ValueError(f"apiVersion {review.get('apiVersion')!r} is none of {', '.join(_API_VERSIONS)}")
