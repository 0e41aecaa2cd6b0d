"""Pods that do not start or do not stay."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import CONTROL, ERROR
from harness.diagnostics.causes import Cause, Sign, reason, said

_IMAGE_REASONS: Final = (
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "RegistryUnavailable",
)  # fmt: skip

PODS: Final = (
    Cause(
        code="IMAGE_RATE_LIMIT",
        what="the registry refuses more pulls for now",
        do="log in to the registry, give a `--registry-mirror`, or wait and run again",
        signs=(said(r"toomanyrequests|429 too many requests|pull rate limit"),),
    ),
    Cause(
        code="IMAGE_PULL",
        what="an image cannot be had",
        do="see that the image is in the node or can be pulled: name, tag and platform; use pull policy IfNotPresent",
        signs=(
            reason(*_IMAGE_REASONS),
            reason("Failed", text=r"failed to pull image|errimagepull|imagepullbackoff"),
            Sign(said="|".join(_IMAGE_REASONS), sources=ERROR),
            said(r"failed to pull and unpack image|manifest (?:for \S+ )?(?:unknown|not found)", sources=CONTROL),
        ),
    ),
    Cause(
        code="SECRET_KEY_MISSING",
        what="a container names a secret, a config map or a key that does not exist",
        do="create it with all its keys; `git-credentials` needs GIT_SYNC_USERNAME, GIT_SYNC_PASSWORD, "
        "GITSYNC_USERNAME and GITSYNC_PASSWORD",
        signs=(
            said(r"couldn't find key \S+ in (?:secret|configmap)", sources=CONTROL),
            said(r'(?:secret|configmap) "[^"]+" not found', sources=CONTROL),
            said(r"references non-existent (?:secret|config) key", sources=CONTROL),
        ),
    ),
    Cause(
        code="CONFIG_ERROR",
        what="a container cannot be made as it is described",
        do="see the message: command, user, mounts and environment of that container",
        signs=(
            reason(
                "CreateContainerConfigError",
                "CreateContainerError",
                "RunContainerError",
                "StartError",
                "ContainerCannotRun",
                "FailedCreate",
            ),
            Sign(said=r"CreateContainer(?:Config)?Error|RunContainerError|ContainerCannotRun", sources=ERROR),
        ),
    ),
    Cause(
        code="UNSCHEDULABLE",
        what="no node takes a pod",
        do="lower the pod's requests, free the node, or give the machine more",
        signs=(
            said(r"insufficient (?:cpu|memory|ephemeral-storage|pods)|too many pods", sources=CONTROL),
            said(r"didn't match (?:pod's )?node (?:affinity|selector)", sources=CONTROL),
        ),
    ),
    Cause(
        code="CLAIM_PENDING",
        what="a volume claim is not bound",
        do="see that its storage class exists and offers its access mode (local-path has ReadWriteOnce only)",
        signs=(
            said(
                r"unbound immediate persistentvolumeclaims|persistentvolumeclaim \"?[^\s\"]+\"? (?:is )?not found",
                sources=CONTROL,
            ),
            said(
                r"volume node affinity conflict|didn't find available persistent volumes|multi-attach error",
                sources=CONTROL,
            ),
            reason("ProvisioningFailed", "FailedBinding", "ClaimMisbound", "ClaimLost", "ClaimPending"),
        ),
    ),
    Cause(
        code="UNSCHEDULABLE",
        what="no node takes a pod",
        do="see the scheduler's message, and the node's conditions, taints and free resources",
        signs=(reason("Unschedulable", "FailedScheduling"), Sign(said=r"\bUnschedulable\b", sources=ERROR)),
    ),
)
