"""Every setting, resolved once: flag, then `HARNESS_*` variable, then `[tool.harness]` in pyproject.toml, then default.

Nothing else in the harness reads the environment for its own behaviour. (The supply and the AWS side read what the
machine is configured with: proxies, package indexes, CA bundle, AWS profile.)
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from harness.allowlist import Allowed
from harness.eks_settings import EksSettings
from harness.errors import UsageError
from harness.existing_settings import ExistingSettings
from harness.git_settings import GitSettings
from harness.model import PulledName
from harness.settings_words import not_json, problems

APP = "airflow-dvc-harness"
_PREFIX = "HARNESS_"
# What git takes as a branch, without what no shell or YAML file likes (git-check-ref-format(1)), and without what git
# would take for something else: HEAD, a ref's full name.
_BRANCH = re.compile(r"(?!HEAD$|refs/)(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9][A-Za-z0-9._/-]{0,199}(?<![./])")
# The word for "no rule about rows" where a file has none for nothing: TOML knows no null.
_ANY_ROWS = "any"
# What is this machine's or its reader's own: not part of what a run is, and not recorded with it.
MACHINE_SETTINGS = frozenset(
    {
        "evidence_dir",
        "cache_dir",
        "state_dir",
        "cache_limit_gb",
        "registry_mirror",
        "pause_on_failure",
        "eks",
        "existing",
        "git",
    }
)
# By tag, as it is put into the node under that name (https://github.com/distribution/reference, regexp.go).
_IMAGE = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::\d+)?/|[A-Za-z0-9-]+:\d+/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*:[\w][\w.-]{0,127}"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What Airflow takes as a DAG's id (airflow-core 3.3.2, airflow/sdk/definitions/_internal/node.py, KEY_REGEX).
_DAG_ID = re.compile(r"[\w.-]{1,250}")
# Git's own folder, and DVC's: what a file there means is not for a data set to say.
_NOT_DATA = frozenset({".git", ".dvc"})
_LONGEST_NAME = 200
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class TargetKind(StrEnum):
    """Where the suite runs."""

    KIND = "kind"
    EKS = "eks"
    EXISTING = "existing"


class SupplyKind(StrEnum):
    """Where engine, tools, images and charts come from."""

    AUTO = "auto"
    REGISTRY = "registry"
    PACKAGES = "packages"


class S3Backend(StrEnum):
    """What speaks S3 on a local cluster."""

    LOCALSTACK = "localstack"
    STRICT = "strict"


class Keep(StrEnum):
    """What happens to the cluster after the run."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Policy(BaseModel):
    """What a team allows a pipeline run to do to its repository; the default is the guide's pipeline.

    Attributes:
        branch: The branch that the pointer's commit lands on.
        commits: How many commits one run makes.
        authors: Allowed author e-mail addresses; empty allows any.
        extra_paths: Paths that the commit may touch besides the pointer (exact, or with a trailing slash for a folder).
        new_rows: How many rows one run adds; None ("any" in a file) when the data is not a CSV table.
        merge_commits: Whether the run may bring its commit in by a merge; merges are not counted as commits.
        skipped_tasks: Whether a task may be skipped, as branches of a DAG are.
        extra_objects: Keys in the bucket that a run may write, change and remove besides what its pointer names (exact,
            or with a trailing slash for all below it; beginning with "./" for keys below the run's own remote).
        extra_refs: Refs that a run may make, move and remove besides its branch: full names, "*" for any characters.
        blocked_calls: Whether the run's pods may try to reach what `egress_allow` does not name; they never get there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str = "main"
    commits: int = Field(default=1, ge=1)
    authors: tuple[str, ...] = ("airflow@example.invalid",)
    extra_paths: tuple[str, ...] = ()
    new_rows: Annotated[int, Field(ge=0)] | None = 1
    merge_commits: bool = False
    skipped_tasks: bool = False
    extra_objects: tuple[str, ...] = ()
    extra_refs: tuple[str, ...] = ()
    blocked_calls: bool = False

    @field_validator("branch")
    @classmethod
    def _check_branch(cls, name: str) -> str:
        if not _BRANCH.fullmatch(name):
            raise ValueError("use the name of a branch, such as main or team/data")
        return name

    @field_validator("extra_objects")
    @classmethod
    def _check_objects(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        if any(entry.removeprefix("./").startswith("/") or not entry.removeprefix("./") for entry in entries):
            raise ValueError(
                "use keys such as reports/latest.csv, or prefixes with a slash at the end, such as reports/"
            )
        return entries

    @field_validator("extra_refs")
    @classmethod
    def _check_refs(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if any(not pattern.startswith("refs/") or pattern == "refs/*" for pattern in patterns):
            raise ValueError("use full names of refs, such as refs/tags/v*")
        return patterns

    @field_validator("new_rows", mode="before")
    @classmethod
    def _read_rows(cls, rows: object) -> object:
        return None if rows == _ANY_ROWS else rows


class Settings(BaseSettings):
    """The resolved settings of one run; frozen."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        pyproject_toml_table_header=("tool", "harness"),
        nested_model_default_partial_update=True,
    )

    target: TargetKind = Field(default=TargetKind.KIND, description="where the suite runs")
    supply: SupplyKind = Field(default=SupplyKind.AUTO, description="where parts come from")
    s3: S3Backend = Field(default=S3Backend.LOCALSTACK, description="what speaks S3 on a local cluster")
    keep: Keep = Field(default=Keep.NEVER, description="whether the cluster outlives the run")
    cluster_name: str | None = Field(default=None, description="name of the cluster; default: one per run, or 'kept'")
    airflow_chart: str | None = Field(
        default=None, description="official chart: folder, archive, URL or oci:// reference"
    )
    values: tuple[Path, ...] = Field(default=(), description="further Helm values files, applied last")
    image_digests: dict[PulledName, str] = Field(
        default_factory=dict, description="digest that an image of the registry supply must have, by its short name"
    )
    registry_mirror: dict[str, str] = Field(default_factory=dict, description="registry host to mirror host")
    egress_allow: tuple[str, ...] = Field(
        default=(), description="what pods may reach outside the cluster: IPv4 addresses or networks, with :PORT or not"
    )
    dags: Path | None = Field(default=None, description="folder with the DAG under test; default: the shipped one")
    dag_id: str = Field(default="dataset_pipeline", description="the DAG under test")
    repository: Path | None = Field(
        default=None, description="folder with the files of the repository under test; default: the shipped one"
    )
    data: Path | None = Field(default=None, description="the data set that a run starts from; default: the shipped one")
    tracked_file: str = Field(default="datasets/penguins.csv", description="the file under DVC, path in the repository")
    worker_image: str | None = Field(
        default=None, description="the image that the DAG's pods run; default: the one built from worker-image/"
    )
    patience: float = Field(default=1.0, gt=0, le=20, description="multiplies every deadline; raise on slow machines")
    run_timeout: float = Field(
        default=600.0, ge=10, le=86400, description="seconds that a DAG run may last, before patience; then it is red"
    )
    policy: Policy = Field(default_factory=Policy, description="what a run may do to its repository")
    eks: EksSettings = Field(default_factory=EksSettings, description="which EKS cluster, and what allows a run on it")
    existing: ExistingSettings = Field(
        default_factory=ExistingSettings, description="which context of a kubeconfig, and what allows a run there"
    )
    git: GitSettings = Field(default_factory=GitSettings, description="a Git server outside of the cluster, who asks")
    evidence_dir: Path = Field(default=Path(".harness"), description="where verdicts, timelines and bundles go")
    cache_dir: Path = Field(default_factory=lambda: platformdirs.user_cache_path(APP), description="what is built once")
    state_dir: Path = Field(default_factory=lambda: platformdirs.user_state_path(APP), description="journals, clusters")
    pause_on_failure: bool = Field(
        default=False, description="on red or failure wait for Enter at the terminal before anything is taken down"
    )
    cache_limit_gb: float = Field(default=20.0, gt=1, le=1e6, description="disk budget of the caches in GB")

    @field_validator("dags", "repository", "data", "evidence_dir", "cache_dir", "state_dir", mode="before")
    @classmethod
    def _check_path(cls, path: object) -> object:
        # An empty path would be the folder that the reader happens to be in.
        if path == "":
            raise ValueError("is empty: name a path, or leave the setting out")
        return path

    @field_validator("dag_id")
    @classmethod
    def _check_dag_id(cls, dag_id: str) -> str:
        if not _DAG_ID.fullmatch(dag_id):
            raise ValueError("use letters, digits, dashes, dots and underscores, as Airflow does")
        return dag_id

    @field_validator("cluster_name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError("use 1 to 40 lower-case letters, digits and dashes, not at the ends a dash")
        return name

    @field_validator("tracked_file")
    @classmethod
    def _check_tracked(cls, path: str) -> str:
        parts = Path(path).parts
        if not parts or Path(path).is_absolute() or ".." in parts or path.endswith("/"):
            raise ValueError("use the path of a file inside the repository, such as datasets/penguins.csv")
        if not path.isprintable() or any(len(part.encode()) > _LONGEST_NAME for part in parts):
            raise ValueError(f"use names of printable characters, of at most {_LONGEST_NAME} bytes each")
        if _NOT_DATA & set(parts):
            raise ValueError("use a path outside of .git and .dvc")
        if parts[-1].endswith(".dvc"):
            raise ValueError("name the data file, not its pointer: the same path without .dvc at its end")
        return path

    @field_validator("worker_image")
    @classmethod
    def _check_image(cls, reference: str | None) -> str | None:
        if reference is not None and (not _IMAGE.fullmatch(reference)):
            raise ValueError("use an image reference with a tag, such as registry.example/team/worker:1.4")
        return reference

    @field_validator("egress_allow")
    @classmethod
    def _check_allowed(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            Allowed.read(entry)
        return entries

    @field_validator("image_digests")
    @classmethod
    def _check_digests(cls, digests: dict[PulledName, str]) -> dict[PulledName, str]:
        if wrong := [name for name, digest in digests.items() if not _DIGEST.fullmatch(digest)]:
            raise ValueError(f"{', '.join(wrong)}: use sha256: and 64 hexadecimal digits, as `docker pull` prints it")
        return digests

    @model_validator(mode="after")
    def _resolve_paths(self) -> Settings:
        for name in ("evidence_dir", "cache_dir", "state_dir"):
            object.__setattr__(self, name, Path(getattr(self, name)).expanduser().absolute())
        return self

    @model_validator(mode="after")
    def _follow_the_data(self) -> Settings:
        """What was not said about the data follows from its file: where it stands, and that only CSV has rows."""
        if self.data is not None and "tracked_file" not in self.model_fields_set:
            object.__setattr__(self, "tracked_file", f"datasets/{self.data.name}")
        table = Path(self.tracked_file).suffix.lower() == ".csv"
        if not table and "new_rows" not in self.policy.model_fields_set:
            object.__setattr__(self, "policy", self.policy.model_copy(update={"new_rows": None}))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flag, environment, pyproject.toml, in this order."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, PyprojectTomlConfigSettingsSource(settings_cls)


class _Alone(Settings):
    """Settings from what is given, and nothing else."""

    # Else pydantic-settings warns that nothing reads it.
    model_config = SettingsConfigDict(pyproject_toml_table_header=None)  # type: ignore[typeddict-item]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """No environment, no pyproject.toml."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def settings_alone(**values: Any) -> Settings:
    """The settings of a recorded run: the given values and the defaults, whatever else is set here.

    Raises:
        UsageError: A setting is unknown or has a bad value; the message names each one.
    """
    try:
        return _Alone(**values)
    except ValidationError as error:
        raise _unusable(problems(error, prefix=_PREFIX)) from None


def part_flags(**given: object) -> dict[str, object] | None:
    """Flags of one part (policy, eks), to be laid over what the other sources say of it; None if none was given."""
    return {name: value for name, value in given.items() if value is not None} or None


def mirrors(given: Sequence[str] | None) -> dict[str, str] | None:
    """`HOST=MIRROR` flags as a map; None if none was given.

    Raises:
        UsageError: One has another form.
    """
    if not given:
        return None
    pairs = [flag.partition("=") for flag in given]
    wrong = [flag for flag, (host, _, mirror) in zip(given, pairs, strict=True) if not (host and mirror)]
    if wrong:
        raise UsageError(
            f"a registry mirror is HOST=MIRROR, not {wrong[0]!r}",
            next_step="name both, such as --registry-mirror docker.io=mirror.example:5000",
        )
    return {host: mirror for host, _, mirror in pairs}


def resolve(**flags: Any) -> Settings:
    """The settings of this run. Flags that are None count as not given.

    Raises:
        UsageError: A setting is unknown or has a bad value; the message names each one.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    unknown = _unknown_variables(os.environ)
    if unknown:
        raise _unusable(dict.fromkeys(unknown, "there is no such setting"))
    _check_table(Path("pyproject.toml"))
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _unusable(problems(error, prefix=_PREFIX)) from None
    except SettingsError as error:
        # A variable for a setting with several values that is not JSON.
        raise _unusable(not_json(error, prefix=_PREFIX, fields=Settings.model_fields, environ=os.environ)) from None


def _check_table(pyproject: Path) -> None:
    """See that `[tool.harness]` is a table where there is one; pydantic-settings takes whatever is there for one.

    Raises:
        UsageError: It is something else, or the file cannot be read.
    """
    try:
        found: Any = tomllib.loads(pyproject.read_text(encoding="utf-8")) if pyproject.exists() else {}
    except OSError as error:
        raise _unusable({"pyproject.toml": f"cannot be read: {error.strerror}"}) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unusable({"pyproject.toml": f"not valid TOML: {error}"}) from None
    for name in ("tool", "harness"):
        found = found.get(name, {})
        if not isinstance(found, dict):
            raise _unusable({"pyproject.toml": f"{name} is {found!r}, and should be a table: [tool.harness]"})
    git = found.get("git")
    if isinstance(git, dict) and "token" in git:
        # The file is in everybody's clone.
        raise _unusable({"git.token": "must not stand in pyproject.toml: use HARNESS_GIT__TOKEN, or git.token_file"})


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """`HARNESS_*` variables that no setting answers to; pydantic-settings passes over them in silence."""
    names = {name.upper(): name.upper().removeprefix(_PREFIX).split("__")[0].lower() for name in environ}
    return sorted(
        variable
        for variable, name in names.items()
        if variable.startswith(_PREFIX) and name not in Settings.model_fields
    )


def _unusable(wrong: Mapping[str, str]) -> UsageError:
    return UsageError(
        "a setting cannot be used",
        evidence=wrong,
        next_step="see docs/settings.md for each setting and its values, `harness run --help` for the flags",
    )
