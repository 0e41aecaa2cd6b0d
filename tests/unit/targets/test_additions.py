"""What is made beside a kind cluster: after its network, before it, and gone with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from harness.errors import CommandFailed, EnvironmentFailed, UsageError
from harness.journal import Journal
from harness.targets.additions import Additions, Mount
from harness.targets.kind import KindTarget

from .fake_kind import FakeKind
from .test_kind import toolchain

PATCH = "kind: ClusterConfiguration\napiServer: {extraArgs: {v: '4'}}\n"
TOML = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/kind/certs.d"\n'


@dataclass
class Gateway:
    """Something beside a cluster, which notes what there was when it was made and removed."""

    kind: FakeKind
    fails: bool = False
    seen: list[str] = field(default_factory=list)

    name = "an EKS look-alike"

    def make(self, *, folder: Path, gateway: str) -> Additions:
        self.seen.append(f"made at {gateway} in {sorted(self.kind.networks)}, clusters {sorted(self.kind.clusters)}")
        if self.fails:
            raise EnvironmentFailed("no port is free")
        return Additions((PATCH,), (Mount(folder / "keys", "/kind/keys"),), (f"{gateway}:4242",), (TOML,))

    def remove(self, *, folder: Path) -> None:
        self.seen.append(f"removed, networks {sorted(self.kind.networks)}")


def _target(tmp_path: Path, kind: FakeKind, gateway: Gateway | None) -> KindTarget:
    return KindTarget(
        name="h-1",
        run_id="run-1",
        state_dir=tmp_path,
        toolchain=toolchain(),
        runner=kind,
        journal=Journal(tmp_path / "journal.jsonl"),
        egress_allow=("10.1.2.3:443",),
        beside=gateway,
    )


def test_it_is_made_once_the_network_is_there_and_before_the_cluster_is(tmp_path: Path) -> None:
    kind = FakeKind()
    gateway = Gateway(kind)
    target = _target(tmp_path, kind, gateway)
    target.up()
    assert gateway.seen == ["made at 172.18.0.1 in ['h-1'], clusters []"]
    config = yaml.safe_load((target.folder / "kind.yaml").read_text())
    kubeadm = config["kubeadmConfigPatches"]
    assert PATCH in kubeadm
    assert config["containerdConfigPatches"] == [TOML]
    mounts = {one["containerPath"]: one for one in config["nodes"][0]["extraMounts"]}
    assert mounts["/kind/keys"] == {
        "hostPath": str(target.folder / "keys"), "containerPath": "/kind/keys", "readOnly": True
    }  # fmt: skip
    # kubeadm takes the name of a file there for what it patches.
    (initial,) = (one for one in map(yaml.safe_load, kubeadm) if "patches" in one)
    patches = Path(mounts[initial["patches"]["directory"]]["hostPath"])
    assert [path.name for path in patches.iterdir()] == ["corednsdeployment.yaml"]
    (rules,) = kind.rules
    assert "ip daddr 10.1.2.3/32 meta l4proto { tcp, udp } th dport 443 accept" in rules
    assert "ip daddr 172.18.0.1/32 meta l4proto { tcp, udp } th dport 4242 accept" in rules
    target.release()


def test_it_goes_before_the_network_that_it_is_on(tmp_path: Path) -> None:
    kind = FakeKind()
    gateway = Gateway(kind)
    target = _target(tmp_path, kind, gateway)
    target.up()
    target.down()
    target.release()
    assert gateway.seen[1:] == ["removed, networks ['h-1']"]
    assert (kind.networks, kind.clusters) == ({}, {})


@pytest.mark.parametrize("cluster_fails", [True, False])
def test_a_creation_that_fails_leaves_nothing_beside(tmp_path: Path, cluster_fails: bool) -> None:  # noqa: FBT001 - pytest's form
    kind = FakeKind()
    kind.fail_create_with = ["no such image"] * cluster_fails
    gateway = Gateway(kind, fails=not cluster_fails)
    target = _target(tmp_path, kind, gateway)
    with pytest.raises((CommandFailed, EnvironmentFailed)):
        target.up()
    target.release()
    assert gateway.seen[-1] == "removed, networks ['h-1']"
    assert not target.folder.exists()
    assert Journal(tmp_path / "journal.jsonl").open() == []


@pytest.mark.parametrize("first", [True, False])
def test_a_cluster_is_not_used_for_what_it_was_not_made_for(tmp_path: Path, first: bool) -> None:  # noqa: FBT001 - pytest's form
    kind = FakeKind()
    one = _target(tmp_path, kind, Gateway(kind) if first else None)
    one.up()
    one.keep()
    one.release()
    other = _target(tmp_path, kind, None if first else Gateway(kind))
    with pytest.raises(UsageError, match="taken here, by an EKS look-alike" if first else "by a kind cluster"):
        other.up()
    other.down()
    assert set(kind.clusters) == {"h-1"}, "it is nobody's to remove who was refused it"
    assert one.kept
