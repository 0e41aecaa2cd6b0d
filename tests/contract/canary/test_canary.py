"""Recognisable secrets go through everything that writes, in every form; a scanner of its own finds none of them."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.diagnostics.bundle import Bundle
from harness.errors import CommandFailed
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.services.secrets import ClusterSecrets

from .scan import leaks, leaks_below, leaks_in_processes

PLAIN = "canary/+ 42&=%-" + secrets.token_hex(8)


def in_lines(text: str) -> list[str]:
    """In base64, as `base64` breaks its lines, and not at their beginning."""
    return base64.encodebytes(f"{'x' * 50}{text}".encode()).decode().splitlines()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "form": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 within": lambda text: base64.b64encode(f"user:{text}@host".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"u{text}".encode()).decode(),
    "base64 in lines": lambda text: "\n".join(in_lines(text)),
    "base64 in lines that are shown": lambda text: repr("\n".join(in_lines(text)).encode()),
    "base64 in lines behind a prefix": lambda text: "".join(
        f"\n2026-11-21 12:00:00,123 INFO {line}" for line in in_lines(text)
    ),
    "base64 in lines as JSON events": lambda text: "".join(
        "\n" + json.dumps({"timestamp": "2026-11-21T12:00:00Z", "level": "info", "event": f"[base] {line}"})
        for line in in_lines(text)
    ),
    "hex": lambda text: text.encode().hex(),
    "userinfo": lambda text: f"https://user:{urllib.parse.quote(text, safe='')}@git.example.invalid/a.git",
}


def canaries() -> dict[str, str]:
    """Those of a cluster, by name; of a key its body, line by line."""
    found = {}
    for name, value in asdict(ClusterSecrets.generate()).items():
        lines = [line for line in value.splitlines() if not line.startswith("-----")]
        for number, line in enumerate(lines if not name.endswith("_certificate") else ()):
            if len(line) >= 12:
                found[f"{name} {number}"] = line
    return {**found, "plain": PLAIN}


@pytest.mark.parametrize("form", FORMS)
def test_the_scanner_sees_a_secret_in_every_form(form: str) -> None:
    """Else finding none would show nothing."""
    assert leaks(f"before {FORMS[form](PLAIN)} after".encode(), {"one": PLAIN}) == {"one"}
    assert leaks(f"before {FORMS[form]('something-else-entirely')} after".encode(), {"one": PLAIN}) == set()


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_reaches_bundle_transcript_or_error(form: str, tmp_path: Path) -> None:
    known = canaries()
    redactor = Redactor()
    redactor.learn(*known.values())
    runner = SubprocessRunner(redactor=redactor, transcript=tmp_path / "commands.log")
    bundle = Bundle(tmp_path / "bundle", redactor)
    program = "import sys; text = sys.stdin.read(); print(text); print(text, file=sys.stderr); sys.exit(3)"

    for number, (name, secret) in enumerate(known.items()):
        said = f"{name} is {FORMS[form](secret)} after all\n"
        bundle.write(f"logs/{name}.log", said)
        bundle.problem(name, said)
        with pytest.raises(CommandFailed) as caught:
            runner.run([sys.executable, "-c", program], stdin=said)
        (tmp_path / f"{number}.error").write_text(f"{caught.value} {caught.value.evidence}")

    assert leaks_below(tmp_path, known) == {}


def test_a_secret_that_is_handed_to_a_program_is_in_no_process_list() -> None:
    known = canaries()
    seen: list[dict[str, set[str]]] = []
    program = "import sys, os; sys.stdin.read(); print('here', flush=True)"

    SubprocessRunner().run(
        [sys.executable, "-c", program],
        stdin=PLAIN,
        env={"TOKEN": PLAIN},
        on_line=lambda _line: seen.append(leaks_in_processes(known)),
    )

    assert seen == [{}]
