"""What is broken on the way to S3 and Git: their Services are pointed elsewhere. As in `breakages.py`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx
import yaml
from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from harness.names import GIT_REPOSITORY, SERVICES_NAMESPACE

from .breakages import Breakage, Part, all_ready, pods_of
from .scene import Scene, Stage

_HERE = Path(__file__).parent
PROGRAMS: Final = "/opt/harness-faults"
_PROGRAMS_IN_POD: Final = "/opt/faults"
_PROXY: Final[Part] = (SERVICES_NAMESPACE, "app=fault-proxy", "fault-proxy")
_UNAVAILABLE: Final[Part] = (SERVICES_NAMESPACE, "app=fault-503", "fault-503")
Service = Literal["s3", "git"]
SILENT: Final = "no answer"


@contextmanager
def equipment(stage: Stage, toxiproxy: Path) -> Iterator[None]:
    """The proxies that stand between pods and services while a fault lasts."""
    stage.node.copy_in(toxiproxy, PROGRAMS)
    templates = Templates(loader=FileSystemLoader(_HERE / "manifests"), undefined=StrictUndefined)  # noqa: S701 - YAML, not HTML; strings go through `tojson`
    text = templates.get_template("equipment.yaml.j2").render(
        unavailable=(_HERE / "programs" / "unavailable.py").read_text(encoding="utf-8"),
        image=stage.ready.toolchain.images["git-server"],
        programs=PROGRAMS,
    )
    manifests = [document for document in yaml.safe_load_all(text) if document]
    stage.ready.kube.apply(manifests)
    try:
        for part in (_PROXY, _UNAVAILABLE):
            all_ready(stage, part)
        yield
    finally:
        for manifest in manifests:
            metadata = manifest["metadata"]
            stage.ready.kube.delete(
                manifest["kind"], metadata["name"], metadata["namespace"], api_version=manifest["apiVersion"]
            )


@dataclass(frozen=True)
class Answer:
    """Attributes:
    says: A status, or that there was none.
    seconds: How long it took.
    """

    says: str
    seconds: float = 0.0


def answer(stage: Stage, service: Service, *, padding: int = 0) -> Answer:
    """What a service says from outside. Its Service routes us as it routes pods.

    Args:
        stage: Where.
        service: Which.
        padding: So many bytes more are sent to it than it needs.
    """
    services = stage.ready.services
    root = str(services.s3.outside) if service == "s3" else services.git.outside.removesuffix(f"/{GIT_REPOSITORY}")
    path = "/_localstack/health" if service == "s3" else "/healthz"
    verify = ssl.create_default_context(cafile=str(services.git.ca_file)) if service == "git" else True
    query = {"padding": "x" * padding} if padding else None
    try:
        said = httpx.get(root + path, params=query, verify=verify, timeout=5, trust_env=False)
    except httpx.TransportError:
        return Answer(SILENT)
    # Without what a client takes to be made, which may be long on a busy machine.
    return Answer(str(said.status_code), said.elapsed.total_seconds())


# Whether a service is as it should be while the fault lasts, by what it says from outside.
Struck = Callable[[Stage, Service], bool]


def says(wanted: str) -> Struck:
    """It says that status, or nothing."""
    return lambda stage, service: answer(stage, service).says == wanted


def slow(seconds: float) -> Struck:
    """It answers, and takes at least so long."""

    def struck(stage: Stage, service: Service) -> bool:
        found = answer(stage, service)
        return found.says == "200" and found.seconds >= seconds

    return struck


def cut_off(size: int) -> Struck:
    """It answers, but not to whom sends more than so many bytes."""

    def struck(stage: Stage, service: Service) -> bool:
        whole, long = answer(stage, service), answer(stage, service, padding=size)
        return (whole.says, long.says) == ("200", SILENT)

    return struck


def _route(stage: Stage, service: Service, app: str, *, until: Struck) -> None:
    body = {"spec": {"selector": {"app": app}}}
    stage.ready.kube.core.patch_namespaced_service(service, SERVICES_NAMESPACE, body)
    # The patch alone changes nothing yet: the way is another one when the node's rules are.
    stage.wait(f"{service} from outside", lambda: until(stage, service), ready=bool)


def _routed(service: Service, app: str, *, until: Struck) -> Breakage:
    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        stage = scene.stage
        try:
            _route(stage, service, app, until=until)
            yield
        finally:
            _route(stage, service, service, until=says("200"))

    return broken


def down(service: Service) -> Breakage:
    """Its address is there and nobody listens: connections are refused."""
    return _routed(service, f"{service}-is-down", until=says(SILENT))


unavailable: Final = _routed("s3", "fault-503", until=says("503"))


def toxic(service: Service, kind: str, *, until: Struck, **options: int) -> Breakage:
    """Every connection to it goes through toxiproxy with this toxic, on what is sent to it
    (https://github.com/Shopify/toxiproxy#toxics).

    Args:
        service: Which.
        kind: Of toxic.
        until: By what it is known that the toxic is at work.
        **options: Of the toxic.
    """

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        stage = scene.stage
        words = [word for name, value in options.items() for word in ("--attribute", f"{name}={value}")]
        _cli(stage, "toxic", "add", "--type", kind, "--upstream", "--toxicName", kind, *words, service)
        try:
            with _routed(service, "fault-proxy", until=until)(scene):
                yield
        finally:
            _cli(stage, "toxic", "remove", "--toxicName", kind, service)

    return broken


def _cli(stage: Stage, *arguments: str) -> None:
    (pod,) = pods_of(stage, _PROXY)
    stage.ready.kube.exec(
        pod["metadata"]["name"], "main", [f"{_PROGRAMS_IN_POD}/toxiproxy-cli", *arguments], namespace=SERVICES_NAMESPACE
    )
