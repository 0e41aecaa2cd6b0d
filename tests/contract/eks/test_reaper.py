"""The reaper: the program that is put into the cluster, run as a pod runs it, with the rights that it has there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from harness.targets.attached.claim import KINDS
from harness.targets.attached.reaper import groups, kinds
from tests.contract.eks.aftermath import fill
from tests.contract.eks.conftest import Site
from tests.contract.eks.objects import RESOURCES, Objects
from tests.contract.eks.test_target import READY, keys, put
from tests.contract.kubeapi.conftest import ApiServer
from tests.contract.lookalike.conftest import Client

TOKEN = "reaper-token"
REAPER = "harness-reaper"
RULE = {
    "apiGroups": ["admissionregistration.k8s.io"],
    "resources": ["mutatingwebhookconfigurations"],
    "resourceNames": ["harness-adapter"],
    "verbs": ["get", "delete"],
}


@dataclass
class Pod:
    """Where the program runs: its account, its files, and nothing else."""

    folder: Path
    server: ApiServer
    objects: Objects
    looks: int = 0

    def run(self) -> str:
        """Once; what it said."""
        account = self.folder / "account"
        account.mkdir(exist_ok=True)
        theirs = yaml.safe_load(self.server.kubeconfig.read_text())["clusters"][0]["cluster"]
        (account / "token").write_text(TOKEN)
        (account / "ca.crt").write_bytes(base64.b64decode(theirs["certificate-authority-data"]))
        files = self.objects.found["ConfigMap", "harness", REAPER]["data"]
        for name, text in files.items():
            (self.folder / name).write_text(text)
        environment = {
            "PATH": os.environ["PATH"],
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT_HTTPS": str(urlsplit(self.server.url).port),
            "REAPER_ACCOUNT": str(account),
            "REAPER_PLAN": str(self.folder / "plan.json"),
        }
        # As the controllers make them; the one before is there still.
        self.looks += 1
        job = f"{REAPER}-{self.looks}"
        self._put("Job", job, of=("CronJob", REAPER))
        self._put("Pod", f"{job}-x", of=("Job", job))
        # As in the pod: the standard library, and nothing of this environment.
        command = [sys.executable, "-I", "-S", str(self.folder / "reap.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _put(self, kind: str, name: str, *, of: tuple[str, str]) -> None:
        uid = self.objects.found[of[0], "harness", of[1]]["metadata"]["uid"]
        owners = {"ownerReferences": [{"uid": uid}]}
        self.objects.put(kind, name, "harness", labels={"app": REAPER}, metadata=owners)


@pytest.fixture
def pod(tmp_path: Path, server: ApiServer, objects: Objects) -> Pod:
    folder = tmp_path / "pod"
    folder.mkdir()
    objects.bound[TOKEN] = REAPER
    return Pod(folder, server, objects)


@pytest.fixture
def prepared(objects: Objects) -> None:
    """The right to the one thing outside of the namespaces."""
    objects.put("ClusterRole", REAPER, rules=[RULE])


def past(objects: Objects) -> None:
    when = datetime.now(UTC) - timedelta(seconds=1)
    objects.found["ConfigMap", "harness", "harness-claim"]["data"]["expires"] = when.isoformat(timespec="seconds")


def test_it_may_remove_what_runs_make_and_reads_nothing_of_it(site: Site, objects: Objects) -> None:
    site.target().up()
    wanted = {(group, plural) for group, plurals in groups().items() for plural in plurals}
    for namespace in ("airflow", "harness"):
        rules = objects.found["Role", namespace, REAPER]["rules"]
        given = {(rule["apiGroups"][0], one): rule["verbs"] for rule in rules
                 if "resourceNames" not in rule for one in rule["resources"]}  # fmt: skip
        assert set(given) == wanted
        assert {verb for verbs in given.values() for verb in verbs} == {"deletecollection"}
        named = {(*rule["resourceNames"], *rule["verbs"]) for rule in rules if "resourceNames" in rule}
        wanted_here = {("harness-claim", "get", "patch", "delete")} if namespace == "harness" else {(REAPER, "delete")}
        assert named == wanted_here


def test_each_kind_is_asked_for_where_the_api_server_has_it() -> None:
    known = {(kind, path.strip("/"), plural) for path, listed in RESOURCES.items() for plural, kind, _ in listed}
    assert {*kinds()} <= known
    assert [kind for kind, _, _ in kinds()] == [kind for kind, _ in KINDS]


def test_before_its_time_nothing_is_touched(site: Site, objects: Objects, pod: Pod) -> None:
    fill(site.target().up(), objects)
    before = set(objects.found)
    said = pod.run()
    assert said.startswith("run run-1 has the namespaces until 20")
    assert set(objects.found) - before == {("Job", "harness", f"{REAPER}-1"), ("Pod", "harness", f"{REAPER}-1-x")}


@pytest.mark.usefixtures("prepared")
def test_past_its_time_prepared_namespaces_are_as_before_and_nothing_of_the_reaper_is_left(
    site: Site, objects: Objects, pod: Pod, client: Client
) -> None:
    target = site.target()
    fill(target.up(), objects)
    put(client, "runs/run-1/a")
    target.release()
    past(objects)
    assert "objects are going" in pod.run()
    assert "is gone; not its objects in the bucket" in pod.run()
    assert objects.names("harness") == READY
    assert objects.names("airflow") == READY | {"ServiceAccount/airflow-dvc-sa"}
    assert objects.names() == {"Namespace/airflow", "Namespace/harness", f"ClusterRole/{REAPER}"}
    assert keys(client) == {"claims/run-1.json", "runs/run-1/a"}
    target.down()
    again = site.target("run-2")
    again.up()
    again.down()
    assert keys(client) == set()


def test_the_webhook_stays_and_is_named_where_nobody_has_given_the_right(
    site: Site, objects: Objects, pod: Pod
) -> None:
    target = site.target()
    fill(target.up(), objects)
    target.release()
    past(objects)
    pod.run()
    assert "; the webhook harness-adapter may not be removed from here" in pod.run()
    assert "MutatingWebhookConfiguration/harness-adapter" in objects.names()
    site.target("run-2").up()
    webhook = objects.found["MutatingWebhookConfiguration", "", "harness-adapter"]
    assert webhook["metadata"]["labels"]["harness.run"] == "run-2"


def test_namespaces_that_the_run_made_go_whole_and_the_webhook_with_them(
    site: Site, objects: Objects, pod: Pod
) -> None:
    objects.found.clear()
    target = site.target()
    fill(target.up(), objects)
    target.release()
    past(objects)
    assert "a namespace is going" in pod.run()
    assert "is gone" in pod.run()
    assert objects.found == {}


def test_what_stops_it_between_two_steps_the_next_one_finishes(site: Site, objects: Objects, pod: Pod) -> None:
    target = site.target()
    fill(target.up(), objects)
    target.release()
    past(objects)
    pod.run()
    # Stopped when it had given back its rights in the other namespace, and not yet the claim.
    objects._delete("Role", "airflow", REAPER)
    pod.run()
    assert objects.names("harness") == READY
    assert objects.names("airflow") == READY | {"ServiceAccount/airflow-dvc-sa"}


def test_a_kept_environment_has_a_new_time_with_each_run_and_none_once_it_is_reaped(
    site: Site, objects: Objects, pod: Pod
) -> None:
    first = site.target("run-1")
    fill(first.up(), objects)
    first.keep()
    first.release()
    past(objects)
    second = site.target("run-2")
    assert second.up().reused
    second.release()
    assert pod.run().startswith("run run-1 has the namespaces until 20")
    past(objects)
    assert "are going" in pod.run()
    assert not site.target("run-3").up().reused


def test_a_run_that_goes_on_just_then_is_not_reaped(site: Site, objects: Objects, pod: Pod, server: ApiServer) -> None:
    fill(site.target().up(), objects)
    past(objects)
    handle: Callable[[Any], bool] = objects.handle

    def renewed(asked: Any) -> bool:
        if asked.method == "PATCH" and isinstance(asked.body, list):
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
            objects.found["ConfigMap", "harness", "harness-claim"]["data"]["expires"] = later
        return handle(asked)

    server.otherwise = renewed
    before = set(objects.found)
    assert pod.run() == "run run-1 goes on\n"
    assert before <= set(objects.found)
    assert "reaped" not in objects.found["ConfigMap", "harness", "harness-claim"]["data"]


def test_everything_that_is_made_outside_of_the_claim_says_when_it_is_left_behind(
    site: Site, objects: Objects, client: Client
) -> None:
    objects.found.clear()
    site.target().up()
    expires = objects.found["ConfigMap", "harness", "harness-claim"]["data"]["expires"]
    stamp = expires.partition("+")[0].replace(":", "-")
    made = [one for one in objects.found.values() if one["metadata"]["name"] != "harness-claim"]
    assert {one["metadata"]["labels"]["harness.expires"] for one in made} == {stamp}
    assert {one["metadata"]["labels"]["harness.run"] for one in made} == {"run-1"}
    said = json.loads(client("s3").get_object(Bucket="dvc", Key="claims/run-1.json")["Body"].read())
    assert abs(datetime.fromisoformat(said["expires"]) - datetime.fromisoformat(expires)) < timedelta(seconds=30)
