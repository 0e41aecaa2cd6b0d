"""The task program is a package of the worker image, not of the harness: it is imported from where it lies."""

from __future__ import annotations

import sys
from pathlib import Path

_WORKER_IMAGE = str(Path(__file__).parents[3] / "worker-image")
if _WORKER_IMAGE not in sys.path:
    sys.path.insert(0, _WORKER_IMAGE)
