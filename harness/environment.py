"""The composition: brings the boxes up in order, side by side where they do not depend on each other, down in reverse.

One `Environment` is one run of the harness. Both front doors (the command and the pytest plug-in) drive it and add
no logic of their own.
"""

from __future__ import annotations

import secrets as random
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.airflow.api import AirflowApi
from harness.airflow.chart import Chart, contract, resolve_chart
from harness.airflow.chart_values import check_values
from harness.airflow.overlay import check_agreement, write_overlay
from harness.airflow.release import ReleasePlan
from harness.assets import asset, package_path
from harness.bringup import AirflowBringUp, Seeder, ServicesBringUp, service_images
from harness.diagnostics.doctor import Level, examine
from harness.diagnostics.host import LocalHost
from harness.dvc import Verdict
from harness.errors import EnvironmentFailed, HarnessError, WaitAbandoned
from harness.journal import Journal
from harness.kubeapi import KubeApi
from harness.liveness import alive
from harness.model import AirflowRelease, Cluster, Engine, Seeded, Services, StandIn, Toolchain
from harness.names import GIT_URL
from harness.pipeline.inputs import DAGS, Inputs, check_inputs
from harness.process import SubprocessRunner
from harness.redaction import Redactor
from harness.services.deploy import ServicesDeployer
from harness.services.secrets import ClusterSecrets
from harness.settings import Keep, Settings
from harness.supply.engine import EngineFolders, EngineSupply
from harness.supply.provision import provision
from harness.supply.worker import WorkerImage, find_worker, with_worker
from harness.targets.kind import KindTarget
from harness.targets.ownership import refuse_foreign
from harness.timeline import Timeline, UsualTimes
from harness.versions import versions
from harness.wait import Waiter

KEPT_CLUSTER = "harness-kept"
_NEEDED_OF_THE_MACHINE = frozenset({"memory", "disk"})


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
        self.evidence.mkdir(parents=True, exist_ok=True)
        self.redactor = Redactor()
        self.runner = SubprocessRunner(redactor=self.redactor, transcript=self.evidence / "commands.log")
        self._gave_up = threading.Event()
        self.waiter = Waiter(
            patience=settings.patience,
            on_change=lambda what, state: status(f"{what}: {state}"),
            given_up=self._gave_up.is_set,
        )
        self._open = ExitStack()
        # Everything of this run that is on disk, in one place: what a killed run leaves, `harness sweep` removes.
        self._folder = settings.state_dir / "runs" / self.run_id
        self._open.enter_context(alive(self._folder))
        self.journal = Journal(self._folder / "journal.jsonl")
        self.usual = UsualTimes(settings.state_dir / "usual-times.json")
        self.status = status
        self.failed = False
        self.verdicts: list[Verdict] = []
        # What is there so far; whoever explains a failure needs it before everything is ready.
        self.toolchain: Toolchain | None = None
        self.cluster: Cluster | None = None
        self.kube: KubeApi | None = None
        self.services: Services | None = None
        self.cache_bytes: int | None = None
        self.api: AirflowApi | None = None
        self.ready: Ready | None = None
        self.stand_ins: tuple[StandIn, ...] = ()
        self.supply_note = str(settings.supply)
        self._engines = EngineSupply(
            folders=EngineFolders(settings.state_dir / "engine", settings.cache_dir / "engine" / "data"),
            runner=self.runner,
            # Not the one that gives up when a part fails: stopping the engine is what must still happen then.
            waiter=Waiter(patience=settings.patience),
            status=status,
        )
        self._target: KindTarget | None = None
        self.scratch = self._folder / "scratch"
        self.scratch.mkdir()
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
        """One per run, unless it is to be kept or was named."""
        if self.settings.cluster_name is not None:
            return self.settings.cluster_name
        return KEPT_CLUSTER if self.settings.keep is Keep.ALWAYS else f"harness-{self.run_id}"

    @property
    def values_files(self) -> tuple[Path, ...]:
        """Helm values in order: shared, what differs on kind, what the settings say, the user's."""
        helm = asset("helm")
        overlay = write_overlay(helm, self.scratch / "branch.yaml", branch=self.settings.policy.branch)
        return (helm / "values.yaml", helm / "kind.yaml", overlay, *self.settings.values)

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
        """Take down what the keep policy does not keep; goes on past errors and reports the first one.

        Raises:
            CleanupFailed: Something of ours is still there.
        """
        problem: HarnessError | None = None
        keep = self.keeps_cluster
        try:
            for client in (self.api, self.kube):
                if client is not None:
                    client.close()
            if self._target is not None and keep:
                (self._target.folder / "kept").touch()
            elif self._target is not None:
                with self.timeline.phase("removing the cluster"):
                    self._target.down()
        except HarnessError as error:
            problem = error
        finally:
            if self._target is not None:
                self._target.release()
        try:
            self._engines.release(keep=keep or self._clusters_left())
        except HarnessError as error:
            problem = problem or error
        self.usual.remember(self.timeline)
        shutil.rmtree(self.scratch)
        self._open.close()
        if keep or not self.journal.open():
            shutil.rmtree(self._folder)
        if problem is not None:
            raise problem

    @property
    def keeps_cluster(self) -> bool:
        """Whether the cluster outlives this run, as things stand now."""
        keep = self.settings.keep
        return self.cluster is not None and (keep is Keep.ALWAYS or (keep is Keep.ON_FAILURE and self.failed))

    def reseed(self) -> Seeded:
        """A fresh repository and prefix for the next run; the one made while the cluster came up is used first.

        Raises:
            EnvironmentFailed: The Git server or the object store refused it.
        """
        waiting, self._seed_waiting = self._seed_waiting, None
        if waiting is not None:
            return waiting
        return self._seeder().fresh(self._ready().services, self.timeline)

    def discard_seed(self) -> None:
        """Have the next `reseed` make a new one: the repository is no longer what was seeded."""
        self._seed_waiting = None

    def _up(self) -> Ready:
        # What the user got wrong is found before anything is built or started.
        self._inputs = check_inputs(self.settings)
        self._check_machine()
        spec = self.settings.airflow_chart
        remote = spec is not None and spec.startswith(("http://", "https://", "oci://"))
        checked = None if remote else self._chart(None)
        with self.timeline.phase("container engine") as note:
            engine = self._engines.acquire()
            note(f"Docker {engine.version}, " + ("started by the harness" if engine.ours else "the machine's own"))
        name = self.cluster_name
        refuse_foreign(name, folder=self.settings.state_dir / "clusters" / name, engine=engine, runner=self.runner)
        worker = self._worker(engine)
        self.toolchain = toolchain = self._toolchain(engine, worker)
        chart, values = checked or self._chart(toolchain.helm)
        with self.timeline.phase("kind cluster") as note:
            self._target = KindTarget(
                name=self.cluster_name,
                run_id=self.run_id,
                state_dir=self.settings.state_dir,
                toolchain=toolchain,
                runner=self.runner,
                journal=self.journal,
                status=self.status,
            )
            self.cluster = cluster = self._target.up()
            # From here on with the digests that pods of this cluster show.
            self.toolchain = toolchain = self._target.toolchain
            note("reused" if cluster.reused else cluster.kubernetes_version)
        plan = ReleasePlan(
            chart=chart,
            files=self.values_files,
            values=values,
            images={name: toolchain.image_digests[name] for name in ("airflow", "git-sync")},
        )
        return self._fill(toolchain, cluster, plan, self._target.folder)

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
        )
        seeder = self._seeder()
        filling = ServicesBringUp(deployer, seeder, self.timeline, kube, self.waiter)
        airflow = AirflowBringUp(
            cluster=cluster,
            kube=kube,
            helm=toolchain.helm,
            helm_home=self.settings.cache_dir / "helm",
            secrets=secrets,
            timeline=self.timeline,
            runner=self.runner,
            waiter=self.waiter,
        )
        self.services = services = deployer.services()
        filling.apply()
        seed = seeder.build(services)
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="up") as pool:
            store: Future[None] = pool.submit(filling.s3, services, seed)
            repository: Future[None] = pool.submit(filling.git, services, seed)
            parts: tuple[Future[None], ...] = (store, repository)
            for part in parts:
                part.add_done_callback(self._give_up_on_failure)
            try:
                filling.adapter()
                # Airflow's pods end when they find no database, and wait longer after each end: only when a pod has
                # shown that names resolve and services answer is it their time.
                filling.proof_from_a_pod(services)
                repository.result()
                release = airflow.install(plan)
                for part in parts:
                    part.result()
            except BaseException as error:
                self._gave_up.set()
                if not isinstance(error, HarnessError):
                    raise
                # Of several failures the first cause is the one to show: what gave up because of it is not.
                raise next((first for part in parts if (first := self._cause(part))), error) from None
        self._seed_waiting = seed.seeded
        self.api = api = AirflowApi(release.url, release.username, release.password, waiter=self.waiter)
        return Ready(toolchain, cluster, services, release, kube, api)

    def _check_machine(self) -> None:
        """Refuse a machine on which the run would only fail later and less clearly.

        Raises:
            EnvironmentFailed: Too little memory or disk; with the numbers.
        """
        findings = examine(
            LocalHost(self.runner), cache_dir=self.settings.cache_dir, package=package_path("versions.toml")
        )
        short = [found for found in findings if found.level is Level.FAIL and found.name in _NEEDED_OF_THE_MACHINE]
        if short:
            raise EnvironmentFailed(
                "this machine has too little for a cluster",
                evidence={found.name: f"{found.found}, needed {found.needed}" for found in short},
                next_step="; ".join(found.mend for found in short),
            )

    def _give_up_on_failure(self, part: Future[None]) -> None:
        if part.exception() is not None:
            self._gave_up.set()

    def _cause(self, part: Future[None]) -> HarnessError | None:
        """The error of a part that failed by itself, if it has one by now."""
        error = part.exception() if part.done() else None
        return error if isinstance(error, HarnessError) and not isinstance(error, WaitAbandoned) else None

    def _worker(self, engine: Engine) -> WorkerImage | None:
        """The image of the DAG's pods, if it is another than the built one: had first, for it may not be to be had."""
        reference = self.settings.worker_image
        if reference is None or reference == versions().images["worker"]:
            return None
        with self.timeline.phase("worker image") as note:
            image = find_worker(
                reference,
                engine=engine,
                runner=self.runner,
                mirrors=self.settings.registry_mirror,
                status=self.status,
            )
            note(f"{reference}, " + ("pulled" if image.pulled else "the engine's own"))
        return image

    def _toolchain(self, engine: Engine, worker: WorkerImage | None) -> Toolchain:
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
        self.stand_ins = provided.toolchain.stand_ins
        self.supply_note = f"{provided.choice.kind} ({provided.choice.why})"
        self.cache_bytes = provided.cache_bytes
        return provided.toolchain if worker is None else with_worker(provided.toolchain, worker)

    def _chart(self, helm: Path | None) -> tuple[Chart, Mapping[str, object]]:
        """The chart, and the effective values, both checked."""
        home = self.settings.cache_dir / "helm"
        home.mkdir(parents=True, exist_ok=True)
        chart = resolve_chart(self.settings.airflow_chart, helm=helm or Path("helm"), runner=self.runner, home=home)
        values = check_values(self.values_files, contract(chart))
        check_agreement(values, branch=self.settings.policy.branch, repository=GIT_URL, dags_path=DAGS)
        return chart, values

    def _seeder(self) -> Seeder:
        return Seeder(self.settings, self.inputs, self.run_id, self.scratch, self.runner, self.waiter)

    def _clusters_left(self) -> bool:
        """Whether a kept cluster still needs the engine."""
        folder = self.settings.state_dir / "clusters"
        return folder.is_dir() and any(path.is_dir() for path in folder.iterdir())

    def _ready(self) -> Ready:
        if self.ready is None:
            raise EnvironmentFailed("the environment is not up")
        return self.ready
