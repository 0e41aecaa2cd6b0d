"""The `harness` command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from harness import series, session, verbs
from harness.errors import ExitCode, HarnessError, Interrupted
from harness.report.console import ReportConsole
from harness.settings import Keep, S3Backend, SupplyKind, mirrors, policy_flags, resolve

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="End-to-end proof for Airflow DAGs that version data with DVC, on a real Kubernetes cluster.",
)

Supply = Annotated[SupplyKind | None, typer.Option(help="Where parts come from.")]
S3 = Annotated[S3Backend | None, typer.Option(help="What speaks S3.")]
KeepOption = Annotated[Keep | None, typer.Option(help="Whether the cluster outlives the run.")]
Cluster = Annotated[str | None, typer.Option(help="Name of the cluster.")]
Chart = Annotated[str | None, typer.Option(help="Official chart: folder, archive, URL or oci:// reference.")]
Values = Annotated[list[Path] | None, typer.Option(help="Further Helm values, applied last.")]
Dags = Annotated[Path | None, typer.Option(help="Folder with the DAG under test.")]
DagId = Annotated[str | None, typer.Option(help="The DAG under test.")]
Repository = Annotated[Path | None, typer.Option(help="Folder with the files of the repository under test.")]
Data = Annotated[Path | None, typer.Option(help="Data set that the run starts from.")]
TrackedFile = Annotated[str | None, typer.Option(help="The file under DVC, path in the repository.")]
WorkerImage = Annotated[str | None, typer.Option(help="Image that the DAG's pods run, by tag.")]
Branch = Annotated[str | None, typer.Option(help="Branch that the DAG's commit lands on.")]
Mirrors = Annotated[
    list[str] | None, typer.Option(metavar="HOST=MIRROR", help="Pull the images of a registry from a mirror.")
]
Patience = Annotated[float | None, typer.Option(help="Multiplies every deadline; above 1 on slow machines.")]


def _reported(command: Callable[..., ExitCode]) -> Callable[..., None]:
    """Turn the command's result, or the error that ended it, into an exit code and a message for the reader."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except HarnessError as error:
            Console(stderr=True).print(f"harness: {error}", style="red", markup=False, highlight=False)
            code = error.exit_code
        except KeyboardInterrupt:
            code = Interrupted.exit_code
        sys.exit(int(code))

    return run


@app.command()
@_reported
def run(
    supply: Supply = None,
    s3: S3 = None,
    keep: KeepOption = None,
    cluster: Cluster = None,
    airflow_chart: Chart = None,
    values: Values = None,
    dags: Dags = None,
    dag_id: DagId = None,
    repository: Repository = None,
    data: Data = None,
    tracked_file: TrackedFile = None,
    worker_image: WorkerImage = None,
    branch: Branch = None,
    patience: Patience = None,
    registry_mirror: Mirrors = None,
    repeat: Annotated[int, typer.Option(metavar="N", help="Do all of it N times in a row.")] = 1,
) -> ExitCode:
    """Bring an environment up, run the DAG once, judge it, take everything down."""
    settings = resolve(
        supply=supply, s3=s3, keep=keep, cluster_name=cluster, airflow_chart=airflow_chart,
        values=tuple(values) if values else None, dags=dags, dag_id=dag_id, patience=patience,
        repository=repository, data=data, tracked_file=tracked_file, worker_image=worker_image,
        policy=policy_flags(branch=branch), registry_mirror=mirrors(registry_mirror),
    )  # fmt: skip
    console = ReportConsole()
    return series.repeat(repeat, lambda: session.run_once(settings, console), console)


@app.command()
@_reported
def up(
    supply: Supply = None,
    s3: S3 = None,
    cluster: Cluster = None,
    airflow_chart: Chart = None,
    values: Values = None,
    dags: Dags = None,
    dag_id: DagId = None,
    repository: Repository = None,
    data: Data = None,
    tracked_file: TrackedFile = None,
    worker_image: WorkerImage = None,
    branch: Branch = None,
    patience: Patience = None,
    registry_mirror: Mirrors = None,
) -> ExitCode:
    """Bring an environment up and keep it."""
    settings = resolve(
        supply=supply, s3=s3, keep=Keep.ALWAYS, cluster_name=cluster, airflow_chart=airflow_chart,
        values=tuple(values) if values else None, dags=dags, dag_id=dag_id, patience=patience,
        repository=repository, data=data, tracked_file=tracked_file, worker_image=worker_image,
        policy=policy_flags(branch=branch), registry_mirror=mirrors(registry_mirror),
    )  # fmt: skip
    return session.bring_up(settings, ReportConsole())


@app.command()
@_reported
def doctor() -> ExitCode:
    """Check this machine: engine, memory, disk, ports, inotify, cgroups, capabilities, clock."""
    return verbs.doctor(resolve(), ReportConsole())


@app.command()
@_reported
def status() -> ExitCode:
    """Show the clusters of the harness and what runs in them."""
    return verbs.status(resolve(), ReportConsole())


@app.command()
@_reported
def logs(
    part: Annotated[str, typer.Argument(help="airflow, git, s3, postgres, adapter, or the name of a pod.")],
    cluster: Cluster = None,
    previous: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--previous", help="Of the instances before, of containers that were restarted.")
    ] = False,
) -> ExitCode:
    """Print the logs of a part of a kept cluster."""
    return verbs.logs(resolve(cluster_name=cluster), part, ReportConsole(), previous=previous)


@app.command()
@_reported
def shell(cluster: Cluster = None) -> ExitCode:
    """Open a shell whose kubectl and helm talk to a kept cluster, and to no other."""
    return verbs.shell(resolve(cluster_name=cluster), ReportConsole())


@app.command()
@_reported
def down(cluster: Cluster = None) -> ExitCode:
    """Remove a kept cluster."""
    return verbs.down(resolve(cluster_name=cluster), ReportConsole())


@app.command()
@_reported
def sweep() -> ExitCode:
    """Remove what killed runs left behind; nothing that the harness did not make."""
    return verbs.sweep(resolve(), ReportConsole())


@app.command("versions")
@_reported
def versions_command() -> ExitCode:
    """Print every pinned version."""
    return verbs.print_versions(ReportConsole())


@app.command()
@_reported
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all caches.")] = False,  # noqa: FBT002 - typer's form
) -> ExitCode:
    """Show what the caches hold, evict what is over the budget, or clear them."""
    return verbs.cache(resolve(), ReportConsole(), clear=clear)


def main() -> None:
    """Entry point of the `harness` command: a wrong flag is a usage error, by our code and not by click's 2."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except click.Abort:
        code = ExitCode.INTERRUPTED
    sys.exit(int(code or 0))


if __name__ == "__main__":
    main()
