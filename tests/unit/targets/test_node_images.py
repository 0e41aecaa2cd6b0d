"""What a node has, what it still needs, and by which digests its pods will show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import WaitTimeout
from harness.imagenames import qualified
from harness.model import Engine
from harness.targets.node_images import NodeImages, NodeListing, snapshotter_of
from harness.wait import Waiter

from .fake_node import FakeNode

# As containerd 1.6 prints it after `ctr images import --digests`, shortened; tests/contract/supply/test_node_images.py
# asks a real one.
LISTING = """\
REF                                                TYPE                                       DIGEST      SIZE    PLATFORMS   LABELS
docker.io/harness/adapter:1                        application/vnd.oci.image.manifest.v1+json sha256:bb   2.4 KiB linux/amd64 io.cri-containerd.image=managed
docker.io/library/import-2026-11-21@sha256:bb      application/vnd.oci.image.manifest.v1+json sha256:bb   2.4 KiB linux/amd64 io.cri-containerd.image=managed
docker.io/library/postgres:17                      application/vnd.oci.image.manifest.v1+json sha256:dd   2.4 KiB linux/amd64 -
docker.io/library/worker:1                         application/vnd.oci.image.manifest.v1+json sha256:ff   2.4 KiB linux/amd64 -
sha256:aa                                          application/vnd.oci.image.manifest.v1+json sha256:bb   2.4 KiB linux/amd64 io.cri-containerd.image=managed
sha256:ee                                          application/vnd.oci.image.manifest.v1+json sha256:e2   2.4 KiB linux/amd64 io.cri-containerd.image=managed
"""  # noqa: E501 - columns
ENGINE = Engine(docker=Path("docker"), host="", ours=False, version="29.0")


def images(node: FakeNode, folder: Path) -> NodeImages:
    waiter = Waiter(clock=node)
    return NodeImages(node="h-control-plane", engine=ENGINE, runner=node, record=folder / "images.json", waiter=waiter)


def loaded(node: FakeNode) -> list[Sequence[str]]:
    """What each import brought."""
    return [source[2:] for source, _sink in node.pipes]


@pytest.mark.parametrize(
    ("reference", "wanted", "shown"),
    [
        ("harness/adapter:1", "sha256:aa", ("sha256:aa", "sha256:bb")),
        ("harness/adapter:1", "sha256:index", ("sha256:aa", "sha256:bb")),
        ("worker:1", "sha256:ee", ("sha256:ee", "sha256:ff", "sha256:e2")),
        ("localstack:1", "sha256:aa", ()),
    ],
    ids=["by id and manifest", "whatever the engine calls it", "the same image by another manifest", "not there"],
)
def test_a_nodes_images_have_the_digests_that_a_pods_status_may_show(
    reference: str, wanted: str, shown: tuple[str, ...]
) -> None:
    assert NodeListing.read(LISTING).digests(reference, wanted) == shown


def test_an_image_that_was_imported_is_not_yet_one_that_the_runtime_knows() -> None:
    assert not NodeListing.read(LISTING).is_known("postgres:17", "sha256:index")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("postgres:17", "docker.io/library/postgres:17"),
        ("harness/adapter:1", "docker.io/harness/adapter:1"),
        ("registry.k8s.io/git-sync/git-sync:v4.4.2", "registry.k8s.io/git-sync/git-sync:v4.4.2"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
    ],
)
def test_a_name_in_the_node_is_a_reference_in_full(short: str, full: str) -> None:
    assert qualified(short) == full


def test_images_are_unpacked_for_the_snapshotter_that_the_node_is_configured_with() -> None:
    old = '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "native"\n'
    new = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'fuse-overlayfs'\n"
    assert [snapshotter_of(text) for text in (old, new, "version = 3\n")] == ["native", "fuse-overlayfs", "overlayfs"]


def test_what_the_node_lacks_comes_in_one_archive_for_its_platform_alone(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p", "harness/adapter:1": "sha256:a"})
    images(node, tmp_path).load(["postgres:17", "harness/adapter:1"])
    assert loaded(node) == [["postgres:17", "harness/adapter:1"]]
    sink = node.pipes[0][1]
    assert sink[sink.index("--platform") + 1] == "linux/arm64"
    assert "--all-platforms" not in sink


def test_an_image_that_changed_under_its_name_is_loaded_again_and_alone(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p", "harness/adapter:1": "sha256:a"})
    names = list(node.engine)
    before = images(node, tmp_path).load(names)
    node.engine["harness/adapter:1"] = "sha256:b"
    after = images(node, tmp_path).load(names)
    assert loaded(node)[1:] == [["harness/adapter:1"]]
    assert after["postgres:17"] == before["postgres:17"]
    assert "sha256:a" not in after["harness/adapter:1"]


def test_an_engine_that_calls_images_by_other_digests_than_the_node_does_not_load_them_each_time(
    tmp_path: Path,
) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:index"}, same_ids=False)
    for _ in range(2):
        assert "sha256:index" not in images(node, tmp_path).load(["postgres:17"])["postgres:17"]
    assert len(node.pipes) == 1


def test_an_image_that_was_replaced_inside_the_node_is_loaded_again(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p"})
    images(node, tmp_path).load(["postgres:17"])
    node.inside["docker.io/library/postgres:17"] = ("sha256:somebody-elses", "sha256:manifest")
    assert images(node, tmp_path).load(["postgres:17"])["postgres:17"][0] == "sha256:p"


def test_an_image_counts_as_loaded_when_the_nodes_runtime_knows_it(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p"}, taken_in_after=3.0)
    assert images(node, tmp_path).load(["postgres:17"])["postgres:17"]
    assert node.now >= 3.0


def test_a_runtime_that_never_takes_an_image_in_is_an_error_that_names_it(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p"}, taken_in_after=1e9)
    with pytest.raises(WaitTimeout, match="still without postgres:17"):
        images(node, tmp_path).load(["postgres:17"])
    assert not (tmp_path / "images.json").exists()


def test_the_record_names_what_was_loaded(tmp_path: Path) -> None:
    node = FakeNode(engine={"postgres:17": "sha256:p"})
    digests = images(node, tmp_path).load(["postgres:17"])["postgres:17"]
    assert json.loads((tmp_path / "images.json").read_text()) == {
        "postgres:17": {"engine": "sha256:p", "node": digests[1]}
    }
