"""The kind node image with every workload image inside, layers unpacked beforehand.

Loading images into a running node costs more than everything else together (139 s on two cores against 23 s); so
they are put into the node image once, in a container of the bare node, by the script `preload-images` in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CleanupFailed, CommandFailed, CommandTimeout, SupplyError
from harness.imagenames import qualified
from harness.journal import Journal, expires_at
from harness.model import Engine
from harness.names import LABEL_EXPIRES, LABEL_OWNER, LABEL_RUN, OWNER
from harness.process import Runner
from harness.supply.images import REPOSITORY, BuiltImage
from harness.supply.inuse import InUse
from harness.supply.locks import KeyLocks

_LABEL_IMAGES = "harness.images"
FULL_NODE = f"{REPOSITORY}/node-full:"
_PRELOAD_SECONDS = 1800
_STEP_SECONDS = 300


@dataclass(frozen=True, slots=True)
class NodeImage:
    """A node image with workload images inside.

    Attributes:
        tag: Its name in the engine.
        digests: Digests that a pod's status may show for a reference: of the manifest, and of the configuration.
        built: Whether this call made it.
    """

    tag: str
    digests: Mapping[str, tuple[str, ...]]
    built: bool


class NodeImageMaker:
    """Makes node images, each by one run of this machine at a time.

    Args:
        engine: Where images are.
        runner: Runs docker.
        cleanup: Runs docker when what `runner` runs has been given up, to remove what is there by then.
        journal: Told of the container before it exists.
        run_id: Part of the container's name, and its label.
        locks: One per node image.
        in_use: Where the node image is registered before it is looked for.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        runner: Runner,
        cleanup: Runner,
        journal: Journal,
        run_id: str,
        locks: KeyLocks,
        in_use: InUse,
    ) -> None:
        self._engine = engine
        self._runner = runner
        self._cleanup = cleanup
        self._journal = journal
        self._run_id = run_id
        self._locks = locks
        self._in_use = in_use

    def make(
        self,
        bare: BuiltImage,
        contents: Mapping[str, BuiltImage],
        *,
        status: Callable[[str], None] = lambda _text: None,
    ) -> NodeImage:
        """The node image that holds `contents`, made if there is none.

        Args:
            bare: The node without workload images.
            contents: Image by the reference it gets inside; several references may share an image.
            status: Told what is going on.

        Raises:
            SupplyError: It could not be made; nothing half-made is left.
            CleanupFailed: It was made, and the container that it was made in could not be removed.
        """
        parts = [bare.id, *(f"{reference}={image.id}" for reference, image in sorted(contents.items()))]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        tag = f"{FULL_NODE}{key}"
        self._in_use.add(tag)
        found = self._digests(tag)
        if found is None:
            with self._locks.holding(tag, "filling the node image"):
                found = self._digests(tag)  # whoever had the lock before may have made it
                if found is None:
                    return NodeImage(tag, self._make(tag, bare, contents, status), built=True)
        return NodeImage(tag, found, built=False)

    def _make(
        self, tag: str, bare: BuiltImage, contents: Mapping[str, BuiltImage], status: Callable[[str], None]
    ) -> dict[str, tuple[str, ...]]:
        container = f"{REPOSITORY}-preload-{self._run_id}"
        entry = self._journal.record("container", container, host=self._engine.host)
        try:
            digests = self._fill(container, bare, contents, status)
            status("committing the node image")
            encoded = base64.b64encode(json.dumps(digests, sort_keys=True).encode()).decode()
            self._docker(
                "commit",
                "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]', "--change", "CMD []",
                "--change", f"LABEL {_LABEL_IMAGES}={encoded}", "--change", f"LABEL {LABEL_OWNER}={OWNER}",
                container, tag,
                timeout=_PRELOAD_SECONDS,
            )  # fmt: skip
        except BaseException as error:
            if (left := self._remove(container)) is None:
                self._journal.removed(entry)
            if not isinstance(error, CommandFailed):
                raise
            raise SupplyError(
                "the node image could not be filled with the workload images",
                evidence=error.evidence if left is None else {**error.evidence, "cleaning up failed too": left},
                next_step="run the same command again; `harness doctor` shows whether disk or memory ran out",
            ) from error
        if (left := self._remove(container)) is not None:
            raise CleanupFailed(
                f"the container {container} could not be removed", evidence={"it said": left}, next_step="harness sweep"
            )
        self._journal.removed(entry)
        return digests

    def _fill(
        self,
        container: str,
        bare: BuiltImage,
        contents: Mapping[str, BuiltImage],
        status: Callable[[str], None],
    ) -> dict[str, tuple[str, ...]]:
        # /stage is a volume: the engine's own file system, where overlay layers can be unpacked.
        self._docker(
            "run", "--detach", "--name", container, "--privileged", "--network", "none", "--volume", "/stage",
            "--label", f"{LABEL_OWNER}={OWNER}", "--label", f"{LABEL_RUN}={self._run_id}",
            "--label", f"{LABEL_EXPIRES}={expires_at()}",
            "--entrypoint", "sleep", bare.tag, "infinity",
        )  # fmt: skip
        inside = ("exec", "--interactive", container, "preload-images")
        self._docker("exec", "--detach", container, "sh", "-c", "preload-images start; exec sleep infinity")
        self._docker("exec", container, "sh", "-c", "until ctr version >/dev/null 2>&1; do sleep 0.1; done", timeout=60)
        tags = sorted({image.tag for image in contents.values()})
        status(f"unpacking {len(tags)} images")
        docker = str(self._engine.docker)
        self._runner.pipe(
            [docker, "save", *tags], [docker, *inside, "import"], timeout=_PRELOAD_SECONDS, env=self._engine.env
        )
        names = "".join(
            f"{qualified(image.tag)} {qualified(reference)}\n" for reference, image in sorted(contents.items())
        )
        lines = self._docker(*inside, "name", stdin=names).splitlines()
        status("moving layers")
        self._docker(*inside, "finish", timeout=_PRELOAD_SECONDS)
        found = {line.split()[0]: tuple(line.split()[1:]) for line in lines}
        return {reference: found[qualified(reference)] for reference in sorted(contents)}

    def _digests(self, tag: str) -> dict[str, tuple[str, ...]] | None:
        template = f'{{{{index .Config.Labels "{_LABEL_IMAGES}"}}}}'
        done = self._docker("image", "inspect", "--format", template, tag, check=False)
        if not done.strip():
            return None
        return {name: tuple(ids) for name, ids in json.loads(base64.b64decode(done.strip())).items()}

    def _remove(self, container: str) -> str | None:
        """Remove the container; what the engine says if it does not, and then the journal still names it."""
        command: list[str | Path] = [self._engine.docker, "rm", "--force", "--volumes", container]
        try:
            done = self._cleanup.run(command, env=self._engine.env, timeout=_STEP_SECONDS, check=False)
        except CommandTimeout as error:
            return error.message
        gone = done.code == 0 or "No such container" in done.stderr
        return None if gone else done.stderr.strip()

    def _docker(
        self, *arguments: str, timeout: float = _STEP_SECONDS, check: bool = True, stdin: str | None = None
    ) -> str:
        return self._runner.run(
            [self._engine.docker, *arguments], env=self._engine.env, timeout=timeout, check=check, stdin=stdin
        ).stdout
