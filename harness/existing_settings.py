"""Settings of the target existing: which context, and what must hold before the harness writes anything to its cluster.

Nothing is allowed by default: the context, the API server and the consent are named by whoever answers for the cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.imagenames import REGISTRY

_ECR: Final = "ecr"


class ExistingSettings(BaseModel):
    """The target existing.

    Attributes:
        context: Exact name of the context of a kubeconfig.
        kubeconfig: The file that has it; None looks where kubectl does.
        servers: URLs of the API servers that may be written to. A context's name says nothing of where it leads.
        registry: What stands before an image's path and tag in the registry that nodes pull from; None where the nodes
            hold the images under their own names.
        trust_node_images: Whether pods are held to the images that the nodes show under those names, also where the
            container engine here has others.
        storage_class: Of the claim that the tasks share; empty for the cluster's default.
        consent: Whether this run may write to the cluster.
        max_lifetime: Hours that a run may last. It ends then; what it has made all the same counts as left behind a
            while later (`harness.targets.attached.expiry.GRACE`), and so does an environment that is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: str | None = Field(default=None, min_length=1)
    kubeconfig: Path | None = None
    servers: tuple[str, ...] = ()
    registry: str | None = None
    trust_node_images: bool = False
    storage_class: str = ""
    consent: bool = False
    max_lifetime: float = Field(default=4.0, gt=0, le=24)

    @field_validator("servers")
    @classmethod
    def _check_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for one in servers:
            url = urlsplit(one)
            if url.scheme != "https" or not url.hostname or url.username is not None:
                raise ValueError(f"{one!r}: use the URL of an API server, such as https://192.0.2.1:6443")
        return tuple(one.rstrip("/") for one in servers)

    @field_validator("registry")
    @classmethod
    def _check_registry(cls, prefix: str | None) -> str | None:
        if prefix is not None and (prefix == _ECR or not REGISTRY.fullmatch(prefix)):
            raise ValueError("use a registry's host with a path, such as registry.example/team, without a tag")
        return prefix
