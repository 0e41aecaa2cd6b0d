"""What this machine is configured with: package mirrors, proxies, CA bundle. Read, never guessed.

No registry host is spelled out anywhere in the packages supply: Debian's mirror is the one in the machine's own
apt sources, and pip, uv and Go use the machine's settings or their own defaults.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SupplyError

# Passed on to image builds as they are (a build secret, so they stay out of layers and of the process list).
_PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL",
)  # fmt: skip
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
_CA_IN_BUILD = "/run/secrets/ca.crt"


@dataclass(frozen=True, slots=True)
class HostConfiguration:
    """This machine's package configuration.

    Attributes:
        debian_mirror: Root URL of the Debian archive in use; None if this machine uses none.
        debian_security: Root URL of its security archive; None if this machine uses none.
        ca_bundle: Certificate authorities in use.
        build_env: Variables for image builds.
    """

    debian_mirror: str | None
    debian_security: str | None
    ca_bundle: Path
    build_env: Mapping[str, str]

    def build_env_file(self) -> str:
        """The variables as a file that a shell can source."""
        lines = [f"{name}={_quoted(value)}" for name, value in sorted(self.build_env.items())]
        return "\n".join([*lines, ""])


def read_host(*, root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> HostConfiguration:
    """Read the configuration of the machine whose files are under `root`.

    Raises:
        SupplyError: There is no CA bundle.
    """
    env = os.environ if environ is None else environ
    ca_bundle = next((Path(env[name]) for name in _CA_VARIABLES if env.get(name)), _SYSTEM_CA)
    if not ca_bundle.is_file():
        raise SupplyError(
            f"there is no CA bundle at {ca_bundle}",
            next_step="apt-get install ca-certificates, or set SSL_CERT_FILE",
        )
    build_env = {
        "SSL_CERT_FILE": _CA_IN_BUILD,
        "GIT_SSL_CAINFO": _CA_IN_BUILD,
        **_go_settings(env),
        **_python_index(root, env),
        **{name: env[name] for name in _PASSED_ON if env.get(name)},
    }
    return HostConfiguration(_apt_uri(root, "/debian"), _apt_uri(root, "/debian-security"), ca_bundle, build_env)


def _apt_uri(root: Path, ending: str) -> str | None:
    """The first URI in the apt sources that ends so."""
    sources = [root / "etc/apt/sources.list", *sorted((root / "etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        if path.suffix not in {".list", ".sources"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        pattern = r"^URIs:\s*(\S+)" if path.suffix == ".sources" else r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)"
        for uri in re.findall(pattern, text, flags=re.MULTILINE):
            if str(uri).rstrip("/").endswith(ending):
                return str(uri).rstrip("/")
    return None


def _go_settings(env: Mapping[str, str]) -> dict[str, str]:
    """Go's own settings file (`go env -w`), read without Go: the machine may have none."""
    config_home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/root")) / ".config")
    path = Path(env["GOENV"]) if env.get("GOENV") else config_home / "go" / "env"
    if not path.is_file():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name: value for name, value in pairs if name in _PASSED_ON}


def _python_index(root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The index that pip uses, for uv, which reads no pip configuration."""
    if env.get("PIP_INDEX_URL"):
        return {"UV_DEFAULT_INDEX": env["PIP_INDEX_URL"]}
    config_home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/root")) / ".config")
    for path in (config_home / "pip/pip.conf", Path(env.get("HOME", "/root")) / ".pip/pip.conf", root / "etc/pip.conf"):
        if not path.is_file():
            continue
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(path.read_text(encoding="utf-8"))
        if parser.has_option("global", "index-url"):
            return {"UV_DEFAULT_INDEX": parser.get("global", "index-url")}
    return {}


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
