"""What an API server does with a webhook's answer: RFC 6902, as far as our webhooks use it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any


def applied(pod: Mapping[str, Any], operations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of the pod with the patch; `add` may replace nothing that the pod has, but for a note on it."""
    after: dict[str, Any] = copy.deepcopy(dict(pod))
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target: Any = after
        for step in way:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if isinstance(target, list):
            assert (operation["op"], last) == ("add", "-")
            target.append(operation["value"])
        else:
            there = bool(target.get(last)) and way[-1] != "annotations"
            assert operation["op"] == ("replace" if there else "add")
            target[last] = operation["value"]
    return after
