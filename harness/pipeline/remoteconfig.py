"""The DVC remote in a repository's `.dvc/config`, pointed at the bucket and prefix of a run."""

from __future__ import annotations

import configparser
import io
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.errors import UsageError

_TEMPLATE: Final = "config.j2"
# What says who asks, or where: on AWS and on a local cluster this comes to the pods from outside.
_FROM_OUTSIDE: Final = (
    "endpointurl", "profile", "credentialpath", "configpath", "access_key_id", "secret_access_key", "session_token",
)  # fmt: skip
# A file lies under its own path there, told apart by a version id that its pointer names; a seed is made before any
# id is known. DVC takes "true" and "false" in any case (dvc 3.67.1, `config_schema.py`: `Bool`).
_KEEPS_VERSIONS: Final = ("version_aware", "worktree")


def check_remote(repository: Path) -> None:
    """See that the repository's remote can be pointed elsewhere.

    Raises:
        UsageError: `.dvc/config` is missing, names no default remote on S3, says who asks or where, or has a remote
            that keeps versions.
    """
    if not (repository / ".dvc" / _TEMPLATE).is_file():
        _default_remote(repository)


def point_remote(repository: Path, *, bucket: str, prefix: str) -> None:
    """Write `.dvc/config` with the remote at `s3://bucket/prefix`, rendering `config.j2` where there is one.

    Raises:
        UsageError: As `check_remote`.
    """
    folder = repository / ".dvc"
    if (folder / _TEMPLATE).is_file():
        templates = Environment(  # noqa: S701 - a configuration file, not HTML
            loader=FileSystemLoader(folder), undefined=StrictUndefined, keep_trailing_newline=True
        )
        text = templates.get_template(_TEMPLATE).render(bucket=bucket, prefix=prefix)
        (folder / _TEMPLATE).unlink()
    else:
        config, section = _default_remote(repository)
        config[section]["url"] = f"s3://{bucket}/{prefix}"
        out = io.StringIO()
        config.write(out)
        text = out.getvalue()
    (folder / "config").write_text(text, encoding="utf-8")


def _default_remote(repository: Path) -> tuple[configparser.RawConfigParser, str]:
    path = repository / ".dvc" / "config"
    config = configparser.RawConfigParser(strict=False)
    try:
        config.read_string(path.read_text(encoding="utf-8"))
    except (OSError, configparser.Error) as error:
        raise UsageError(
            f"the DVC configuration {path} cannot be read: {error}",
            next_step="name a repository that `dvc init` was run in",
        ) from error
    name = config.get("core", "remote", fallback="")
    # DVC writes ['remote "storage"'], quotes included (dvc 3, config.py).
    section = next((s for s in config.sections() if s.strip("'") == f'remote "{name}"'), "")
    if not section or not config.get(section, "url", fallback="").startswith("s3://"):
        raise UsageError(
            f"{path} names no default remote on S3",
            next_step="`dvc remote default`, with a remote whose url begins with s3://",
        )
    outside = [key for key in _FROM_OUTSIDE if config.has_option(section, key)]
    if outside:
        raise UsageError(
            f"{path} sets {', '.join(outside)} for the remote {name!r}, which no pod of the pipeline can use",
            next_step="move it to .dvc/config.local, or to the environment of whoever needs it",
        )
    versions = [key for key in _KEEPS_VERSIONS if config.get(section, key, fallback="false").lower() != "false"]
    if versions:
        raise UsageError(
            f"{path} sets {', '.join(versions)} for the remote {name!r}, and a run starts from data under its md5, "
            "in a bucket without versions",
            next_step="in a copy of the repository "
            + ", ".join(f"`dvc remote modify {name} {key} false`" for key in versions),
        )
    return config, section
