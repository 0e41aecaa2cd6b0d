"""What shows that something is wrong and not what; last, so that a cause goes first."""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.words import ERROR
from harness.diagnostics.causes import Cause, Sign, reason, said

SYMPTOMS: Final = (
    # That one of its containers ended says nothing yet of why; its log, which does, goes before.
    Cause(
        code="MIGRATION_FAILED",
        what="Airflow's database could not be prepared",
        do="see pods.txt and events.txt for how the job ended, where it has no log",
        signs=(reason("Error", where=r"migrat"),),
        symptom=True,
    ),
    Cause(
        code="HELM_LOCKED",
        what="Helm finds an earlier operation on the release unfinished",
        do="run `harness down` and begin anew",
        signs=(said(r"another operation \(install/upgrade/rollback\) is in progress"),),
    ),
    Cause(
        code="CRASH_LOOP",
        what="a container ends again and again",
        do="see the previous log of that container for why it ends",
        signs=(
            reason("CrashLoopBackOff"),
            reason("BackOff", text=r"restarting failed container"),
            Sign(said=r"CrashLoopBackOff", sources=ERROR),
        ),
        symptom=True,
    ),
    Cause(
        code="HELM_TIMEOUT",
        what="the release was not ready in time",
        do="see pods.txt and events.txt for what does not come up; on a slow machine raise `--patience`",
        signs=(
            said(r"waited \d+ s for (?:Deployment|Job) airflow/\S+|waited \d+ s for Airflow's API", sources=ERROR),
            said(r"timed out waiting for the condition|context deadline exceeded", sources=ERROR),
            said(r"helm did not end within"),
        ),
        symptom=True,
    ),
    Cause(
        code="CLUSTER_GONE",
        what="the cluster's API server does not answer",
        do="see that the node container runs (`harness status`); `harness doctor` checks the machine under it",
        signs=(said(r"the api server at \S+ does not answer"), reason("KubeUnavailable")),
        symptom=True,
    ),
)
