"""The adapter as a server: HTTPS, `/mutate` for the API server, `/healthz` for the kubelet.

Environment: ADAPTER_LISTEN (host:port), ADAPTER_TLS (folder with tls.crt and tls.key), ADAPTER_CONFIG (JSON file).
Contract: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .patch import Configuration, ConfigurationError, patch_for

# The API server's own limit of a request (3 MiB, apiserver/pkg/server/config.go) bounds a pod; a review wraps it.
_LARGEST_BODY = 8 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    # Head and body are two packets: the second would wait 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    configuration: Configuration

    def do_GET(self) -> None:
        """Answer the kubelet's probe."""
        self._answer(200 if self.path == "/healthz" else 404, {"status": "ok" if self.path == "/healthz" else "?"})

    def do_POST(self) -> None:
        """Answer an AdmissionReview."""
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/mutate":  # the API server adds ?timeout=...
            self.close_connection = True
            self._answer(404, {"message": "only /mutate is here"})
            return
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            self._answer(413, {"message": f"a review has a Content-Length of at most {_LARGEST_BODY}"})
            return
        try:
            review = json.loads(self.rfile.read(int(length)))
            request = review["request"]
            uid = request["uid"]
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"message": f"this is no AdmissionReview: {type(error).__name__}: {error}"})
            return
        self._answer(
            200, {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": self._review(uid, request)}
        )

    def _review(self, uid: str, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("operation") != "CREATE" or (request.get("kind") or {}).get("kind") != "Pod":
            return {"uid": uid, "allowed": True}
        try:
            patch = patch_for(request["object"], self.configuration)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"the harness adapter cannot read this pod: {type(error).__name__}: {error}"
            return {"uid": uid, "allowed": False, "status": {"code": 422, "message": message}}
        metadata = request["object"].get("metadata") or {}
        pod = metadata.get("name") or metadata.get("generateName")
        _log(pod=pod, namespace=request.get("namespace"), added=patch.added, kept=patch.kept)
        response: dict[str, Any] = {"uid": uid, "allowed": True}
        if patch.operations:
            encoded = base64.b64encode(json.dumps(patch.operations).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": encoded}
        return response

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
        """Say nothing per request: what was added is logged, and probes are noise."""


def _log(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def serve(address: tuple[str, int], tls: Path, configuration: Configuration) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving.

    Raises:
        OSError: The port is taken, or a certificate file is missing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    handler = type("BoundHandler", (Handler,), {"configuration": configuration, "timeout": 30})
    server = ThreadingHTTPServer(address, handler)
    server.daemon_threads = True
    # The handshake happens in the thread of the connection, so that one silent client cannot hold up the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def main() -> int:
    """Serve until told to stop."""
    host, _, port = os.environ.get("ADAPTER_LISTEN", "0.0.0.0:8443").rpartition(":")
    tls = Path(os.environ.get("ADAPTER_TLS", "/etc/adapter/tls"))
    try:
        configuration = Configuration.parse(
            Path(os.environ.get("ADAPTER_CONFIG", "/etc/adapter/config.json")).read_text()
        )
        server = serve((host, int(port)), tls, configuration)
    except (OSError, ValueError, ConfigurationError) as error:
        print(f"adapter: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    _log(
        listening="{}:{}".format(*server.server_address[:2]),
        adds=sorted(configuration.env),
        accounts=sorted(configuration.identities),
    )
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
