"""What must be true of an installed Airflow, whichever chart made it: a list of facts over rendered manifests.

The embedded chart stands in for the official one only as far as this list goes, so the list is checked on both. It is
also what a user's own values are held to before they are installed: a release for which a fact fails would bring up
something that the harness cannot drive, or would leak a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from kubernetes.utils import parse_quantity

from harness.airflow.chart_rendering import Container, Rendering
from harness.names import AIRFLOW_NAMESPACE, DVC_SERVICE_ACCOUNT, GIT_CREDENTIALS_SECRET, NODE_PORTS, RELEASE

DEPLOYMENTS: Final = ("api-server", "scheduler", "dag-processor")
JOBS: Final = ("run-airflow-migrations", "create-user")

# Variable -> (Secret, key). The harness creates these Secrets before it installs.
SECRET_ENVIRONMENT: Final[Mapping[str, tuple[str, str]]] = {
    "AIRFLOW__CORE__FERNET_KEY": ("airflow-fernet-key", "fernet-key"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": ("airflow-metadata", "connection"),
    "AIRFLOW_CONN_AIRFLOW_DB": ("airflow-metadata", "connection"),
    "AIRFLOW__API__SECRET_KEY": ("airflow-api-secret-key", "api-secret-key"),
}
JWT_ENVIRONMENT: Final = {"AIRFLOW__API_AUTH__JWT_SECRET": ("airflow-jwt-secret", "jwt-secret")}
GIT_ENVIRONMENT: Final = {
    name: (GIT_CREDENTIALS_SECRET, name)
    for name in ("GIT_SYNC_USERNAME", "GIT_SYNC_PASSWORD", "GITSYNC_USERNAME", "GITSYNC_PASSWORD")
}
ADMIN_SECRET: Final = "airflow-admin"  # noqa: S105 - the name of a secret, not a secret

# Role -> resource -> verbs.
RBAC: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "pod-launcher": {
        "pods": frozenset({"create", "delete", "get", "list", "patch", "watch"}),
        "pods/log": frozenset({"get"}),
        "pods/exec": frozenset({"create", "get"}),
        "events": frozenset({"list", "watch"}),
    },
    "pod-log-reader": {"pods": frozenset({"get", "list", "watch"}), "pods/log": frozenset({"get", "list"})},
}

# (section, option) -> the value that airflow.cfg must hold.
CONFIG: Final[Mapping[tuple[str, str], str]] = {
    ("core", "executor"): "KubernetesExecutor",
    ("core", "auth_manager"): "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    ("core", "load_examples"): "False",
    ("core", "execution_api_server_url"): f"http://{RELEASE}-api-server:8080/execution/",
    ("kubernetes_executor", "namespace"): AIRFLOW_NAMESPACE,
    ("kubernetes_executor", "pod_template_file"): "/opt/airflow/pod_templates/pod_template_file.yaml",
    ("kubernetes_executor", "delete_worker_pods"): "False",
    ("logging", "remote_logging"): "False",
}
# (section, option) -> the largest value, in seconds, with which a run is still quick.
CONFIG_AT_MOST: Final[Mapping[tuple[str, str], float]] = {
    ("scheduler", "scheduler_heartbeat_sec"): 2,
    ("dag_processor", "refresh_interval"): 10,
    ("dag_processor", "min_file_process_interval"): 30,
    ("core", "min_serialized_dag_update_interval"): 5,
}

_STARTUP_BUDGET: Final = 300  # seconds that every startup probe must allow
_LONGEST_GRACE: Final = 30  # seconds that a deleted pod may take
_MOST: Final = {"cpu": Decimal(2), "memory": Decimal(4 * 1024**3)}  # for all components and one executor pod
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|CREDENTIAL|FERNET|(?:^|_)KEY$|_CONN(?:_|$)", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
_PASSWORD_ARGUMENT = re.compile(r"(?:^|\s)(?:-p|--password)(?:[\s=]|$)")

Problems = Iterator[str]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that must be true.

    Attributes:
        name: Short and stable, for tests and reports.
        says: What must be true, and why where that is not plain.
        problems: Yields each way in which a rendering contradicts it.
    """

    name: str
    says: str
    problems: Callable[[Rendering], Problems]


@dataclass(frozen=True, slots=True)
class FactResult:
    """Whether a fact holds.

    Attributes:
        name: Of the fact.
        says: Of the fact.
        problems: Every contradiction; empty when it holds.
    """

    name: str
    says: str
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts the fact."""
        return not self.problems


def check_facts(manifests: Sequence[Mapping[str, Any]]) -> list[FactResult]:
    """Check every fact on what a chart rendered; a missing part is a problem of the facts about it, not an error."""
    rendering = Rendering(manifests)
    return [FactResult(fact.name, fact.says, tuple(fact.problems(rendering))) for fact in FACTS]


def _components(rendering: Rendering) -> Problems:
    expected = {("Deployment", f"{RELEASE}-{name}") for name in DEPLOYMENTS}
    expected |= {("Job", f"{RELEASE}-{name}") for name in JOBS}
    expected |= {("Service", f"{RELEASE}-api-server"), ("ConfigMap", f"{RELEASE}-config")}
    for kind, name in sorted(expected - rendering.names):
        yield f"{kind} {name} is missing"
    for kind, name in sorted(rendering.names - expected):
        if kind not in {"ServiceAccount", "Role", "RoleBinding"}:
            yield f"{kind} {name} is not expected"
    if not rendering.pod_template:
        yield "the ConfigMap holds no pod template"


def _no_hooks(rendering: Rendering) -> Problems:
    for manifest in rendering.manifests:
        if any(key.startswith("helm.sh/hook") for key in manifest["metadata"].get("annotations") or {}):
            yield f"{manifest['kind']} {manifest['metadata']['name']} is a hook"


def _no_secrets(rendering: Rendering) -> Problems:
    for container in rendering.containers:
        for name, value in container.plain_env.items():
            if _SECRET_NAME.search(name):
                yield f"{container}: the value of {name} is written out"
            if _URL_WITH_PASSWORD.search(value):
                yield f"{container}: {name} holds a URL with a password"
        for argument in container.words:
            if _URL_WITH_PASSWORD.search(argument) or _PASSWORD_ARGUMENT.search(argument):
                yield f"{container}: an argument carries a password"
    if any(_URL_WITH_PASSWORD.search(value) for value in rendering.config.values()):
        yield "airflow.cfg holds a URL with a password"


def _images(rendering: Rendering) -> Problems:
    for what, containers in (("Airflow", rendering.airflow), ("git-sync", rendering.git_sync)):
        images = sorted({container.image for container in containers})
        if len(images) != 1:
            yield f"{what} containers run {' and '.join(images) or 'nothing'}"
    option = {
        key: rendering.config.get(("kubernetes_executor", f"worker_container_{key}")) for key in ("repository", "tag")
    }
    if rendering.airflow and f"{option['repository']}:{option['tag']}" != rendering.airflow[0].image:
        yield f"airflow.cfg makes the executor's pods run {option['repository']}:{option['tag']}"
    for container in rendering.containers:
        if container.pull_policy not in {"IfNotPresent", "Never"}:
            yield f"{container}: pull policy {container.pull_policy} cannot use a loaded image"


def _environment(rendering: Rendering) -> Problems:
    for container in rendering.airflow:
        signs = container.name in {"api-server", "scheduler"}
        expected = {**SECRET_ENVIRONMENT, **(JWT_ENVIRONMENT if signs else {})}
        yield from _secret_variables(container, expected)
        if not signs and container.secret_env.keys() & JWT_ENVIRONMENT.keys():
            yield f"{container}: has the key that signs tokens"


def _git_sync(rendering: Rendering) -> Problems:
    owners = {container.owner: set[str]() for container in rendering.git_sync}
    for container in rendering.git_sync:
        owners[container.owner].add(container.name)
        yield from _secret_variables(container, GIT_ENVIRONMENT)
        env = container.plain_env
        once = container.name.endswith("-init")
        expected = {"GIT_SYNC_REV": "HEAD", "GITSYNC_ROOT": "/git", "GITSYNC_LINK": "repo", "GIT_SYNC_ROOT": "/git"}
        expected |= {"GITSYNC_ONE_TIME": "true"} if once else {"GITSYNC_HTTP_BIND": ":1234"}
        for name, value in expected.items():
            if env.get(name) != value:
                yield f"{container}: {name} is {env.get(name)!r}, expected {value!r}"
        for one, other in (("GIT_SYNC_REPO", "GITSYNC_REPO"), ("GIT_SYNC_BRANCH", "GITSYNC_REF")):
            if not env.get(one) or env.get(one) != env.get(other):
                yield f"{container}: {one} is {env.get(one)!r}, {other} is {env.get(other)!r}; both must say the same"
        if "GITSYNC_PERIOD" not in env:
            yield f"{container}: GITSYNC_PERIOD is missing"
    expected_owners = {
        f"Deployment {RELEASE}-dag-processor": {"git-sync-init", "git-sync"},
        "pod template": {"git-sync-init"},
    }
    if owners != expected_owners:
        yield f"git-sync stands in {owners}, expected {expected_owners}"


def _mounts(rendering: Rendering) -> Problems:
    pod_template = rendering.config.get(("kubernetes_executor", "pod_template_file"), "")
    # Container -> path and whether it is read-only.
    own = {
        "scheduler": (pod_template, True),
        "dag-processor": ("/opt/airflow/dags", True),
        "base": ("/opt/airflow/dags", True),
        "create-user": ("/run/airflow-admin", True),
        "git-sync": ("/git", False),
        "git-sync-init": ("/git", False),
    }
    wanted = [(container, "/opt/airflow/airflow.cfg", True) for container in rendering.airflow]
    wanted += [(container, *own[container.name]) for container in rendering.containers if container.name in own]
    for container, path, read_only in wanted:
        mount = container.mounts.get(path)
        if mount is None:
            yield f"{container}: nothing is mounted at {path}"
        elif bool(mount.get("readOnly")) is not read_only:
            yield f"{container}: {path} is mounted {'writable' if read_only else 'read-only'}"
    for container in rendering.containers:
        if container.name == "create-user" and ADMIN_SECRET not in container.volume_secrets:
            yield f"{container}: the Secret {ADMIN_SECRET} is not mounted"
    folder = rendering.config.get(("core", "dags_folder"), "")
    if not folder.startswith("/opt/airflow/dags/repo"):
        yield f"airflow.cfg looks for DAGs in {folder}, outside of what git-sync writes"


def _probes(rendering: Rendering) -> Problems:
    wanted = {
        "api-server": ("startupProbe", "readinessProbe", "livenessProbe"),
        "scheduler": ("startupProbe", "livenessProbe"),
        "dag-processor": ("livenessProbe",),
        "git-sync": ("startupProbe",),
    }
    for container in rendering.containers:
        for kind in wanted.get(container.name, ()):
            probe = container.spec.get(kind)
            if not probe:
                yield f"{container}: no {kind}"
                continue
            if kind == "startupProbe":
                # Kubernetes' own defaults where the probe says nothing.
                if probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < _STARTUP_BUDGET:
                    yield f"{container}: the startup probe gives up before {_STARTUP_BUDGET} s"
                if probe.get("periodSeconds", 10) > 2 or probe.get("initialDelaySeconds", 0) > 0:  # noqa: PLR2004
                    yield f"{container}: the startup probe looks too seldom for a quick start"
            if container.name == "api-server" and probe.get("httpGet", {}).get("path") != "/api/v2/monitor/health":
                yield f"{container}: the {kind} does not ask for the health of Airflow"


def _migrations(rendering: Rendering) -> Problems:
    waiting = {
        container.owner: container for container in rendering.airflow if container.name == "wait-for-airflow-migrations"
    }
    for name in DEPLOYMENTS:
        container = waiting.get(f"Deployment {RELEASE}-{name}")
        seconds = re.search(r"--migration-wait-timeout[= ](\d+)", " ".join(container.words)) if container else None
        if seconds is None or int(seconds[1]) < _STARTUP_BUDGET:
            yield f"{name} does not wait {_STARTUP_BUDGET} s for the database to be migrated"


def _rbac(rendering: Rendering) -> Problems:
    worker = rendering.pod_template.get("spec", {}).get("serviceAccountName", "default")
    subjects = {"pod-launcher": {f"{RELEASE}-scheduler", worker}, "pod-log-reader": {f"{RELEASE}-api-server"}}
    for name, expected in RBAC.items():
        role = rendering.get("Role", f"{RELEASE}-{name}-role")
        found = {resource: frozenset(rule["verbs"]) for rule in role.get("rules", ()) for resource in rule["resources"]}
        if found != expected:
            yield f"Role {RELEASE}-{name}-role allows {_plain(found)}, expected {_plain(expected)}"
        binding = rendering.get("RoleBinding", f"{RELEASE}-{name}-rolebinding")
        bound = {subject["name"] for subject in binding.get("subjects", ())}
        if bound != subjects[name] or binding.get("roleRef", {}).get("name") != f"{RELEASE}-{name}-role":
            yield f"RoleBinding {RELEASE}-{name}-rolebinding binds {sorted(bound)}, expected {sorted(subjects[name])}"
    if worker in {DVC_SERVICE_ACCOUNT, "default"}:
        yield f"the executor's pods run as {worker}, whose rights are not theirs"


def _security(rendering: Rendering) -> Problems:
    for container in rendering.containers:
        security = {**container.pod.get("securityContext", {}), **container.spec.get("securityContext", {})}
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{container}: may run as root"
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{container}: may gain privileges"
        if "ALL" not in security.get("capabilities", {}).get("drop", ()):
            yield f"{container}: keeps capabilities"


def _service(rendering: Rendering) -> Problems:
    spec = rendering.get("Service", f"{RELEASE}-api-server").get("spec", {})
    ports = {port["name"]: port for port in spec.get("ports", ())}
    port = ports.get("api-server", {})
    if port.get("port") != 8080:  # noqa: PLR2004 - the port that airflow.cfg names to task pods
        yield f"the API server is offered on port {port.get('port')}, expected 8080"
    if spec.get("type") == "NodePort" and port.get("nodePort") != NODE_PORTS["airflow"]:
        yield f"the node port is {port.get('nodePort')}, expected {NODE_PORTS['airflow']}, which kind maps to the host"


def _config(rendering: Rendering) -> Problems:
    for (section, option), value in CONFIG.items():
        found = rendering.config.get((section, option))
        if found != value:
            yield f"[{section}] {option} is {found!r}, expected {value!r}"
    for (section, option), most in CONFIG_AT_MOST.items():
        found = rendering.config.get((section, option), "")
        if not re.fullmatch(r"\d+(?:\.\d+)?", found) or float(found) > most:
            yield f"[{section}] {option} is {found!r}, expected at most {most}"
    batch = rendering.config.get(("kubernetes_executor", "worker_pods_creation_batch_size"), "0")
    if not batch.isdigit() or int(batch) < 3:  # noqa: PLR2004 - the three tasks of the pipeline
        yield f"[kubernetes_executor] worker_pods_creation_batch_size is {batch}, expected 3 or more"


def _resources(rendering: Rendering) -> Problems:
    sums = {("requests", "cpu"): Decimal(0), ("requests", "memory"): Decimal(0), ("limits", "memory"): Decimal(0)}
    for container in rendering.containers:
        for (part, resource), total in sums.items():
            quantity = container.spec.get("resources", {}).get(part, {}).get(resource)
            if quantity is None:
                yield f"{container}: no {resource} in {part}"
            elif not container.init and not container.owner.startswith("Job"):
                sums[part, resource] = total + parse_quantity(quantity)  # type: ignore[no-untyped-call]
    for (part, resource), total in sums.items():
        most = _MOST[resource]
        if total > most:
            yield f"the {part} of {resource} sum up to {total}, expected at most {most}"


def _grace(rendering: Rendering) -> Problems:
    for owner, pod in rendering.pods:
        seconds = pod.get("terminationGracePeriodSeconds", _LONGEST_GRACE)
        if seconds > _LONGEST_GRACE:
            yield f"{owner}: takes up to {seconds} s to end, expected {_LONGEST_GRACE} at most"


def _secret_variables(container: Container, expected: Mapping[str, tuple[str, str]]) -> Problems:
    for name, reference in expected.items():
        found = container.secret_env.get(name)
        if found != reference:
            yield f"{container}: {name} comes from {found}, expected {reference}"


def _plain(rules: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    return {resource: sorted(verbs) for resource, verbs in sorted(rules.items())}


FACTS: Final[tuple[Fact, ...]] = (
    Fact(
        "components", "Airflow's three components, two Jobs, one Service, one ConfigMap, and nothing else", _components
    ),
    Fact("no-hooks", "nothing is a chart hook: hooks deadlock with `helm --wait` and outlive the release", _no_hooks),
    Fact("no-secrets", "no secret stands in an argument, a plain variable or airflow.cfg", _no_secrets),
    Fact("images", "all Airflow containers, executor pods too, run one image; so do all git-sync containers", _images),
    Fact(
        "environment", "keys and connection come from named Secrets; only token signers get the JWT key", _environment
    ),
    Fact("git-sync", "git-sync gets repository, branch and credentials under both its names for them", _git_sync),
    Fact("mounts", "airflow.cfg, DAGs, pod template and the administrator's password are where they are read", _mounts),
    Fact("probes", "starting is looked at every second or two, for five minutes at least", _probes),
    Fact("migrations", "every component waits for the migrated database", _migrations),
    Fact("rbac", "scheduler and executor pods manage pods, the API server reads logs; DVC pods get nothing", _rbac),
    Fact("security", "no container runs as root, gains privileges or keeps capabilities", _security),
    Fact("service", "the API server is reached on port 8080, on kind through the mapped node port", _service),
    Fact("config", "airflow.cfg says what the harness relies on", _config),
    Fact("resources", "requests and memory limits of all components and a task fit on 2 cores and 4 GiB", _resources),
    Fact("grace", "no pod takes longer than half a minute to end", _grace),
)
