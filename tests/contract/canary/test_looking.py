"""What looks for secrets in a real run finds those that are put there: else finding none would show nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
import tarfile
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from harness.services.secrets import ClusterSecrets

from . import layers
from .known import of_cluster, of_values
from .layers import leaks_in_archive
from .scan import leaks, leaks_below
from .watch import CommandLines

SECRET = "canary/+77-of-a-cluster"
OTHER = "something-else-entirely"
KNOWN = {"one": SECRET, "two": OTHER}


def in_base64(before: int) -> Callable[[bytes], bytes]:
    return lambda raw: base64.b64encode(b"x" * before + raw + b"y")


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "hex": lambda raw: raw.hex().encode(),
    "url": lambda raw: urllib.parse.quote(raw, safe="").encode(),
    **{f"base64 behind {number}": in_base64(number) for number in range(4)},
    "base64 for URLs": lambda raw: base64.urlsafe_b64encode(b"u:" + raw),
}


def archive(*contents: tuple[str, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in contents:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    made.seek(0)
    return made


def layer(form: str) -> bytes:
    return archive(("etc/config", b"a" * 1000 + FORMS[form](SECRET.encode()) + b"b" * 1000)).getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_secret_in_a_layer_is_found_in_every_form(form: str, packed: bool) -> None:  # noqa: FBT001
    content = gzip.compress(layer(form)) if packed else layer(form)
    looked = leaks_in_archive(archive(("blobs/sha256/aa", b"nothing"), ("blobs/sha256/bb", content)), KNOWN)
    assert looked.found == {"blobs/sha256/bb": {"one"}}
    assert (looked.layers, looked.passed) == (2, 0)


def test_a_secret_in_an_images_description_is_found() -> None:
    config = json.dumps({"config": {"Env": [f"TOKEN={SECRET}"]}}).encode()
    looked = leaks_in_archive(archive(("c0ffee.json", config)), KNOWN)
    assert (looked.found, looked.layers) == ({"c0ffee.json": {"one"}}, 0)


def test_a_secret_across_the_border_of_two_chunks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_CHUNK", 64)
    for before in range(64):
        text = b"a" * before + SECRET.encode() + b"b" * 100
        assert leaks_in_archive(archive(("layer", text)), KNOWN).found == {"layer": {"one"}}


def test_a_layer_that_others_made_is_passed_over() -> None:
    saved = archive(("blobs/sha256/aa", layer("plain")), ("blobs/sha256/bb", b"nothing"))
    looked = leaks_in_archive(saved, KNOWN, pass_over={"aa"})
    assert (looked.found, looked.layers, looked.passed) == ({}, 1, 1)


def test_a_secret_on_a_command_line_is_found_also_of_a_process_that_has_ended() -> None:
    with CommandLines() as lines:
        program = "import time; time.sleep(0.5)"
        subprocess.run(
            [sys.executable, "-c", program, f"--token={base64.b64encode(SECRET.encode()).decode()}"], check=True
        )
        subprocess.run([sys.executable, "-c", program, "harmless"], check=True)
    assert lines.leaks(KNOWN) == {sys.executable: {"one"}}
    assert [line for line in lines.seen if line.endswith(b"harmless")]


def test_a_secret_deep_in_the_evidence_is_found(tmp_path: Path) -> None:
    (tmp_path / "logs" / "r1").mkdir(parents=True)
    (tmp_path / "logs" / "r1" / "p.base.log").write_bytes(b"a line\n" * 1000 + base64.b64encode(SECRET.encode()))
    (tmp_path / "report.html").write_text("nothing")
    assert leaks_below(tmp_path, KNOWN) == {"logs/r1/p.base.log": {"one"}}


def test_every_secret_of_a_cluster_and_its_kubeconfig_is_a_canary_and_no_certificate_is(tmp_path: Path) -> None:
    secrets = ClusterSecrets.generate()
    (tmp_path / "secrets.json").write_text(json.dumps(asdict(secrets)))
    (tmp_path / "fingerprint.key").write_bytes(bytes(range(32)))
    key = base64.b64encode(secrets.adapter_key.encode()).decode()
    users = [{"name": "u", "user": {"client-key-data": key, "token": SECRET, "client-certificate-data": "QUJD" * 9}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"users": users}))
    known = of_cluster(tmp_path, tmp_path / "kubeconfig")
    for name, value in asdict(secrets).items():
        assert (leaks(value.encode(), known) != set()) is not name.endswith("_certificate"), name
    assert known["kubeconfig 0 token"] == SECRET
    assert known["kubeconfig 0 client-key-data line 2"] in secrets.adapter_key
    assert known["fingerprint.key"] == bytes(range(32)).hex()
    assert leaks(key.encode(), of_values({"adapter_key": secrets.adapter_key})) != set()
