"""From when what a run has made on EKS counts as left behind: as a claim says it, and as a label does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

# A run ends by itself when its time is over, and takes down what it has made: only what is there after that is left.
GRACE: Final = timedelta(minutes=15)


def expiry(hours: float) -> str:
    """When what is used for so many hours from now on is past its time: ISO 8601, UTC."""
    return (datetime.now(UTC) + timedelta(hours=hours) + GRACE).isoformat(timespec="seconds")


def as_label(expires: str) -> str:
    """The same as a label's value, which has no colon and no plus sign ("Labels and Selectors" in Kubernetes)."""
    return expires.partition("+")[0].replace(":", "-")


def is_past(expires: str) -> bool | None:
    """Whether that time has come, in either form; None where it is no time."""
    day, _, time = expires.partition("T")
    try:
        when = datetime.fromisoformat(f"{day}T{time[:8].replace('-', ':')}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return when <= datetime.now(UTC)
