"""The Airflow chart: found, told what it is, and rendered. Nothing of the user's own Helm set-up is read.

The official chart is known by its content, not by its name: copies that someone has changed carry the same name and
version. What is known of the release is a digest over the files that make the rendering.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import yaml

from harness.airflow.chart_values import ChartContract
from harness.assets import asset
from harness.errors import CommandFailed, EnvironmentFailed, SupplyError, UsageError
from harness.process import Runner

Manifest = dict[str, Any]

# Chart 1.22.0 asks for it (its release notes: "Minimum Helm version was updated to 3.19.0").
MINIMUM_HELM = (3, 19, 0)
# The values under helm/ are written for this minor and tested with it.
OFFICIAL_MINOR = "1.22"
# `Chart.digest` of official releases, taken from the archive whose sha256 the Apache chart index states:
# 1.22.0: 1f7d1dfe3d58e2c54899950aba907a43625a18c8b6fb3c54760c21592129a5b6.
OFFICIAL_DIGESTS: Mapping[str, str] = {
    "1.22.0": "sha256:115a76adb0968ecf2269923849878d175764dd4097e35f99c73281318839cda1",
}
OFFICIAL_NAME = "airflow"
_WHICH_CHART = "give the official Airflow chart: a folder, an archive, a URL or an oci:// reference"
_KIND_ANNOTATION = "airflow-dvc-harness/kind"
_RENDERED_FROM = re.compile(r"templates/.+|files/.+|values\.yaml|values\.schema\.json")
_READ = re.compile(rf"Chart\.yaml|charts/[^/]+/values\.yaml|charts/[^/]+\.tgz|{_RENDERED_FROM.pattern}")
_LARGEST_MEMBER = 16 * 1024 * 1024
# The second is the folder that holds what the first names, where only that is set.
_REGISTRY_LOGIN = frozenset({"HELM_REGISTRY_CONFIG", "HELM_CONFIG_HOME"})


class ChartKind(StrEnum):
    """Whose chart it is."""

    OFFICIAL = "official"
    EMBEDDED = "embedded"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that was found.

    Attributes:
        path: Folder or archive, as Helm takes it.
        name: From its Chart.yaml.
        version: Likewise.
        app_version: The Airflow version that it is made for; empty if it does not say.
        kind: Whose it is.
        digest: sha256 over the files that make the rendering; the same for a folder, an archive of it and a checkout
            of its sources. Subcharts do not count: the values switch them off.
        warnings: What the reader should know before relying on it.
    """

    path: Path
    name: str
    version: str
    app_version: str
    kind: ChartKind
    digest: str
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Such as "airflow 1.22.0 (official)"."""
        return f"{self.name} {self.version} ({self.kind})"


def embedded_chart() -> Chart:
    """The chart that comes with the harness.

    Raises:
        EnvironmentFailed: It is missing; the installation is damaged.
    """
    return _open(asset("helm") / "airflow", spec="the embedded chart")


def resolve_chart(spec: str | None, *, helm: Path, runner: Runner, home: Path, timeout: float = 180.0) -> Chart:
    """Find the chart that `--airflow-chart` names.

    Args:
        spec: A folder, an archive, an http(s) URL or an oci:// reference (with `:version` if wanted); None for the
            embedded chart.
        helm: The helm program; used for URLs and references only.
        runner: Runs it.
        home: Folder for what is downloaded and for Helm's own caches.
        timeout: Seconds for a download.

    Raises:
        UsageError: What was named is not there or is not a chart.
        SupplyError: It could not be downloaded.
    """
    if spec is None:
        return embedded_chart()
    if spec.startswith(("http://", "https://", "oci://")):
        return _open(_pull(spec, helm=helm, runner=runner, home=home, timeout=timeout), spec=spec)
    return _open(Path(spec).expanduser(), spec=spec)


def contract(chart: Chart) -> ChartContract:
    """What values the chart takes: its defaults with those of its subcharts, and its schema.

    Raises:
        UsageError: One of these files cannot be read.
    """
    files = dict(_files(chart.path))
    try:
        defaults: dict[str, Any] = {}
        # Subcharts first: what the parent says of them lies over their own defaults.
        for name, text in sorted(files.items()):
            if subchart := re.fullmatch(r"charts/([^/]+)/values\.yaml", name):
                defaults[subchart[1]] = yaml.safe_load(text) or {}
            elif name.startswith("charts/"):
                packed = dict(_members(io.BytesIO(text), name))
                defaults[yaml.safe_load(packed["Chart.yaml"])["name"]] = yaml.safe_load(packed["values.yaml"]) or {}
        for key, value in (yaml.safe_load(files.get("values.yaml", b"")) or {}).items():
            below = defaults.get(key)
            defaults[key] = _overlaid(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        schema = json.loads(files.get("values.schema.json", b"{}"))
    except (yaml.YAMLError, ValueError, KeyError) as error:
        raise UsageError(f"the chart {chart.path} has unreadable values", evidence={"parser": str(error)}) from error
    return ChartContract(chart.title, defaults, schema, embedded=chart.kind is ChartKind.EMBEDDED)


def helm_environment(home: Path) -> dict[str, str]:
    """Variables that keep Helm off the user's caches, plug-ins, repositories, clusters and databases.

    Every other setting of the user's is empty, which Helm takes for none (v3.19.5, pkg/cli/environment.go). A registry
    login is left alone: like proxies and the CA bundle it says how this machine reaches the outside.
    """
    folders = {
        "HELM_CACHE_HOME": "cache",
        "HELM_DATA_HOME": "data",
        "HELM_PLUGINS": "plugins",
        "HELM_REPOSITORY_CACHE": "repositories",
        "HELM_REPOSITORY_CONFIG": "repositories.yaml",
    }
    ambient = (name for name in os.environ if name.startswith("HELM_") and name not in _REGISTRY_LOGIN)
    return {
        **dict.fromkeys(ambient, ""),
        **{name: str(home / part) for name, part in folders.items()},
        # Where releases are kept (cmd/helm/helm.go): with "sql" in whatever database is named.
        "HELM_DRIVER": "secret",
        "KUBECONFIG": "/dev/null",
        # What Helm learns of a cluster's API goes to the user's ~/.kube/cache otherwise (k8s.io/cli-runtime,
        # pkg/genericclioptions/config_flags.go).
        "KUBECACHEDIR": str(home / "discovery"),
    }


def check_helm(helm: Path, *, runner: Runner, home: Path) -> str:
    """The version of a helm program, such as "v3.19.5".

    Raises:
        UsageError: It is older than the official chart needs, or no helm at all.
        CommandFailed: It cannot say its version.
    """
    said = runner.run([helm, "version", "--template", "{{.Version}}"], env=helm_environment(home)).stdout.strip()
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
    least = ".".join(map(str, MINIMUM_HELM))
    if not found:
        raise UsageError(f"{helm} does not say which Helm it is: {said[:80]!r}", next_step=f"use Helm {least} or newer")
    if tuple(map(int, found.groups())) < MINIMUM_HELM:
        raise UsageError(f"{helm} is Helm {said}; the chart needs {least}", next_step=f"use Helm {least} or newer")
    return said


def render(
    chart: Chart,
    values: Sequence[Path],
    *,
    helm: Path,
    runner: Runner,
    home: Path,
    kubernetes_version: str,
    release: str = "airflow",
    namespace: str = "airflow",
) -> tuple[Manifest, ...]:
    """What `helm install` would apply, hooks included, without a cluster.

    Args:
        chart: The chart.
        values: Values files in order.
        helm: The helm program.
        runner: Runs it.
        home: Folder for Helm's own caches.
        kubernetes_version: What the templates are told, such as "v1.34.4"; a helm built from modules knows none.
        release: Name of the release.
        namespace: Where it would be installed.

    Raises:
        CommandFailed: Helm refuses chart or values.
        EnvironmentFailed: What it printed is not a list of Kubernetes objects.
    """
    command: list[str | Path] = [helm, "template", release, chart.path, "--namespace", namespace]
    command += ["--kube-version", kubernetes_version]
    for path in values:
        command += ["--values", path]
    printed = runner.run(command, env=helm_environment(home)).stdout
    try:
        documents = [document for document in yaml.safe_load_all(printed) if document is not None]
    except yaml.YAMLError as error:
        raise EnvironmentFailed(
            f"the chart {chart.title} renders to no YAML", evidence={"parser": str(error)}
        ) from error
    if not all(isinstance(document, dict) and "kind" in document for document in documents):
        raise EnvironmentFailed(f"the chart {chart.title} renders to something else than Kubernetes objects")
    return tuple(documents)


def _pull(spec: str, *, helm: Path, runner: Runner, home: Path, timeout: float) -> Path:
    folder = home / "pulled" / hashlib.sha256(spec.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    reference, version = spec, []
    if spec.startswith("oci://") and (tagged := re.fullmatch(r"(oci://.+/[^/:@]+):([^/:@]+)", spec)):
        reference, version = tagged[1], ["--version", tagged[2]]
    try:
        runner.run(
            [helm, "pull", reference, *version, "--destination", folder], env=helm_environment(home), timeout=timeout
        )
    except CommandFailed as error:
        raise SupplyError(
            f"the chart {spec} could not be downloaded",
            evidence=error.evidence,
            next_step="check the address and the network, or give a folder or an archive",
        ) from error
    pulled = sorted(folder.iterdir())
    if len(pulled) != 1:
        raise SupplyError(f"{spec} gave {len(pulled)} files where one chart archive was expected")
    return pulled[0]


def _open(path: Path, *, spec: str) -> Chart:
    files = dict(_files(path))
    try:
        about = yaml.safe_load(files["Chart.yaml"])
        name, version = str(about["name"]), str(about["version"])
    except yaml.YAMLError as error:
        raise _not_a_chart(spec, f"its Chart.yaml is not YAML ({_place(error)})") from error
    except (KeyError, TypeError) as error:
        raise _not_a_chart(spec, "its Chart.yaml has no name and version") from error
    digest = _digest(files)
    annotations = about.get("annotations") or {}
    kind, warnings = _classify(about, name, version, digest, annotations)
    if kind is ChartKind.OTHER and name != OFFICIAL_NAME:
        # Nothing of it is known: values would pass unchecked, and what it installs is no Airflow to wait for.
        raise UsageError(f"{spec} is the chart {name} {version}, not an Airflow chart", next_step=_WHICH_CHART)
    return Chart(path.absolute(), name, version, str(about.get("appVersion", "")), kind, digest, warnings)


def _classify(
    about: Mapping[str, Any], name: str, version: str, digest: str, annotations: Mapping[str, str]
) -> tuple[ChartKind, tuple[str, ...]]:
    if annotations.get(_KIND_ANNOTATION) == "embedded":
        return ChartKind.EMBEDDED, ()
    if name != OFFICIAL_NAME or "airflow.apache.org" not in str(about.get("home", "")):
        return ChartKind.OTHER, (f"{name} {version} is not the official Airflow chart, for which the values are",)
    known = OFFICIAL_DIGESTS.get(version)
    if known and known != digest:
        return ChartKind.OTHER, (f"it calls itself airflow {version}, but its files are not those of the release",)
    if not version.startswith(f"{OFFICIAL_MINOR}."):
        return ChartKind.OFFICIAL, (f"the values are tested with chart {OFFICIAL_MINOR}; this is {version}",)
    if not known:
        return ChartKind.OFFICIAL, (f"no digest of airflow {version} is known, so it is taken at its word",)
    return ChartKind.OFFICIAL, ()


def _digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        if _RENDERED_FROM.fullmatch(name):
            total.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return "sha256:" + total.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a chart by their path in it; an archive is read in place, never unpacked."""
    if path.is_dir():
        if not (path / "Chart.yaml").is_file():
            raise _not_a_chart(str(path), "the folder has no Chart.yaml", near=path)
        for found in path.rglob("*"):
            name = found.relative_to(path).as_posix()
            if found.is_file() and _READ.fullmatch(name):
                yield name, found.read_bytes()
    elif path.is_file():
        with path.open("rb") as archive:
            yield from _members(archive, str(path))
    else:
        raise UsageError(f"there is no chart at {path.absolute()}", next_step=_WHICH_CHART)


def _members(packed: IO[bytes], title: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=packed, mode="r:gz") as archive:
            files = [member for member in archive if member.isfile() and member.size <= _LARGEST_MEMBER]
            tops = {member.name.partition("/")[0] for member in files}
            if len(tops) != 1 or not any(member.name == f"{min(tops)}/Chart.yaml" for member in files):
                raise _not_a_chart(title, "the archive does not hold one folder with a Chart.yaml")
            for member in files:
                name = member.name.partition("/")[2]
                content = archive.extractfile(member)
                if content is not None and _READ.fullmatch(name):
                    yield name, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _not_a_chart(title, f"the file is not a .tgz archive ({error})") from error


def _not_a_chart(spec: str, why: str, *, near: Path | None = None) -> UsageError:
    charts = sorted(found.parent for found in near.glob("*/Chart.yaml")) if near else []
    charts += sorted(near.glob("*.tgz")) if near else []
    hint = f"; did you mean {charts[0]}?" if charts else ""
    return UsageError(
        f"{spec} is not a Helm chart: {why}{hint}",
        next_step=_WHICH_CHART,
    )


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', None)}" if mark is not None else type(error).__name__


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _overlaid(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result
