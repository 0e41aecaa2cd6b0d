from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SupplyError
from harness.supply.host import read_host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----")
    return tmp_path


def environ(root: Path, **more: str) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(root / "ca.crt"), "HOME": str(root / "home"), **more}


def test_the_mirror_is_that_of_the_apt_sources_in_the_new_form(root: Path) -> None:
    (root / "etc/apt/sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\n\n"
        "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\n"
    )

    host = read_host(root=root, environ=environ(root))

    assert host.debian_mirror == "http://mirror.test/debian"
    assert host.debian_security == "http://mirror.test/debian-security"


def test_the_mirror_is_that_of_the_apt_sources_in_the_old_form(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(
        "# a comment\ndeb [arch=amd64] https://mirror.test/debian/ bookworm main\n"
    )

    host = read_host(root=root, environ=environ(root))

    assert host.debian_mirror == "https://mirror.test/debian"
    assert host.debian_security is None


def test_sources_that_are_switched_off_do_not_count(root: Path) -> None:
    (root / "etc/apt/sources.list.d/debian.sources.disabled").write_text("URIs: http://mirror.test/debian\n")

    assert read_host(root=root, environ=environ(root)).debian_mirror is None


def test_go_settings_are_read_without_go(root: Path) -> None:
    (root / "home/.config/go").mkdir(parents=True)
    (root / "home/.config/go/env").write_text("GOPROXY=http://proxy.test\nGOTOOLCHAIN=local\n")

    assert read_host(root=root, environ=environ(root)).build_env["GOPROXY"] == "http://proxy.test"


def test_uv_gets_the_index_that_pip_is_configured_with(root: Path) -> None:
    (root / "etc/pip.conf").write_text("[global]\nindex-url = http://index.test/simple\n")

    assert read_host(root=root, environ=environ(root)).build_env["UV_DEFAULT_INDEX"] == "http://index.test/simple"


def test_a_value_that_a_shell_would_split_stays_whole(root: Path) -> None:
    host = read_host(root=root, environ=environ(root, NO_PROXY="it's a list, with blanks"))

    assert "NO_PROXY='it'\\''s a list, with blanks'\n" in host.build_env_file()


def test_a_machine_without_a_ca_bundle_is_told_what_to_install(root: Path) -> None:
    with pytest.raises(SupplyError, match="no CA bundle") as raised:
        read_host(root=root, environ={"SSL_CERT_FILE": str(root / "missing.crt")})

    assert "ca-certificates" in raised.value.next_step
