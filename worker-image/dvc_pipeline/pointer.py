"""Reading a `.dvc` pointer file (https://dvc.org/doc/user-guide/project-structure/dvc-files)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dvc_pipeline.errors import PipelineError

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a pointer says of its one file.

    Attributes:
        md5: The hash in it.
        legacy: Whether that is DVC 2's hash: of the text with Unix line endings, where the file is text.
    """

    md5: str
    legacy: bool

    def matches(self, data: Path, md5: str) -> bool:
        """Whether a file with these bytes (of this MD5) is the one pointed to."""
        if md5 == self.md5:
            return True
        if not self.legacy:
            return False
        unix = data.read_bytes().replace(b"\r\n", b"\n")
        return hashlib.md5(unix, usedforsecurity=False).hexdigest() == self.md5


def read_pointer(path: Path) -> Pointer:
    """The pointer in that file.

    Raises:
        PipelineError: It is missing, malformed, or points to a folder.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path.name} is not in the repository: the data file is not under DVC") from None
    except (YAMLError, UnicodeDecodeError):
        raise PipelineError(f"{path.name} is not a pointer file: it does not parse as YAML") from None
    try:
        (out,) = document["outs"]
        md5 = str(out["md5"])
    except (TypeError, KeyError, ValueError):
        raise PipelineError(f"{path.name} is not a pointer to one file with an md5") from None
    if md5.endswith(".dir"):
        raise PipelineError(f"{path.name} points to a folder; this pipeline appends rows to one CSV file")
    if not _MD5.fullmatch(md5):
        raise PipelineError(f"{path.name} holds an md5 that is none: {md5!r}")
    return Pointer(md5=md5, legacy=out.get("hash") != "md5")
