"""The causes that are recognised, by what they concern.

To add one: write a `Cause` at its place in its module and a row of real evidence in `tests/unit/diagnostics/`
(a test checks that every code has one). The order matters where one text shows two causes: the more special first.
Quoted texts are those of Kubernetes v1.34, git 2.39 to 2.47, git-sync v4, DVC 3.67 with botocore 1.43, Airflow 3.3,
Helm 3.19 and Docker 20.10 to 28; lower and upper case do not matter.
"""

from __future__ import annotations

from typing import Final

from harness.diagnostics.catalogue.airflow import AIRFLOW
from harness.diagnostics.catalogue.aws import AWS
from harness.diagnostics.catalogue.git import GIT
from harness.diagnostics.catalogue.machine import MACHINE
from harness.diagnostics.catalogue.network import NETWORK
from harness.diagnostics.catalogue.pods import PODS
from harness.diagnostics.catalogue.store import STORE
from harness.diagnostics.catalogue.symptoms import SYMPTOMS
from harness.diagnostics.causes import Cause

CATALOGUE: Final[tuple[Cause, ...]] = (*MACHINE, *PODS, *GIT, *AWS, *STORE, *AIRFLOW, *NETWORK, *SYMPTOMS)
UNKNOWN: Final = "UNKNOWN"
