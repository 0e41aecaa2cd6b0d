"""The look-alike's registry on loopback, and a client of the distribution API for it and for any other registry."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from harness.lookalike.cloud import Cloud
from harness.lookalike.registry_server import RegistryServer
from harness.services.pki import Authority

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@contextmanager
def registry_of(cloud: Cloud, folder: Path) -> Iterator[tuple[RegistryServer, ssl.SSLContext]]:
    """An account's registry; and what trusts it."""
    authority = Authority.create()
    own = authority.issue(["127.0.0.1"])
    (folder / "tls.crt").write_text(own.certificate)
    (folder / "tls.key").write_text(own.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    with RegistryServer(cloud.registry(folder / "layers"), ("127.0.0.1", 0), tls=tls) as server:
        cloud.ecr.endpoint = server.url
        yield server, ssl.create_default_context(cadata=authority.certificate)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Made:
    """An image: its configuration, one layer, and the manifest that names them."""

    configuration: bytes
    layer: bytes
    manifest: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def image(text: str = "a layer") -> Made:
    layer, configuration = text.encode(), json.dumps({"architecture": "amd64", "made of": text}).encode()
    named = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _named("application/vnd.docker.container.image.v1+json", configuration),
        "layers": [_named("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
    }
    return Made(configuration, layer, json.dumps(named).encode())


def _named(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": digest_of(content)}


@dataclass
class Distribution:
    """A client of one registry.

    Attributes:
        http: Its base is the registry; it is logged in, or not.
    """

    http: httpx.Client

    def begin(self, repository: str, **query: str) -> httpx.Response:
        return self.http.post(f"/v2/{repository}/blobs/uploads/", params=query)

    def upload(self, repository: str, content: bytes, digest: str = "") -> httpx.Response:
        """In one part and an end, as engines do."""
        begun = self.begin(repository)
        part = self.http.patch(begun.headers["location"], content=content)
        return self.http.put(
            httpx.URL(part.headers["location"]).copy_merge_params({"digest": digest or digest_of(content)})
        )

    def put(self, repository: str, reference: str, made: Made) -> httpx.Response:
        return self.http.put(
            f"/v2/{repository}/manifests/{reference}", content=made.manifest, headers={"content-type": MANIFEST}
        )

    def push(self, repository: str, tag: str, made: Made) -> httpx.Response:
        for content in (made.layer, made.configuration):
            self.upload(repository, content)
        return self.put(repository, tag, made)

    def manifest(self, repository: str, reference: str, method: str = "GET") -> httpx.Response:
        return self.http.request(method, f"/v2/{repository}/manifests/{reference}", headers={"accept": MANIFEST})

    def layer(self, repository: str, digest: str, method: str = "GET", **headers: str) -> httpx.Response:
        return self.http.request(method, f"/v2/{repository}/blobs/{digest}", headers=headers)


def login(ecr: Any) -> tuple[str, str]:
    """User and password of a login."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return user, password


def codes_of(answer: httpx.Response) -> list[str]:
    return [one["code"] for one in answer.json()["errors"]]
