"""Bills of materials of real things, held against the schema of their format and read by its own library."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.model.bom import Bom
from referencing import Registry, Resource

from harness.model import Engine
from harness.names import LABEL_OWNER, OWNER
from harness.process import SubprocessRunner
from harness.supply.cache import Cache, CachedImage
from harness.supply.sbom import write_harness, write_images, write_programs

STATUS = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\n"
PACKAGE = b"Metadata-Version: 2.1\nName: Example\nVersion: 1.0\nLicense: MIT OR Apache-2.0\n\n"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    """The schema of CycloneDX 1.6, as its own library ships it."""
    folder = resources.files("cyclonedx").joinpath("schema", "_res")

    def named(name: str) -> Any:
        return json.loads(folder.joinpath(f"{name}.SNAPSHOT.schema.json").read_bytes())

    schema = named("bom-1.6")
    base = schema["$id"].rpartition("/")[0]
    parts = [(f"{base}/{name}.SNAPSHOT.schema.json", named(name)) for name in ("spdx", "jsf-0.82")]
    registry: Registry[Any] = Registry().with_resources(
        [(where, Resource.from_contents(part)) for where, part in parts]
    )
    return jsonschema.Draft7Validator(schema, registry=registry, format_checker=jsonschema.FormatChecker())


def read(path: Path, validator: jsonschema.Draft7Validator) -> dict[str, Any]:
    """A bill that is well formed, whose references lead somewhere."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    validator.validate(document)
    parsed = Bom.from_json(document)  # type: ignore[attr-defined]
    parsed.validate()
    assert len(parsed.components) == len(document["components"]), "no component is there twice"
    return document


def names(document: dict[str, Any]) -> dict[str, str]:
    return {component["name"]: component["version"] for component in document["components"]}


def test_a_bill_that_is_wrong_is_noticed(validator: jsonschema.Draft7Validator, tmp_path: Path) -> None:
    document = json.loads(write_harness(tmp_path, tool_version="1").read_bytes())
    document["components"][0]["type"] = "thing"
    assert not validator.is_valid(document)


def test_the_harness_lists_the_python_packages_beside_it(validator: jsonschema.Draft7Validator, tmp_path: Path) -> None:
    document = read(write_harness(tmp_path, tool_version="1.2"), validator)
    found = {component["purl"] for component in document["components"]}
    for package in ("boto3", "pydantic", "pytest-kind"):
        assert f"pkg:pypi/{package}@{metadata.version(package)}" in found
    assert document["metadata"]["component"] == {
        "type": "application", "bom-ref": "application:airflow-dvc-harness", "name": "airflow-dvc-harness",
        "version": "1.2",
    }  # fmt: skip


def test_a_real_helm_lists_the_go_modules_that_it_was_built_from(
    helm_program: Path, validator: jsonschema.Draft7Validator, tmp_path: Path
) -> None:
    (tmp_path / "tools" / "key").mkdir(parents=True)
    (tmp_path / "tools" / "key" / "helm").symlink_to(helm_program)
    assert write_programs(tmp_path / "out", tmp_path / "tools", tool_version="1") == [], "a link is not followed"
    (tmp_path / "tools" / "key" / "helm").unlink()
    (tmp_path / "tools" / "key" / "helm").write_bytes(helm_program.read_bytes())
    (path,) = write_programs(tmp_path / "out", tmp_path / "tools", tool_version="1")
    document = read(path, validator)
    found = names(document)
    assert {"stdlib", "helm.sh/helm/v3", "k8s.io/client-go"} <= set(found)
    assert found["k8s.io/client-go"].startswith("v0.")
    assert all(one["evidence"]["occurrences"] == [{"location": "helm"}] for one in document["components"])


@pytest.fixture
def image(engine: Engine, runner: SubprocessRunner, tmp_path: Path) -> Iterator[CachedImage]:
    """An image of ours in the engine, of a few files."""
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as out:
        for name, content in {
            "var/lib/dpkg/status": STATUS,
            "etc/os-release": b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n',
            "opt/venv/example-1.0.dist-info/METADATA": PACKAGE,
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    tag = f"airflow-dvc-harness/contract-sbom:{secrets.token_hex(4)}"
    docker = [engine.docker]
    label = ["--change", f"LABEL {LABEL_OWNER}={OWNER}"]
    runner.run([*docker, "image", "import", *label, str(archive), tag], env=engine.env)
    try:
        images = Cache(engine=engine, runner=runner, cache_dir=tmp_path / "cache").usage().images
        yield next(one for one in images if tag in one.names)
    finally:
        runner.run([*docker, "image", "rm", tag], env=engine.env)


def test_an_image_in_a_real_engine_lists_what_is_in_it_alike_each_time(
    image: CachedImage,
    engine: Engine,
    runner: SubprocessRunner,
    validator: jsonschema.Draft7Validator,
    tmp_path: Path,
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    raw = []
    for out in ("a", "b"):
        (path,) = write_images(
            tmp_path / out, (image,), engine=engine, runner=runner, scratch=room, tool_version="1", say=lambda _: None
        )
        raw.append(path)
    assert raw[0].read_bytes() == raw[1].read_bytes()
    document = read(raw[0], validator)
    assert names(document) == {"debian": "13", "bash": "5.2-1", "Example": "1.0"}
    assert document["metadata"]["component"]["version"] == image.id
    assert list(room.iterdir()) == []
