"""The EKS look-alike with its cluster, brought up: a kind cluster, what AWS does for it beside, what EKS has within.

In this order: the network; the object store and the look-alike's process on it, for the API server is told of them when
it is made; the cluster; the account's contents; the fittings; then the proof that the runner gets in.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import yaml

from harness.awsown import own_core
from harness.diagnostics.host import LocalHost
from harness.diagnostics.room import check_room
from harness.errors import EnvironmentFailed, HarnessError
from harness.journal import Entry, Journal
from harness.kubeapi import KubeApi
from harness.liveness import alive, bury
from harness.lookalike import account, fittings, node_registry, store
from harness.lookalike.account import Plan
from harness.lookalike.fittings import Fittings
from harness.lookalike.hosting import NODE, RUNNER, Attached, Folder, Hosted, Keys, Serving, Store, write_private
from harness.lookalike.process import GatewayProcess
from harness.lookalike.surroundings import Surroundings
from harness.model import Cluster, Toolchain
from harness.orphans import mark
from harness.process import Runner, SubprocessRunner
from harness.removing import Removing
from harness.services.pki import Authority
from harness.settings import Settings
from harness.supply.engine import EngineFolders, EngineSupply
from harness.supply.provision import provision
from harness.targets.additions import Additions, Mount
from harness.targets.attached.images import without_local
from harness.targets.eks.ecr import repository_of
from harness.targets.eks.token import make_token
from harness.targets.kind import KindTarget
from harness.targets.ownership import refuse_foreign
from harness.timeline import Timeline, UsualTimes
from harness.wait import Waiter

DEFAULT_NAME = "eks-lookalike"
_PROOF_SECONDS = 30.0


@dataclass(slots=True)
class AwsBeside:
    """What is beside the cluster and plays AWS: the object store, and the look-alike's process.

    Attributes:
        plan: What is to be in the account.
        toolchain: Has the store's image.
        run_id: Of the run.
        runner: Runs docker.
        waiter: How patient to be.
        journal: Told before they are made.
        timeline: Told of the phase.
        authority: Signs the look-alike's certificate.
    """

    plan: Plan
    toolchain: Toolchain
    run_id: str
    runner: Runner
    waiter: Waiter
    journal: Journal
    timeline: Timeline
    authority: Authority = field(default_factory=Authority.create)
    _entries: list[Entry] = field(default_factory=list)
    _made: tuple[Store, Serving] | None = None

    name = "an EKS look-alike"

    @property
    def made(self) -> tuple[Store, Serving]:
        """The store, and where the look-alike serves.

        Raises:
            EnvironmentFailed: They are not made.
        """
        if self._made is None:
            raise EnvironmentFailed("the look-alike of AWS has not been started")
        return self._made

    def make(self, *, folder: Path, gateway: str) -> Additions:
        """See `Beside.make`."""
        files, cluster, engine = Folder.of_cluster(folder), self.plan.cluster, self.toolchain.engine
        with self.timeline.phase("AWS look-alike") as note:
            files.path.mkdir(mode=0o700)
            named = {"folder": str(folder), "host": engine.host}
            self._entries.append(self.journal.record("gateway", cluster, **named))
            image = self.toolchain.engine_images["localstack"]
            objects = store.start(
                cluster, image=image, run_id=self.run_id, secret=secrets.token_urlsafe(24), engine=engine,
                runner=self.runner,
            )  # fmt: skip
            own = self.authority.issue([gateway])
            write_private(files.path / "tls.crt", own.certificate)
            write_private(files.path / "tls.key", own.key)
            files.host(
                Hosted(
                    gateway, self.plan.number, self.plan.region, cluster,
                    self.toolchain.kubernetes_version.removeprefix("v").rpartition(".")[0],
                    dict(account.TAGS), dict(account.ADDONS), self.plan.users(), objects,
                )
            )  # fmt: skip
            serving = GatewayProcess(files).start(self.runner, self.waiter)
            note(f"process {serving.pid}")
        self._made = (objects, serving)
        node, keys = files.below("node"), files.keys()[NODE]
        write_private(node / "credentials.json", _node_file(keys))
        webhook = fittings.write_webhook_file(files, serving, self.authority.certificate)
        registry = node_registry.write_files(files, serving, self.authority.certificate)
        return Additions(
            kubeadm=(fittings.kubeadm_patch(), node_registry.kubeadm_patch()),
            containerd=(node_registry.containerd_patch(),),
            mounts=(
                Mount(webhook, fittings.NODE_API_SERVER),
                Mount(node, fittings.NODE_KEYS),
                Mount(registry, node_registry.IN_NODE),
            ),
            egress=(serving.data.rpartition("/")[2],),
        )

    def remove(self, *, folder: Path) -> None:
        """See `Beside.remove`."""
        GatewayProcess(Folder.of_cluster(folder)).end()
        store.remove(self.plan.cluster, runs={self.run_id}, engine=self.toolchain.engine, runner=self.runner)
        for entry in self._entries:
            self.journal.removed(entry)
        self._entries.clear()


class LookAlikeBringUp:
    """One bringing up: on success everything stays, else nothing does.

    Args:
        settings: Which supply, and the cluster's name.
        timeline: Told of every phase.
        usual: Told how long they took.
        status: Told what the current phase is doing.
    """

    def __init__(
        self, settings: Settings, *, timeline: Timeline, usual: UsualTimes, status: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._status = status
        self._run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self._plan = Plan(settings.cluster_name or DEFAULT_NAME, settings.eks.region or account.REGION)
        self._runner = SubprocessRunner(marks=mark(self._run_id))
        self._waiter = Waiter(patience=settings.patience, on_change=lambda what, state: status(f"{what}: {state}"))
        self._engines = EngineSupply(
            folders=EngineFolders.below(settings.state_dir, settings.cache_dir),
            runner=self._runner,
            waiter=Waiter(patience=settings.patience),
            status=status,
        )
        self._target: KindTarget | None = None
        self._usual = usual
        self._up = False

    def __call__(self) -> Surroundings:
        """Bring it up.

        Raises:
            HarnessError: What went wrong; nothing of ours is left behind.
        """
        run = self._settings.state_dir / "runs" / self._run_id
        with ExitStack() as until_end:
            until_end.enter_context(alive(run))
            journal = Journal(run / "journal.jsonl")
            try:
                made = self._bring_up(run, journal, until_end)
                self._up = True
            except BaseException as error:
                try:
                    self._let_go(run, journal)
                except HarnessError as second:
                    if not isinstance(error, HarnessError):
                        raise second from error
                    error.evidence["cleaning up failed too"] = second.message
                raise
            self._let_go(run, journal)
        return made

    def _bring_up(self, run: Path, journal: Journal, until_end: ExitStack) -> Surroundings:
        settings, timeline, name = self._settings, self._timeline, self._plan.cluster
        folder = settings.state_dir / "clusters" / name
        check_room(LocalHost(self._runner), cache_dir=settings.cache_dir, kept=folder)
        with timeline.phase("container engine") as note:
            engine = self._engines.acquire()
            note(f"Docker {engine.version}, " + ("the harness's own" if engine.ours else "the machine's own"))
        refuse_foreign(name, folder=folder, engine=engine, runner=self._runner)
        scratch = run / "scratch"
        scratch.mkdir()
        toolchain = provision(
            settings, engine, run_id=self._run_id, scratch=scratch, until_end=until_end, runner=self._runner,
            timeline=timeline, journal=journal, status=self._status,
        ).toolchain  # fmt: skip
        beside = AwsBeside(self._plan, toolchain, self._run_id, self._runner, self._waiter, journal, timeline)
        with timeline.phase("kind cluster") as note:
            self._target = target = KindTarget(
                name=name,
                run_id=self._run_id,
                state_dir=settings.state_dir,
                toolchain=toolchain,
                runner=self._runner,
                journal=journal,
                status=self._status,
                egress_allow=settings.egress_allow,
                beside=beside,
            )
            cluster = target.up()
            note(cluster.kubernetes_version)
        return self._fill(beside, cluster, target.folder)

    def _fill(self, beside: AwsBeside, cluster: Cluster, folder: Path) -> Surroundings:
        files, plan, (objects, serving) = Folder.of_cluster(folder), self._plan, beside.made
        keys = files.keys()
        attached = _attached(cluster)
        files.attach(attached)
        with KubeApi(cluster.kubeconfig, cluster.context) as kube:
            fitting = Fittings(kube, self._waiter)
            with self._timeline.phase("fittings applied"):
                image = beside.toolchain.images["adapter"]
                fitting.apply(
                    serving, cluster=plan.cluster, region=plan.region, authority=beside.authority.certificate,
                    image=image,
                )  # fmt: skip
            with self._timeline.phase("account") as note:
                store.wait(objects, self._waiter)
                account.prepare(plan, serving, keys, self._waiter, repositories=_repositories(beside.toolchain))
                note(f"{plan.number}, {plan.region}")
            with self._timeline.phase("agent and injector"):
                fitting.wait()
        with self._timeline.phase("the runner gets in"):
            self._prove(attached, keys[RUNNER])
        made = Surroundings(files, plan, serving)
        made.write(keys)
        return made

    def _prove(self, attached: Attached, keys: Keys) -> None:
        """Ask the API server for something with a token of the runner's: it has it reviewed by the look-alike."""
        trusted = ssl.create_default_context(cadata=attached.authority)

        def asked() -> int:
            headers = {"Authorization": f"Bearer {token_of(keys, self._plan)}"}
            url = f"{attached.endpoint}/api/v1/nodes"
            return httpx.get(url, headers=headers, verify=trusted, trust_env=False, timeout=20).status_code

        self._waiter.until(
            "the API server to let the runner in",
            asked,
            ready=lambda status: status == httpx.codes.OK,
            describe=lambda status: f"HTTP {status}",
            timeout=_PROOF_SECONDS,
            transient=(httpx.HTTPError,),
            next_step="the API server must reach this machine in the cluster's network: see its firewall",
        )

    def _let_go(self, run: Path, journal: Journal) -> None:
        """Keep what is up, remove what is not; goes on past errors, and raises the first."""
        removing, target = Removing(), self._target
        if target is not None:
            removing.step(target.keep if self._up else target.down)
            removing.step(target.release)
        clusters = self._settings.state_dir / "clusters"
        left = clusters.is_dir() and any(path.is_dir() for path in clusters.iterdir())
        removing.step(lambda: self._engines.release(keep=left))
        removing.step(lambda: self._usual.remember(self._timeline))
        removing.step(lambda: shutil.rmtree(run / "scratch", ignore_errors=True))
        if self._up or not journal.open():
            removing.step(lambda: bury(run))
        removing.conclude()


def token_of(keys: Keys, plan: Plan) -> str:
    """What a user of an account gets into its cluster with, whatever this process's environment says of AWS."""
    session = account.session(keys, plan.region)
    return make_token(session, cluster=plan.cluster, now=datetime.now(UTC), core=own_core()).value


def _repositories(toolchain: Toolchain) -> list[str]:
    """What a run pushes to, by the default settings."""
    return [repository_of(account.PREFIX, one) for one in without_local(toolchain).images.values()]


def _attached(cluster: Cluster) -> Attached:
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))["clusters"][0]["cluster"]
    authority = base64.b64decode(config["certificate-authority-data"]).decode()
    return Attached(str(cluster.kubeconfig), cluster.context, config["server"], authority)


def _node_file(keys: Keys) -> str:
    return f'{{"AccessKeyId": "{keys.access_key_id}", "SecretAccessKey": "{keys.secret_access_key}"}}'
