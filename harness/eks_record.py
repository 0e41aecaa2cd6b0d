"""A run on EKS whose calls to AWS are recorded, so that the look-alike can be held to what AWS answered."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness import awstap, session
from harness.errors import ExitCode
from harness.lookalike.recorder import Recorder
from harness.settings import Settings
from harness.targets.eks.aws import open_session
from harness.targets.eks.target import check_settings


def record(settings: Settings, transcript: Path, console: Console) -> ExitCode:
    """One run as `harness run` does it, with a transcript; the exit code is the run's.

    Args:
        settings: Of the run, on EKS.
        transcript: File to write; what was heard stays also where the run fails.
        console: Where the run is shown.

    Raises:
        UsageError: The file is there already or cannot be made, or the settings do not say enough.
    """
    check_settings(settings)
    region = settings.eks.region or open_session(profile=settings.eks.profile, region=None).region_name or ""
    recorder = Recorder(transcript, region=region)
    with awstap.listening(recorder):
        code = session.run_once(settings, console)
    said = f"{transcript}: {recorder.count} calls"
    if recorder.of_aws < recorder.count:
        said += f", {recorder.count - recorder.of_aws} of them to an address that is not AWS's own"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
    return code
