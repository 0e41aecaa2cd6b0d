"""The causes of failures, and what the first line of the diagnosis must be when each is caused for real.

Each table is one way to cause them: what a run meets before Airflow is up (`RELEASES`), pods (`PODS`, `SYNCS`), and
DAG runs (`RUNS`, `READINESS`), which is how most users meet theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Case:
    """A cause.

    Attributes:
        name: Its own.
        code: Of the diagnosis that must come first.
        caused: How, for the reader of the matrix.
        says: Words that its line must hold, in the part that says what happened.
        do: Words that the next step must hold.
    """

    name: str
    code: str
    caused: str
    says: tuple[str, ...]
    do: str


@dataclass(frozen=True, kw_only=True)
class Variant(Case):
    """A DAG folder with a mistake in it.

    Attributes:
        edits: (text, what stands for it) in the DAG under test; each text must be there once.
        files: Further files of the DAG folder.
        file: Name of the DAG's file in it.
        logical_date: Whether the run gets one.
        gone: Whether the failed pod is deleted at once, so that only what was followed live tells.
    """

    edits: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    file: str = "dataset_pipeline.py"
    logical_date: bool = True
    gone: bool = False


ENGINE: Final = Case(
    name="engine-killed",
    code="ENGINE_GONE",
    caused="the container engine of a run is killed while it runs",
    says=("docker",),
    do="harness doctor",
)

# By a values file of the same name in values/, given to `harness up` on a kept cluster.
RELEASES: Final = (
    Case(
        name="gitsync-credentials",
        code="GITSYNC_AUTH",
        caused="dags.gitSync.credentialsSecret names a Secret with a wrong password",
        says=("refuses the user name and password", "Authentication failed"),
        do="git-credentials",
    ),
    Case(
        name="no-such-database",
        code="MIGRATION_FAILED",
        caused="data.metadataSecretName names a database that does not exist",
        says=('database "nobody_made_it" does not exist',),
        do="log of the migration job",
    ),
    Case(
        name="wrong-setting",
        code="AIRFLOW_CONFIG",
        caused="config.dag_processor.min_file_process_interval is a word",
        says=("min_file_process_interval",),
        do="values",
    ),
)
# A pod (with what it needs) of the same name in pods/, in a namespace of its own.
PODS: Final = (
    Case(
        name="crash-loop",
        code="CRASH_LOOP",
        caused="a program that ends with exit code 3, again and again",
        says=("restarting failed container",),
        do="previous log",
    ),
    Case(
        name="claim-without-class",
        code="CLAIM_PENDING",
        caused="a claim of a storage class that does not exist",
        says=("PersistentVolumeClaim",),
        do="storage class",
    ),
)
# git-sync in a pod of Airflow's namespace, as the executor's pods have it, with other variables.
SYNCS: Final = (
    (
        Case(
            name="gitsync-branch",
            code="GITSYNC_REF",
            caused="GITSYNC_REF names a branch that does not exist",
            says=("the repository has no such branch",),
            do="branch",
        ),
        {"GITSYNC_REF": "nobody-pushed-it"},
    ),
    (
        Case(
            name="gitsync-repository",
            code="GITSYNC_REPO",
            caused="GITSYNC_REPO names a repository that does not exist",
            says=("no such repository",),
            do="dags.gitSync.repo",
        ),
        {"GITSYNC_REPO": "https://git.harness.svc.cluster.local/nobody-made-it.git"},
    ),
    (
        Case(
            name="gitsync-ca",
            code="GITSYNC_TLS",
            caused="GIT_SSL_CAINFO is the system's bundle, without the Git server's CA",
            says=("certificate",),
            do="CA",
        ),
        {"GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt"},
    ),
)
NOT_READY: Final = Case(
    name="never-ready",
    code="HELM_TIMEOUT",
    caused="the scheduler's readiness probe looks first after ten minutes",
    says=("Deployment airflow/airflow-scheduler",),
    do="pods.txt and events.txt",
)

_ENV = '"SHARED_DIR": SHARED,'
_ONCE = ('"retries": 1,', '"retries": 0,')
_IMAGE = 'IMAGE = os.environ.get("DATASET_PIPELINE_IMAGE", "airflow-dvc-worker:2.0.0")'
_REQUESTS = 'requests={"cpu": "100m", "memory": "256Mi"},'
_LIMITS = 'limits={"cpu": "1", "memory": "512Mi"},'
_CLAIM = 'persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="airflow-shared-pvc"),'
_FINISH = 'on_finish_action="delete_succeeded_pod",'
_FIRST_IMPORT = "from airflow.sdk import DAG, Param\n"


def _env(**variables: str) -> tuple[str, str]:
    """An edit that gives the task pods further variables."""
    return _ENV, " ".join([_ENV, *(f'"{name}": "{value}",' for name, value in variables.items())])


def _program(name: str) -> tuple[tuple[str, str], ...]:
    """Edits after which the task pods run a program of programs/ instead of the image's own."""
    return (
        ('cmds=["dvc-pipeline"],', 'cmds=["python", "-c"],'),
        ("arguments=[task],", "arguments=[PROGRAM, task],"),
        ('NAMESPACE = "airflow"\n', f'NAMESPACE = "airflow"\nPROGRAM = @{name}@\n'),
    )


# A DAG run each, red for a task that failed.
RUNS: Final = (
    Variant(
        name="no-such-image",
        code="IMAGE_PULL",
        caused="the DAG names an image that nobody has",
        # Port 9 of the node's own loopback: refused at once, and nothing leaves the node.
        edits=((_IMAGE, 'IMAGE = "127.0.0.1:9/nobody/has-this:1"'),),
        says=("127.0.0.1:9/nobody/has-this:1",),
        do="name, tag and platform",
    ),
    Variant(
        name="no-such-key",
        code="SECRET_KEY_MISSING",
        caused="the DAG names a key that the Secret has not",
        edits=(
            (_FIRST_IMPORT, f"from airflow.providers.cncf.kubernetes.secret import Secret\n{_FIRST_IMPORT}"),
            (_FINISH, f'{_FINISH} secrets=[Secret("env", "WRONG", "git-credentials", "no-such-key")],'),
        ),
        says=("couldn't find key no-such-key in Secret airflow/git-credentials",),
        do="create it with all its keys",
    ),
    Variant(
        name="root-refused",
        code="CONFIG_ERROR",
        caused="the DAG's pod is to run as root where its own security context forbids it",
        edits=(("run_as_user=USER,", "run_as_user=0,"),),
        says=("breaks non-root policy",),
        do="command, user, mounts and environment",
    ),
    Variant(
        name="too-little-memory",
        code="OUT_OF_MEMORY",
        caused="the memory limit of the task pods is 48 MiB",
        edits=(
            (_REQUESTS, _REQUESTS.replace("256Mi", "16Mi")),
            (_LIMITS, _LIMITS.replace("512Mi", "48Mi")),
            _ONCE,
        ),
        says=("OOMKilled",),
        do="memory limit",
    ),
    Variant(
        name="ds-without-a-date",
        code="TEMPLATE_ERROR",
        caused="`{{ ds }}` in a run without a logical date",
        edits=(("arguments=[task],", 'arguments=[task, "{{ ds }}"],'), _ONCE),
        logical_date=False,
        says=("'ds' is undefined",),
        do="logical date",
    ),
    Variant(
        name="unknown-host",
        code="DNS",
        caused="GIT_REPO names a host that nobody has",
        edits=(_env(GIT_REPO="https://git.nowhere.svc.cluster.local/mlops.git"), _ONCE),
        says=("Could not resolve host: git.nowhere.svc.cluster.local",),
        do="CoreDNS",
    ),
    Variant(
        name="call-outside",
        code="EGRESS_BLOCKED",
        caused="GIT_REPO is on this machine, outside of the cluster",
        edits=(_env(GIT_REPO="https://@OUTSIDE@:9443/mlops.git"), _ONCE),
        says=("@OUTSIDE@:9443 (tcp)",),
        do="allow the address in the settings",
    ),
    Variant(
        name="endpoint-refused",
        code="S3_ENDPOINT",
        caused="AWS_ENDPOINT_URL_S3 is the pod itself",
        edits=(_env(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9"), _ONCE),
        says=("127.0.0.1:9",),
        do="AWS_ENDPOINT_URL_S3",
    ),
    Variant(
        name="no-identity",
        code="S3_CREDENTIALS",
        caused="the DAG's pods have lost their service account",
        edits=(('service_account_name="airflow-dvc-sa",', ""), _ONCE),
        says=("Unable to locate credentials",),
        do="service account",
    ),
    # To a reader DVC says of such a bucket what it says of a missing object; to a writer it says what is wrong.
    Variant(
        name="no-such-bucket",
        code="S3_BUCKET_MISSING",
        caused="the last task pushes to a bucket that does not exist (programs/other_bucket.py)",
        edits=(*_program("OTHER_BUCKET"), _ONCE),
        says=("The specified bucket does not exist",),
        do=".dvc/config",
    ),
    Variant(
        name="object-deleted",
        code="OBJECT_MISSING",
        caused="the object that the pointer names was deleted before the run",
        edits=(_ONCE,),
        says=("failed to pull data from the cloud",),
        do="dvc push",
    ),
    Variant(
        name="volume-full",
        code="DISK_FULL",
        caused="the shared volume holds 32 KiB; the operator deletes the failed pod at once",
        edits=(
            (_CLAIM, 'empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="32Ki"),'),
            (_FINISH, 'on_finish_action="delete_pod",'),
            _ONCE,
        ),
        gone=True,
        says=("No space left on device",),
        do="more disk",
    ),
    Variant(
        name="wrong-password",
        code="GIT_AUTH",
        caused="the task pods have another Git password",
        edits=(_env(GIT_SYNC_PASSWORD="not-the-password", GITSYNC_PASSWORD="not-the-password"), _ONCE),
        says=("Authentication failed",),
        do="git-credentials",
    ),
    Variant(
        name="rival",
        code="GIT_CONFLICT",
        caused="somebody else pushes another version of the data before the run does (programs/rival.py)",
        edits=(*_program("RIVAL"), _ONCE),
        says=("first",),
        do="run the DAG again",
    ),
)
# A DAG folder each, with which no run can take place.
READINESS: Final = (
    Variant(
        name="no-node",
        code="UNSCHEDULABLE",
        caused="the DAG's pod wants 64 CPUs",
        edits=((_REQUESTS, _REQUESTS.replace("100m", "64")), (_LIMITS, _LIMITS.replace('"1"', '"64"'))),
        says=("Insufficient cpu",),
        do="requests",
    ),
    Variant(
        name="no-such-module",
        code="DAG_IMPORT",
        caused="the DAG's file imports a module that does not exist",
        edits=((_FIRST_IMPORT, f"{_FIRST_IMPORT}import nothing_of_that_name\n"),),
        says=("No module named 'nothing_of_that_name'",),
        do="correct the file",
    ),
    Variant(
        name="no-provider",
        code="PROVIDER_MISSING",
        caused="the DAG's file imports a provider that the image has not",
        edits=((_FIRST_IMPORT, f"from airflow.providers.tableau.hooks.tableau import TableauHook\n{_FIRST_IMPORT}"),),
        says=("apache-airflow-providers-tableau",),
        do="image that has the provider",
    ),
    Variant(
        name="another-id",
        code="DAG_MISSING",
        caused="the DAG has another id than the settings say",
        edits=(('    "dataset_pipeline",\n', '    "another_pipeline",\n'),),
        says=("another_pipeline",),
        do="dag_id",
    ),
    Variant(
        name="not-parsed",
        code="DAG_NOT_PARSED",
        caused="the DAG has moved to a file that stands in .airflowignore",
        # Airflow parses a file that it knows once more before it reads .airflowignore again.
        file="another_name.py",
        files={".airflowignore": "another_name.py\n"},
        says=("commit is there",),
        do=".airflowignore",
    ),
)
EVERY: Final = (ENGINE, *RELEASES, *PODS, *(case for case, _ in SYNCS), NOT_READY, *RUNS, *READINESS)
