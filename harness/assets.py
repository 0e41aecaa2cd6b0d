"""Where the files beside the code are: at the top of a checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.errors import EnvironmentFailed

_PACKAGE = Path(__file__).resolve().parent
Asset = Literal["dags", "worker-image", "helm", "fixtures"]


def asset(name: Asset) -> Path:
    """The folder of that name.

    Raises:
        EnvironmentFailed: It is in neither place; the installation is damaged.
    """
    for root in (_PACKAGE / "_assets", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise EnvironmentFailed(
        f"the folder {name}/ is missing from this installation", next_step="reinstall airflow-dvc-harness"
    )


def package_path(*parts: str) -> Path:
    """A file or folder inside the package, such as `package_path("supply", "images")`."""
    return _PACKAGE.joinpath(*parts)
