"""The reaper: removes from the cluster what a run has left there past its time.

It runs in a pod of its own account, every few minutes, from an image that has Python and nothing else; so it needs the
standard library only. What it may is in `reaper.yaml.j2`: to remove from the harness's two namespaces, unread, and to
read and mark the claim on them. It has no key of AWS: the run's objects in the bucket stay, for `harness sweep
--target eks`.

Nothing is waited for: what is still going is found gone by the next one. The claim goes last, and with it, as they
belong to it, the reaper itself.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

# As in harness/names.py and claim.py, which are not in the image.
SERVICES, CLAIM, REAPER, WEBHOOK = "harness", "harness-claim", "harness-reaper", "harness-adapter"
_SECONDS = 20
_OK, _FORBIDDEN, _GONE = 200, 403, 404
_FAILED = 300


class Refused(Exception):
    """The API server does not do what is asked, for a reason that is not the reaper's to judge."""


class Api:
    """The API server, as the pod's account."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        account = Path(environ.get("REAPER_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT_HTTPS", "443")
        self._url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._token = (account / "token").read_text().strip()
        trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
        )

    def ask(self, method: str, path: str, body: object = None, *, form: str = "application/json") -> tuple[int, Any]:
        """Status and answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": form, "Accept": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)  # noqa: S310 - https
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            return error.code, said

    def done(self, method: str, path: str, body: object = None) -> Any:
        """The answer of what must be done; None where there is nothing of that name."""
        status, said = self.ask(method, path, body)
        if status == _GONE:
            return None
        if status >= _FAILED:
            raise Refused(f"{method} {path}: {status} {said}")
        return said


class Reaper:
    """One look at the claim.

    Args:
        api: The cluster.
        kinds: What namespaces may hold: kind, path of its API, plural name; workloads before their pods.
        made: The namespaces that the run has made: they go whole.
    """

    def __init__(self, api: Api, kinds: list[tuple[str, str, str]], made: list[str]) -> None:
        self._api = api
        self._kinds = kinds
        self._made = made

    def reap(self, now: datetime) -> str:
        """Remove what is past its time; what there is to say of it."""
        claim = f"/api/v1/namespaces/{SERVICES}/configmaps/{CLAIM}"
        found = self._api.done("GET", claim)
        if found is None:
            return "nobody has the namespaces"
        data = found["data"]
        run, expires = data["run"], datetime.fromisoformat(data["expires"])
        if now < expires:
            return f"run {run} has the namespaces until {expires.isoformat()}"
        if "reaped" not in data and not self._mark(claim, data["expires"], now):
            return f"run {run} goes on"
        webhook = self._remove_webhook(run)
        before: dict[str, list[str]] = json.loads(data["before"])
        emptied = [namespace for namespace in before if namespace not in self._made]
        left = sum(self._empty(namespace, set(before[namespace])) for namespace in emptied)
        if left:
            return f"run {run} is past its time since {expires.isoformat()}: {left} objects are going{webhook}"
        if not self._others_gone(emptied):
            return f"run {run} is past its time: a namespace is going{webhook}"
        if SERVICES in self._made:
            self._api.done("DELETE", f"/api/v1/namespaces/{SERVICES}")
        else:
            self._api.done("DELETE", claim)
        return f"run {run} is past its time: what it had in the cluster is gone; not its objects in the bucket{webhook}"

    def _mark(self, claim: str, expires: str, now: datetime) -> bool:
        """Mark the claim, if it still says what was read: a run that goes on with it says another time."""
        patch = [
            {"op": "test", "path": "/data/expires", "value": expires},
            {"op": "add", "path": "/data/reaped", "value": now.isoformat(timespec="seconds")},
        ]
        status, _ = self._api.ask("PATCH", claim, patch, form="application/json-patch+json")
        return status == _OK

    def _remove_webhook(self, run: str) -> str:
        """It is outside of the namespaces, and few let the reaper there; what to say of it."""
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{WEBHOOK}"
        status, found = self._api.ask("GET", path)
        if status == _FORBIDDEN and SERVICES not in self._made:
            return f"; the webhook {WEBHOOK} may not be removed from here"
        if status == _OK and found["metadata"].get("labels", {}).get("harness.run") == run:
            self._api.done("DELETE", path)
        return ""

    def _empty(self, namespace: str, before: set[str]) -> int:
        """Remove from a namespace what was not there before; how much of it there still was."""
        found = 0
        for kind, path, plural in self._kinds:
            keep = {name.partition("/")[2] for name in before if name.partition("/")[0] == kind}
            keep |= {CLAIM} if kind == "ConfigMap" else set()
            asked = {
                # The reaper's own, and what is left of those before it, go with the claim.
                "labelSelector": f"app!={REAPER}",
                "fieldSelector": ",".join(f"metadata.name!={name}" for name in sorted(keep)),
                "propagationPolicy": "Background",
            }
            status, answer = self._api.ask("DELETE", f"/{path}/namespaces/{namespace}/{plural}?{urlencode(asked)}")
            if status == _FORBIDDEN and namespace != SERVICES:
                return 0  # one before has found it empty, and has given its rights back
            if status >= _FAILED:
                raise Refused(f"removing {plural} from {namespace}: {status} {answer}")
            found += len(answer.get("items") or [])
        return found

    def _others_gone(self, emptied: list[str]) -> bool:
        """Remove the namespaces but the reaper's own, or its rights there; whether that is done."""
        others = [namespace for namespace in self._made if namespace != SERVICES]
        # Once it is going, what gave the right to ask may be gone.
        gone = (_GONE, _FORBIDDEN)
        going = [name for name in others if self._api.ask("GET", f"/api/v1/namespaces/{name}")[0] not in gone]
        for namespace in going:
            self._api.ask("DELETE", f"/api/v1/namespaces/{namespace}")
        for namespace in emptied:
            if namespace != SERVICES:
                # What binds it belongs to it, and goes with it.
                self._api.ask("DELETE", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{REAPER}")
        return not going


def main(environ: Mapping[str, str]) -> int:
    """Look once."""
    wanted = json.loads(Path(environ["REAPER_PLAN"]).read_text())
    try:
        said = Reaper(Api(environ), wanted["kinds"], wanted["made"]).reap(datetime.now(UTC))
    except (Refused, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
