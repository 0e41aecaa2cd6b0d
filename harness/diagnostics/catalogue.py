r"""The causes that are recognised.

To add one: write a `Cause` at its place below and a row of real evidence in `tests/unit/diagnostics/test_diagnose.py`
(a test checks that every code has one). The order matters where one text shows two causes: the more special first.
Quoted texts are those of Kubernetes v1.34, git 2.39 to 2.47, git-sync v4, DVC 3.67 with botocore 1.43, Airflow 3.3,
Helm 3.19 and Docker 20.10 to 28; lower and upper case do not matter.
"""

from __future__ import annotations

from typing import Final

from harness.diagnostics.causes import Cause, Sign, reason, said
from harness.diagnostics.evidence import Source
from harness.limits import INOTIFY

_IMAGE_REASONS: Final = (
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "RegistryUnavailable",
)  # fmt: skip
_GIT_AUTH: Final = (
    r"authentication failed for|could not read (?:username|password)|terminal prompts disabled"
    r"|the requested url returned error: 40[13]|remote: unauthorized|invalid username or (?:password|token)"
)
_TLS: Final = (
    r"certificate verification failed|server verification failed|ssl certificate problem|problem with the ssl ca cert"
    r"|unable to get local issuer certificate|error setting certificate (?:verify locations|file)"
    r"|certificate_verify_failed|x509: certificate"
)
# In an error or a verdict the words stand behind the container's name, not in the place where they were seen.
_SYNC: Final = r"container git-sync[\w-]*: [^\n]*"
_NO_REF: Final = (
    r"couldn't find remote ref|remote branch \S+ not found|unknown revision|did not match any"
    r"|bad revision|not our ref|invalid or unknown ref|has no such branch"
)
_NO_REPOSITORY: Final = r"has no such repository|repository \S+ not found|the requested url returned error: 404"
_ERROR: Final = frozenset({Source.ERROR})
_CONTROL: Final = frozenset({Source.ERROR, Source.EVENT, Source.STATE})

_MACHINE: Final = (
    Cause(
        code="ENGINE_GONE",
        what="the container engine does not answer",
        do="run `harness doctor`; start the engine, or look into its log for why it ended",
        signs=(
            said(r"cannot connect to the docker daemon|is the docker daemon running|error during connect:"),
            reason("EngineError"),
        ),
    ),
    Cause(
        code="DISK_FULL",
        what="a disk is full",
        do="run `harness cache` to free old caches, or give more disk to the folder that is named",
        signs=(
            said(r"no space left on device|\[errno 28\]|disk quota exceeded"),
            reason("Evicted", text=r"ephemeral-storage|nodefs|imagefs|disk"),
            reason("FreeDiskSpaceFailed", "ImageGCFailed", "NodeHasDiskPressure"),
            reason("Unschedulable", "FailedScheduling", text=r"node\.kubernetes\.io/disk-pressure"),
        ),
    ),
    Cause(
        code="OUT_OF_MEMORY",
        what="a program needed more memory than it may have",
        do="raise that container's memory limit, or give the machine more memory",
        signs=(
            reason("OOMKilled", "SystemOOM", "OOMKilling"),
            Sign(said=r"\bOOMKilled\b", sources=_ERROR),
            reason("Evicted", text="memory"),
            # The limit is too low even for the container to begin (runc 1.1 and later).
            said(r"container init was oom-killed|memory limit too low"),
            said(r"cannot allocate memory|out of memory: kill"),
        ),
    ),
    Cause(
        code="INOTIFY_LIMIT",
        what="the machine's inotify limit is used up",
        do=f"raise {' and '.join(f'fs.inotify.{name} to {least}' for name, least in INOTIFY.items())}",
        signs=(said(r"(?:inotify|fsnotify|watcher)[^\n]*too many open files|too many open files[^\n]*inotify"),),
    ),
    Cause(
        code="CAPABILITY_WITHHELD",
        what="this host withholds a capability that a privileged container asks for",
        do="use the engine that the harness starts (it leaves out what the host withholds), or another host",
        signs=(said(r"unable to apply caps"),),
    ),
    Cause(
        code="PORT_TAKEN",
        what="a port is taken",
        do="stop what listens there, or run again: other ports are chosen",
        signs=(said(r"port is already allocated|address already in use"),),
    ),
)

_PODS: Final = (
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
            Sign(said="|".join(_IMAGE_REASONS), sources=_ERROR),
            said(r"failed to pull and unpack image|manifest (?:for \S+ )?(?:unknown|not found)", sources=_CONTROL),
        ),
    ),
    Cause(
        code="SECRET_KEY_MISSING",
        what="a container names a secret, a config map or a key that does not exist",
        do="create it with all its keys; `git-credentials` needs GIT_SYNC_USERNAME, GIT_SYNC_PASSWORD, "
        "GITSYNC_USERNAME and GITSYNC_PASSWORD",
        signs=(
            said(r"couldn't find key \S+ in (?:secret|configmap)", sources=_CONTROL),
            said(r'(?:secret|configmap) "[^"]+" not found', sources=_CONTROL),
            said(r"references non-existent (?:secret|config) key", sources=_CONTROL),
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
            Sign(said=r"CreateContainer(?:Config)?Error|RunContainerError|ContainerCannotRun", sources=_ERROR),
        ),
    ),
    Cause(
        code="UNSCHEDULABLE",
        what="no node takes a pod",
        do="lower the pod's requests, free the node, or give the machine more",
        signs=(
            said(r"insufficient (?:cpu|memory|ephemeral-storage|pods)|too many pods", sources=_CONTROL),
            said(r"didn't match (?:pod's )?node (?:affinity|selector)", sources=_CONTROL),
        ),
    ),
    Cause(
        code="CLAIM_PENDING",
        what="a volume claim is not bound",
        do="see that its storage class exists and offers its access mode (local-path has ReadWriteOnce only)",
        signs=(
            said(
                r"unbound immediate persistentvolumeclaims|persistentvolumeclaim \"?[^\s\"]+\"? (?:is )?not found",
                sources=_CONTROL,
            ),
            said(
                r"volume node affinity conflict|didn't find available persistent volumes|multi-attach error",
                sources=_CONTROL,
            ),
            reason("ProvisioningFailed", "FailedBinding", "ClaimMisbound", "ClaimLost", "ClaimPending"),
        ),
    ),
    Cause(
        code="UNSCHEDULABLE",
        what="no node takes a pod",
        do="see the scheduler's message, and the node's conditions, taints and free resources",
        signs=(reason("Unschedulable", "FailedScheduling"), Sign(said=r"\bUnschedulable\b", sources=_ERROR)),
    ),
)

_GIT: Final = (
    Cause(
        code="GITSYNC_AUTH",
        what="git-sync may not read the repository",
        do="see user and token in the secret `git-credentials`: all four keys, and a token that may read",
        signs=(said(_GIT_AUTH, where=r"git-?sync"), said(rf"{_SYNC}(?:{_GIT_AUTH})", sources=_ERROR)),
    ),
    Cause(
        code="GITSYNC_TLS",
        what="git-sync does not trust the Git server's certificate",
        do="give git-sync the server's CA: GIT_SSL_CAINFO, or GITSYNC_GIT_CONFIG=http.sslCAInfo:<path>",
        signs=(said(_TLS, where=r"git-?sync"), said(rf"{_SYNC}(?:{_TLS})", sources=_ERROR)),
    ),
    Cause(
        code="GITSYNC_REF",
        what="git-sync does not find the branch, tag or commit",
        do="correct dags.gitSync.branch (with rev HEAD it goes before ref), or push the branch",
        signs=(said(_NO_REF, where=r"git-?sync"), said(rf"{_SYNC}(?:{_NO_REF})", sources=_ERROR)),
    ),
    Cause(
        code="GITSYNC_REPO",
        what="git-sync does not find the repository",
        do="correct dags.gitSync.repo, or make the repository; some servers say so where the user may not read it",
        signs=(said(_NO_REPOSITORY, where=r"git-?sync"), said(rf"{_SYNC}(?:{_NO_REPOSITORY})", sources=_ERROR)),
    ),
    Cause(
        code="GIT_CONFLICT",
        what="someone else pushed first, and the two versions do not go together",
        do="run the DAG again from the new tip; let only one run write a pointer at a time (max_active_runs=1)",
        signs=(
            said(r"conflict \((?:content|add/add|modify/delete)\)|error: could not apply [0-9a-f]{7}"),
            said(r"! \[rejected\][^\n]*\((?:fetch first|non-fast-forward)\)|updates were rejected because"),
            # The worker's own word (worker-image/dvc_pipeline/push.py): it looks before it pushes.
            said(r"another run versioned \S+ first"),
        ),
    ),
    Cause(
        code="GIT_REFUSED",
        what="the Git server refused the push",
        do="see the server's message: a protected branch or a hook; let the DAG's user push, or use a data branch",
        signs=(said(r"! \[remote rejected\]|hook declined|gh006|denying non-fast-forward"),),
    ),
    Cause(
        code="GIT_AUTH",
        what="the Git server does not accept the credentials",
        do="see user and token in the secret `git-credentials`; to push, the token needs the right to write",
        signs=(said(_GIT_AUTH),),
    ),
    Cause(
        code="GIT_OWNERSHIP",
        what="Git refuses a folder that another user owns",
        do="run all task containers as one UID with `fsGroup`, or set `safe.directory`",
        signs=(said(r"detected dubious ownership in repository"),),
    ),
    Cause(
        code="GIT_IDENTITY",
        what="Git does not know who commits",
        do="set GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL in the container",
        signs=(said(r"please tell me who you are|unable to auto-detect email address|empty ident name"),),
    ),
)

_STORE: Final = (
    Cause(
        code="S3_BUCKET_MISSING",
        what="the bucket of the DVC remote does not exist",
        do="create it, or correct the URL of the remote in `.dvc/config`",
        signs=(said(r"nosuchbucket|the specified bucket does not exist|bucket '[^']+' does not exist"),),
    ),
    Cause(
        code="S3_CREDENTIALS",
        what="S3 does not accept the credentials, or there are none",
        do="see the pod's identity: service account and its association on EKS (made before the pod), keys on kind",
        signs=(
            said(
                r"unable to locate credentials|nocredentialserror|invalidaccesskeyid|signaturedoesnotmatch"
                r"|expiredtoken|when calling the \w+ operation: (?:access denied|forbidden)|\(accessdenied\)"
                r"|auth token value is not a legal header value"
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
                r"|endpointconnectionerror|invalid endpoint:|connection was closed before we received a valid response"
            ),
        ),
    ),
    Cause(
        code="S3_UNAVAILABLE",
        what="S3 answers that it cannot serve now",
        do="see the S3 service's log; with AWS itself, run again later",
        signs=(
            said(r"an error occurred \((?:slowdown|503|serviceunavailable|internalerror|500)\)|reduce your request"),
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

_AIRFLOW: Final = (
    Cause(
        code="PROVIDER_MISSING",
        what="this environment lacks a provider that the DAG imports; that says nothing about the DAG",
        do="use an image that has the provider, or `--supply registry` for the official image",
        signs=(
            said(r"the environment lacks provider"),
            said(r"modulenotfounderror: no module named '?airflow\.providers\."),
        ),
    ),
    Cause(
        code="TEMPLATE_ERROR",
        what="a template of the DAG cannot be rendered",
        do="`ds` and its like need a run with a logical date (or use `run_id`); keep scripts with `{#` or `{%` out of "
        "templated arguments",
        signs=(
            said(r"undefinederror: '[^']+' is undefined"),
            said(r"jinja2\.exceptions\.\w+|templatesyntaxerror|templatenotfound"),
        ),
    ),
    Cause(
        code="DAG_IMPORT",
        what="the DAG's file does not import",
        do="correct the file: its traceback is with the evidence; `python FILE` shows the same without a cluster",
        signs=(
            said(r"\.py does not import: |files of the dag folder do not import|broken dag:"),
            said(r"dag has import errors|failed to import: \S+\.py"),
        ),
    ),
    Cause(
        code="DAG_MISSING",
        what="Airflow knows no DAG of that id",
        do="correct the id in the settings (dag_id) or in the file; the file must lie in the synced DAG folder",
        signs=(
            said(r"airflow knows no dag |parsed,? and define [\w., -]+ instead"),
            said(r"dag with id: [`'\"]?[\w.-]+[`'\"]? was not found|dag not found|dagnotfound"),
        ),
    ),
    Cause(
        code="DAG_NOT_PARSED",
        what="the commit is there, and Airflow has not parsed the DAG from it in time",
        do="see whether .airflowignore names the file, then the DAG processor's log; on a slow machine `--patience 2`",
        signs=(
            said(r"commit is there, (?:not parsed since|the DAG is (?:not known yet|marked stale))", sources=_ERROR),
        ),
        symptom=True,
    ),
    Cause(
        code="DAG_NOT_SYNCED",
        what="git-sync has not brought the commit in time",
        do="see git-sync's log at the DAG processor, and that the Git server answers; slow machine: `--patience 2`",
        signs=(said(r"the DAG processor has (?:no commit yet|[0-9a-f]{12})", sources=_ERROR),),
        symptom=True,
    ),
    Cause(
        code="AIRFLOW_CONFIG",
        what="Airflow cannot use a value of its configuration",
        do="correct the key under `config` in the values, or the variable AIRFLOW__SECTION__KEY",
        signs=(
            said(r"airflowconfigexception: |failed to convert value to (?:int|float|bool)"),
            said(r"cannot use relative path: `[^`]+` to connect to sqlite"),
        ),
    ),
    Cause(
        code="MIGRATION_FAILED",
        what="Airflow's database could not be prepared",
        do="see the log of the migration job; a Postgres made without UTF-8 (SQL_ASCII) is one reason",
        signs=(
            said(r"cannot use a string pattern on a bytes-like object"),
            said(r"there are still unapplied migrations|alembic\.util\.exc\.commanderror"),
            said(r"sqlalchemy\.exc\.|psycopg2?\.(?:operational|programming)error|traceback", where=r"migrat"),
            Sign(said=r"job \S*migrat\S*: failed|backofflimitexceeded", where=r"migrat"),
            Sign(reasons=frozenset({"BackoffLimitExceeded"}), where=r"migrat"),
        ),
    ),
    Cause(
        code="TASK_TOKEN",
        what="Airflow's components do not accept each other's tokens",
        do="restart API server and scheduler after a change of keys; on a slow machine the token may have expired",
        signs=(said(r"signature has expired|signature verification failed|invalid auth token"),),
    ),
)

_NETWORK: Final = (
    Cause(
        code="DNS",
        what="a name cannot be resolved",
        do="see that the service exists under that name and that CoreDNS runs; names outside are not resolved offline",
        signs=(said(r"could not resolve host|temporary failure in name resolution|name or service not known"),),
    ),
    Cause(
        code="TLS",
        what="a certificate is not trusted",
        do="give the client the CA that signed it: GIT_SSL_CAINFO for Git, the system's bundle for downloads",
        signs=(said(_TLS),),
    ),
    Cause(
        code="EGRESS_BLOCKED",
        what="a pod was kept from reaching something outside the cluster",
        do="allow the address in the settings, or keep the DAG to services of the cluster",
        signs=(reason("EgressBlocked"), said(r"no route to host|network is unreachable")),
    ),
)

_SYMPTOMS: Final = (
    # That one of its containers ended says nothing yet of why; its log, which does, goes before.
    Cause(
        code="MIGRATION_FAILED",
        what="Airflow's database could not be prepared",
        do="see the log of the migration job",
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
            Sign(said=r"CrashLoopBackOff", sources=_ERROR),
        ),
        symptom=True,
    ),
    Cause(
        code="HELM_TIMEOUT",
        what="the release was not ready in time",
        do="see pods.txt and events.txt for what does not come up; on a slow machine raise `--patience`",
        signs=(
            said(r"waited \d+ s for (?:Deployment|Job) airflow/\S+|waited \d+ s for Airflow's API", sources=_ERROR),
            said(r"timed out waiting for the condition|context deadline exceeded", sources=_ERROR),
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

CATALOGUE: Final[tuple[Cause, ...]] = (
    *_MACHINE, *_PODS, *_GIT, *_STORE, *_AIRFLOW, *_NETWORK, *_SYMPTOMS,
)  # fmt: skip
UNKNOWN: Final = "UNKNOWN"
