"""Names that several boxes must agree on: namespaces, services, ports, labels, secrets.

They are fixed, not settings: one cluster holds one environment (design decision 7), and the manifests under
`harness/services/manifests/` and the values under `helm/` spell the same names.
"""

from __future__ import annotations

import re
from typing import Final

# Namespaces. Airflow and the DAG's pods live where the guide puts them; what the harness adds stays apart.
AIRFLOW_NAMESPACE: Final = "airflow"
SERVICES_NAMESPACE: Final = "harness"

# In-cluster addresses of the services.
GIT_HOST: Final = "git.harness.svc.cluster.local"
GIT_REPOSITORY: Final = "mlops.git"
GIT_URL: Final = f"https://{GIT_HOST}/{GIT_REPOSITORY}"
S3_HOST: Final = "s3.harness.svc.cluster.local"
S3_URL: Final = f"http://{S3_HOST}:4566"
POSTGRES_HOST: Final = "postgres.harness.svc.cluster.local"

# NodePorts on the kind node; each is mapped to a random port on the host's loopback.
NODE_PORTS: Final = {"airflow": 30080, "git": 30443, "s3": 30456}

# Helm release and the objects of the guide.
RELEASE: Final = "airflow"
GIT_CREDENTIALS_SECRET: Final = "git-credentials"  # noqa: S105 - the name of a secret, not a secret
SHARED_CLAIM: Final = "airflow-shared-pvc"
DVC_SERVICE_ACCOUNT: Final = "airflow-dvc-sa"
PIPELINE_CONFIG_MAP: Final = "dataset-pipeline"

# Where the adapter notes on a pod what it added: a JSON list (harness/services/apps/adapter/patch.py).
ADAPTER_ANNOTATION: Final = "harness.adapter/added"

# Labels on everything that the harness creates in a cluster or an engine.
LABEL_RUN: Final = "harness.run"
LABEL_OWNER: Final = "harness.owner"
# Of what `harness eks create` has made: for which environment, the cluster's name and a suffix after a dot.
LABEL_ENVIRONMENT: Final = "harness.environment"
# When it counts as left behind, in ISO 8601 (harness.journal.expires_at).
LABEL_EXPIRES: Final = "harness.expires"
OWNER: Final = "airflow-dvc-harness"

# A region of AWS, as botocore takes one (1.43, utils.py: `validate_region_name`); all that there are have lower case.
AWS_REGION: Final = re.compile(r"(?![0-9]+$)(?!-)[a-z0-9-]{1,63}(?<!-)")
