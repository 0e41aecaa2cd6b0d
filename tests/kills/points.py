"""Where runs are killed, how, and what came of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

SERVICE_IMAGES = ("image git-server", "image git-sync", "image adapter")


class Via(StrEnum):
    """What started the run, and so who else gets the signal."""

    HARNESS = "harness run"
    MAKE = "make e2e"


class Victim(StrEnum):
    """Who is killed."""

    RUN = "run"
    ENGINE = "engine"
    BOTH = "run and engine"


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run.

    Attributes:
        name: In the table.
        phases: The run is there as soon as one of them begins.
        after: Seconds later: in the middle of a phase, where things are half made.
        dirty: Whether a small image, and so the node image, is to be built anew.
        aside: What the caches hold and is put aside meanwhile, so that it has to be made again: an image's repository
            below ours, or `TOOLS`.
        ending: Whether the run has its verdict already, and a signal but SIGKILL changes nothing any more.
    """

    name: str
    phases: tuple[str, ...]
    after: float = 0.0
    dirty: bool = False
    aside: str = ""
    ending: bool = False


# The programs of the host: kind, helm and kubectl.
TOOLS = "tools"


def at(name: str) -> Point:
    """The moment at which a phase begins."""
    return Point(name, (name,))


POINTS = (
    at("container engine"),
    at("supply"),
    Point("Debian, installing", ("Debian trixie",), after=8.0, aside="debian-trixie"),
    Point("image build", SERVICE_IMAGES, dirty=True),
    Point("kind, helm, kubectl, writing", ("kind, helm, kubectl",), after=0.3, aside=TOOLS),
    Point("node image", ("node image",), dirty=True),
    Point("node image, filling", ("node image",), after=12.0, dirty=True),
    at("kind cluster"),
    Point("kind cluster, booting", ("kind cluster",), after=6.0),
    at("services applied"),
    at("Git server, seeded"),
    at("S3, seeded"),
    at("adapter"),
    at("services from a pod"),
    at("helm install"),
    Point("helm install, under way", ("helm install",), after=1.0),
    at("Airflow ready"),
    at("DAG ready"),
    at("DAG run"),
    at("verdict"),
    Point("removing the cluster", ("removing the cluster",), ending=True),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# Where an engine of the harness's own, with nobody else in it, is killed or goes with the run.
ENGINE_POINTS = tuple(
    point
    for point in POINTS
    if point.name
    in {"container engine", "image build", "node image, filling", "kind cluster, booting", "helm install", "DAG run"}
)
# A session's first DAG run has the seed that was put while the services came up: only a suite, which has more, seeds.
SEEDING = at("seeding")
MAKE_POINTS = (*(one for one in POINTS if one.name in {"container engine", "kind cluster", "DAG run"}), SEEDING)

# On a cluster that an earlier run has kept; where values are to change, under the change.
KEPT_POINTS = (at("shared claim emptied"), at("DAG run"), at("verdict"))
CHANGING_POINTS = (Point("helm install, values changed", ("helm install",), after=0.3), at("Airflow ready"))

# Phases at which nothing is killed here, and why. Each phase that the harness says is here or has a point.
_REGISTRY = "of the registry supply, which needs a registry: tests/contract/supply gives its steps up midway"
_ELSEWHERE = "of another target or of the look-alike: tests/kills_eks and tests/contract/eks, existing and lookalike"
NO_POINTS = {
    "Debian {}": "the point that it has stands for both",
    "image {}": "the service images stand for all: built in one way",
    "pull {}": _REGISTRY,
    "official chart": _REGISTRY,
    "worker image": "with --worker-image only; looks, or pulls as the registry supply does",
    "cache eviction": "makes nothing; an image that it has removed is built again",
    "earlier DAG runs": "makes nothing; the run after one that was killed on a kept cluster begins with it",
    "parity record": "writes one file into the evidence, beside the verdict's",
    "DAG {} ready": "of the e2e tests, which bring more DAGs; waits as `DAG ready` does",
    "Git branch, seeded": _ELSEWHERE,
    "Git remote": _ELSEWHERE,
    "EKS cluster": _ELSEWHERE,
    "existing cluster": _ELSEWHERE,
    "AWS look-alike": _ELSEWHERE,
    "account": _ELSEWHERE,
    "agent and injector": _ELSEWHERE,
    "fittings applied": _ELSEWHERE,
    "the runner gets in": _ELSEWHERE,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one kill.

    Attributes:
        point: Where.
        how: The signal, or who was killed.
        word: "clean", or what was wrong in a few words.
        code: Exit code.
        seconds: From the signal to the end.
    """

    point: str
    how: str
    word: str
    code: int | None
    seconds: float


def table(rows: list[Row]) -> str:
    """Points by ways of killing, for the end of a session."""
    ways = list(dict.fromkeys(row.how for row in rows))
    points = list(dict.fromkeys(row.point for row in rows))
    cells = {(row.point, row.how): f"{row.word} ({row.code}, {row.seconds:.0f} s)" for row in rows}
    widths = [max(len(way), *(len(cells.get((point, way), "")) for point in points)) for way in ways]
    first = max(len("killed at"), *map(len, points))
    heading = "  ".join(
        [f"{'killed at':{first}}", *(f"{way:{width}}" for way, width in zip(ways, widths, strict=True))]
    )
    lines = [
        "  ".join(
            [
                f"{point:{first}}",
                *(f"{cells.get((point, way), ''):{width}}" for way, width in zip(ways, widths, strict=True)),
            ]
        )
        for point in points
    ]
    clean = sum(row.word == "clean" for row in rows)
    return "\n".join(line.rstrip() for line in [heading, *lines, f"{clean} of {len(rows)} kill points swept clean", ""])
