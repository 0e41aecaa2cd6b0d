"""References, mirrors, and the file of pins."""

from __future__ import annotations

import pytest

from harness.errors import SupplyError, UsageError
from harness.supply.pins import Reference, checked_mirrors, pins
from harness.versions import versions

_DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("postgres:17", "docker.io/library/postgres:17"),
        ("apache/airflow:3.3.2", "docker.io/apache/airflow:3.3.2"),
        ("registry.k8s.io/git-sync/git-sync:v4.4.2", "registry.k8s.io/git-sync/git-sync:v4.4.2"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
        (f"127.0.0.1:5000/a/b:1@{_DIGEST}", f"127.0.0.1:5000/a/b:1@{_DIGEST}"),
        (f"postgres@{_DIGEST}", f"docker.io/library/postgres@{_DIGEST}"),
        ("index.docker.io/library/debian:1", "docker.io/library/debian:1"),
    ],
)
def test_a_reference_is_read_in_full(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


@pytest.mark.parametrize("text", ["", "postgres", "postgres@sha256:12", "postgres:17@md5:1"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(SupplyError):
        Reference.parse(text)


def test_an_image_with_a_digest_is_pulled_by_it() -> None:
    assert Reference.parse(f"postgres:17@{_DIGEST}").to_pull == f"docker.io/library/postgres@{_DIGEST}"


def test_a_mirror_replaces_the_host_and_keeps_path_tag_and_digest() -> None:
    original = Reference.parse(f"postgres:17@{_DIGEST}")
    assert str(original.mirrored({"docker.io": "m:5000/hub"})) == f"m:5000/hub/library/postgres:17@{_DIGEST}"
    assert original.mirrored({"quay.io": "m:5000"}) == original


def test_docker_hub_has_one_name_in_the_mirror_map() -> None:
    assert checked_mirrors({"registry-1.docker.io": "m:5000"}) == {"docker.io": "m:5000"}


@pytest.mark.parametrize(
    "entry", [("docker.io", "https://m"), ("https://docker.io", "m"), ("docker.io/x", "m"), ("", "m")]
)
def test_a_mirror_that_is_no_host_is_a_usage_error(entry: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="--registry-mirror"):
        checked_mirrors(dict([entry]))


def test_a_digest_that_the_user_vouches_for_pins_an_image() -> None:
    unpinned = [name for name, reference in pins().images.items() if reference.digest is None]
    assert unpinned == ["airflow", "git-sync"], "what the documentation says can be pinned"
    pinned = pins().with_digests({"airflow": _DIGEST, "postgres": _DIGEST})
    assert pinned.images["airflow"].to_pull == f"docker.io/apache/airflow@{_DIGEST}"
    assert pinned.images["postgres"].digest == _DIGEST
    assert pinned.images["node"] == pins().images["node"]


def test_the_pins_agree_with_the_versions_of_the_other_supplies() -> None:
    pinned, named = pins(), versions()
    minor = named.kubernetes.rpartition(".")[0]
    assert pinned.kubernetes.rpartition(".")[0] == minor
    assert str(pinned.images["airflow"]) == f"docker.io/{named.images['airflow']}"
    assert pinned.images["postgres"].repository.endswith("/postgres")
    assert pinned.images["postgres"].tag.startswith(named.images["postgres"].rpartition(":")[2] + ".")
    assert named.images["localstack"] in str(pinned.images["localstack"])
    assert str(pinned.images["git-sync"]) == named.images["git-sync"]
    assert pinned.images["base"].tag == f"{named.debian_base}-slim"
    assert f"v{pinned.tools['kind'].version}" == named.kind
    assert f"v{pinned.tools['helm'].version}" == named.helm
    assert f"v{pinned.tools['kubectl'].version}".rpartition(".")[0] == minor


def test_every_digest_and_checksum_has_its_full_length() -> None:
    for reference in pins().images.values():
        assert reference.digest is None or Reference.parse(str(reference)) == reference
    downloads = [download for tool in pins().tools.values() for download in tool.downloads.values()]
    assert downloads
    assert all(len(bytes.fromhex(download.sha256)) == 32 for download in downloads)


def test_every_download_is_of_the_version_that_its_pin_says() -> None:
    for tool in pins().tools.values():
        assert all(f"v{tool.version}" in download.url for download in tool.downloads.values())
