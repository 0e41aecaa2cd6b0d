"""Ids and logical dates for DAG runs of our own."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from harness.errors import UsageError

# A run id of this form is also its own pod label: longer ones or other characters are hashed
# (apache-airflow-providers-cncf-kubernetes 10.25.0, pod_generator.make_safe_label_value). A label begins and ends
# with a letter or digit (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/).
LONGEST: Final = 63
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_NOT_IN_LABEL: Final = re.compile(r"^[^a-z0-9A-Z]*|[^a-zA-Z0-9_\-\.]|[^a-z0-9A-Z]*$")


def new_run_id(
    prefix: str = "harness", *, now: datetime | None = None, token: Callable[[int], str] = secrets.token_hex
) -> str:
    """A run id that no other run has: `<prefix>-<UTC time>-<random>`.

    Raises:
        UsageError: The prefix makes it too long or holds other characters than `[A-Za-z0-9_.-]`.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return checked_run_id(f"{prefix}-{moment:%Y%m%dT%H%M%S}-{token(4)}")


def checked_run_id(run_id: str) -> str:
    """The same run id, if pods can carry it as a label unchanged.

    Raises:
        UsageError: They cannot.
    """
    if not _LABEL.fullmatch(run_id):
        raise UsageError(
            f"{run_id!r} cannot be a run id here",
            next_step=f"use 1 to {LONGEST} of the characters A-Z a-z 0-9 _ . - with a letter or digit at both ends",
        )
    return run_id


def safe_label(text: str) -> str:
    """A text as the executor and the pod operator write it into a label.

    Itself where it can be one; else what is left of it and a hash (apache-airflow-providers-cncf-kubernetes 10.25.0,
    pod_generator.make_safe_label_value).
    """
    safe = _NOT_IN_LABEL.sub("", text)
    if len(safe) <= LONGEST and safe == text:
        return safe
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:9]
    return f"{safe[: LONGEST - len(digest) - 1]}-{digest}"


def new_logical_date(*, now: datetime | None = None, token: Callable[[int], int] = secrets.randbelow) -> datetime:
    """A logical date that no other run of the DAG has: now, its microseconds drawn at random.

    Airflow refuses a second run with the same logical date (HTTP 409; apache-airflow-core 3.3.2, models/dagrun.py).
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return moment.replace(microsecond=token(1_000_000))
