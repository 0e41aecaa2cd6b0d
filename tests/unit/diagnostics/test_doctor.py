"""What the doctor finds on machines of all kinds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import harness
from harness.diagnostics.doctor import (
    CAPABILITIES,
    check_ca_bundle,
    check_capabilities,
    check_cgroups,
    check_clock,
    check_engine,
    check_folders,
    check_git,
    check_inotify,
    check_ports,
    check_processors,
    check_python,
    examine,
    exit_code,
    summary,
)
from harness.diagnostics.finding import Finding, Level
from harness.diagnostics.host import Answer, Host, LocalHost
from harness.diagnostics.room import (
    GB,
    GIB,
    check_disk,
    check_memory,
    check_room,
    check_room_for_caches,
)
from harness.errors import EnvironmentFailed, ExitCode
from harness.process import SubprocessRunner
from harness.targets.inotify import WANTED

ALL_CAPABILITIES = (1 << len(CAPABILITIES)) - 1
NOW = 1_800_000_000.0
PACKAGE = Path("/site-packages/harness/__init__.py")
CACHE = Path("/cache")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


def capabilities(mask: int) -> str:
    return f"Name:\tpython\nCapEff:\t0000000000000000\nCapBnd:\t{mask:016x}\nCapAmb:\t0000000000000000\n"


@dataclass(frozen=True)
class FakeHost:
    """A machine on which all is well."""

    files: Mapping[str, str] = field(
        default_factory=lambda: {
            "/proc/meminfo": "MemTotal: 24000000 kB\nMemAvailable: 20000000 kB\n",
            "/proc/sys/fs/inotify/max_user_instances": "512\n",
            "/proc/sys/fs/inotify/max_user_watches": "524288\n",
            "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma\n",
            "/proc/self/status": capabilities(ALL_CAPABILITIES),
            "/proc/sys/kernel/cap_last_cap": "40\n",
            "/etc/ssl/certs/ca-certificates.crt": CERTIFICATE * 3,
        }
    )
    answers: Mapping[str, Answer] = field(
        default_factory=lambda: {
            "git --version": Answer(0, "git version 2.39.5"),
            "docker version": Answer(0, "28.1.0"),
            "docker info": Answer(0, "2027-01-15T08:00:00.123456789Z"),
        }
    )
    programs: frozenset[str] = frozenset({"git", "docker", "apt-get"})
    free: int = 100 * GB
    closed: Mapping[Path, str] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    modified_at: float | None = NOW - 1000
    now: float = NOW
    environ: Mapping[str, str] = field(default_factory=dict)
    is_root: bool = False
    cpus: int = 2
    python: tuple[int, int] = (3, 11)

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def run(self, argv: Sequence[str]) -> Answer:
        return self.answers.get(" ".join(argv[:2]), Answer(None, f"cannot run {argv[0]}: it does not exist"))

    def has(self, program: str) -> bool:
        return program in self.programs

    def free_bytes(self, folder: Path) -> int:
        return self.free

    def not_writable(self, folder: Path) -> str:
        return self.closed.get(folder, "")

    def bind_loopback(self, ports: Sequence[int]) -> dict[int, str]:
        return dict(self.refused)

    def modified(self, path: Path) -> float | None:
        return self.modified_at

    def with_files(self, **files: str | None) -> FakeHost:
        """With other files, by the last part of their name; None takes one away."""
        changed = {
            path: text if (text := files.get(path.rsplit("/", 1)[-1].replace(".", "_"), old)) is not None else None
            for path, old in self.files.items()
        }
        return replace(self, files={path: text for path, text in changed.items() if text is not None})


WELL = FakeHost()


def test_a_good_machine_has_thirteen_good_findings_and_exit_code_zero() -> None:
    findings = examine(WELL, cache_dir=CACHE, package=PACKAGE)
    assert [finding for finding in findings if finding.level is not Level.OK or finding.mend] == []
    assert len({finding.name for finding in findings}) == len(findings) == 13
    assert exit_code(findings) is ExitCode.GREEN


def test_a_warning_stops_nothing_and_a_failure_does() -> None:
    warning, failure = (Finding("x", level, "a", "b", "c") for level in (Level.WARN, Level.FAIL))
    assert exit_code([warning]) is ExitCode.GREEN
    assert exit_code([warning, failure]) is ExitCode.ENVIRONMENT_FAILED


LIMITED = replace(
    WELL, files={**WELL.files, "/sys/fs/cgroup/memory.max": str(3 * GIB), "/sys/fs/cgroup/memory.current": "0"}
)
LIMITED_V1 = replace(
    WELL,
    files={
        **WELL.files,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(5 * GIB),
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(4 * GIB),
    },
)
V1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "".join(
    f"{name}\t3\t1\t1\n" for name in ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer")
)


def v1_host(table: str) -> FakeHost:
    host = WELL.with_files(cgroup_controllers=None)
    return replace(host, files={**host.files, "/proc/cgroups": table})


def without(host: FakeHost, command: str) -> FakeHost:
    return replace(host, answers={name: answer for name, answer in host.answers.items() if name != command})


NO_ENGINE = without(WELL, "docker version")
CHECKS: list[tuple[str, Callable[[Host], Finding], Host, Level, str]] = [
    ("an old Python", check_python, replace(WELL, python=(3, 10)), Level.FAIL, "3.10"),
    ("a newer Python", check_python, replace(WELL, python=(3, 14)), Level.OK, "3.14"),
    ("no Git", check_git, without(WELL, "git --version"), Level.FAIL, "none"),
    (
        "an old Git",
        check_git,
        replace(WELL, answers={"git --version": Answer(0, "git version 2.20.1")}),
        Level.FAIL,
        "2.20.1",
    ),
    ("an engine", check_engine, WELL, Level.OK, "Docker 28.1.0 answers"),
    ("no engine, root on Debian", check_engine, replace(NO_ENGINE, is_root=True), Level.OK, "one of our own"),
    ("no engine, not root", check_engine, NO_ENGINE, Level.FAIL, "none answers"),
    (
        "no engine, root elsewhere",
        check_engine,
        replace(NO_ENGINE, is_root=True, programs=frozenset({"git"})),
        Level.FAIL,
        "none answers",
    ),
    (
        "an engine that is not ours to use",
        check_engine,
        replace(WELL, answers={"docker version": Answer(1, "permission denied while trying to connect")}),
        Level.FAIL,
        "permission denied",
    ),
    ("one processor", check_processors, replace(WELL, cpus=1), Level.WARN, "1"),
    ("enough memory", check_memory, WELL, Level.OK, "19.1 GiB"),
    ("little memory", check_memory, WELL.with_files(meminfo="MemAvailable: 3600000 kB\n"), Level.WARN, "3.4 GiB"),
    ("too little memory", check_memory, WELL.with_files(meminfo="MemAvailable: 1000000 kB\n"), Level.FAIL, "1.0 GiB"),
    ("memory limited by cgroup v2", check_memory, LIMITED, Level.WARN, "3.0 GiB"),
    ("memory limited by cgroup v1", check_memory, LIMITED_V1, Level.FAIL, "1.0 GiB"),
    ("no limit by cgroup v2", check_memory, replace(LIMITED, files={**WELL.files, "/sys/fs/cgroup/memory.max": "max"}),
     Level.OK, "19.1 GiB"),
    ("memory that cannot be told", check_memory, WELL.with_files(meminfo=None), Level.WARN, "cannot be told"),
    ("free loopback ports", check_ports, WELL, Level.OK, "free port"),
    ("no loopback", check_ports, replace(WELL, refused={0: "Cannot assign requested address"}), Level.FAIL, "Cannot"),
    ("few inotify instances", check_inotify, WELL.with_files(max_user_instances="128\n"), Level.WARN, "128"),
    ("no inotify limits to read", check_inotify, WELL.with_files(max_user_instances=None), Level.OK, "unknown"),
    ("cgroup v2", check_cgroups, WELL, Level.OK, "v2"),
    ("v2 without pids", check_cgroups, WELL.with_files(cgroup_controllers="cpuset cpu memory"), Level.FAIL, "pids"),
    ("cgroup v1", check_cgroups, v1_host(V1), Level.OK, "v1"),
    ("cgroup v1 without memory", check_cgroups, v1_host(V1.replace("memory\t3\t1\t1", "memory\t3\t1\t0")), Level.FAIL,
     "memory"),
    ("no cgroups", check_cgroups, WELL.with_files(cgroup_controllers=None), Level.FAIL, "none"),
    ("all capabilities", check_capabilities, WELL, Level.OK, "all 41"),
    (
        "CAP_SYS_RESOURCE withheld",
        check_capabilities,
        WELL.with_files(status=capabilities(0x000001FFFEFFFFFF)),
        Level.WARN,
        "withheld: CAP_SYS_RESOURCE",
    ),
    (
        "an ordinary container",
        check_capabilities,
        WELL.with_files(status=capabilities(0x00000000A80425FB)),
        Level.FAIL,
        "CAP_SYS_ADMIN",
    ),
    (
        "an older kernel with fewer capabilities",
        check_capabilities,
        WELL.with_files(status=capabilities((1 << 38) - 1), cap_last_cap="37\n"),
        Level.OK,
        "all 38",
    ),
    ("capabilities untold", check_capabilities, WELL.with_files(status=None), Level.WARN, "cannot be told"),
    ("a CA bundle", check_ca_bundle, WELL, Level.OK, "3 certificates"),
    ("no CA bundle", check_ca_bundle, WELL.with_files(**{"ca-certificates_crt": None}), Level.FAIL, "no certificate"),
    (
        "a CA bundle that a variable names and that is not there",
        check_ca_bundle,
        replace(WELL, environ={"SSL_CERT_FILE": "/nowhere.pem"}),
        Level.FAIL,
        "/nowhere.pem (SSL_CERT_FILE)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "host", "level", "found"), [row[1:] for row in CHECKS], ids=[row[0] for row in CHECKS]
)
def test_what_is_found_is_shown_and_weighed(
    check: Callable[[Host], Finding], host: Host, level: Level, found: str
) -> None:
    finding = check(host)
    assert (finding.level, found in finding.found) == (level, True), finding
    assert bool(finding.mend) is (level is not Level.OK), "what is not well comes with how to mend it"


@pytest.mark.parametrize(("free", "level"), [(100 * GB, Level.OK), (20 * GB, Level.WARN), (5 * GB, Level.FAIL)])
def test_disk_is_shown_in_numbers_with_its_folder(free: int, level: Level) -> None:
    finding = check_disk(replace(WELL, free=free), CACHE)
    assert finding.level is level
    assert finding.found == f"{free / GB:.1f} GB free under /cache"


@pytest.mark.parametrize(
    ("free", "cached", "level"),
    [
        (5, 0, Level.FAIL),
        (5, 6, Level.FAIL),
        (5, 8, Level.WARN),
        (5, 26, Level.OK),
        (3, 100, Level.FAIL),
        (5, None, Level.OK),
        (3, None, Level.FAIL),
    ],
)
def test_what_the_caches_hold_need_not_be_free_but_a_cluster_needs_its_own(
    free: int, cached: int | None, level: Level
) -> None:
    assert check_disk(replace(WELL, free=free * GB), CACHE, cached=cached and cached * GB).level is level


def test_the_caches_are_only_measured_where_disk_is_short() -> None:
    def never() -> int:
        raise AssertionError("measuring takes seconds")

    check_room_for_caches(replace(WELL, free=20 * GB), cache_dir=CACHE, cached=never)
    check_room_for_caches(replace(WELL, free=5 * GB), cache_dir=CACHE, cached=lambda: 9 * GB)
    with pytest.raises(EnvironmentFailed) as caught:
        check_room_for_caches(replace(WELL, free=5 * GB), cache_dir=CACHE, cached=lambda: 2 * GB)
    assert "5.0 GB free under /cache, 2.0 GB in the caches" in caught.value.evidence["disk"]


def test_the_doctor_warns_of_a_disk_that_is_enough_for_full_caches_only() -> None:
    by_name = {
        finding.name: finding for finding in examine(replace(WELL, free=5 * GB), cache_dir=CACHE, package=PACKAGE)
    }
    assert by_name["disk"].level is Level.WARN
    assert by_name["disk"].mend.startswith("enough only where most is cached")


KEPT = Path("/state/clusters/harness-kept")
# 2.0 GiB are free, as the harness's own engine says that its node takes 1.6.
HOLDING = replace(
    WELL,
    files={
        "/proc/meminfo": f"MemAvailable: {2 * GIB // 1024} kB\n",
        f"{KEPT}/cluster.json": '{"host": "unix:///ours.sock"}',
    },
    answers={"docker --host": Answer(0, "1.6GiB / 23.5GiB")},
)


def test_what_the_node_of_a_kept_cluster_takes_is_not_needed_again() -> None:
    assert check_memory(HOLDING).level is Level.FAIL
    finding = check_memory(HOLDING, kept=KEPT)
    assert (finding.level, finding.found) == (
        Level.WARN,
        "2.0 GiB available, 1.6 GiB in the kept cluster harness-kept",
    )
    check_room(HOLDING, cache_dir=CACHE, kept=KEPT)


@pytest.mark.parametrize(
    "host",
    [
        replace(HOLDING, modified_at=None),
        replace(HOLDING, answers={}),
        replace(HOLDING, answers={"docker --host": Answer(0, "0B / 0B")}),
        replace(HOLDING, answers={"docker --host": Answer(0, "a lot")}),
        replace(HOLDING, files={**HOLDING.files, f"{KEPT}/cluster.json": "{"}),
    ],
    ids=["not kept", "no engine", "not running", "unknown form", "damaged"],
)
def test_where_no_kept_cluster_takes_memory_it_must_be_free(host: FakeHost) -> None:
    with pytest.raises(EnvironmentFailed, match="too little") as caught:
        check_room(host, cache_dir=CACHE, kept=KEPT)
    assert "2.0 GiB available, needed 4 GiB" in caught.value.evidence["memory"]


def test_the_engine_that_the_kept_cluster_was_made_in_is_asked() -> None:
    ambient = replace(
        HOLDING,
        files={**HOLDING.files, f"{KEPT}/cluster.json": '{"host": ""}'},
        answers={"docker stats": Answer(0, "1024MiB / 23.5GiB")},
    )
    assert "1.0 GiB in the kept cluster" in check_memory(ambient, kept=KEPT).found


@pytest.mark.parametrize(
    ("host", "level", "found"),
    [
        (WELL, Level.OK, "2027-01-15T08:00:00"),
        (replace(WELL, modified_at=NOW + 3600), Level.FAIL, "before this installation"),
        (replace(WELL, now=NOW + 90), Level.WARN, "-90 s off"),
        (without(WELL, "docker info"), Level.OK, "2027"),
        (replace(WELL, answers={"docker info": Answer(0, "<no value>")}), Level.OK, "2027"),
        (replace(WELL, modified_at=None), Level.OK, "2027"),
    ],
)
def test_a_clock_that_cannot_be_right_is_found_out(host: FakeHost, level: Level, found: str) -> None:
    finding = check_clock(host, PACKAGE)
    assert (finding.level, found in finding.found) == (level, True), finding


def test_this_machine_can_be_examined(tmp_path: Path) -> None:
    host = LocalHost(SubprocessRunner())
    findings = examine(host, cache_dir=tmp_path / "not" / "yet", package=Path(harness.__file__))
    assert all(finding.found and finding.needed for finding in findings)
    levels = {finding.name: finding.level for finding in findings}
    assert levels["Python"] is Level.OK
    assert levels["loopback ports"] is Level.OK


def test_a_folder_that_a_run_cannot_write_to_is_named_with_its_setting() -> None:
    folders = {"state_dir": Path("/state"), "cache_dir": CACHE}
    finding = check_folders(replace(WELL, closed={Path("/state"): "/state is no folder"}), folders)
    assert (finding.level, finding.found) == (Level.FAIL, "state_dir: /state is no folder")
    assert finding.mend == "name another folder with HARNESS_STATE_DIR"
    assert check_folders(WELL, folders).level is Level.OK


def test_a_folder_is_judged_by_what_there_is_of_its_path(tmp_path: Path) -> None:
    host = LocalHost(SubprocessRunner())
    assert host.not_writable(tmp_path / "not" / "yet") == ""
    file = tmp_path / "file"
    file.write_text("")
    assert host.not_writable(file) == f"{file} is no folder"
    # Below a file there is nothing, and can be nothing.
    assert host.not_writable(file / "state") == f"{file} is no folder"


def test_a_port_that_is_taken_is_refused_with_the_reason() -> None:
    host = LocalHost(SubprocessRunner())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        assert host.bind_loopback([port, 0]) == {port: "Address already in use"}


def test_a_program_that_is_missing_or_fails_is_an_answer_not_an_error() -> None:
    host = LocalHost(SubprocessRunner())
    assert host.run(["no-such-program"]).code is None
    assert host.run(["sh", "-c", "echo why >&2; exit 3"]) == Answer(3, "why")


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_doctor_asks_for_what_a_run_raises_the_limits_to(name: str) -> None:
    as_raised = {limit: f"{least}\n" for limit, least in WANTED.items()}
    assert check_inotify(WELL.with_files(**as_raised)).level is Level.OK
    low = check_inotify(WELL.with_files(**{**as_raised, name: f"{WANTED[name] - 1}\n"}))
    assert (low.level, low.mend) == (Level.WARN, f"as root: sysctl -w fs.inotify.{name}={WANTED[name]}")


def test_an_engine_of_our_own_that_runs_is_found_where_the_machine_has_none() -> None:
    ours = replace(NO_ENGINE, is_root=True, answers={**NO_ENGINE.answers, "docker --host": Answer(0, "20.10.24")})
    assert check_engine(ours, "unix:///state/docker.sock").found == "Docker 20.10.24, the harness's own, answers"
    assert "one of our own will be started" in check_engine(ours).found
    assert (
        check_engine(replace(WELL, answers={**ours.answers, **WELL.answers}), "unix:///s").found
        == "Docker 28.1.0 answers"
    )


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ((Level.OK, Level.OK), "READY for `harness run`"),
        ((Level.OK, Level.WARN), "READY for `harness run`; worth a look: check 1"),
        ((Level.FAIL, Level.WARN, Level.FAIL), "NOT READY: check 0, check 2 must be mended before a run"),
    ],
)
def test_the_last_line_says_what_it_comes_to(levels: Sequence[Level], says: str) -> None:
    assert summary([Finding(f"check {number}", level, "", "") for number, level in enumerate(levels)]) == says
