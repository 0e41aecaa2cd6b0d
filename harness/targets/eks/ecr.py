"""ECR as the place that nodes pull from: asked first which images it has, and given those that it lacks.

One repository per image, below a prefix; a tag is the image's own with the beginning of its id, so that it never means
another image. What is there is compared by its manifest, not believed by its tag.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3

from harness.assets import asset
from harness.eks_settings import EksSettings
from harness.errors import CommandFailed, EnvironmentFailed
from harness.imagenames import split_host
from harness.journal import Journal
from harness.model import Engine, ImageName, Toolchain
from harness.names import LABEL_OWNER, OWNER
from harness.process import Runner
from harness.targets.eks.aws import AwsRefused, client, explained
from harness.targets.eks.pushing import Login, Pusher

# The value of `eks.registry` that means ECR in the cluster's account and region.
ECR: Final = "ecr"
_SECONDS: Final = 60.0
_KEY_LENGTH: Final = 12
_MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)


def repository_of(prefix: str, reference: str) -> str:
    """The repository of an image: its path, below a prefix."""
    path = split_host(reference)[1].rpartition(":")[0]
    return f"{prefix}/{path}" if prefix else path


def lifecycle() -> str:
    """The lifecycle policy of a repository that the harness makes: the last images stay, as in `fixtures/eks`."""
    return (asset("fixtures") / "eks" / "lifecycle.json").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that nodes are to pull.

    Attributes:
        name: Its logical name.
        reference: What pods call it.
        source: What the engine calls it.
        id: The engine's id of it.
        repository: Of ECR.
        tag: There.
    """

    name: ImageName
    reference: str
    source: str
    id: str
    repository: str
    tag: str


@dataclass(frozen=True, slots=True)
class EcrImages:
    """The images of a run in ECR.

    Attributes:
        session: Of whoever runs the harness.
        settings: Prefix, and whether a repository may be created.
        engine: Where the images are.
        runner: Runs docker.
        folder: Of the run, for the login.
        journal: Of the run.
        status: Told what is going on.
    """

    session: boto3.Session
    settings: EksSettings
    engine: Engine
    runner: Runner
    folder: Path
    journal: Journal
    status: Callable[[str], None]

    def supply(self, toolchain: Toolchain) -> tuple[Mapping[str, str], Toolchain]:
        """Have every image of a toolchain in ECR.

        Returns:
            What nodes call each image, by its reference; and the toolchain with the digests that pods show.

        Raises:
            AwsRefused: ECR refused a call.
            EnvironmentFailed: A repository is missing and may not be created, the engine lacks an image, or a tag has
                another image in ECR.
            PushFailed: An image could not be pushed.
        """
        wanted = [self._wanted(toolchain, name) for name in toolchain.images]
        ecr = client(self.session, "ecr")
        try:
            found = self._ask_all(ecr, wanted)
            with Login(ecr, self.folder) as login:
                pusher = Pusher(self.engine, self.runner, login, self.journal, self.status)
                missing = [one for one in wanted if found[one.name] is None]
                for number, one in enumerate(missing, start=1):
                    there = f"{login.host}/{one.repository}:{one.tag}"
                    self.status(f"pushing {there} ({number} of {len(missing)} that ECR lacks)")
                    pusher.push(one.source, there)
                    found[one.name] = self._digest(ecr, one)
                host = login.host
        finally:
            ecr.close()
        digests = dict(toolchain.image_digests)
        for one in wanted:
            pushed = found[one.name]
            if pushed is None:
                raise EnvironmentFailed(
                    f"ECR took {one.repository}:{one.tag} and does not have it", next_step="run again"
                )
            # The image's own id stays the last: reports call it by that.
            digests[one.name] = tuple(dict.fromkeys((pushed, *toolchain.image_digests[one.name])))
        names = {one.reference: f"{host}/{one.repository}:{one.tag}" for one in wanted}
        return names, replace(toolchain, image_digests=digests)

    def _wanted(self, toolchain: Toolchain, name: ImageName) -> Wanted:
        reference = toolchain.images[name]
        source = toolchain.engine_images.get(name, reference)
        command: list[str | Path] = [self.engine.docker, "image", "inspect", "--format", "{{.Id}}", source]
        try:
            found = self.runner.run(command, env=self.engine.env, timeout=_SECONDS).stdout.strip()
        except CommandFailed as error:
            raise EnvironmentFailed(
                f"the container engine has no image {source} to push to ECR", evidence={"it said": error.stderr.strip()}
            ) from error
        tag = f"{split_host(reference)[1].rpartition(':')[2]}-{found.removeprefix('sha256:')[:_KEY_LENGTH]}"
        return Wanted(name, reference, source, found, repository_of(self.settings.ecr_prefix, reference), tag)

    def _ask_all(self, ecr: Any, wanted: Sequence[Wanted]) -> dict[ImageName, str | None]:
        found: dict[ImageName, str | None] = {}
        lacking: list[str] = []
        for one in wanted:
            self.status(f"asking ECR for {one.repository}:{one.tag}")
            try:
                found[one.name] = self._digest(ecr, one)
            except AwsRefused as refused:
                if refused.code != "RepositoryNotFoundException":
                    raise
                found[one.name] = None
                lacking.append(one.repository)
        if lacking and not self.settings.ecr_create:
            raise EnvironmentFailed(
                f"there is no repository {', '.join(lacking)} in ECR of {self.session.region_name}",
                next_step="have them created, once, one for each image; or let the harness, with eks.ecr_create = true",
            )
        for repository in lacking:
            self.status(f"creating the repository {repository}")
            # Not in the run's journal: it outlives the run, and no run removes it.
            needed = "ecr:CreateRepository, ecr:TagResource, ecr:PutLifecyclePolicy"
            with explained(f"create the repository {repository} ({needed})"):
                ecr.create_repository(
                    repositoryName=repository,
                    imageTagMutability="IMMUTABLE",
                    tags=[{"Key": LABEL_OWNER, "Value": OWNER}],
                )
                ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=lifecycle())
        return found

    def _digest(self, ecr: Any, one: Wanted) -> str | None:
        """By which digest ECR has an image; None if it has not.

        Raises:
            AwsRefused: There is no such repository, or it may not be asked.
            EnvironmentFailed: Its tag has another image.
        """
        where = f"{one.repository}:{one.tag}"
        with explained(f"ask ECR for {where} (ecr:BatchGetImage)"):
            said = ecr.batch_get_image(
                repositoryName=one.repository, imageIds=[{"imageTag": one.tag}], acceptedMediaTypes=list(_MANIFESTS)
            )
        if not said["images"]:
            codes = {str(failure.get("failureCode")) for failure in said["failures"]}
            if codes - {"ImageNotFound"}:
                raise EnvironmentFailed(
                    f"ECR does not say whether it has {where}", evidence={"it said": json.dumps(said["failures"])}
                )
            return None
        image = said["images"][0]
        digest = str(image["imageId"]["imageDigest"])
        configuration = json.loads(image["imageManifest"]).get("config", {}).get("digest")
        # An engine's id is the digest of the configuration; with containerd's image store, that of the manifest.
        if one.id not in {configuration, digest} and digest != self._pushed_alone(one):
            raise EnvironmentFailed(
                f"ECR has another image as {where}: {configuration or digest}, not {one.id}",
                next_step="delete that tag in ECR, or name another eks.ecr_prefix",
            )
        return digest

    def _pushed_alone(self, one: Wanted) -> str:
        """Digest of the one manifest that an engine pushes in place of an index; empty if it does not say.

        In containerd's image store the id of an image that was pulled by an index is that of the index, of which most
        platforms are not there; `docker push` then pushes the manifest of the one that is (moby/moby #48731;
        docker/cli, push.go, ManifestPushedInsteadOfIndex). Asked for a platform, such an engine gives that manifest's
        digest as the id (moby/moby, daemon/containerd/image_inspect.go). An older one takes no platform.
        """
        ask: list[str | Path] = [self.engine.docker, "image", "inspect", "--format"]
        run = partial(self.runner.run, env=self.engine.env, timeout=_SECONDS, check=False)
        platform = run([*ask, "{{.Os}}/{{.Architecture}}{{with .Variant}}/{{.}}{{end}}", one.source]).stdout.strip()
        return run([*ask, "{{.Id}}", "--platform", platform, one.source]).stdout.strip() if platform else ""
