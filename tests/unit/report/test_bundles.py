"""A recorded run that somebody sent is opened without trusting it."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import bundles
from harness.report.bundles import inside, located, unpack

Make = Callable[[Path], Path]


def entry(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = len(content), kind, link
    return made


def tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for one, content in entries:
            archive.addfile(one, io.BytesIO(content))
    return path


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, content), content


@pytest.fixture
def room(tmp_path: Path) -> Path:
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_is_unpacked_however_it_is_compressed(mode: str, tmp_path: Path, room: Path) -> None:
    archive = tar(tmp_path / "a", plain("run/repro.json", b"{}"), plain("run/inputs/dags/a.py", b"1"), mode=mode)
    folder = located(archive, scratch=room)
    assert folder == room / "run"
    assert (folder / "inputs/dags/a.py").read_bytes() == b"1"


def test_a_zip_archive_is_unpacked(tmp_path: Path, room: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("run")
        archive.writestr("run/repro.json", "{}")
    assert located(tmp_path / "a.zip", scratch=room) == room / "run"


def test_the_outermost_record_is_the_one(tmp_path: Path, room: Path) -> None:
    archive = tar(tmp_path / "a", plain("run/inputs/repository/repro.json"), plain("run/repro.json"))
    assert located(archive, scratch=room) == room / "run"


def test_the_bundle_of_a_failure_leads_to_the_record_beside_it(tmp_path: Path, room: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "repro.json").touch()
    assert located(tmp_path / "bundle", scratch=room) == tmp_path
    assert located(tmp_path, scratch=room) == tmp_path


WRONG: dict[str, tuple[tuple[tarfile.TarInfo, bytes], ...]] = {
    "an absolute path": (plain("/etc/cron.d/evil"),),
    "a path out of it": (plain("run/../../evil"),),
    "a backslash": (plain("run\\..\\evil"),),
    "a symbolic link": ((entry("run/link", kind=tarfile.SYMTYPE, link="/etc"), b""),),
    "a link and a file through it": (
        (entry("run", kind=tarfile.SYMTYPE, link=".."), b""),
        plain("run/evil"),
    ),
    "a hard link": (plain("a"), (entry("b", kind=tarfile.LNKTYPE, link="a"), b"")),
    "a device": ((entry("null", kind=tarfile.CHRTYPE), b""),),
    "a pipe": ((entry("pipe", kind=tarfile.FIFOTYPE), b""),),
    "one name twice": (plain("a"), plain("a", b"y")),
    "a file as a folder": (plain("a"), plain("a/b")),
}


@pytest.mark.parametrize("entries", WRONG.values(), ids=WRONG)
def test_what_no_archive_of_ours_holds_is_refused(
    entries: tuple[tuple[tarfile.TarInfo, bytes], ...], tmp_path: Path, room: Path
) -> None:
    archive = tar(tmp_path / "a.tar.gz", *entries)
    before = {path for path in tmp_path.rglob("*") if room not in path.parents}
    with pytest.raises(UsageError):
        unpack(archive, room)
    assert {path for path in tmp_path.rglob("*") if room not in path.parents} == before
    assert not any(path.is_symlink() for path in room.rglob("*"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path, room: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        unpack(tmp_path / "a.zip", room)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_swells_is_stopped_whatever_it_says_of_its_size(
    kind: str, tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", 1_000_000)
    zeros = bytes(3_000_000)
    if kind == "tar":
        archive = tar(tmp_path / "a", plain("zeros", zeros))
    else:
        archive = tmp_path / "a"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("zeros", zeros)
    assert archive.stat().st_size < 10_000
    with pytest.raises(UsageError, match="more than 1 MB"):
        unpack(archive, room)
    assert sum(path.stat().st_size for path in room.rglob("*")) <= 2_000_000


def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path: Path, room: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 900_000_000
    (tmp_path / "a.tar").write_bytes(header.tobuf() + bytes(10240))
    with pytest.raises(UsageError):
        unpack(tmp_path / "a.tar", room)


def test_more_entries_than_any_run_has_are_refused(tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_MEMBERS", 3)
    with pytest.raises(UsageError, match="more than 3 entries"):
        unpack(tar(tmp_path / "a", *(plain(str(number)) for number in range(4))), room)


def nothing(tmp_path: Path) -> Path:
    return tmp_path / "none"


def text(tmp_path: Path) -> Path:
    (tmp_path / "text").write_text("not an archive")
    return tmp_path / "text"


def torn(tmp_path: Path) -> Path:
    whole = tar(tmp_path / "whole", plain("repro.json", bytes(100_000)), mode="w:gz").read_bytes()
    (tmp_path / "torn").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "torn"


def without(tmp_path: Path) -> Path:
    return tar(tmp_path / "without", plain("run/verdict.json"))


def bare(tmp_path: Path) -> Path:
    (tmp_path / "bare" / "inner").mkdir(parents=True)
    return tmp_path / "bare" / "inner"


@pytest.mark.parametrize("made", [nothing, text, torn, without, bare])
def test_what_holds_no_recorded_run_is_a_usage_error(made: Make, tmp_path: Path, room: Path) -> None:
    with pytest.raises(UsageError):
        located(made(tmp_path), scratch=room)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "inputs/../../a", "inputs\\a", "none", "link/a", "folder"])
def test_a_path_in_a_record_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "a").touch()
    (folder / "link").symlink_to(tmp_path)
    (folder / "folder" / "a").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError):
        inside(folder, name)
