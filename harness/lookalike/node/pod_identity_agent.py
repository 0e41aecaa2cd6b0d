"""The Pod Identity agent: gives pods on this node keys, against the token of their service account.

One file of the standard library, so that it can be handed to any image with Python. The HTTP contract is that of the
EKS Pod Identity agent (aws/eks-pod-identity-agent: pkg/handlers, internal/validation, pkg/errors): `GET
/v1/credentials` on 169.254.170.23, port 80, the token in `Authorization` as it is, without "Bearer"; keys as JSON,
refusals as text with the status of EKS Auth.

Environment: AGENT_CLUSTER, AGENT_REGION, AGENT_ENDPOINT (URL of EKS Auth), AGENT_CREDENTIALS (JSON file of the node's
role: AccessKeyId, SecretAccessKey, and SessionToken where it has one); AGENT_LISTEN, AGENT_HOSTS, AGENT_RETENTION to
change the defaults below.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import sys
import threading
import urllib.parse
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LISTEN = "169.254.170.23:80"
_HOSTS = "169.254.170.23,fd00:ec2::23"
# Keys are asked for anew after this (--max-credential-retention-before-renewal), and never used past their end.
_RETENTION_SECONDS = 3 * 3600.0
_TIMEOUT_SECONDS = 5.0
_JWT_PARTS = 3


class Refusal(Exception):
    """What the pod is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Configuration:
    """How the agent runs.

    Attributes:
        cluster: Name of the cluster.
        region: Of the signature.
        endpoint: URL of EKS Auth.
        credentials: File with the node's keys; read at each call, so that they may be renewed.
        listen: Address and port.
        hosts: What the request's Host may be.
        retention: Seconds for which keys are kept.
    """

    cluster: str
    region: str
    endpoint: str
    credentials: str
    listen: str = _LISTEN
    hosts: tuple[str, ...] = tuple(_HOSTS.split(","))
    retention: float = _RETENTION_SECONDS

    @classmethod
    def read(cls, env: dict[str, str]) -> Configuration:
        """From the environment.

        Raises:
            KeyError: A variable without a default is missing.
            ValueError: The retention is no number.
        """
        return cls(
            cluster=env["AGENT_CLUSTER"],
            region=env["AGENT_REGION"],
            endpoint=env["AGENT_ENDPOINT"],
            credentials=env["AGENT_CREDENTIALS"],
            listen=env.get("AGENT_LISTEN", _LISTEN),
            hosts=tuple(env.get("AGENT_HOSTS", _HOSTS).split(",")),
            retention=float(env.get("AGENT_RETENTION", _RETENTION_SECONDS)),
        )


@dataclass
class Agent:
    """Answers for pods; safe between threads."""

    configuration: Configuration
    _kept: dict[str, tuple[dict[str, str], datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def credentials(self, host: str, token: str) -> dict[str, str]:
        """Keys for the bearer of a token, as the SDKs read them.

        Raises:
            Refusal: The request is not one for the agent, or EKS Auth refuses.
        """
        self._check_host(host)
        _check_token(token)
        name, now = hashlib.sha256(token.encode()).hexdigest(), _now()
        with self._lock:
            self._kept = {key: one for key, one in self._kept.items() if one[1] > now}
            if name in self._kept:
                return self._kept[name][0]
        fresh = _for_sdk(self._assume(token))
        until = min(now + timedelta(seconds=self.configuration.retention), _moment(fresh["Expiration"]))
        with self._lock:
            self._kept[name] = (fresh, until)
        return fresh

    def _check_host(self, host: str) -> None:
        bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and host.count(":") == 1 else host
        if bare.startswith("["):
            bare = bare[1:].partition("]")[0]
        if bare not in self.configuration.hosts:
            wanted = " ".join(self.configuration.hosts)
            raise Refusal(403, f"Access Denied. Called agent through invalid address, use [{wanted}], not {bare}")

    def _assume(self, token: str) -> dict[str, Any]:
        where = urllib.parse.urlsplit(self.configuration.endpoint)
        path = f"/clusters/{urllib.parse.quote(self.configuration.cluster)}/assume-role-for-pod-identity"
        body = json.dumps({"token": token}).encode()
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(where.hostname or "", where.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, body, self._signed(where.netloc, path, body))
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
            code, request_id = response.getheader("x-amzn-ErrorType"), response.getheader("x-amzn-RequestId")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refusal(500, f"EKS Auth does not answer: {type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if response.status != http.client.OK:
            fault = "client" if response.status < http.client.INTERNAL_SERVER_ERROR else "server"
            raise Refusal(response.status, f"[{request_id}]: ({code}): {answer.get('message', '')}, fault: {fault}")
        return dict(answer)

    def _signed(self, host: str, path: str, body: bytes) -> dict[str, str]:
        """The head of a request, with Signature Version 4 by the node's keys."""
        with open(self.configuration.credentials, encoding="utf-8") as file:
            keys = json.load(file)
        moment = _now().strftime("%Y%m%dT%H%M%SZ")
        headers = {"content-type": "application/json", "host": host, "x-amz-date": moment}
        if keys.get("SessionToken"):
            headers["x-amz-security-token"] = keys["SessionToken"]
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        twice = urllib.parse.quote(path, safe="/~-._")
        canonical = f"POST\n{twice}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self.configuration.region}/eks-auth/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{keys['SecretAccessKey']}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        credential = f"Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


def _for_sdk(answer: dict[str, Any]) -> dict[str, str]:
    keys = answer["credentials"]
    expiration = datetime.fromtimestamp(keys["expiration"], UTC)
    return {
        "AccessKeyId": keys["accessKeyId"],
        "SecretAccessKey": keys["secretAccessKey"],
        "Token": keys["sessionToken"],
        "AccountId": answer["assumedRoleUser"]["arn"].split(":")[4],
        "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _check_token(token: str) -> None:
    """Only that it is a token and not over: whether it is true is EKS Auth's to say."""
    if not token:
        raise Refusal(400, "Service account token cannot be empty")
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        ends = float(claims["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise Refusal(400, "Service account token cannot be parsed") from None
    if len(parts) != _JWT_PARTS or ends <= _now().timestamp():
        raise Refusal(400, "Service account token failed basic claim validations: token is expired")


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are two packets: the second would wait 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    timeout = 30
    agent: Agent

    def do_GET(self) -> None:
        """Keys, or a probe's answer."""
        if self.path in {"/healthz", "/readyz"}:
            self._answer(200, "text/plain", "")
            return
        if self.path != "/v1/credentials":
            self._answer(404, "text/plain; charset=utf-8", "404 page not found\n")
            return
        try:
            keys = self.agent.credentials(self.headers.get("Host", ""), self.headers.get("Authorization", ""))
        except Refusal as refusal:
            _log(refused=refusal.message, status=refusal.status, to=self.client_address[0])
            self._answer(refusal.status, "text/plain; charset=utf-8", refusal.message + "\n")
            return
        _log(gave=keys["AccessKeyId"], until=keys["Expiration"], to=self.client_address[0])
        self._answer(200, "application/json", json.dumps(keys))

    def _answer(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
        """Say nothing per request: what was given is logged, and probes are noise."""


def _log(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def serve(configuration: Configuration) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving.

    Raises:
        OSError: The address is not on this machine, or taken.
    """
    host, _, port = configuration.listen.rpartition(":")
    handler = type("BoundHandler", (Handler,), {"agent": Agent(configuration)})
    server = ThreadingHTTPServer((host, int(port)), handler)
    server.daemon_threads = True
    return server


def main() -> int:
    """Serve until ended."""
    try:
        configuration = Configuration.read(dict(os.environ))
        server = serve(configuration)
    except (OSError, KeyError, ValueError) as error:
        print(f"pod-identity-agent: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    _log(listening="{}:{}".format(*server.server_address[:2]), cluster=configuration.cluster)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
