"""The target existing: an environment in any cluster, by the exact name of a kubeconfig's context.

The services are in the cluster, the object store too. What is made there is in the harness's two namespaces, which are
taken and given back as on EKS (`harness.targets.attached`), and one webhook. Nothing is opened on nodes.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.kubeapi import KubeApi
from harness.liveness import scratch
from harness.model import Cluster, Toolchain
from harness.settings import Settings
from harness.targets.attached import images
from harness.targets.attached.folder import KUBECONFIG, kube_of, write_config
from harness.targets.attached.target import AttachedTarget, name_for
from harness.targets.existing.environment import TARGET, ExistingEnvironment, described, remove_environment
from harness.targets.existing.guards import guarded, refuse_inhabited
from harness.targets.existing.images import as_nodes_have
from harness.targets.existing.kubeconfig import Context, look_up
from harness.targets.existing.rights import check_rights
from harness.targets.storage import check_storage
from harness.targets.wanted import Wanted

_NAME_A_CLASS: Final = "name one that is there with HARNESS_EXISTING__STORAGE_CLASS (existing.storage_class)"


def check_settings(settings: Settings) -> None:
    """Hold the settings to name a context that is there, before anything is started.

    Raises:
        UsageError: They do not.
        GuardError: The name stands for several.
    """
    if settings.existing.context is None:
        raise UsageError(
            "the target existing needs to be told more",
            evidence={"existing.context": "--context, or HARNESS_EXISTING__CONTEXT"},
            next_step="see docs/how-to/existing.md",
        )
    look_up(settings.existing)


def own_name(settings: Settings) -> str | None:
    """What the harness calls its environment in the cluster; None where none is named."""
    context = settings.existing.context
    return None if context is None else name_for(TARGET, context)


def secrets(settings: Settings) -> tuple[str, ...]:
    """What the context's user gets in with; the same errors as `check_settings`."""
    return look_up(settings.existing).secrets()


def flags(settings: Settings) -> str:
    """What the reader says on a command line to mean this target and cluster."""
    return f" --target {TARGET} --context {shlex.quote(settings.existing.context or '')}"


def refuse(wanted: Wanted) -> None:
    """Refuse what cannot or may not be, by asking alone, before anything is built.

    Raises:
        UsageError: The settings name no context, or allow nothing.
        GuardError: Something is not what is allowed.
        EnvironmentFailed: The cluster does not answer, or lacks something; each missing right by name.
    """
    settings = wanted.settings.existing
    found = guarded(settings)
    with scratch(wanted.settings.state_dir, "guards") as folder:
        write_config(found.config, folder / KUBECONFIG)
        with KubeApi(folder / KUBECONFIG, found.name) as kube:
            kube.version()
            check_rights(kube, found.name)
            check_storage(kube, settings.storage_class, next_step=_NAME_A_CLASS)


class ExistingTarget(AttachedTarget):
    """One environment in a cluster that is somebody's.

    Args:
        wanted: What the run asks for.
        toolchain: What the environment is filled with.
    """

    def __init__(self, wanted: Wanted, toolchain: Toolchain) -> None:
        super().__init__(wanted, images.without(toolchain, images.VOLUMES))
        self._settings = wanted.settings.existing

    def up(self) -> Cluster:
        """Attach, and take the namespaces; or go on with the environment that was kept.

        Raises:
            GuardError: Something is not what is allowed, or another run has the cluster.
            UsageError: Likewise as for `refuse`.
            EnvironmentFailed: It cannot be had; nothing of ours is left behind.
        """
        self._lock(TARGET)
        found = guarded(self._settings)
        self._names = self._as_in(self._settings.registry)
        known = described(self._folder)
        if known is not None:
            self._refuse_other(f"at {known.server}", f"at {found.server}")
        reused = known is not None and self._go_on(known, found)
        if not reused:
            self._begin_in(found, leftover=known is not None)
        self._has_it = True
        kube, ports = self._forwards(found.name, "airflow", "git", "s3")
        version = kube.version()
        trusted = "; images as the nodes have them" if self._settings.trust_node_images else ""
        self.note = f"{'reused' if reused else version} at {found.server}{trusted}"
        return Cluster(
            name=self.name,
            kubeconfig=self._folder / KUBECONFIG,
            context=found.name,
            ports=ports,
            reused=reused,
            kubernetes_version=version,
            forwarded=True,
            mapped_images=self._names,
            storage_class=self._settings.storage_class,
        )

    def _remove(self) -> None:
        remove_environment(self._folder, waiter=self._wanted.waiter)

    def _go_on(self, known: ExistingEnvironment, found: Context) -> bool:
        """Take up the environment that is known here, if it was kept and is whole in the cluster."""
        if not self.kept:
            return False
        write_config(found.config, self._folder / KUBECONFIG)
        if not self._renewed(found.name, known.run, hours=self._settings.max_lifetime):
            return False
        self._ask_node(found.name)
        return True

    def _begin_in(self, found: Context, *, leftover: bool) -> None:
        wanted = self._wanted
        self._entry = wanted.journal.record(TARGET, found.name, folder=str(self._folder), server=found.server)

        def describe(kube: KubeApi) -> None:
            refuse_inhabited(kube)
            ExistingEnvironment(
                run=wanted.run_id, context=found.name, server=found.server, made_from=str(Path.cwd())
            ).write(self._folder)

        def make() -> None:
            write_config(found.config, self._folder / KUBECONFIG)
            self._take(found.name, hours=self._settings.max_lifetime, describe=describe)
            self._ask_node(found.name)

        self._begin(leftover=leftover, make=make)

    def _ask_node(self, context: str) -> None:
        wanted = self._wanted
        with kube_of(self._folder, context) as kube:
            self._toolchain = as_nodes_have(
                self._toolchain,
                kube,
                wanted.waiter,
                names=self._names,
                run=wanted.run_id,
                trusted=self._settings.trust_node_images,
            )
