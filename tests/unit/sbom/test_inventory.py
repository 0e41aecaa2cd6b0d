"""What is in an image is read from what is truly there, through all its layers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EnvironmentFailed
from harness.supply.inventory import Distribution, debian_packages, distribution, go_modules, python_distribution
from harness.supply.layers import contents, of_programs

from .images_on_disk import METADATA, RELEASE, STATUS, go_program, layer, saved

MODULES = (
    "path\tk8s.io/kubectl\nmod\texample.com/Main\t(devel)\t\ndep\tgithub.com/BurntSushi/toml\tv1.5.0\th1:a=\n"
    "dep\tgithub.com/old/one\tv1.0.0\n=>\tgithub.com/new/one\tv1.0.1\th1:b=\nbuild\t-trimpath=true\n"
)


def test_installed_debian_packages_are_listed_and_removed_ones_are_not() -> None:
    assert [one.purl for one in debian_packages(STATUS, distribution(RELEASE))] == [
        "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=debian-13",
        "pkg:deb/debian/libc6@1:2.41-12?arch=amd64&distro=debian-13",
    ]


def test_a_python_distribution_goes_by_its_normal_name_and_its_headers_only() -> None:
    found = python_distribution(METADATA)
    assert found is not None
    assert (found.name, found.purl, found.licence) == (
        "Some_Thing.Else", "pkg:pypi/some-thing-else@1.2%2Blocal", "MIT",
    )  # fmt: skip
    assert python_distribution(b"Version: 1\n\n") is None


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ("License: BSD-3-Clause", "BSD-3-Clause"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        (f"License: {'the whole text ' * 20}", ""),
        ("Classifier: Topic :: Software", ""),
    ],
)
def test_a_licence_is_what_the_distribution_says_in_a_few_words(headers: str, licence: str) -> None:
    found = python_distribution(f"Name: a\nVersion: 1\n{headers}\n\n".encode())
    assert found is not None
    assert found.licence == licence


def test_a_go_program_names_its_modules_with_what_replaced_them_and_go_itself() -> None:
    assert [(one.kind, one.purl) for one in go_modules(go_program(MODULES))] == [
        ("library", "pkg:golang/stdlib@1.24.4"),
        ("application", "pkg:golang/example.com/main"),
        ("library", "pkg:golang/github.com/burntsushi/toml@v1.5.0"),
        ("library", "pkg:golang/github.com/new/one@v1.0.1"),
    ]


def test_the_words_of_the_record_elsewhere_in_a_program_are_no_record() -> None:
    decoy = b"\xff Go buildinf:"
    assert len(go_modules(go_program(MODULES, before=bytes(12) + decoy + bytes(30)))) == 4
    assert go_modules(b"\x7fELF" + bytes(12) + decoy) == ()
    assert go_modules(b"\x7fELF" + bytes(5000)) == ()


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reading(raw: bytes) -> None:
    go_modules(b"\xff Go buildinf:\x08\x02" + bytes(16) + raw)
    python_distribution(raw)
    list(debian_packages(raw, Distribution()))
    distribution(raw)


def test_an_image_is_what_its_layers_make_of_it(tmp_path: Path) -> None:
    lower = layer(
        {
            "var/lib/dpkg/status": STATUS.replace(b"5.2.37-2+b5", b"5.1"),
            "./etc/os-release": RELEASE,
            "opt/venv/lib/gone-1.dist-info/METADATA": b"Name: gone\nVersion: 1\n\n",
            "opt/old/lib/hidden-1.dist-info/METADATA": b"Name: hidden\nVersion: 1\n\n",
            "opt/old/keep": b"",
            "usr/bin/tool": go_program(MODULES),
            "usr/bin/data": go_program("mod\texample.com/not-executable\tv1\n"),
        },
        executable=("usr/bin/tool",),
    )
    upper = layer(
        {
            "var/lib/dpkg/status": STATUS,
            "opt/venv/lib/.wh.gone-1.dist-info": b"",
            "opt/old/.wh..wh..opq": b"",
            "opt/venv/lib/some-1.dist-info/METADATA": METADATA,
            "usr/bin/tool": b"#!/bin/sh\n",
            "usr/bin/other": go_program("mod\texample.com/other\tv2.0.0\n"),
            "var/lib/containerd/x/fs/usr/bin/inner": go_program("mod\texample.com/inner\tv1\n"),
        },
        executable=("usr/bin/tool", "usr/bin/other", "var/lib/containerd/x/fs/usr/bin/inner"),
    )
    inside = contents(saved(tmp_path / "image.tar", lower, upper))
    assert {one.name: one.version for one in inside.found} == {
        "bash": "5.2.37-2+b5",
        "libc6": "1:2.41-12",
        "Some_Thing.Else": "1.2+local",
        "stdlib": "1.24.4",
        "example.com/other": "v2.0.0",
    }
    assert inside.distribution == Distribution("debian", "13", "Debian GNU/Linux 13 (trixie)")
    assert inside.created == "2026-11-21T08:00:00.123456789Z"


def test_what_is_in_several_places_is_listed_once_with_all_of_them(tmp_path: Path) -> None:
    for name in ("kind", "helm"):
        (tmp_path / name).write_bytes(go_program(MODULES))
    (tmp_path / "kubectl").symlink_to("kind")
    (tmp_path / "notes").write_text("no program")
    found = of_programs(tmp_path)
    assert set(found.values()) == {("helm", "kind")}


@pytest.mark.parametrize("raw", [b"", b"not an archive", layer({"manifest.json": b"[]"}), layer({"a": b""})])
def test_what_is_no_image_is_an_error_of_ours(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(raw)
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        contents(tmp_path / "image.tar")
