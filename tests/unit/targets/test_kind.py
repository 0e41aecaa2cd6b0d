from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import yaml

from harness.errors import CommandFailed, EnvironmentFailed, GuardError
from harness.journal import Journal
from harness.model import Engine, Toolchain
from harness.targets.kind import KindTarget
from tests.fakes import Call
from tests.faults.node import not_whole

from .fake_kind import FakeKind
from .fake_node import FakeNode

ENGINE = Engine(docker=Path("/opt/engine/docker"), host="unix:///run/ours.sock", ours=True, version="1")


def toolchain(node_image: str = "node:1") -> Toolchain:
    return Toolchain(
        supply="packages",
        engine=ENGINE,
        kind=Path("/opt/tools/kind"),
        helm=Path("/opt/tools/helm"),
        kubectl=Path("/opt/tools/kubectl"),
        node_image=node_image,
        images={"git-server": "harness/git-server:1"},
        image_digests={"git-server": ("sha256:1",)},
        preloaded=frozenset({"harness/git-server:1"}),
        stand_ins=(),
        kubernetes_version="v1.34.4",
    )


class Make(Protocol):
    def __call__(self, runner: FakeKind, *, node_image: str = "node:1") -> KindTarget: ...


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Make]:
    """Makes the target of a run; a further one is that of the next run, when the one before has ended."""
    made: list[KindTarget] = []

    def make(runner: FakeKind, *, node_image: str = "node:1") -> KindTarget:
        for earlier in made:
            earlier.release()
        made.append(
            KindTarget(
                name="h-1",
                run_id="run-1",
                state_dir=tmp_path,
                toolchain=toolchain(node_image),
                runner=runner,
                journal=Journal(tmp_path / "journal.jsonl"),
            )
        )
        return made[-1]

    yield make
    made[-1].release()


def test_a_new_cluster_has_its_own_network_ports_and_kubeconfig(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()

    cluster = target(kind).up()

    assert kind.networks == {"h-1": "run-1"}
    assert not cluster.reused
    assert cluster.context == "kind-h-1"
    assert len(set(cluster.ports.values())) == 3
    config = yaml.safe_load((tmp_path / "clusters/h-1/kind.yaml").read_text())
    mapped = {entry["containerPort"]: entry for entry in config["nodes"][0]["extraPortMappings"]}
    assert {entry["listenAddress"] for entry in mapped.values()} == {"127.0.0.1"}
    assert mapped[30443]["hostPort"] == cluster.ports["git"]


def test_kind_runs_with_the_engine_and_network_of_this_run_and_no_ambient_kubeconfig(
    tmp_path: Path, target: Make
) -> None:
    kind = FakeKind()

    target(kind).up()

    create = next(call.env for call in kind.called if call.argv[1:2] == ["create"])
    assert create["DOCKER_HOST"] == "unix:///run/ours.sock"
    assert create["KIND_EXPERIMENTAL_DOCKER_NETWORK"] == "h-1"
    assert create["KUBECONFIG"] == str(tmp_path / "clusters/h-1/kubeconfig")
    assert create["PATH"].startswith("/opt/engine")


def test_the_cluster_is_journalled_before_it_is_created(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    kind.fail_create_with = ["no such image"]
    one = target(kind)

    with pytest.raises(CommandFailed, match="exit code 1"):
        one.up()

    written = (tmp_path / "journal.jsonl").read_text()
    assert '"name": "h-1"' in written


def test_a_run_that_is_killed_before_it_has_the_clusters_folder_has_journalled_it(
    tmp_path: Path, target: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = target(FakeKind())
    real = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False) -> None:
        if path == made.folder:
            raise KeyboardInterrupt
        real(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(KeyboardInterrupt):
        made.up()
    (entry,) = Journal(tmp_path / "journal.jsonl").open()
    assert (entry.kind, entry.detail["folder"]) == ("cluster", str(made.folder))


def test_what_a_failed_creation_began_is_removed(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    kind.fail_create_with = ["no such image"]

    with pytest.raises(CommandFailed, match="no such image"):
        target(kind).up()

    assert kind.clusters == {}
    assert kind.networks == {}
    assert not (tmp_path / "clusters/h-1").exists()
    assert Journal(tmp_path / "journal.jsonl").open() == []


def test_a_port_lost_to_somebody_else_is_replaced_by_another(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    kind.fail_create_with = ["listen tcp4 127.0.0.1:4242: bind: address already in use"]

    assert not target(kind).up().reused


def test_a_kept_cluster_is_reused_with_its_ports(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    first = target(kind).up()

    again = target(kind).up()

    assert again.reused
    assert again.ports == first.ports


@pytest.mark.parametrize(
    ("file", "damaged"),
    [
        ("cluster.json", '{"host":'),
        ("cluster.json", "[]"),
        ("cluster.json", '{"node_image": "node:1"}'),
        ("kubeconfig", "garbage"),
        ("kubeconfig", ""),
    ],
)
def test_a_kept_cluster_of_which_the_files_are_damaged_is_an_error_that_names_the_remedy(
    tmp_path: Path, target: Make, file: str, damaged: str
) -> None:
    kind = FakeKind()
    first = target(kind)
    first.up()
    first.keep()
    (tmp_path / "clusters" / "h-1" / file).write_text(damaged)
    with pytest.raises(EnvironmentFailed, match="damaged") as told:
        target(kind).up()
    assert "harness down --cluster h-1" in told.value.next_step


def test_a_kept_cluster_with_another_node_image_is_made_anew(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    target(kind).up()

    again = target(kind, node_image="node:2").up()

    assert not again.reused


def test_a_kept_cluster_that_was_left_while_it_was_being_broken_is_made_anew_and_one_that_was_mended_is_not(
    tmp_path: Path, target: Make
) -> None:
    kind = FakeKind()
    target(kind).up()
    with not_whole(tmp_path / "clusters/h-1"):
        assert json.loads((tmp_path / "clusters/h-1/cluster.json").read_text())["ports"]
    assert target(kind).up().reused

    killed = not_whole(tmp_path / "clusters/h-1")
    killed.__enter__()
    assert not target(kind).up().reused


def test_a_kept_cluster_that_is_reused_stays_kept(target: Make) -> None:
    kind = FakeKind()
    first = target(kind)
    first.up()
    assert not first.kept
    first.keep()

    again = target(kind)
    again.up()

    assert again.kept


def interrupt(kind: FakeKind, monkeypatch: pytest.MonkeyPatch, *, at: str) -> None:
    """The user presses Ctrl-C while a node is removed, or kind creates a cluster."""
    answer = kind._outside

    def interrupted(call: Call) -> str:
        if call.argv[1] == at:
            raise KeyboardInterrupt
        return answer(call)

    monkeypatch.setattr(kind, "_outside", interrupted)


@pytest.mark.parametrize("broken", ["rm", "create"])
def test_a_kept_cluster_that_is_being_replaced_is_kept_no_more_also_if_that_is_broken_off(
    target: Make, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    kind = FakeKind()
    first = target(kind)
    first.up()
    first.keep()
    interrupt(kind, monkeypatch, at=broken)
    again = target(kind, node_image="node:2")
    with pytest.raises(KeyboardInterrupt):
        again.up()

    assert not again.kept


def test_a_kept_cluster_that_is_gone_from_the_engine_is_not_kept_by_its_old_mark(
    target: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = FakeKind()
    first = target(kind)
    first.up()
    first.keep()
    kind.clusters.clear()
    interrupt(kind, monkeypatch, at="create")

    again = target(kind)
    with pytest.raises(KeyboardInterrupt):
        again.up()

    assert not again.kept


@pytest.mark.parametrize(
    ("networks", "inside"),
    [({}, "kind"), ({"h-1": ""}, "h-1"), ({"h-1": "run-of-theirs"}, "h-1"), ({"h-1": "run-1"}, "kind"), ({}, "h-1")],
    ids=["plain kind", "unlabelled network", "another state folder's", "beside a network of ours", "network gone"],
)
@pytest.mark.parametrize("known", [False, True], ids=["unknown here", "one of that name was made here"])
def test_a_cluster_that_no_run_here_has_made_is_neither_used_nor_removed(
    tmp_path: Path,
    target: Make,
    networks: dict[str, str],
    inside: str,
    known: bool,  # noqa: FBT001
) -> None:
    kind = FakeKind()
    if known:
        target(kind).up()
    kind.networks, kind.clusters = dict(networks), {"h-1": inside}

    foreign = target(kind)
    with pytest.raises(GuardError, match=r"h-1 is in use[^$]*h-1-control-plane"):
        foreign.up()
    foreign.down()

    assert kind.clusters == {"h-1": inside}
    assert kind.networks == networks


def test_a_network_that_another_state_folders_run_has_just_made_is_not_taken(target: Make) -> None:
    kind = FakeKind()
    kind.networks = {"h-1": "run-of-theirs"}
    with pytest.raises(GuardError, match=r"network h-1 \(of run run-of-theirs\)"):
        target(kind).up()
    assert kind.networks == {"h-1": "run-of-theirs"}


def test_of_two_that_make_a_cluster_of_one_name_the_slower_is_refused_and_leaves_the_others(
    tmp_path: Path, target: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster one's network comes up between the slower one's look and its own."""
    kind = FakeKind()
    answer = kind._outside

    def rival(call: Call) -> str:
        if call.argv[1:3] == ["network", "create"]:
            kind.networks, kind.clusters = {"h-1": "run-of-theirs"}, {"h-1": "h-1"}
        return answer(call)

    monkeypatch.setattr(kind, "_outside", rival)
    with pytest.raises(GuardError, match="of run run-of-theirs"):
        target(kind).up()

    assert (kind.networks, kind.clusters) == ({"h-1": "run-of-theirs"}, {"h-1": "h-1"})
    assert not (tmp_path / "clusters/h-1").exists()
    assert Journal(tmp_path / "journal.jsonl").open() == []


def test_a_cluster_that_took_the_place_of_ours_while_we_ran_is_left_and_named(tmp_path: Path) -> None:
    kind, said = FakeKind(), list[str]()
    one = KindTarget(
        name="h-1",
        run_id="run-1",
        state_dir=tmp_path,
        toolchain=toolchain(),
        runner=kind,
        journal=Journal(tmp_path / "journal.jsonl"),
        status=said.append,
    )
    one.up()
    kind.networks["h-1"] = "run-of-theirs"

    one.down()

    assert (kind.networks, kind.clusters) == ({"h-1": "run-of-theirs"}, {"h-1": "h-1"})
    assert said[-1] == "left network h-1 (of run run-of-theirs): no run here has made it"
    assert not (tmp_path / "clusters/h-1").exists()
    one.release()


def test_a_network_of_ours_that_outlived_its_cluster_is_made_anew(target: Make) -> None:
    kind = FakeKind()
    target(kind).up()
    kind.clusters.clear()

    assert not target(kind).up().reused
    assert kind.clusters == {"h-1": "h-1"}


def test_a_cluster_whose_making_was_killed_before_it_had_a_kubeconfig_is_made_anew(
    tmp_path: Path, target: Make
) -> None:
    kind = FakeKind()
    target(kind).up()
    (tmp_path / "clusters/h-1/cluster.json").write_text('{"run": "run-1"}')
    (tmp_path / "clusters/h-1/kubeconfig").write_text("")

    assert not target(kind).up().reused


def test_a_cluster_that_another_run_is_using_is_neither_used_nor_removed(tmp_path: Path) -> None:
    kind = FakeKind()
    one, two = (
        KindTarget(
            name="h-1",
            run_id=run,
            state_dir=tmp_path,
            toolchain=toolchain(),
            runner=kind,
            journal=Journal(tmp_path / run),
        )
        for run in ("run-1", "run-2")
    )
    one.up()

    with pytest.raises(GuardError, match="another run is using"):
        two.up()
    two.down()

    assert set(kind.clusters) == {"h-1"}
    one.release()


def test_a_cluster_whose_making_was_broken_off_is_made_anew(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    target(kind).up()
    (tmp_path / "clusters/h-1/cluster.json").write_text('{"run": "run-0"}')

    assert not target(kind).up().reused


def test_down_removes_cluster_network_and_folder_and_may_be_called_twice(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    one = target(kind)
    one.up()

    one.down()
    one.down()

    assert kind.clusters == {}
    assert kind.networks == {}
    assert not (tmp_path / "clusters/h-1").exists()
    assert Journal(tmp_path / "journal.jsonl").open() == []


def test_the_folder_with_the_kubeconfig_is_private(tmp_path: Path, target: Make) -> None:
    target(FakeKind()).up()

    assert stat.S_IMODE((tmp_path / "clusters/h-1").stat().st_mode) == 0o700


# As kind prints it, with the words of Docker 20.10 (tests/contract/supply/test_taken_port.py makes it say them), of
# moby's port allocator (libnetwork/portallocator), and of Docker 28 (libnetwork's bridge driver).
_CREATING = (
    'ERROR: failed to create cluster: command "docker run ..." failed with error: exit status 125\nCommand Output: '
)
_CONNECTING = "driver failed programming external connectivity on endpoint h-1-control-plane (5c): "
_DAEMON = f"{_CREATING}docker: Error response from daemon: "
PORT_TAKEN = (
    f"{_DAEMON}{_CONNECTING}Error starting userland proxy: listen tcp4 127.0.0.1:4242: bind: address already in use.",
    f"{_DAEMON}{_CONNECTING}Bind for 127.0.0.1:4242 failed: port is already allocated.",
    f"{_DAEMON}{_CONNECTING}failed to bind host port 127.0.0.1:4242/tcp: address already in use",
)


@pytest.mark.parametrize("said", PORT_TAKEN)
def test_a_lost_port_costs_another_attempt_with_other_ports(tmp_path: Path, target: Make, said: str) -> None:
    kind = FakeKind()
    kind.fail_create_with = [said, said]

    cluster = target(kind).up()

    attempts = [call for call in kind.calls if call[1:2] == ["create"]]
    assert len(attempts) == 3
    written = yaml.safe_load((tmp_path / "clusters/h-1/kind.yaml").read_text())
    assert {entry["hostPort"] for entry in written["nodes"][0]["extraPortMappings"]} == set(cluster.ports.values())


def test_a_port_that_is_lost_every_time_is_an_error_and_leaves_nothing(tmp_path: Path, target: Make) -> None:
    kind = FakeKind()
    kind.fail_create_with = [PORT_TAKEN[0]] * 10

    with pytest.raises(CommandFailed, match="address already in use"):
        target(kind).up()

    assert len(kind.fail_create_with) == 7
    assert kind.networks == {}
    assert not (tmp_path / "clusters/h-1").exists()


def test_another_failure_is_not_tried_again(target: Make) -> None:
    kind = FakeKind()
    kind.fail_create_with = ["no space left on device", "unused"]

    with pytest.raises(CommandFailed, match="no space left"):
        target(kind).up()

    assert kind.fail_create_with == ["unused"]


def test_a_container_of_somebody_else_under_the_nodes_name_is_named_and_left_alone(
    tmp_path: Path, target: Make
) -> None:
    kind = FakeKind()
    kind.foreign = {"h-1-control-plane"}
    one = target(kind)

    with pytest.raises(GuardError, match=r"h-1 is in use[^$]*h-1-control-plane \(Up 3 days\)"):
        one.up()
    one.down()

    changing = [
        call for call in kind.calls if call[1] in {"create", "delete", "rm"} or call[2:3] in (["create"], ["rm"])
    ]
    assert changing == []
    assert not (tmp_path / "clusters/h-1").exists()


def test_the_digests_that_pods_will_show_are_those_of_the_node(tmp_path: Path) -> None:
    kind = FakeKind()
    kind.node = FakeNode(engine={"postgres:17": "sha256:p"})
    made = replace(
        toolchain(),
        images={"git-server": "harness/git-server:1", "postgres": "postgres:17"},
        image_digests={"git-server": ("sha256:1",), "postgres": ("sha256:pinned", "sha256:p")},
    )
    one = KindTarget(
        name="h-1",
        run_id="run-1",
        state_dir=tmp_path,
        toolchain=made,
        runner=kind,
        journal=Journal(tmp_path / "journal"),
    )

    one.up()
    one.release()

    assert one.toolchain.image_digests == {
        "git-server": ("sha256:1",),
        "postgres": ("sha256:p-manifest", "sha256:pinned", "sha256:p"),
    }


def test_no_pod_reaches_out_of_a_new_cluster_or_of_a_kept_one_but_where_it_is_allowed(
    tmp_path: Path, target: Make
) -> None:
    kind = FakeKind()
    target(kind).up()
    target(kind).up()

    assert len(kind.rules) == 2
    for rules in kind.rules:
        assert 'oifname != "eth0" accept' in rules
        assert "ip daddr 192.0.2.53 meta l4proto { tcp, udp } th dport 53 accept" in rules
    config = yaml.safe_load((tmp_path / "clusters/h-1/kind.yaml").read_text())
    for network in ("podSubnet", "serviceSubnet"):
        assert config["networking"][network] in kind.rules[0]


def test_what_is_allowed_by_the_settings_is_allowed_in_the_node(tmp_path: Path) -> None:
    kind = FakeKind()
    one = KindTarget(
        name="h-1",
        run_id="run-1",
        state_dir=tmp_path,
        toolchain=toolchain(),
        runner=kind,
        journal=Journal(tmp_path / "journal"),
        egress_allow=["198.51.100.0/24:443"],
    )

    one.up()
    one.release()

    assert "ip daddr 198.51.100.0/24 meta l4proto { tcp, udp } th dport 443 accept" in kind.rules[0]


def test_the_rules_are_there_again_when_the_node_is_restarted(target: Make) -> None:
    kind = FakeKind()
    target(kind).up()

    inside = [call[5:] for call in kind.calls if call[1:4] == ["exec", "--privileged", "--interactive"]]
    written = [call[1] for call in inside if call[0] == "tee"]
    assert written == ["/etc/harness-egress.nft", "/etc/systemd/system/harness-egress.service"]
    assert inside[-1] == ["systemctl", "enable", "harness-egress.service"]
