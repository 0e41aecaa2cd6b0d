"""The `harness` command."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness import eks_record, eks_sweeping, eks_verbs, git_sweeping, parity_verb, rerun, series, session, verbs
from harness.eks_admin import verbs as eks_admin
from harness.eks_admin.making import Wanted
from harness.eks_admin.plan import Asked
from harness.eks_lookalike import DEFAULT_NAME
from harness.eks_settings import Identity
from harness.errors import ExitCode, HarnessError, Interrupted, UsageError
from harness.options import (
    EKS_OPTIONS,
    LOOKALIKE_OPTIONS,
    OPTIONS,
    SWEEP_OPTIONS,
    Option,
    run_settings_from,
    settings_from,
)
from harness.report.console import ReportConsole
from harness.settings import Keep, TargetKind, resolve
from harness.versions import harness_version

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

lookalike = typer.Typer(no_args_is_help=True, help="A cluster with what of AWS a run on EKS touches, on this machine.")
app.add_typer(lookalike, name="eks-lookalike")

eks = typer.Typer(no_args_is_help=True, help="What runs on an EKS cluster need in the account, prepared and removed.")
app.add_typer(eks, name="eks")

Cluster = Annotated[str | None, typer.Option(help="name of the cluster")]
Suffix = Annotated[str, typer.Option(metavar="NAME", help="of the names of role and bucket, for an environment apart")]
IdentityOf = Annotated[Identity, typer.Option("--identity", help="how pods get the role")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's form
    if wanted:
        typer.echo(f"harness {harness_version()}")
        raise typer.Exit


@app.callback()
def harness(
    version: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--version", help="show the version of the harness", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """End-to-end proof for Airflow DAGs that version data with DVC, on a real Kubernetes cluster."""


def _reported(command: Callable[..., ExitCode]) -> Callable[..., None]:
    """Turn the command's result, or the error that ended it, into an exit code and a message for the reader."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except HarnessError as error:
            _tell(str(error))
            code = error.exit_code
        except KeyboardInterrupt:
            code = Interrupted.exit_code
        except Exception as error:  # noqa: BLE001 - Python's own exit code for it is 1: a verdict that is red
            traceback.print_exc()
            _tell(f"a fault of the harness itself: {type(error).__name__}: {error}")
            code = ExitCode.ENVIRONMENT_FAILED
        sys.exit(int(code))

    return run


def _tell(text: str, next_step: str = "") -> None:
    """Say what is wrong; not folded, so that a path in it can be copied."""
    lines = f"harness: {text}" + (f"\n  next: {next_step}" if next_step else "")
    Console(stderr=True).print(lines, style="red", markup=False, highlight=False, soft_wrap=True)


def _with_options(*without: str, **helps: str) -> Callable[[Callable[..., ExitCode]], Callable[..., ExitCode]]:
    """Give a command the options of the table, except some; it gets what was given for them as its first argument.

    Args:
        without: Those that it does not take.
        helps: What an option says of itself there, where it means something else than for a run.
    """
    options = [
        replace(option, help=helps.get(option.name, option.help)) for option in OPTIONS if option.name not in without
    ]

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


def _with_only(names: Collection[str], **helps: str) -> Callable[[Callable[..., ExitCode]], Callable[..., ExitCode]]:
    """The same with some options of the table, and no others."""
    return _with_options(*(option.name for option in OPTIONS if option.name not in names), **helps)


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
    settings = run_settings_from(given)
    console = ReportConsole()
    return series.repeat(repeat, lambda judged: session.run_once(settings, console, judged=judged), console)


@app.command("rerun")
@_reported
@_with_options()
def rerun_command(
    given: Mapping[str, Any],
    bundle: Annotated[Path, typer.Argument(help="evidence folder of a run, or an archive of it")],
) -> ExitCode:
    """Run a recorded run again, and say what is not as it was. Options that are given go before what is recorded."""
    return rerun.rerun(bundle, given, ReportConsole())


@app.command("history")
@_reported
def history_command(
    merge: Annotated[
        list[Path] | None, typer.Option("--merge", metavar="FILE", help="add the runs of another history file first")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="a day, or a span such as 12h, 7d or 4w")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,  # noqa: FBT002 - typer's form
) -> ExitCode:
    """Show how runs ended over time, by the code of what was wrong."""
    return verbs.show_history(resolve(), ReportConsole(), merge=merge or (), since=since, as_json=as_json)


@app.command("parity")
@_reported
def parity_command(
    kind: Annotated[Path, typer.Argument(help="evidence folder of a run on kind, or an archive of it")],
    other: Annotated[Path, typer.Argument(help="that of a run on another target")],
    as_json: Json = False,  # noqa: FBT002 - typer's form
) -> ExitCode:
    """Compare a run on kind with one on EKS: all that differs must be on the list of what may."""
    return parity_verb.parity(resolve(), (kind, other), ReportConsole(), as_json=as_json)


@app.command()
@_reported
@_with_options("keep")
def up(given: Mapping[str, Any]) -> ExitCode:
    """Bring an environment up and keep it."""
    return session.bring_up(run_settings_from({**given, "keep": Keep.ALWAYS}), ReportConsole())


@app.command()
@_reported
def doctor(as_json: Json = False) -> ExitCode:  # noqa: FBT002 - typer's form
    """Check this machine: engine, memory, disk, ports, inotify, cgroups, capabilities, clock."""
    return verbs.doctor(resolve(), ReportConsole(), as_json=as_json)


@app.command()
@_reported
def status(as_json: Json = False) -> ExitCode:  # noqa: FBT002 - typer's form
    """Show the clusters of the harness, where their Airflow is, and what runs in them."""
    return verbs.status(resolve(), ReportConsole(), as_json=as_json)


@app.command()
@_reported
def logs(
    part: Annotated[
        str,
        typer.Argument(
            help="airflow (all of it), scheduler, dag-processor, api-server, git, s3, postgres, adapter, "
            "or the name of a pod of Airflow or a DAG"
        ),
    ],
    cluster: Cluster = None,
    previous: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--previous", help="of the instances before, of containers that were restarted")
    ] = False,
    tail: Annotated[int, typer.Option(metavar="N", min=1, help="last lines of each container")] = verbs.LOG_LINES,
) -> ExitCode:
    """Print the logs of a part of a kept cluster."""
    return verbs.logs(resolve(cluster_name=cluster), part, ReportConsole(), previous=previous, tail=tail)


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
@_with_only(SWEEP_OPTIONS)
def sweep(
    given: Mapping[str, Any],
    yes: Annotated[  # noqa: FBT002 - typer's form
        bool,
        typer.Option(
            "--yes", help="with --target eks or --git-remote: remove it; without it is only shown what would be removed"
        ),
    ] = False,
) -> ExitCode:
    """Remove what killed runs left behind; nothing that the harness did not make.

    With --target eks: what runs of any machine have left in that cluster and its bucket past their time.
    With --git-remote: their branches there, too.
    """
    settings, console = settings_from(given), ReportConsole()
    of_eks = any(given[name] for name in SWEEP_OPTIONS - {"target", "git_remote"})
    if given["target"] is not TargetKind.EKS and (of_eks or (yes and not given["git_remote"])):
        raise UsageError(
            "--yes and what names an EKS cluster go with --target eks; without it the runs of this machine are swept",
            next_step="add --target eks, or leave them out",
        )
    of_git = git_sweeping.sweep(settings, console, yes=yes) if given["git_remote"] else ExitCode.GREEN
    if given["target"] is TargetKind.EKS:
        return eks_sweeping.sweep(settings, console, yes=yes) or of_git
    return verbs.sweep(settings, console) or of_git


@app.command("eks-token")
@_reported
def eks_token(
    cluster_name: Annotated[str, typer.Option(help="name of the EKS cluster")],
    region: Annotated[str | None, typer.Option(help="its region (default: the profile's)")] = None,
    profile: Annotated[str | None, typer.Option(help="profile of the AWS configuration that signs")] = None,
) -> ExitCode:
    """Print a token for an EKS cluster, as a Kubernetes client reads it from an exec plug-in."""
    return eks_verbs.eks_token(cluster_name, region=region, profile=profile)


@app.command("eks-record")
@_reported
@_with_options("target")
def eks_record_command(
    given: Mapping[str, Any],
    transcript: Annotated[Path, typer.Argument(help="file to write, which must not be there yet")],
) -> ExitCode:
    """Do a run on EKS, and write what AWS was asked and answered into a transcript without secrets."""
    return eks_record.record(settings_from({**given, "target": TargetKind.EKS}), transcript, ReportConsole())


@eks.command("create")
@_reported
@_with_only(EKS_OPTIONS)
def eks_create(
    given: Mapping[str, Any],
    suffix: Suffix = "",
    identity: IdentityOf = Identity.POD_IDENTITY,
    adopt: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="use what is somebody else's; it is never removed")
    ] = None,
    permissions_boundary: Annotated[str, typer.Option(metavar="ARN", help="of the role")] = "",
    lifetime: Annotated[
        float | None,
        typer.Option(metavar="HOURS", min=0.1, help="after which it counts as left behind (default: never)"),
    ] = None,
    probe_image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="with python3 and botocore: a pod of it shows who it is in AWS")
    ] = None,
    make_cluster: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--eks-create", help="make the cluster too, by eksctl; it costs until it is deleted")
    ] = False,
    eks_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="for eksctl, in place of fixtures/eks/mlops-cluster.yaml")
    ] = None,
) -> ExitCode:
    """Have role, bucket, association, namespaces and service account there; what is there already is left or mended."""
    settings = settings_from(given)
    if eks_config is not None and not make_cluster:
        raise UsageError(
            "--eks-config is for a cluster that is made, and without --eks-create none is",
            next_step="add --eks-create, or leave it out",
        )
    wanted = (
        Wanted(lifetime or settings.eks.max_lifetime, datetime.now(UTC).date(), eks_config) if make_cluster else None
    )
    hours = wanted.hours if wanted else lifetime
    asked = Asked(suffix, identity, permissions_boundary, frozenset(adopt or ()), expires=eks_admin.expiry(hours))
    return eks_admin.create(settings, asked, ReportConsole(), probe_image=probe_image, cluster=wanted)


@eks.command("delete")
@_reported
@_with_only(EKS_OPTIONS)
def eks_delete(
    given: Mapping[str, Any],
    suffix: Suffix = "",
    identity: IdentityOf = Identity.POD_IDENTITY,
    empty_bucket: Annotated[  # noqa: FBT002 - typer's form
        bool, typer.Option("--empty-bucket", help="remove a bucket of ours with all that is in it")
    ] = False,
) -> ExitCode:
    """Remove what create has made, and nothing else."""
    asked = Asked(suffix, identity, may_empty=empty_bucket)
    return eks_admin.delete(settings_from(given), asked, ReportConsole())


@eks.command("status")
@_reported
@_with_only(EKS_OPTIONS)
def eks_status(
    given: Mapping[str, Any],
    suffix: Suffix = "",
    identity: IdentityOf = Identity.POD_IDENTITY,
    permissions_boundary: Annotated[str, typer.Option(metavar="ARN", help="of the role")] = "",
    as_json: Json = False,  # noqa: FBT002 - typer's form
) -> ExitCode:
    """Say of each thing whether it is there, whose it is, and how it differs from what create would make."""
    asked = Asked(suffix, identity, permissions_boundary)
    return eks_admin.status(settings_from(given), asked, ReportConsole(), as_json=as_json)


@lookalike.command("up")
@_reported
@_with_only(LOOKALIKE_OPTIONS, cluster=f"name of the cluster (default: {DEFAULT_NAME})")
def lookalike_up(given: Mapping[str, Any]) -> ExitCode:
    """Bring the EKS look-alike up with its cluster, and print the environment to use."""
    return eks_verbs.lookalike_up(settings_from(given), ReportConsole())


@lookalike.command("down")
@_reported
def lookalike_down(cluster: Cluster = None) -> ExitCode:
    """Remove the EKS look-alike with its cluster."""
    return eks_verbs.lookalike_down(resolve(cluster_name=cluster), ReportConsole())


@lookalike.command("status")
@_reported
def lookalike_status(cluster: Cluster = None) -> ExitCode:
    """Show how the EKS look-alike stands."""
    return eks_verbs.lookalike_status(resolve(cluster_name=cluster), ReportConsole())


@app.command("versions")
@_reported
def versions_command(
    sbom: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="write what the images in the cache, the programs and the harness hold"),
    ] = None,
    as_json: Json = False,  # noqa: FBT002 - typer's form
) -> ExitCode:
    """Print every pinned version; or write bills of materials (CycloneDX)."""
    if sbom is not None:
        return verbs.write_sboms(resolve(), sbom, ReportConsole())
    return verbs.print_versions(ReportConsole(), as_json=as_json)


@app.command()
@_reported
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="remove all caches")] = False,  # noqa: FBT002 - typer's form
    evict: Annotated[  # noqa: FBT002 - likewise
        bool, typer.Option("--evict", help="remove what was used longest ago, down to the budget, as runs do")
    ] = False,
    as_json: Json = False,  # noqa: FBT002 - likewise
) -> ExitCode:
    """Show what the caches hold; evict what is over the budget, or clear them, if so asked."""
    return verbs.cache(resolve(), ReportConsole(), clear=clear, evict=evict, as_json=as_json)


def main() -> None:
    """Entry point of the `harness` command.

    A wrong flag is a usage error, by our code and not by typer's 2.
    """
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except typer.TyperException as error:
        # Of typer's own copy of click: a click that is installed beside it has other classes, which it never raises.
        if said := error.format_message():  # nothing where the help was shown instead
            _tell(said, "harness --help, or --help after the verb")
        code = ExitCode.USAGE
    sys.exit(int(code or 0))


if __name__ == "__main__":
    main()
