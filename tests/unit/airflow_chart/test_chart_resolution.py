"""A chart is found wherever it is said to be, and is told what it is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.airflow import chart as charts
from harness.airflow.chart import ChartKind, check_helm, contract, embedded_chart, helm_environment, resolve_chart
from harness.errors import CommandFailed, SupplyError, UsageError
from tests.fakes import Call, FakeRunner

APACHE = "apiVersion: v2\nname: airflow\nversion: {version}\nhome: https://airflow.apache.org/\nappVersion: 3.2.2\n"
FILES = {"values.yaml": "a: 1\n", "values.schema.json": "{}", "templates/x.yaml": "kind: X\n"}


class Helm(FakeRunner):
    """Stands in for the helm program: notes how it is called and leaves a chart where it is told to."""

    def __init__(self, *, leaves: bytes | None = None, says: str = "", fails: bool = False) -> None:
        super().__init__()
        self.leaves, self.says, self.fails = leaves, says, fails

    def answer(self, call: Call) -> str:
        if self.fails:
            raise CommandFailed(argv=call.argv, code=1, stdout="", stderr="Error: no such host")
        if self.leaves is not None:
            (Path(call.argv[call.argv.index("--destination") + 1]) / "airflow.tgz").write_bytes(self.leaves)
        return self.says


def folder(path: Path, about: str, files: Mapping[str, str] = FILES) -> Path:
    for name, text in {"Chart.yaml": about, **files}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def archive(about: str, files: Mapping[str, str] = FILES, top: str = "airflow/") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as out:
        for name, text in {"Chart.yaml": about, **files}.items():
            member = tarfile.TarInfo(f"{top}{name}")
            member.size = len(text.encode())
            out.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def resolve(spec: str | Path | None, tmp_path: Path, helm: Helm | None = None) -> charts.Chart:
    return resolve_chart(
        None if spec is None else str(spec), helm=Path("helm"), runner=helm or Helm(), home=tmp_path / "home"
    )


def test_without_a_chart_the_embedded_one_is_taken(tmp_path: Path) -> None:
    found = resolve(None, tmp_path)
    assert found == embedded_chart()
    assert found.kind is ChartKind.EMBEDDED


def test_a_folder_and_its_archive_are_the_same_chart(tmp_path: Path) -> None:
    about = APACHE.format(version="1.22.7")
    (tmp_path / "airflow.tgz").write_bytes(archive(about))
    unpacked = resolve(folder(tmp_path / "chart", about), tmp_path)
    packed = resolve(tmp_path / "airflow.tgz", tmp_path)
    assert (unpacked.digest, unpacked.kind) == (packed.digest, packed.kind)
    assert contract(unpacked) == contract(packed)


def test_what_does_not_render_does_not_change_the_digest(tmp_path: Path) -> None:
    about = APACHE.format(version="1.22.7")
    plain = resolve(folder(tmp_path / "plain", about), tmp_path)
    more = resolve(folder(tmp_path / "more", about, {**FILES, "README.md": "hello"}), tmp_path)
    other = resolve(folder(tmp_path / "other", about, {**FILES, "templates/y.yaml": "kind: Y"}), tmp_path)
    assert plain.digest == more.digest != other.digest


def test_a_changed_copy_of_a_release_is_not_taken_for_the_release(tmp_path: Path) -> None:
    found = resolve(folder(tmp_path / "chart", APACHE.format(version="1.22.0")), tmp_path)
    assert found.kind is ChartKind.OTHER
    assert "not those of the release" in found.warnings[0]


def test_another_minor_of_the_official_chart_is_taken_with_a_warning(tmp_path: Path) -> None:
    found = resolve(folder(tmp_path / "chart", APACHE.format(version="1.23.0")), tmp_path)
    assert found.kind is ChartKind.OFFICIAL
    assert "1.23.0" in found.warnings[0]


def test_somebody_elses_airflow_chart_is_not_official(tmp_path: Path) -> None:
    found = resolve(
        folder(tmp_path / "chart", "name: airflow\nversion: 8.9.0\nhome: https://example.invalid\n"), tmp_path
    )
    assert found.kind is ChartKind.OTHER
    assert found.warnings


def test_a_chart_of_something_else_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is the chart redis 1\.0\.0, not an Airflow chart"):
        resolve(folder(tmp_path / "chart", "name: redis\nversion: 1.0.0\n"), tmp_path)


@pytest.mark.parametrize("spec", ["oci://registry.invalid/charts/airflow:1.22.0", "https://charts.invalid/airflow.tgz"])
def test_a_url_or_reference_is_pulled_by_helm(tmp_path: Path, spec: str) -> None:
    helm = Helm(leaves=archive(APACHE.format(version="1.22.7")))
    assert resolve(spec, tmp_path, helm).version == "1.22.7"
    assert helm.calls[0][:2] == ["helm", "pull"]


def test_the_version_of_a_reference_is_handed_over_apart(tmp_path: Path) -> None:
    helm = Helm(leaves=archive(APACHE.format(version="1.22.7")))
    resolve("oci://registry.invalid:5000/charts/airflow:1.22.0", tmp_path, helm)
    assert helm.calls[0][2:5] == ["oci://registry.invalid:5000/charts/airflow", "--version", "1.22.0"]


def test_a_reference_without_version_keeps_its_port(tmp_path: Path) -> None:
    helm = Helm(leaves=archive(APACHE.format(version="1.22.7")))
    resolve("oci://registry.invalid:5000/airflow", tmp_path, helm)
    assert helm.calls[0][2:4] == ["oci://registry.invalid:5000/airflow", "--destination"]


def test_a_second_pull_does_not_find_the_first_ones_file(tmp_path: Path) -> None:
    spec = "https://charts.invalid/airflow.tgz"
    for version in ("1.22.7", "1.22.8"):
        found = resolve(spec, tmp_path, Helm(leaves=archive(APACHE.format(version=version))))
        assert found.version == version


def test_a_chart_that_cannot_be_downloaded_is_a_matter_of_supply(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match="could not be downloaded") as caught:
        resolve("https://charts.invalid/airflow.tgz", tmp_path, Helm(fails=True))
    assert "no such host" in str(caught.value)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no chart at"):
        resolve(tmp_path / "gone", tmp_path)


def test_a_folder_without_a_chart_is_refused_and_the_chart_inside_suggested(tmp_path: Path) -> None:
    folder(tmp_path / "above" / "airflow", APACHE.format(version="1.22.7"))
    with pytest.raises(UsageError, match=r"no Chart\.yaml; did you mean .*above/airflow\?"):
        resolve(tmp_path / "above", tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", r"not a \.tgz archive"),
        (archive("", {}, top=""), "does not hold one folder"),
        (archive("version: 1\n"), "no name and version"),
        (archive("- a list\n"), "no name and version"),
        (archive(APACHE.format(version="1.22.7"))[:-40], "is not a"),
    ],
    ids=["not-an-archive", "no-folder", "no-name", "no-map", "cut-off"],
)
def test_a_file_that_is_not_a_chart_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "file.tgz").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        resolve(tmp_path / "file.tgz", tmp_path)


def test_a_packed_subchart_lends_its_defaults(tmp_path: Path) -> None:
    path = folder(
        tmp_path / "chart", APACHE.format(version="1.22.7"), {**FILES, "values.yaml": "db: {enabled: false}\n"}
    )
    (path / "charts").mkdir()
    packed = archive("name: db\nversion: 1.0.0\n", {"values.yaml": "size: 8\nenabled: true\n"}, top="db/")
    (path / "charts" / "db-1.0.0.tgz").write_bytes(packed)
    assert contract(resolve(path, tmp_path)).defaults == {"db": {"enabled": False, "size": 8}}


@pytest.mark.parametrize("version", ["v3.19.0", "v3.19.5", "v4.0.1"])
def test_a_helm_that_is_new_enough_is_taken(tmp_path: Path, version: str) -> None:
    assert check_helm(Path("helm"), runner=Helm(says=f"{version}\n"), home=tmp_path) == version


@pytest.mark.parametrize("said", ["v3.18.6", "v2.17.0", "", "not a version"])
def test_a_helm_that_is_too_old_or_none_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(UsageError, match=r"3\.19\.0"):
        check_helm(Path("helm"), runner=Helm(says=said), home=tmp_path)


def test_helm_sees_neither_the_users_cluster_nor_their_plugins_but_their_registry_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HELM_KUBECONTEXT", "HELM_KUBEASUSER", "HELM_DRIVER", "HELM_PLUGINS", "HELM_REGISTRY_CONFIG"):
        monkeypatch.setenv(name, "the-users")
    environment = helm_environment(tmp_path)
    assert environment["KUBECONFIG"] == "/dev/null"
    assert environment["HELM_DRIVER"] == "secret"
    assert {environment["HELM_KUBECONTEXT"], environment["HELM_KUBEASUSER"]} == {""}
    assert "HELM_REGISTRY_CONFIG" not in environment
    assert all(
        environment[name].startswith(str(tmp_path))
        for name in ("HELM_CACHE_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "HELM_REPOSITORY_CONFIG", "KUBECACHEDIR")
    )
