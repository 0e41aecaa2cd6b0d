"""Limits of the machine that several boxes must agree on: one raises them, another reports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# fs.inotify.*: systemd, containerd, the kubelet and every watcher in a pod draw on the host's. kind's own advice for
# more than one cluster on a machine: https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
INOTIFY: Final[Mapping[str, int]] = {"max_user_instances": 512, "max_user_watches": 524_288}
