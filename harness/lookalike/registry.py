"""The registry behind ECR's login: the distribution API as ECR speaks it, over the repositories of `ecr.py`.

What is ECR's own: basic authentication at each request, a repository that was not created is refused, each step asks
for an IAM action ("IAM permissions for pushing" and "pulling" in the ECR user guide), a layer is never taken over from
another repository. Each request is on the record as the API call that it is in ECR.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from harness.lookalike.authorisation import Authorisation
from harness.lookalike.calls import Call, CallLog, Outcome
from harness.lookalike.distribution import JSON, RegistryError, Request, progress, reply
from harness.lookalike.ecr import IMMUTABLE, USER, Ecr, Image, Login, Repository, digest_of
from harness.lookalike.errors import AwsError, Problem, Refused
from harness.lookalike.faults import Faults
from harness.lookalike.gateway import Reply
from harness.lookalike.layers import Layers, Upload
from harness.lookalike.service import Account, Check

_SERVICE: Final = "ecr"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FROM: Final = re.compile(r"bytes=(\d+)-")
# What Docker's engine reads at most of a manifest.
_LARGEST_MANIFEST: Final = 4 << 20


@dataclass(slots=True)
class _Asked:
    """A request of somebody who is logged in, and what is known of it in the words of ECR's API."""

    request: Request
    login: Login
    operation: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    check: Check | None = None


_Handler = Callable[..., Reply]


class Registry:
    """Answers requests."""

    def __init__(
        self, account: Account, ecr: Ecr, layers: Layers, *, authorisation: Authorisation, log: CallLog, faults: Faults
    ) -> None:
        self._account = account
        self._ecr = ecr
        self._layers = layers
        self._authorisation = authorisation
        self._log = log
        self._faults = faults
        # The first that fits.
        self._routes: tuple[tuple[re.Pattern[str], Mapping[str, _Handler]], ...] = (
            (re.compile(r"/v2/?"), {"GET": self._version, "HEAD": self._version}),
            (re.compile(r"/v2/(.+)/blobs/uploads/?"), {"POST": self._begin}),
            (
                re.compile(r"/v2/(.+)/blobs/uploads/([^/]+)"),
                {"PATCH": self._part, "PUT": self._end, "GET": self._state, "DELETE": self._drop},
            ),
            (re.compile(r"/v2/(.+)/blobs/([^/]+)"), {"GET": self._layer, "HEAD": self._has_layer}),
            (
                re.compile(r"/v2/(.+)/manifests/([^/]+)"),
                {"GET": self._manifest, "HEAD": self._manifest, "PUT": self._put},
            ),
            (re.compile(r"/v2/(.+)/tags/list"), {"GET": self._tags}),
        )

    def reply(self, request: Request) -> Reply:
        """Answer a request."""
        realm = f"{self._ecr.endpoint}/"
        try:
            asked = _Asked(request, self._login(request))
        except RegistryError as error:
            return error.reply(realm)  # the first question of every client; it is not on the record
        outcome: Outcome = "refused"
        try:
            made = self._dispatch(asked)
        except RegistryError as error:
            refusal = error
        except Refused as refused:
            if refused.problem is Problem.THROTTLED:
                outcome, refusal = "throttled", RegistryError("TOOMANYREQUESTS", refused.message, 429)
            else:
                outcome, refusal = "denied", RegistryError("DENIED", refused.message, 403)
        except AwsError as error:  # the one that repositories know: there is none of that name
            refusal = RegistryError("NAME_UNKNOWN", error.message, 404)
        except ValueError as error:  # the body was cut short
            refusal = RegistryError("BLOB_UPLOAD_INVALID", str(error), 400)
        else:
            self._write(asked, "allowed", "", made.status)
            return made
        self._write(asked, outcome, refusal.code, refusal.status)
        return refusal.reply(realm)

    def _login(self, request: Request) -> Login:
        kind, _, said = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(said, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, password = "", ""
        login = self._ecr.login(password) if kind.lower() == "basic" and user == USER else None
        if login is None:
            raise RegistryError("UNAUTHORIZED", "Not Authorized", 401)
        if login.ends <= self._account.now():
            raise RegistryError("DENIED", "Your authorization token has expired. Reauthenticate and try again.", 403)
        return login

    def _dispatch(self, asked: _Asked) -> Reply:
        for pattern, handlers in self._routes:
            if (found := pattern.fullmatch(asked.request.path)) is not None:
                if (handle := handlers.get(asked.request.method)) is not None:
                    return handle(asked, *found.groups())
                break
        raise RegistryError("UNSUPPORTED", "The operation is unsupported.", 405)

    def _allowed(self, asked: _Asked, operation: str, name: str, **parameters: object) -> Repository:
        """The repository, if the login's owner may do that there.

        Raises:
            Refused: Not allowed, or throttled.
            AwsError: There is no such repository.
        """
        asked.operation = operation
        asked.parameters = {"repositoryName": name, **parameters}
        asked.check = Check(f"ecr:{operation}", self._ecr.arn(name))
        self._faults.check(_SERVICE, operation)
        self._authorisation.hold(asked.login.owner, [asked.check])
        with self._ecr.lock:
            return self._ecr.repository(name)

    def _version(self, _asked: _Asked) -> Reply:
        return reply(HTTPStatus.OK, JSON, body=b"{}")

    def _begin(self, asked: _Asked, name: str) -> Reply:
        # `mount` and `from` are passed over, as the specification allows and ECR does.
        repository = self._allowed(asked, "InitiateLayerUpload", name)
        upload = self._layers.begin(name)
        if (digest := asked.request.query.get("digest")) is not None:
            self._upload(upload, name).append(asked.request.body)
            return self._finish(upload, repository, digest)
        return progress(HTTPStatus.ACCEPTED, name, upload, 0)

    def _part(self, asked: _Asked, name: str, uploaded: str) -> Reply:
        self._allowed(asked, "UploadLayerPart", name, uploadId=uploaded)
        upload = self._upload(uploaded, name)
        start = asked.request.headers.get("content-range", "").partition("-")[0]
        if start and start != str(upload.size):
            raise RegistryError("BLOB_UPLOAD_INVALID", f"the next byte is {upload.size}", 416)
        asked.parameters["partFirstByte"] = upload.size
        upload.append(asked.request.body)
        asked.parameters["partLastByte"] = max(upload.size - 1, 0)
        return progress(HTTPStatus.ACCEPTED, name, uploaded, upload.size)

    def _end(self, asked: _Asked, name: str, uploaded: str) -> Reply:
        digest = asked.request.query.get("digest", "")
        repository = self._allowed(asked, "CompleteLayerUpload", name, uploadId=uploaded, layerDigests=[digest])
        self._upload(uploaded, name).append(asked.request.body)
        return self._finish(uploaded, repository, digest)

    def _state(self, asked: _Asked, name: str, uploaded: str) -> Reply:
        self._allowed(asked, "UploadLayerPart", name, uploadId=uploaded)
        return progress(HTTPStatus.NO_CONTENT, name, uploaded, self._upload(uploaded, name).size)

    def _drop(self, asked: _Asked, name: str, uploaded: str) -> Reply:
        self._allowed(asked, "UploadLayerPart", name, uploadId=uploaded)
        self._upload(uploaded, name)
        self._layers.drop(uploaded)
        return reply(HTTPStatus.NO_CONTENT)

    def _upload(self, uploaded: str, repository: str) -> Upload:
        upload = self._layers.upload(uploaded, repository)
        if upload is None:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 404)
        return upload

    def _finish(self, uploaded: str, repository: Repository, digest: str) -> Reply:
        if not self._layers.finish(uploaded, digest):
            raise RegistryError("DIGEST_INVALID", "provided digest did not match uploaded content", 400)
        with self._ecr.lock:
            repository.layers.add(digest)
        where = ("Location", f"/v2/{repository.name}/blobs/{digest}")
        return reply(HTTPStatus.CREATED, where, ("Docker-Content-Digest", digest))

    def _has_layer(self, asked: _Asked, name: str, digest: str) -> Reply:
        repository = self._allowed(asked, "BatchCheckLayerAvailability", name, layerDigests=[digest])
        return self._layer_of(repository, digest)

    def _layer(self, asked: _Asked, name: str, digest: str) -> Reply:
        repository = self._allowed(asked, "GetDownloadUrlForLayer", name, layerDigest=digest)
        whole = self._layer_of(repository, digest)
        wanted, size = _FROM.fullmatch(asked.request.headers.get("range", "")), self._layers.size(digest)
        if wanted is None or int(wanted[1]) >= size:
            return whole
        start = int(wanted[1])
        headers = (*whole.headers, ("Content-Range", f"bytes {start}-{size - 1}/{size}"))
        return Reply(HTTPStatus.PARTIAL_CONTENT, headers, self._layers.read(digest, start), size - start)

    def _layer_of(self, repository: Repository, digest: str) -> Reply:
        with self._ecr.lock:
            if digest not in repository.layers:
                raise RegistryError("BLOB_UNKNOWN", "blob unknown to registry", 404)
        headers = (("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest))
        return Reply(HTTPStatus.OK, headers, self._layers.read(digest), self._layers.size(digest))

    def _manifest(self, asked: _Asked, name: str, reference: str) -> Reply:
        wanted = {"imageDigest" if _DIGEST.fullmatch(reference) else "imageTag": reference}
        repository = self._allowed(asked, "BatchGetImage", name, imageIds=[wanted])
        with self._ecr.lock:
            image = repository.find(reference)
        if image is None:
            raise RegistryError("MANIFEST_UNKNOWN", "Requested image not found", 404)
        digest = ("Docker-Content-Digest", image.digest)
        return reply(HTTPStatus.OK, ("Content-Type", image.media_type), digest, body=image.manifest)

    def _put(self, asked: _Asked, name: str, reference: str) -> Reply:
        tag = None if _DIGEST.fullmatch(reference) else reference
        repository = self._allowed(asked, "PutImage", name, **({"imageTag": tag} if tag else {}))
        if tag is not None and not _TAG.fullmatch(tag):
            raise RegistryError("TAG_INVALID", f"{tag!r} is no tag", 400)
        image = self._image(asked.request)
        asked.parameters["imageDigest"] = image.digest
        if tag is None and image.digest != reference:
            raise RegistryError("DIGEST_INVALID", "provided digest did not match uploaded content", 400)
        with self._ecr.lock:
            known = repository.layers | repository.images.keys()
            for digest, _ in image.layers:
                if digest not in known:
                    raise RegistryError("MANIFEST_BLOB_UNKNOWN", f"{digest} was not pushed to this repository", 400)
            taken = tag is not None and repository.tags.get(tag, image.digest) != image.digest
            if taken and repository.mutability == IMMUTABLE:
                message = f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten "
                raise RegistryError("TAG_INVALID", message + "because the repository is immutable.", 400)
            repository.put(image, tag)
        where = ("Location", f"/v2/{name}/manifests/{image.digest}")
        return reply(HTTPStatus.CREATED, where, ("Docker-Content-Digest", image.digest))

    def _image(self, request: Request) -> Image:
        content = b""
        for piece in request.body:
            content += piece
            if len(content) > _LARGEST_MANIFEST:
                raise RegistryError("MANIFEST_INVALID", "the manifest is too large", 413)
        kind = request.headers.get("content-type", "")
        image = Image(digest_of(content), kind, content, self._account.moment())
        try:
            named = json.loads(content).get("mediaType", kind) == kind and image.layers
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise RegistryError("MANIFEST_INVALID", f"{type(error).__name__}: {error}", 400) from None
        if not named:
            raise RegistryError("MANIFEST_INVALID", f"no manifest of type {kind}, or one that names nothing", 400)
        return image

    def _tags(self, asked: _Asked, name: str) -> Reply:
        repository = self._allowed(asked, "ListImages", name)
        with self._ecr.lock:
            tags = sorted(repository.tags)
        return reply(HTTPStatus.OK, JSON, body=json.dumps({"name": name, "tags": tags}).encode())

    def _write(self, asked: _Asked, outcome: Outcome, code: str, status: int) -> None:
        if asked.check is None:
            return  # what asks for nothing
        self._log.add(
            Call(
                time=self._account.now().isoformat(),
                service=_SERVICE,
                operation=asked.operation,
                principal=asked.login.owner.arn,
                access_key_id="",
                parameters=asked.parameters,
                checked=((asked.check.action, asked.check.resource),),
                outcome=outcome,
                code=code,
                status=status,
            )
        )
