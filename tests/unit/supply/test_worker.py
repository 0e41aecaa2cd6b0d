"""Another worker image than the built one: where it is looked for, and what it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import CommandFailed, ExitCode, SupplyError
from harness.model import Engine, Toolchain
from harness.process import Completed
from harness.supply.worker import WorkerImage, find_worker, with_worker
from tests.fakes import Call, FakeRunner

ENGINE = Engine(docker=Path("docker"), host="unix:///engine.sock", ours=True, version="20.10")
ID, MANIFEST = "sha256:" + "1" * 64, "sha256:" + "2" * 64
WANTED = "registry.example/team/worker:1.4"


@dataclass
class Docker(FakeRunner):
    """An engine with images by name; `served` can be pulled, everything else is refused with `refusal`."""

    images: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    refusal: str = "manifest unknown"

    def answer(self, call: Call) -> str | Completed:
        verb, name = call.argv[1], call.argv[-1]
        if verb == "image" and name not in self.images:
            return call.ended(1, stderr=f"No such image: {name}")
        if verb == "pull" and name not in self.served:
            raise CommandFailed(argv=call.argv, code=1, stdout="", stderr=self.refusal)
        if verb == "pull":
            self.images.add(name)
        if verb == "tag":
            assert call.argv[2] in self.images
            self.images.add(name)
        answer = {"Id": ID, "RepoDigests": [f"registry.example/team/worker@{MANIFEST}"]}
        return json.dumps(answer)


def find(docker: Docker, **mirrors: str) -> WorkerImage:
    hosts = {host.replace("_", "."): mirror for host, mirror in mirrors.items()}
    return find_worker(WANTED, engine=ENGINE, runner=docker, mirrors=hosts)


def test_an_image_of_the_engine_is_used_as_it_is() -> None:
    docker = Docker(images={WANTED})
    assert find(docker) == WorkerImage(WANTED, (MANIFEST, ID), pulled=False)
    assert [run[1] for run in docker.calls] == ["image"]


def test_an_image_that_the_engine_has_not_is_pulled() -> None:
    assert find(Docker(served={WANTED})) == WorkerImage(WANTED, (MANIFEST, ID), pulled=True)


def test_a_mirrors_copy_gets_the_name_that_the_dag_uses() -> None:
    docker = Docker(served={"mirror.example/team/worker:1.4"})
    assert find(docker, registry_example="mirror.example").pulled
    assert ["docker", "tag", "mirror.example/team/worker:1.4", WANTED] in docker.calls


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ("manifest unknown", "the registry has no such image"),
        ("dial tcp: lookup registry.example: no such host", "the registry cannot be reached"),
        ("unauthorized: authentication required", "the registry asks for a login"),
    ],
)
def test_an_image_that_cannot_be_had_is_named_with_where_it_was_looked_for(refusal: str, says: str) -> None:
    with pytest.raises(SupplyError, match=f"the worker image {WANTED} cannot be had: {says}") as caught:
        find(Docker(refusal=refusal))
    assert caught.value.evidence["looked for"] == f"in the engine's own images, then at registry.example as {WANTED}"
    assert f"build or load it as {WANTED} into the engine" in caught.value.next_step
    assert caught.value.exit_code is ExitCode.ENVIRONMENT_FAILED


def toolchain(**changes: frozenset[str]) -> Toolchain:
    return Toolchain(
        supply="packages",
        engine=ENGINE,
        kind=Path("kind"),
        helm=Path("helm"),
        kubectl=Path("kubectl"),
        node_image="node",
        images={"worker": "built:1", "airflow": "airflow:1"},
        image_digests={"worker": ("sha256:built",), "airflow": ("sha256:a",)},
        preloaded=changes.get("preloaded", frozenset({"built:1", "airflow:1"})),
        stand_ins=(),
        kubernetes_version="v1.34.4",
        engine_images={"worker": "built-in-engine:1", "airflow": "airflow-in-engine:1"},
    )


def test_the_team_s_image_is_the_worker_and_the_built_one_still_proves_the_services() -> None:
    changed = with_worker(toolchain(), WorkerImage(WANTED, (MANIFEST, ID), pulled=True))
    assert changed.images == {"worker": WANTED, "probe": "built:1", "airflow": "airflow:1"}
    assert changed.image_digests["worker"] == (MANIFEST, ID)
    assert changed.image_digests["probe"] == ("sha256:built",)
    assert WANTED not in changed.preloaded
    assert (changed.engine_images["worker"], changed.engine_images["probe"]) == (WANTED, "built-in-engine:1")


def test_a_copy_of_the_same_name_inside_the_node_image_is_not_taken_for_it() -> None:
    before = toolchain(preloaded=frozenset({"built:1", WANTED}))
    assert with_worker(before, WorkerImage(WANTED, (ID,), pulled=False)).preloaded == {"built:1"}
