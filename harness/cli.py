"""The `harness` command."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from harness import series, session, verbs
from harness.errors import ExitCode, HarnessError, Interrupted
from harness.options import OPTIONS, Option, settings_from
from harness.report.console import ReportConsole
from harness.settings import Keep, resolve

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="End-to-end proof for Airflow DAGs that version data with DVC, on a real Kubernetes cluster.",
)

Cluster = Annotated[str | None, typer.Option(help="name of the cluster")]


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


def _with_options(*without: str) -> Callable[[Callable[..., ExitCode]], Callable[..., ExitCode]]:
    """Give a command the options of the table, except some; it gets what was given for them as its first argument."""
    options = [option for option in OPTIONS if option.name not in without]

    def decorate(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
        def run(**values: Any) -> ExitCode:
            given = {option.name: values.pop(option.name) for option in options}
            return command(given, **values)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        taken = [
            inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(option))
            for option in options
        ]
        # typer reads a command's options from its signature and annotations.
        signature = inspect.Signature([*taken, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _annotation(option: Option) -> Any:
    kind: Any = list[option.kind] if option.many else option.kind  # type: ignore[name-defined]
    return Annotated[kind | None, typer.Option(option.flag, metavar=option.metavar or None, help=option.help)]


@app.command()
@_reported
@_with_options()
def run(
    given: Mapping[str, Any],
    repeat: Annotated[int, typer.Option(metavar="N", help="do all of it N times in a row")] = 1,
) -> ExitCode:
    """Bring an environment up, run the DAG once, judge it, take everything down."""
    settings = settings_from(given)
    console = ReportConsole()
    return series.repeat(repeat, lambda: session.run_once(settings, console), console)


@app.command()
@_reported
@_with_options("keep")
def up(given: Mapping[str, Any]) -> ExitCode:
    """Bring an environment up and keep it."""
    return session.bring_up(settings_from({**given, "keep": Keep.ALWAYS}), ReportConsole())


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
    part: Annotated[str, typer.Argument(help="airflow, git, s3, postgres, adapter, or the name of a pod")],
    cluster: Cluster = None,
    previous: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--previous", help="of the instances before, of containers that were restarted")
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


@app.command("eks-token")
@_reported
def eks_token(
    cluster_name: Annotated[str, typer.Option(help="name of the EKS cluster")],
    region: Annotated[str | None, typer.Option(help="its region (default: the profile's)")] = None,
    profile: Annotated[str | None, typer.Option(help="profile of the AWS configuration that signs")] = None,
) -> ExitCode:
    """Print a token for an EKS cluster, as a Kubernetes client reads it from an exec plug-in."""
    return verbs.eks_token(cluster_name, region=region, profile=profile)


@app.command("versions")
@_reported
def versions_command() -> ExitCode:
    """Print every pinned version."""
    return verbs.print_versions(ReportConsole())


@app.command()
@_reported
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="remove all caches")] = False,  # noqa: FBT002 - typer's form
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
