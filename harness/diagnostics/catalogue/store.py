"""DVC and its store."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import AWS_REFUSED
from harness.diagnostics.causes import Cause, reason, said

# Those that objects are read, written and listed by, and what is asked of their bucket.
_S3_OPERATION: Final = (
    r"(?:(?:get|put|head|copy|delete|list|create)(?:object|bucket)\w*"
    r"|(?:create|complete|abort|list)multipartuploads?|uploadpart(?:copy)?|listparts)"
)

STORE: Final = (
    Cause(
        code="S3_BUCKET_MISSING",
        what="the bucket of the DVC remote does not exist",
        do="create it, or correct the URL of the remote in `.dvc/config`",
        signs=(said(r"nosuchbucket|the specified bucket does not exist|bucket '[^']+' does not exist"),),
    ),
    # Before the next: AWS says of an action that it denies who asked, for what, of what, and often why.
    Cause(
        code="S3_DENIED",
        what="S3 knows who asks, and does not let them do that",
        do="give the role the action that the message names, on that bucket; see its boundary and the bucket's policy "
        "too",
        signs=(said(r"is not authorized to perform: s3:\w+"),),
    ),
    Cause(
        code="S3_CREDENTIALS",
        what="S3 does not accept the credentials, or there are none",
        do="see the pod's identity: service account and its association on EKS (made before the pod), keys on kind",
        signs=(
            said(
                r"unable to locate credentials|nocredentialserror|invalidaccesskeyid|signaturedoesnotmatch"
                r"|expiredtoken|when calling the \w+ operation: (?:access denied|forbidden)|\(accessdenied\)"
                r"|auth token value is not a legal header value",
                unless=AWS_REFUSED,
            ),
            # What is asked for credentials where a pod has none: the instance's metadata, and EKS Pod Identity's agent.
            reason("EgressBlocked", text=r" to 169\.254\.(?:169\.254|170\.23):"),
        ),
    ),
    Cause(
        code="S3_ENDPOINT",
        what="S3 does not answer at its address",
        do="see AWS_ENDPOINT_URL_S3 in the pod and that the S3 service runs (127.0.0.1 is the pod itself)",
        signs=(
            said(
                r"could not connect to the endpoint url|(?:connect|read) timeout on endpoint url"
                r"|endpointconnectionerror|invalid endpoint:|connection was closed before we received a valid response",
                unless=AWS_REFUSED,
            ),
        ),
    ),
    Cause(
        code="S3_UNAVAILABLE",
        what="S3 answers that it cannot serve now",
        do="see the S3 service's log; with AWS itself, run again later",
        signs=(
            # DVC shows S3's sentence alone; the codes are those of any service of AWS's.
            said(
                r"an error occurred \((?:slowdown|503|serviceunavailable|internalerror|500)\)"
                rf" when calling the {_S3_OPERATION} operation|reduce your request rate"
            ),
        ),
    ),
    Cause(
        code="OBJECT_MISSING",
        what="the remote does not hold the object that the pointer names",
        do="run `dvc push` from a clone that has the data, or restore the object; see the bucket's name too: "
        "of one that does not exist DVC says the same when it reads",
        signs=(
            said(r"missing cache files|failed to pull data from the cloud - checkout failed|file 'md5: \w+' not found"),
        ),
    ),
    Cause(
        code="DVC_LOCKED",
        what="DVC finds its repository locked, often by a process that was killed",
        do="give each run a clone of its own; remove .dvc/tmp/lock and rwlock only when no other process works there",
        signs=(said(r"unable to acquire lock|\.dvc/tmp/(?:rw)?lock"),),
    ),
    Cause(
        code="DVC_NOT_TRACKED",
        what="the file is not under DVC",
        do="run `git rm --cached FILE`, `dvc add FILE` and commit the pointer, or correct the tracked file's path",
        signs=(
            said(r"is already tracked by scm|does not exist as an output or a stage|not inside of a dvc repository"),
        ),
    ),
)
