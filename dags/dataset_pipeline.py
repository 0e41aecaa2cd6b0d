"""The pipeline of the guide: pull a data set, change it, push a new version of it.

Each task is a pod of its own in the worker image (worker-image/), whose program `dvc-pipeline` does the work; the pods
share a folder per run on one volume. Nothing here knows where it runs: the repository, its branch and the tracked file
come from the ConfigMap `dataset-pipeline`, Git credentials from the Secret `git-credentials`, access to S3 from the
service account (EKS Pod Identity). A run may be given `{"rows": 0}` as its configuration: it then changes nothing, and
so makes no commit.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG, Param
from kubernetes.client import models as k8s

NAMESPACE = "airflow"
IMAGE = os.environ.get("DATASET_PIPELINE_IMAGE", "airflow-dvc-worker:2.0.0")
SHARED = "/shared"
USER = 1000  # of the worker image; one for all tasks, as each owns on the volume what the one before wrote

SETTINGS = k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="dataset-pipeline"))
GIT_CREDENTIALS = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="git-credentials"))


def pod_task(task: str, *env_from: k8s.V1EnvFromSource) -> KubernetesPodOperator:
    """One task of the pipeline: `dvc-pipeline <verb>` in a pod, as `<verb>_data`."""
    return KubernetesPodOperator(
        task_id=f"{task}_data",
        name=f"dvc-{task}",
        namespace=NAMESPACE,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        # A program in the image and not a script in here: `arguments` is a Jinja template, a shell script is not.
        cmds=["dvc-pipeline"],
        arguments=[task],
        # The run's id and not its date: a run that was triggered without a logical date has no `ds`.
        env_vars={
            "PIPELINE_RUN_ID": "{{ run_id }}",
            "PIPELINE_ROWS": "{{ params.rows }}",
            "SHARED_DIR": SHARED,
        },
        env_from=[SETTINGS, *env_from],
        volumes=[
            k8s.V1Volume(
                name="shared",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="airflow-shared-pvc"),
            ),
            k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource()),
        ],
        volume_mounts=[
            k8s.V1VolumeMount(name="shared", mount_path=SHARED),
            k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108 - the pod's own
        ],
        labels={"app.kubernetes.io/name": "dataset-pipeline", "app.kubernetes.io/component": f"dvc-{task}"},
        # This account is what S3 knows; the pod itself never speaks to Kubernetes.
        service_account_name="airflow-dvc-sa",
        automount_service_account_token=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            # A fresh EBS volume belongs to root: this hands it to the group, once. On EFS it is passed over: an access
            # point has a user of its own, who owns all there is.
            fs_group=USER,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "100m", "memory": "256Mi"},
            limits={"cpu": "1", "memory": "512Mi"},
        ),
        do_xcom_push=False,
        get_logs=True,
        log_events_on_failure=True,
        # The events say why a pod failed; its whole specification would only bury them.
        log_pod_spec_on_failure=False,
        # A failed task's last line is its reason: this puts it into the pod's status, for whoever looks there.
        termination_message_policy="FallbackToLogsOnError",
        # A failed pod stays for `kubectl describe`; a succeeded one has its log in Airflow and would only pile up.
        on_finish_action="delete_succeeded_pod",
        # A worker that dies finds its running pod again on the next try, instead of starting a second beside it.
        durable=True,
        # The first pod on a new node pulls the image.
        startup_timeout_seconds=600,
        startup_check_interval_seconds=1,
    )


with DAG(
    "dataset_pipeline",
    description="Version a data set with DVC: pull it, change it, push it",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two runs would race for one pointer; across two Airflows, `push` notices.
    max_active_runs=1,
    params={"rows": Param(1, type="integer", minimum=0, maximum=10_000, description="rows to append; 0: no change")},
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=30),
    },
    tags=["dvc"],
):
    pod_task("pull", GIT_CREDENTIALS) >> pod_task("modify") >> pod_task("push", GIT_CREDENTIALS)
