"""ECR: repositories, the images in them, and the logins to the registry (`registry.py`) that holds their layers.

A login is a user AWS with a password that lives twelve hours, whatever becomes of the keys that asked for it ("Private
registry authentication" in the ECR user guide). What it may do is asked of its owner's policies at each request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from harness.lookalike.errors import AwsError
from harness.lookalike.principals import Principal
from harness.lookalike.service import Account, Check, Operation, Output, Parameters, Service, page, tag_context

USER: Final = "AWS"
LIFETIME: Final = timedelta(hours=12)
IMMUTABLE: Final = "IMMUTABLE"


@dataclass(frozen=True, slots=True)
class Image:
    """An image by its manifest.

    Attributes:
        digest: Of the manifest.
        media_type: Of the manifest.
        manifest: Its bytes.
        pushed: When it came.
    """

    digest: str
    media_type: str
    manifest: bytes = field(repr=False)
    pushed: datetime

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """Digest and bytes of what the manifest names: configuration and layers, or the manifests of an index."""
        read: Any = json.loads(self.manifest)
        named = [*read.get("manifests", ()), *([read["config"]] if "config" in read else ()), *read.get("layers", ())]
        return tuple((one["digest"], int(one["size"])) for one in named)


@dataclass(slots=True)
class Repository:
    """A repository.

    Attributes:
        name: With its slashes.
        created: When.
        mutability: "MUTABLE" or "IMMUTABLE": whether a tag may come to mean another image.
        labels: Its tags, as AWS calls what describes a resource.
        images: By digest.
        tags: Digest by an image's tag.
        layers: Digests of the layers that were pushed to it.
        lifecycle: Its lifecycle policy as it was given; kept, and never acted on. Empty for none.
    """

    name: str
    created: datetime
    mutability: str
    labels: Mapping[str, str]
    images: dict[str, Image] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    lifecycle: str = ""

    def find(self, reference: str) -> Image | None:
        """An image by its tag or digest."""
        return self.images.get(self.tags.get(reference, reference))

    def put(self, image: Image, tag: str | None) -> None:
        """Take an image in; a tag that had another image loses it."""
        self.images[image.digest] = image
        if tag is not None:
            self.tags[tag] = image.digest


@dataclass(frozen=True, slots=True)
class Login:
    """A login to the registry.

    Attributes:
        owner: Who asked for it.
        ends: Until when it is good.
    """

    owner: Principal
    ends: datetime


class Ecr(Service):
    """The service.

    Attributes:
        endpoint: URL of the registry; to be filled in once it is bound.
        lock: Held by whoever reads or changes repositories: the registry's requests come beside each other.
    """

    name = "ecr"

    def __init__(self, account: Account) -> None:
        self._account = account
        self._repositories: dict[str, Repository] = {}
        self._logins: dict[str, Login] = {}
        self.endpoint = ""
        self.lock = threading.RLock()
        self.operations = {
            "GetAuthorizationToken": Operation(self._token, lambda _q: [Check("ecr:GetAuthorizationToken", "*")]),
            "CreateRepository": Operation(self._create, self._on_creation),
            "DescribeRepositories": Operation(
                self._describe,
                lambda q: [Check("ecr:DescribeRepositories", self.arn(one)) for one in q.get("repositoryNames") or "*"],
            ),
            "DeleteRepository": Operation(self._delete, self._on("DeleteRepository")),
            "PutImageTagMutability": Operation(self._set_mutability, self._on("PutImageTagMutability")),
            "PutLifecyclePolicy": Operation(self._set_lifecycle, self._on("PutLifecyclePolicy")),
            "GetLifecyclePolicy": Operation(self._lifecycle, self._on("GetLifecyclePolicy")),
            "ListTagsForResource": Operation(self._listed_labels, self._on_arn("ListTagsForResource")),
            "TagResource": Operation(self._label, self._on_arn("TagResource")),
            "UntagResource": Operation(self._unlabel, self._on_arn("UntagResource")),
            "BatchGetImage": Operation(self._get_images, self._on("BatchGetImage")),
            "DescribeImages": Operation(self._describe_images, self._on("DescribeImages")),
            "ListImages": Operation(self._list_images, self._on("ListImages")),
        }

    def arn(self, repository: str) -> str:
        """Of a repository."""
        return self._account.arn("ecr", f"repository/{repository}")

    def login(self, password: str) -> Login | None:
        """Whose password that is, also if it has ended; None if it never was given out."""
        with self.lock:
            return self._logins.get(password)

    def repository(self, name: str, registry: str | None = None) -> Repository:
        """A repository by name.

        Raises:
            AwsError: There is none, or another account's registry is meant.
        """
        number = registry or self._account.number
        found = self._repositories.get(name) if number == self._account.number else None
        if found is None:
            raise AwsError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{number}'",
            )
        return found

    def _on(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        def checks(q: Parameters) -> Sequence[Check]:
            return [Check(f"ecr:{operation}", self.arn(q["repositoryName"]))]

        return checks

    def _on_arn(self, operation: str) -> Callable[[Parameters], Sequence[Check]]:
        return lambda q: [Check(f"ecr:{operation}", q["resourceArn"], tag_context(_labels(q)))]

    def _on_creation(self, q: Parameters) -> Sequence[Check]:
        arn, context = self.arn(q["repositoryName"]), tag_context(_labels(q))
        tagging = [Check("ecr:TagResource", arn, context)] if context else []
        return [Check("ecr:CreateRepository", arn, context), *tagging]

    def _token(self, caller: Principal, _q: Parameters) -> Output:
        now = self._account.moment()
        password = secrets.token_urlsafe(96)
        with self.lock:
            self._logins[password] = Login(caller, now + LIFETIME)
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        data = {"authorizationToken": token, "expiresAt": now + LIFETIME, "proxyEndpoint": self.endpoint}
        return {"authorizationData": [data]}

    def _create(self, _caller: Principal, q: Parameters) -> Output:
        name = q["repositoryName"]
        with self.lock:
            if name in self._repositories:
                message = f"The repository with name '{name}' already exists in the registry with id "
                raise AwsError("RepositoryAlreadyExistsException", f"{message}'{self._account.number}'")
            made = Repository(name, self._account.moment(), q.get("imageTagMutability", "MUTABLE"), _labels(q))
            self._repositories[name] = made
        return {"repository": self._described(made)}

    def _described(self, one: Repository) -> Output:
        return {
            "repositoryArn": self.arn(one.name),
            "registryId": self._account.number,
            "repositoryName": one.name,
            "repositoryUri": f"{self.endpoint.rpartition('/')[2]}/{one.name}",
            "createdAt": one.created,
            "imageTagMutability": one.mutability,
        }

    def _describe(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            if names := q.get("repositoryNames"):
                found = [self.repository(name, q.get("registryId")) for name in names]
            else:
                found = sorted(self._repositories.values(), key=lambda one: one.name)
        items, following = page(found, size=q.get("maxResults"), token=q.get("nextToken"))
        return {"repositories": [self._described(one) for one in items], **_next(following)}

    def _delete(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            found = self.repository(q["repositoryName"], q.get("registryId"))
            if found.images and not q.get("force"):
                message = f"The repository with name '{found.name}' in registry with id '{self._account.number}' "
                raise AwsError(
                    "RepositoryNotEmptyException", message + "cannot be deleted because it still contains images"
                )
            del self._repositories[found.name]
        return {"repository": self._described(found)}

    def _set_mutability(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            found = self.repository(q["repositoryName"], q.get("registryId"))
            found.mutability = q["imageTagMutability"]
        return {
            "registryId": self._account.number,
            "repositoryName": found.name,
            "imageTagMutability": found.mutability,
        }

    def _set_lifecycle(self, _caller: Principal, q: Parameters) -> Output:
        text = q["lifecyclePolicyText"]
        try:
            rules = json.loads(text)["rules"]
        except (ValueError, KeyError, TypeError):
            rules = None
        if not rules:
            raise AwsError(
                "InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint"
            )
        with self.lock:
            found = self.repository(q["repositoryName"], q.get("registryId"))
            found.lifecycle = text
        return {"registryId": self._account.number, "repositoryName": found.name, "lifecyclePolicyText": text}

    def _lifecycle(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            found = self.repository(q["repositoryName"], q.get("registryId"))
        if not found.lifecycle:
            raise AwsError(
                "LifecyclePolicyNotFoundException",
                f"Lifecycle policy does not exist for the repository with name '{found.name}' in the registry with id "
                f"'{self._account.number}'",
            )
        return {
            "registryId": self._account.number, "repositoryName": found.name, "lifecyclePolicyText": found.lifecycle
        }  # fmt: skip

    def _by_arn(self, arn: str) -> Repository:
        return self.repository(arn.partition(":repository/")[2])

    def _listed_labels(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            labels = self._by_arn(q["resourceArn"]).labels
        return {"tags": [{"Key": key, "Value": value} for key, value in labels.items()]}

    def _label(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            found = self._by_arn(q["resourceArn"])
            found.labels = {**found.labels, **_labels(q)}
        return {}

    def _unlabel(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            found = self._by_arn(q["resourceArn"])
            found.labels = {key: value for key, value in found.labels.items() if key not in q["tagKeys"]}
        return {}

    def _get_images(self, _caller: Principal, q: Parameters) -> Output:
        images, failures = [], []
        with self.lock:
            repository = self.repository(q["repositoryName"], q.get("registryId"))
            for wanted in q["imageIds"]:
                found = _wanted(repository, wanted)
                if found is None:
                    reason = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
                    failures.append({"imageId": dict(wanted), **reason})
                else:
                    images.append(self._image(repository, found, wanted))
        return {"images": images, "failures": failures}

    def _image(self, repository: Repository, image: Image, wanted: Mapping[str, str]) -> Output:
        return {
            "registryId": self._account.number,
            "repositoryName": repository.name,
            "imageId": {**wanted, "imageDigest": image.digest},
            "imageManifest": image.manifest.decode(),
            "imageManifestMediaType": image.media_type,
        }

    def _describe_images(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            repository = self.repository(q["repositoryName"], q.get("registryId"))
            found: list[Image] = []
            for wanted in q.get("imageIds") or [{"imageDigest": digest} for digest in sorted(repository.images)]:
                image = _wanted(repository, wanted)
                if image is None:
                    raise AwsError("ImageNotFoundException", self._no_image(repository.name, wanted))
                found.append(image)
            items, following = page(found, size=q.get("maxResults"), token=q.get("nextToken"))
            return {"imageDetails": [self._detailed(repository, one) for one in items], **_next(following)}

    def _no_image(self, repository: str, wanted: Mapping[str, str]) -> str:
        said = {name: wanted.get(name, "null") for name in ("imageDigest", "imageTag")}
        return (
            f"The image with imageId {{imageDigest:'{said['imageDigest']}', imageTag:'{said['imageTag']}'}} does not "
            f"exist within the repository with name '{repository}' in the registry with id '{self._account.number}'"
        )

    def _detailed(self, repository: Repository, image: Image) -> Output:
        tags = sorted(tag for tag, digest in repository.tags.items() if digest == image.digest)
        return {
            "registryId": self._account.number,
            "repositoryName": repository.name,
            "imageDigest": image.digest,
            **({"imageTags": tags} if tags else {}),
            "imageSizeInBytes": sum(size for _, size in image.layers),
            "imagePushedAt": image.pushed,
            "imageManifestMediaType": image.media_type,
        }

    def _list_images(self, _caller: Principal, q: Parameters) -> Output:
        with self.lock:
            repository = self.repository(q["repositoryName"], q.get("registryId"))
            tagged = [{"imageDigest": digest, "imageTag": tag} for tag, digest in sorted(repository.tags.items())]
            named = set(repository.tags.values())
            bare = [{"imageDigest": digest} for digest in sorted(repository.images) if digest not in named]
        items, following = page([*tagged, *bare], size=q.get("maxResults"), token=q.get("nextToken"))
        # botocore's model (1.43) has no list without an item here.
        return {**({"imageIds": items} if items else {}), **_next(following)}


def digest_of(content: bytes) -> str:
    """As registries name bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _wanted(repository: Repository, wanted: Mapping[str, str]) -> Image | None:
    """The image of an id, whose digest and tag must both be that image's where both are given."""
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    found = repository.images.get(digest or repository.tags.get(tag or "", ""))
    return None if found is None or (tag and repository.tags.get(tag) != found.digest) else found


def _labels(q: Parameters) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in q.get("tags", ())}


def _next(token: str) -> Output:
    return {"nextToken": token} if token else {}
