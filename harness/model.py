"""The values that pass from box to box, left to right through a run. All frozen; none has behaviour.

`Settings` (harness/settings.py) -> `Toolchain` -> `Cluster` -> `Services` -> `AirflowRelease` -> `PipelineRun` ->
`Verdict` (harness/dvc/). They stand together, below the boxes, so that a box needs no other box and can be tested
with a hand-made input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

ImageName = Literal[
    "airflow", "worker", "postgres", "localstack", "strict-s3", "git-server", "git-sync", "adapter", "path-helper",
    "probe",
]  # fmt: skip
# What the registry supply pulls, by the names of `registry-images.toml`.
PulledName = Literal["node", "airflow", "postgres", "localstack", "git-sync", "base"]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A part that replaces a real one.

    Attributes:
        name: What runs.
        replaces: What it stands in for.
        because: Why the real part is not here.
    """

    name: str
    replaces: str
    because: str


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answers.

    Attributes:
        docker: The client program.
        host: Its address as DOCKER_HOST takes it; empty for the client's own default.
        ours: Whether the harness started it, and so stops it.
        version: The server's version.
    """

    docker: Path
    host: str
    ours: bool
    version: str

    @property
    def env(self) -> dict[str, str]:
        """What a program needs in its environment to reach this engine and no other."""
        return {"DOCKER_HOST": self.host} if self.host else {}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Everything a target needs to make a cluster and fill it.

    Attributes:
        supply: Which supply it came from.
        engine: The container engine.
        kind: The kind program.
        helm: The helm program.
        kubectl: The kubectl program.
        node_image: Image of the kind node, with `preloaded` inside.
        images: Image reference in the cluster by logical name.
        image_digests: Digests ("sha256:...") by logical name, of which a pod's status must show one.
        preloaded: References that are inside the node image already; the others must be loaded.
        stand_ins: What replaces a real part.
        kubernetes_version: Such as "v1.34.4".
        unpinned: Images without a published digest: what their first pull brought is trusted.
        chart: Archive of the official Airflow chart; None where the supply cannot have it.
        no_chart: Why not.
        engine_images: What the images are called in the engine, by logical name: to run one beside the node.
    """

    supply: Literal["registry", "packages"]
    engine: Engine
    kind: Path
    helm: Path
    kubectl: Path
    node_image: str
    images: Mapping[ImageName, str]
    image_digests: Mapping[ImageName, tuple[str, ...]]
    preloaded: frozenset[str]
    stand_ins: tuple[StandIn, ...]
    kubernetes_version: str
    unpinned: tuple[str, ...] = ()
    chart: Path | None = None
    no_chart: str = ""
    engine_images: Mapping[ImageName, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket outside the cluster.

    Attributes:
        name: Its name; it is not the harness's to make or to remove.
        region: Of the bucket.
        endpoint: URL of what stands for S3, the same for pods and for the harness; None for AWS itself.
        root: Prefix of all keys of the harness, with a slash at its end; empty for a bucket of its own.
        profile: Profile of the AWS configuration that the harness reaches it with; None for what boto3 finds.
        run: Prefix of this run's keys, with a slash at its end: they go at the end, with all versions; None for `root`.
    """

    name: str
    region: str
    endpoint: str | None
    root: str
    profile: str | None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that answers.

    Attributes:
        name: Its exact name.
        kubeconfig: File written by the harness, mode 0600, with this one context.
        context: Name of that context.
        ports: Port on the host's loopback by service name ("airflow", "git", "s3").
        reused: Whether it was there before this run.
        kubernetes_version: What its API server says, such as "v1.34.4".
        forwarded: Whether the ports are forwards of this process, and end with it; else they are ports of the node.
        bucket: Where S3 is; None where the services bring an object store.
        mapped_images: What nodes call an image, by its reference; one that is not here they hold under its own name.
        storage_class: Of the claim that tasks share; empty for the cluster's default.
        claim_access: Access mode of that claim.
        irsa: Whether pods get their keys by IRSA: there is no agent of Pod Identity that they could ask.
        pod_environment: Variables that pods need besides, on this cluster alone.
    """

    name: str
    kubeconfig: Path
    context: str
    ports: Mapping[str, int]
    reused: bool
    kubernetes_version: str
    forwarded: bool = False
    bucket: Bucket | None = None
    mapped_images: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    claim_access: str = "ReadWriteOnce"
    irsa: bool = False
    pod_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GitService:
    """The Git server.

    Attributes:
        inside: Repository URL as pods use it; fixed for the life of a cluster.
        outside: The same repository as the harness reaches it.
        ca_file: Certificate authorities that the server's certificate is held to; None for the system's own.
        username: User with read and write access.
        password: Its password.
        admin_password: Password of the user `harness-admin`, who alone may re-seed the repository; None on a server
            that is not the harness's: nobody re-seeds there, and nobody says when a push came.
    """

    inside: str
    outside: str
    ca_file: Path | None
    username: str
    password: SecretStr
    admin_password: SecretStr | None

    @property
    def ours(self) -> bool:
        """Whether it is the harness's own, in the cluster."""
        return self.admin_password is not None


@dataclass(frozen=True, slots=True)
class Push:
    """A ref that a push moved, as the Git server has noted it.

    Attributes:
        ref: Its full name.
        before: Commit before the push; forty zeros where there was none.
        after: Commit after it.
        time: When it had been moved, by the server's clock.
    """

    ref: str
    before: str
    after: str
    time: datetime


@dataclass(frozen=True, slots=True)
class S3Service:
    """The object store.

    Attributes:
        inside: Endpoint URL as pods use it; None for AWS itself.
        outside: Endpoint URL as the harness reaches it; None for AWS itself.
        bucket: One per cluster; on AWS one that was there before.
        region: Of the bucket.
        access_key: For the harness itself; None where boto3's own chain serves.
        secret_key: Likewise.
        backend: What answers, with its version.
        root: Prefix of all keys of the harness, with a slash at its end; empty for a bucket of its own.
        profile: Profile of the AWS configuration for boto3's own chain; None for what it finds.
        probes: Prefix of the keys that are put there to see whether that can be done.
    """

    inside: str | None
    outside: str | None
    bucket: str
    region: str
    access_key: str | None
    secret_key: SecretStr | None
    backend: str
    root: str = ""
    profile: str | None = None
    probes: str = ""


@dataclass(frozen=True, slots=True)
class S3Keys:
    """Keys as a program takes them from its environment.

    Attributes:
        access_key: Public.
        secret_key: Signs.
        session_token: Belongs to keys that end; None for those that do not.
    """

    access_key: str
    secret_key: SecretStr
    session_token: SecretStr | None

    def confidential(self) -> tuple[str, ...]:
        """What must never be seen."""
        token = () if self.session_token is None else (self.session_token.get_secret_value(),)
        return (self.secret_key.get_secret_value(), *token)


@dataclass(frozen=True, slots=True)
class Services:
    """All services of a cluster, each proven by a round trip from outside and from a pod."""

    git: GitService
    s3: S3Service


@dataclass(frozen=True, slots=True)
class AirflowRelease:
    """An Airflow that answers.

    Attributes:
        url: Root of its API and UI as the harness reaches it, without a trailing slash.
        username: Of the administrator.
        password: Generated for this cluster.
        version: What the API says, such as "3.3.2".
        chart: Chart name and version with its kind, such as "airflow 1.22.0 (official)".
        values_digest: sha256 over the effective values, secrets left out.
        namespace: Where it is installed.
    """

    url: str
    username: str
    password: SecretStr
    version: str
    chart: str
    values_digest: str
    namespace: str


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How one task instance ended.

    Attributes:
        task_id: Of the DAG.
        state: Airflow's state, such as "success".
        try_number: From 1.
        seconds: Duration as Airflow reports it; None if it never ran.
        queued: Whether it was ever handed to an executor.
    """

    task_id: str
    state: str
    try_number: int
    seconds: float | None
    queued: bool = True


@dataclass(frozen=True, slots=True)
class DagRunOutcome:
    """How one DAG run ended.

    Attributes:
        dag_id: Of the DAG.
        run_id: Unique, chosen by the harness.
        state: Airflow's final state, "success" or "failed".
        tasks: By task id; of a mapped task also each instance, as "task[0]".
        overdue: Seconds after which the harness ended it, for it had not ended; None where it ended by itself.
        stuck: Why the harness ended it, where none of its tasks got on by its own doing.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: Mapping[str, TaskOutcome]
    overdue: float | None = None
    stuck: str = ""


@dataclass(frozen=True, slots=True)
class Leak:
    """Secrets in the log of one container.

    Attributes:
        container: Its name.
        lines: How many lines of its log held a secret of this run.
        first: Number of the first of them, from 1.
    """

    container: str
    lines: int
    first: int


@dataclass(frozen=True, slots=True)
class BlockedEgress:
    """What a pod tried to reach outside the cluster, and was kept from.

    Attributes:
        source: Address that it came from.
        destination: Address that it was meant for.
        protocol: Such as "tcp".
        port: At the destination; None where the protocol has none.
        packets: How many were blocked: for TCP attempts to connect, with those that the system repeats by itself.
        pod: Name of the pod, "namespace/name"; empty where nobody knows whose address it was.
    """

    source: str
    destination: str
    protocol: str
    port: int | None
    packets: int
    pod: str = ""

    @property
    def target(self) -> str:
        """Where to, such as "192.0.2.1:443"; the address alone where the protocol has no ports."""
        return self.destination if self.port is None else f"{self.destination}:{self.port}"

    def __str__(self) -> str:
        """Such as "airflow/dvc-pull-1 to 192.0.2.1:443 (tcp)"."""
        return f"{self.pod or self.source} to {self.target} ({self.protocol})"


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """What a container ran that is not its pod's main one: an init container or a sidecar.

    Attributes:
        container: Its name.
        image: Image reference.
        image_id: Image ID that the kubelet reports for it.
    """

    container: str
    image: str
    image_id: str


@dataclass(frozen=True, slots=True)
class PodEvidence:
    """What was seen of one pod while it lived.

    Attributes:
        name: Pod name; of a second pod of that name in the same run "name~2", and so on.
        task_id: The task it worked for.
        role: "executor" (runs Airflow's task) or "task" (the DAG's own container).
        phase: Last phase seen.
        image: Image reference of the main container.
        image_id: Image ID that the kubelet reports for it.
        synced_sha: Commit that git-sync checked out; executor pods only, None when it could not be seen.
        added: What the adapter added to it that the DAG does not ask for, such as "base: env AWS_REGION".
        reason: Why it could not start, or was ended, in the cluster's words; empty where nothing of that kind was seen.
        last_words: The last line that its main container wrote, redacted.
        address: Its address in the cluster; empty where it never had one, or the node's where it is in its network.
        former_addresses: Those that it had before.
        host_network: Whether it is in the node's own network, where nothing is watched or blocked.
        map_index: Of the instance of a mapped task; -1 for a task that is not mapped.
        try_number: The try of the task that it was made for, from 1; 0 where it does not say.
        ran: Whether its main container came to run, or may have while nobody looked.
        unread: Of each container whose log was not read to its end: "base: why not".
        leaks: Its containers whose logs held a secret of this run; never the secret.
        blocked: What it tried to reach outside the cluster, and was kept from.
        uid: What the cluster knows it by; empty where nobody asked.
        beside: What its other containers ran, as far as they did.
    """

    name: str
    task_id: str
    role: str
    phase: str
    image: str
    image_id: str
    synced_sha: str | None = None
    added: tuple[str, ...] = ()
    reason: str = ""
    last_words: str = ""
    address: str = ""
    former_addresses: tuple[str, ...] = ()
    host_network: bool = False
    map_index: int = -1
    try_number: int = 0
    ran: bool = True
    unread: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    blocked: tuple[BlockedEgress, ...] = ()
    uid: str = ""
    beside: tuple[ContainerImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Seeded:
    """A repository and bucket prefix made ready for one run.

    Attributes:
        sha: Tip of the branch after seeding: the code under test.
        branch: The branch.
        prefix: Key prefix of the DVC remote in the bucket, without a trailing slash.
        dags_path: Path of the DAG folder in the repository.
    """

    sha: str
    branch: str
    prefix: str
    dags_path: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause of a failure that was recognised (harness/diagnostics/).

    Attributes:
        code: Of the cause, stable.
        what: What happened, with the words that gave it away.
        where: The object it was seen at.
        do: What the reader should do.
    """

    code: str
    what: str
    where: str
    do: str

    def __str__(self) -> str:
        """One line for the reader."""
        return f"{self.code}: {self.what} | {self.where} | {self.do}"


@dataclass(frozen=True, slots=True)
class Watch:
    """What could not be seen of a run's pods.

    Attributes:
        gaps: How often they were out of sight for a moment: some may have come and gone in it.
        unnamed: Attempts to leave the cluster during the run that no pod is known for.
    """

    gaps: int = 0
    unnamed: tuple[BlockedEgress, ...] = ()


# Nothing was missed.
UNBROKEN: Final = Watch()


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One run of the DAG and everything seen of it from outside.

    Attributes:
        seeded: What it started from.
        outcome: What Airflow says. The verdict does not trust it.
        pods: Every pod seen, by name.
        watch: What could not be seen of them.
    """

    seeded: Seeded
    outcome: DagRunOutcome
    pods: Mapping[str, PodEvidence]
    watch: Watch = UNBROKEN
