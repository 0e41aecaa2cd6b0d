"""Images that are built here, each known by the content of everything it is made from.

The key of an image is a hash over its Dockerfile, its build context, its arguments and the *image ids* of what it
stands on. Debian packages are resolved when a base is made, so their versions are part of that base's id and of every
key above it. An image whose key exists is never built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.errors import CommandFailed, SupplyError
from harness.model import Engine
from harness.names import LABEL_OWNER, OWNER
from harness.process import Runner
from harness.supply.debian import install, lacking
from harness.supply.host import HostConfiguration
from harness.supply.inuse import InUse
from harness.supply.locks import KeyLocks

REPOSITORY = "airflow-dvc-harness"
_BUILD_SECONDS = 3600
_INSPECT_SECONDS = 60
_KEY_LENGTH = 16
_MMDEBSTRAP: Mapping[str, str] = {"mmdebstrap": "mmdebstrap"}
_STEP = re.compile(r"^#\d+ \[[^]]*?(\d+/\d+)\] (.*)")
_OUTPUT = re.compile(r"^#\d+ \d+\.\d+ (.*)")
# What apt says in every build without a terminal, and what means nothing to who waits for an image.
_NOISE = ("debconf: ", "#", "WARNING: ")


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in the engine.

    Attributes:
        tag: Its name in the engine, ending in its key.
        id: Digest of its configuration, "sha256:...".
        built: Whether this call built it; False when it was there.
    """

    tag: str
    id: str
    built: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image is built.

    Attributes:
        name: Short name, such as "airflow".
        dockerfile: Its Dockerfile.
        context: The folder that its COPY instructions read.
        parents: Images it stands on, by the build argument that names them.
        args: Further build arguments.
        target: Stage to stop at; None for the last.
    """

    name: str
    dockerfile: Path
    context: Path
    parents: Mapping[str, BuiltImage] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    @property
    def key(self) -> str:
        """Hash over everything that decides what is built."""
        digest = hashlib.sha256()
        parts: dict[str, object] = {
            "dockerfile": hashlib.sha256(self.dockerfile.read_bytes()).hexdigest(),
            "context": tree_digest(self.context),
            "parents": {name: parent.id for name, parent in self.parents.items()},
            "args": dict(self.args),
            "target": self.target,
        }
        digest.update(json.dumps(parts, sort_keys=True).encode())
        return digest.hexdigest()[:_KEY_LENGTH]

    @property
    def tag(self) -> str:
        """Name in the engine."""
        return f"{REPOSITORY}/{self.name}:{self.key}"


_LEFT_BY_TOOLS = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def tree_digest(folder: Path) -> str:
    """Hash over the names, executable bits and bytes of all files below a folder; caches of Python's tools left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not _LEFT_BY_TOOLS.isdisjoint(path.parts):
            continue
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{executable}\0{content}\n".encode())
    return digest.hexdigest()


class ImageBuilder:
    """Builds recipes with BuildKit, and bases with mmdebstrap; each image by one run of this machine at a time.

    Args:
        engine: Where images are built and kept.
        host: Mirrors, proxies and authorities of this machine.
        runner: Runs docker and mmdebstrap.
        scratch: A folder of the run, for what a build needs while it lasts.
        locks: One per image.
        in_use: Where images that the run stands on are registered.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        host: HostConfiguration,
        runner: Runner,
        scratch: Path,
        locks: KeyLocks,
        in_use: InUse,
    ) -> None:
        self._engine = engine
        self._host = host
        self._runner = runner
        self._scratch = scratch
        self._locks = locks
        self._in_use = in_use

    def find(self, tag: str) -> str | None:
        """The id of the image of that name, or None; from now on no other run evicts it."""
        self._in_use.add(tag)
        done = self._docker(["image", "inspect", "--format", "{{.Id}}", tag], check=False)
        return done.strip() or None

    def build(self, recipe: Recipe, *, status: Callable[[str], None] = lambda _text: None) -> BuiltImage:
        """The image of a recipe, built if its key is new; waits for another run that is building it.

        Raises:
            SupplyError: The build failed; carries its last lines.
        """
        self._in_use.add(*(parent.tag for parent in recipe.parents.values()))
        name = recipe.target or recipe.name
        build = partial(self._build, recipe, ["--tag", recipe.tag], status)
        return self._once(recipe.tag, f"building the image {name}", build)

    def export(self, recipe: Recipe, folder: Path) -> None:
        """Write the files of a built recipe's last stage to a folder; what was built before is not built again.

        Raises:
            SupplyError: As for `build`.
        """
        self._build(recipe, ["--output", f"type=local,dest={folder}"], lambda _text: None)

    def base(self, suite: str, *, status: Callable[[str], None] = lambda _text: None) -> BuiltImage:
        """A minimal Debian root file system, in place of `debian:<suite>-slim`.

        Raises:
            SupplyError: This machine uses no Debian mirror, or mmdebstrap failed.
        """
        mirror = self._host.debian_mirror
        if mirror is None:
            raise SupplyError(
                "no Debian mirror is configured in /etc/apt/sources.list or /etc/apt/sources.list.d",
                next_step="the packages supply needs apt sources that name .../debian; or use --supply registry",
            )
        archives = ["main", suite, "minbase", "ca-certificates", "1"]
        key = hashlib.sha256("\0".join(archives).encode()).hexdigest()[:_KEY_LENGTH]
        tag = f"{REPOSITORY}/debian-{suite}:{key}"
        make = partial(self._make_base, suite, mirror, tag, status)
        return self._once(tag, f"making Debian {suite}", make)

    def _once(self, tag: str, what: str, make: Callable[[], None]) -> BuiltImage:
        """The image of that name, made by one run at a time if there is none."""
        found = self.find(tag)
        if found is not None:
            return BuiltImage(tag, found, built=False)
        with self._locks.holding(tag, what):
            found = self.find(tag)  # whoever had the lock before may have made it
            if found is not None:
                return BuiltImage(tag, found, built=False)
            make()
            image_id = self.find(tag)
        if image_id is None:
            raise SupplyError(f"the engine does not show {tag} after {what}")
        return BuiltImage(tag, image_id, built=True)

    def _ensure_mmdebstrap(self, status: Callable[[str], None]) -> None:
        """Have the one program of the packages supply that is neither in an image nor part of the engine."""
        if not lacking(_MMDEBSTRAP):
            return

        def refused(why: str, evidence: Mapping[str, str]) -> SupplyError:
            return SupplyError(
                f"the packages supply makes its Debian images with mmdebstrap: it is not on PATH, and {why}",
                next_step="apt-get install mmdebstrap; or use --supply registry",
                evidence=evidence,
            )

        with self._locks.holding("apt", "installing mmdebstrap"):
            if packages := lacking(_MMDEBSTRAP):
                install(packages, runner=self._runner, status=status, refused=refused)

    def _make_base(self, suite: str, mirror: str, tag: str, status: Callable[[str], None]) -> None:
        self._ensure_mmdebstrap(status)
        sources = [
            f"deb {mirror} {suite} main",
            f"deb {mirror} {suite}-updates main",
        ]
        if self._host.debian_security is not None:
            sources.append(f"deb {self._host.debian_security} {suite}-security main")
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            archive = Path(scratch) / "root.tar"
            command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", suite, str(archive), *sources]
            # As root it mounts this machine's /proc, /sys and /dev into the system that it makes. Killed it would leave
            # them mounted, in a folder that is then to be removed; mounts of a namespace of its own end with it.
            if os.geteuid() == 0:
                command = ["unshare", "--mount", "--propagation", "private", *command]
            try:
                # Its root file system, too: a run that is killed must leave nothing outside of its own folder.
                self._runner.run(command, env={"TMPDIR": scratch}, timeout=_BUILD_SECONDS, on_line=status)
                labels = ["--change", f"LABEL {LABEL_OWNER}={OWNER}", "--change", 'CMD ["bash"]']
                self._docker(["import", *labels, str(archive), tag], timeout=_BUILD_SECONDS)
            except CommandFailed as error:
                raise SupplyError(
                    f"the Debian {suite} root file system could not be made",
                    evidence=error.evidence,
                    next_step="check the Debian mirror in /etc/apt (and its keyring), then run the same command again",
                ) from error

    def _build(self, recipe: Recipe, output: list[str], status: Callable[[str], None]) -> None:
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            build_env = Path(scratch) / "build.env"
            build_env.touch(mode=0o600)
            build_env.write_text(self._host.build_env_file(), encoding="utf-8")
            command = [
                "build", "--progress", "plain", "--network", "host", "--file", str(recipe.dockerfile),
                "--label", f"{LABEL_OWNER}={OWNER}",
                "--secret", f"id=build.env,src={build_env}", "--secret", f"id=ca.crt,src={self._host.ca_bundle}",
            ]  # fmt: skip
            for name, parent in recipe.parents.items():
                command += ["--build-arg", f"{name}={parent.tag}"]
            for name, value in recipe.args.items():
                command += ["--build-arg", f"{name}={value}"]
            if recipe.target is not None:
                command += ["--target", recipe.target]

            def on_line(line: str) -> None:
                if found := _STEP.match(line):
                    status(f"step {found[1]}: {found[2][:60]}")
                elif (found := _OUTPUT.match(line)) and not found[1].startswith(_NOISE):
                    status(found[1][:80])

            try:
                self._docker([*command, *output, str(recipe.context)], timeout=_BUILD_SECONDS, on_line=on_line)
            except CommandFailed as error:
                said = "\n".join(
                    found[1] for line in error.stderr.splitlines() if (found := _OUTPUT.match(line)) is not None
                )
                raise SupplyError(
                    f"the image {recipe.name} could not be built",
                    evidence={"Dockerfile": str(recipe.dockerfile), "it said": "\n".join(said.splitlines()[-20:])},
                    next_step="run the same command again: what was built and downloaded is kept",
                ) from error

    def _docker(
        self,
        arguments: list[str],
        *,
        timeout: float = _INSPECT_SECONDS,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        environment = {**self._engine.env, "DOCKER_BUILDKIT": "1", **self._client_configuration()}
        command: list[str | Path] = [self._engine.docker, *arguments]
        return self._runner.run(command, env=environment, timeout=timeout, check=check, on_line=on_line).stdout

    def _client_configuration(self) -> dict[str, str]:
        """With an engine of ours a configuration folder of the run: BuildKit leaves files in the user's.

        The user's plug-ins (buildx may be one) are still found; the user's logins are not needed to build, since every
        image that these builds stand on is in the engine. The machine's own engine may be named by the user's
        configuration only.
        """
        if not self._engine.ours:
            return {}
        folder = self._scratch / "docker-client"
        file = folder / "config.json"
        if not file.exists():
            theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
            folder.mkdir(exist_ok=True)
            written = folder / f"config-{threading.get_ident()}.json"
            written.write_text(json.dumps({"cliPluginsExtraDirs": [str(theirs)]}), encoding="utf-8")
            written.replace(file)
        return {"DOCKER_CONFIG": str(folder)}
