"""Looks for secrets in images that an engine holds: whole images by name, each layer once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.model import ImageName, Toolchain
from tests.contract.canary.layers import Looked, leaks_in_archive


@dataclass(frozen=True)
class Images:
    """The images of a toolchain.

    Attributes:
        toolchain: Which, and the engine that holds them.
    """

    toolchain: Toolchain

    def configuration(self, name: ImageName) -> dict[str, Any]:
        """How a container of it is made, as the image says: environment, command, labels."""
        found: dict[str, Any] = self._inspected(self._known_as(name), "{{json .Config}}")
        return found

    def looked_through(self, names: Iterable[ImageName], secrets: Mapping[str, str]) -> Looked:
        """Their layers but for those that all of them share, and their descriptions."""
        known = [self._known_as(name) for name in names]
        stacks = [[str(one) for one in self._inspected(image, "{{json .RootFS.Layers}}")] for image in known]
        shared = {layer.removeprefix("sha256:") for layer in set(stacks[0]).intersection(*stacks[1:])}
        command = [str(self.toolchain.engine.docker), "image", "save", *dict.fromkeys(known)]
        with subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE) as saving:
            assert saving.stdout is not None
            looked = leaks_in_archive(saving.stdout, secrets, pass_over=shared)
        assert saving.returncode == 0
        return looked

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.toolchain.engine.env}

    def _known_as(self, name: ImageName) -> str:
        """What the engine knows it by: of an image's digests it knows one, its id."""
        called = self.toolchain.engine_images.get(name, self.toolchain.images[name])
        names = (called, *self.toolchain.image_digests[name])
        found = next((one for one in reversed(names) if self._inspected(one, "{{json .Id}}") is not None), None)
        assert found is not None, f"the engine does not have {name}: it was not looked at"
        return found

    def _inspected(self, image: str, template: str) -> Any:
        command = [str(self.toolchain.engine.docker), "image", "inspect", "--format", template, image]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None
