"""The composition: brings the boxes up in order, side by side where they do not depend on each other, down in reverse.

One `Environment` is one run of the harness. Both front doors (the command and the pytest plug-in) drive it and add
no logic of their own.
"""

from __future__ import annotations

import secrets as random
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.airflow.api import AirflowApi
from harness.airflow.chart_choice import ChartChoice
from harness.airflow.overlay import values_files
from harness.airflow.release import ReleasePlan, fingerprint_key
from harness.airflow_bringup import AirflowBringUp
from harness.bringup import ServicesBringUp, fill, service_images
from harness.diagnostics.host import LocalHost
from harness.diagnostics.room import check_room, check_room_for_caches
from harness.diagnostics.values import learn_secrets
from harness.dvc import Verdict
from harness.errors import EnvironmentFailed
from harness.folders import make_usable
from harness.foreign_git import ForeignGit
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.liveness import alive, bury
from harness.model import AirflowRelease, BlockedEgress, Cluster, Engine, Seeded, Services, StandIn, Toolchain
from harness.names import GIT_URL
from harness.orphans import mark
from harness.pipeline.inputs import DAGS, Inputs, check_inputs
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.removing import Removing
from harness.seeding import Seeder
from harness.services import s3
from harness.services.deploy import ServicesDeployer
from harness.services.secrets import ClusterSecrets
from harness.settings import Keep, Settings
from harness.supply.cache import Cache
from harness.supply.engine import EngineFolders, EngineSupply
from harness.supply.provision import provision
from harness.targets import TARGETS, Target, TargetType, Wanted
from harness.targets.attached.folder import is_attached
from harness.targets.use import refuse_other_use
from harness.timeline import Timeline, UsualTimes
from harness.wait import Waiter

KEPT_CLUSTER = "harness-kept"


@dataclass(frozen=True, slots=True)
class Ready:
    """An environment that is up: every part proven, nothing run yet."""

    toolchain: Toolchain
    cluster: Cluster
    services: Services
    release: AirflowRelease
    kube: KubeApi
    api: AirflowApi


class Environment:
    """One environment, from nothing to ready and back.

    Args:
        settings: Of this run.
        timeline: Told of every phase.
        status: Told what the current phase is doing.
    """

    def __init__(
        self, settings: Settings, *, timeline: Timeline, status: Callable[[str], None] = lambda _text: None
    ) -> None:
        self.settings = settings
        self.timeline = timeline
        self.started = datetime.now(UTC)
        self.run_id = f"{self.started:%Y%m%d-%H%M%S}-{random.token_hex(2)}"
        self.evidence = settings.evidence_dir / self.run_id
        make_usable("state_dir", settings.state_dir / "runs", mode=0o700)
        make_usable("evidence_dir", self.evidence)
        self.redactor = Redactor()
        self.runner = SubprocessRunner(
            redactor=self.redactor, transcript=self.evidence / "commands.log", marks=mark(self.run_id)
        )
        self._gave_up = threading.Event()
        self.waiter = Waiter(
            patience=settings.patience,
            on_change=lambda what, state: status(f"{what}: {state}"),
            given_up=self._gave_up.is_set,
        )
        # As they were given, for the record: a run on a Git remote has a branch of its own for the policy's.
        self.given = settings
        self._open = ExitStack()
        try:
            self._begin(settings, status)
        except BaseException:
            self._open.close()
            bury(settings.state_dir / "runs" / self.run_id)
            raise

    def _begin(self, settings: Settings, status: Callable[[str], None]) -> None:
        """Take hold of what is the run's from its beginning to its end."""
        # Everything of this run that is on disk, in one place: what a killed run leaves, `harness sweep` removes.
        self._folder = settings.state_dir / "runs" / self.run_id
        self._open.enter_context(alive(self._folder))
        self.scratch = self._folder / "scratch"
        self.scratch.mkdir()
        self.journal = Journal(self._folder / "journal.jsonl")
        self.foreign_git = ForeignGit.of_run(
            settings,
            run_id=self.run_id,
            journal=self.journal,
            runner=self.runner,
            scratch=self.scratch,
            redactor=self.redactor,
        )
        if self.foreign_git is not None:
            self.settings = self.foreign_git.settings(settings)
        self.usual = UsualTimes(settings.state_dir / "usual-times.json", aside=self._folder)
        self.status = status
        # Told what the run starts from, before anything is built or started.
        self.inputs_checked: Callable[[Inputs], object] = lambda _inputs: None
        self.failed = False
        # Whether it has lasted longer than it may: then nothing of it is kept.
        self.outlived = False
        self.verdicts: list[Verdict] = []
        # What the adapter added to the pods of the runs, by kind of pod.
        self.added: Mapping[str, tuple[str, ...]] = {}
        # What pods tried to reach outside the cluster, the environment's own among them; None where nobody watches.
        self.blocked: tuple[BlockedEgress, ...] | None = ()
        # What is there so far; whoever explains a failure needs it before everything is ready.
        self.toolchain: Toolchain | None = None
        self.cluster: Cluster | None = None
        self.kube: KubeApi | None = None
        self.services: Services | None = None
        self.cache_bytes: int | None = None
        self.api: AirflowApi | None = None
        self.ready: Ready | None = None
        self.supply_note = str(settings.supply)
        self._engines = EngineSupply(
            folders=EngineFolders.below(settings.state_dir, settings.cache_dir),
            runner=self.runner,
            # Not the one that gives up when a part fails: stopping the engine is what must still happen then.
            waiter=Waiter(patience=settings.patience),
            status=status,
        )
        self._target: Target | None = None
        self._seed_waiting: Seeded | None = None
        self._inputs: Inputs | None = None

    @property
    def inputs(self) -> Inputs:
        """What the run starts from, checked at the start of `up`."""
        if self._inputs is None:
            raise EnvironmentFailed("the environment is not up")
        return self._inputs

    @property
    def cluster_name(self) -> str:
        """One per run, unless it is to be kept, was named, or is the target's to name."""
        named = self.settings.cluster_name or self._target_type.own_name(self.settings)
        if named is not None:
            return named
        return KEPT_CLUSTER if self.settings.keep is Keep.ALWAYS else f"harness-{self.run_id}"

    @property
    def target_flags(self) -> str:
        """What a reader says on a command line to mean the same target."""
        return self._target_type.flags(self.settings)

    @property
    def object_store(self) -> str:
        """What speaks S3, as far as the settings say it."""
        return self._target_type.object_store(self.settings)

    @property
    def max_lifetime(self) -> float | None:
        """Hours that the run may last; None for as long as it takes."""
        return self._target_type.max_lifetime(self.settings)

    @property
    def _target_type(self) -> TargetType:
        return TARGETS[self.settings.target]

    @property
    def values_files(self) -> tuple[Path, ...]:
        """Helm values in order: shared, what differs on the target, what the settings say, the user's."""
        settings = self.settings
        return values_files(
            self.scratch,
            target=settings.target,
            branch=settings.policy.branch,
            further=settings.values,
            repository=settings.git.remote or "",
        )

    def up(self) -> Ready:
        """Bring everything up.

        Raises:
            HarnessError: What went wrong; `down` removes what there is by then.
        """
        try:
            self.ready = self._up()
        except BaseException:
            self.failed = True
            raise
        return self.ready

    def down(self) -> None:
        """Take down what the keep policy does not keep; goes on past errors, and raises the first.

        Raises:
            CleanupFailed: Something of ours is still there.
        """
        keep, target = self.keeps_cluster, self._target
        removing = Removing()
        for client in (self.api, self.kube):
            if client is not None:
                removing.step(client.close)
        if target is not None and keep:
            removing.step(target.keep)
        elif target is not None:
            removing.step(lambda: self._remove(target))
        if self.foreign_git is not None:
            # After the pods that ask for it.
            removing.step(self.foreign_git.remove)
        if target is not None:
            removing.step(target.release)
        removing.step(lambda: self._engines.release(keep=keep or self._clusters_left()))
        removing.step(lambda: self.usual.remember(self.timeline))
        removing.step(lambda: shutil.rmtree(self.scratch))
        # Before the run lets go of it: what nobody holds, a sweep takes for its own.
        removing.step(lambda: self._bury(keep=keep))
        removing.step(self._open.close)
        removing.conclude()

    def _remove(self, target: Target) -> None:
        with self.timeline.phase("removing the cluster"):
            target.down()

    def _bury(self, *, keep: bool) -> None:
        """Remove the run's folder, unless its journal still names something."""
        if keep or not self.journal.open():
            bury(self._folder)

    @property
    def keeps_cluster(self) -> bool:
        """Whether the cluster outlives this run, as things stand now.

        One that an earlier run has kept is there before this run has it up: what goes wrong by then must not cost it.
        """
        if self.outlived:
            return False
        keep = self.settings.keep
        there = self.cluster is not None or (self._target is not None and self._target.kept)
        return there and (keep is Keep.ALWAYS or (keep is Keep.ON_FAILURE and self.failed))

    @property
    def stand_ins(self) -> tuple[StandIn, ...]:
        """What replaces a real part, as far as it is known by now."""
        return self.toolchain.stand_ins if self.toolchain is not None else ()

    def reseed(self, *, dags: Path | None = None) -> Seeded:
        """A fresh repository and prefix for the next run; the one made while the cluster came up is used first.

        Args:
            dags: Another DAG folder than the one under test.

        Raises:
            EnvironmentFailed: The Git server or the object store refused it.
        """
        waiting, self._seed_waiting = self._seed_waiting, None
        if waiting is not None and dags is None:
            return waiting
        return self._seeder(dags).fresh(self._ready().services, self.timeline)

    def blocked_by_address(self) -> tuple[BlockedEgress, ...] | None:
        """What pods tried to reach outside the cluster and were kept from, since it was brought up.

        None where nobody watches.

        Raises:
            EnvironmentFailed: The node does not say, or the environment is not up.
        """
        if self._target is None:
            raise EnvironmentFailed("the environment is not up")
        return self._target.blocked()

    def discard_seed(self) -> None:
        """Have the next `reseed` make a new one: the repository is no longer what was seeded."""
        self._seed_waiting = None

    def _up(self) -> Ready:
        # What the user got wrong is found before anything is built or started.
        settings, name, kind = self.settings, self.cluster_name, self._target_type
        kind.check_settings(settings)
        folder = settings.state_dir / "clusters" / name
        refuse_other_use(folder, settings.target)
        self._inputs = check_inputs(settings)
        learn_secrets(settings.values, self.redactor, further=kind.secrets(settings))
        self.inputs_checked(self._inputs)
        host = LocalHost(self.runner)
        check_room(host, cache_dir=settings.cache_dir, kept=folder)
        choice = self._chart_choice()
        choice.before_anything_runs()
        if self.foreign_git is not None:
            with self.timeline.phase("Git remote") as note:
                self.settings = settings = self.foreign_git.reachable(settings)
                note(f"branch {settings.policy.branch}")
        with self.timeline.phase("container engine") as note:
            engine = self._engines.acquire()
            note(f"Docker {engine.version}, " + ("the harness's own" if engine.ours else "the machine's own"))
        wanted = Wanted(
            name=name,
            run_id=self.run_id,
            settings=settings,
            engine=engine,
            runner=self.runner,
            journal=self.journal,
            # As for the engines: what it waits for while it is taken down must not be given up.
            waiter=Waiter(patience=settings.patience, on_change=lambda what, state: self.status(f"{what}: {state}")),
            status=self.status,
        )
        kind.refuse(wanted)
        caches = Cache(engine=engine, runner=self.runner, cache_dir=settings.cache_dir, status=self.status)
        check_room_for_caches(host, cache_dir=settings.cache_dir, cached=lambda: caches.usage().total)
        toolchain = self._toolchain(engine)
        chosen = choice.of(toolchain)
        self.toolchain = toolchain = replace(toolchain, stand_ins=(*toolchain.stand_ins, *chosen.stand_ins))
        with self.timeline.phase(kind.noun) as note:
            self._target = target = kind.make(wanted, toolchain)
            self.cluster = cluster = target.up()
            # From here on with the digests that pods of this cluster show.
            self.toolchain = toolchain = target.toolchain
            note(target.note)
        plan = ReleasePlan(
            chart=chosen.chart,
            files=choice.files,
            values=chosen.values,
            images={name: toolchain.image_digests[name] for name in ("airflow", "git-sync")},
            key=fingerprint_key(target.folder),
        )
        return self._fill(toolchain, cluster, plan, target.folder)

    def _fill(self, toolchain: Toolchain, cluster: Cluster, plan: ReleasePlan, folder: Path) -> Ready:
        secrets = ClusterSecrets.of_cluster(folder, self.redactor)
        self.kube = kube = KubeApi(cluster.kubeconfig, cluster.context)
        deployer = ServicesDeployer(
            cluster=cluster,
            folder=folder,
            kube=kube,
            secrets=secrets,
            images=service_images(toolchain),
            backend=self.settings.s3,
            waiter=self.waiter,
            git_service=self.foreign_git.service if self.foreign_git is not None else None,
        )
        seeder = self._seeder()
        filling = ServicesBringUp(deployer, seeder, self.timeline, kube, self.waiter)
        airflow = AirflowBringUp(
            cluster=cluster,
            kube=kube,
            helm=toolchain.helm,
            helm_home=folder / "helm",
            secrets=secrets,
            timeline=self.timeline,
            runner=self.runner,
            waiter=self.waiter,
        )
        self.services = services = deployer.services()
        # Those of the reader's own session, too, before any program may show them.
        self.redactor.learn(*s3.keys(services.s3).confidential())
        filling.apply()
        seed = seeder.build(services)
        release = fill(filling, airflow, services, seed, plan, gave_up=self._gave_up)
        self._seed_waiting = seed.seeded
        self.api = api = AirflowApi(release.url, release.username, release.password, waiter=self.waiter)
        return Ready(toolchain, cluster, services, release, kube, api)

    def _toolchain(self, engine: Engine) -> Toolchain:
        provided = provision(
            self.settings,
            engine,
            run_id=self.run_id,
            scratch=self.scratch,
            until_end=self._open,
            runner=self.runner,
            timeline=self.timeline,
            journal=self.journal,
            status=self.status,
        )
        self.supply_note = f"{provided.choice.kind} ({provided.choice.why})"
        self.cache_bytes = provided.cache_bytes
        return provided.toolchain

    def _chart_choice(self) -> ChartChoice:
        return ChartChoice(
            spec=self.settings.airflow_chart,
            supply=self.settings.supply,
            files=self.values_files,
            branch=self.settings.policy.branch,
            repository=self.settings.git.remote or GIT_URL,
            dags_path=DAGS,
            runner=self.runner,
            home=self.settings.cache_dir / "helm",
        )

    def _seeder(self, dags: Path | None = None) -> Seeder:
        inputs = self.inputs if dags is None else replace(self.inputs, dags=dags)
        return Seeder(self.settings, inputs, self.run_id, self.scratch, self.runner, self.waiter, self.foreign_git)

    def _clusters_left(self) -> bool:
        """Whether a kept cluster still needs the engine."""
        folder = self.settings.state_dir / "clusters"
        return folder.is_dir() and any(path.is_dir() and not is_attached(path) for path in folder.iterdir())

    def _ready(self) -> Ready:
        if self.ready is None:
            raise EnvironmentFailed("the environment is not up")
        return self.ready
