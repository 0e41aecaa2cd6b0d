"""Pushing one image to ECR by the engine: the login that it takes, what is tried again, and what the reader is told.

The login is a Docker configuration of our own, in the run's folder, for its owner only; the user's is neither read nor
changed, and the password is in no argument. Tried again, each time reported: a registry that limits the rate, a number
of times, and a login that has ended, once, with a new one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from harness.errors import CommandFailed, CommandTimeout, EnvironmentFailed
from harness.journal import Journal
from harness.model import Engine
from harness.process import Runner
from harness.targets.eks.aws import explained
from harness.targets.removal import remove_image_name
from harness.wait import SYSTEM_CLOCK, Clock

# A login that ends sooner is renewed before a push is begun.
_MARGIN: Final = timedelta(minutes=30)
_PUSH_SECONDS: Final = 1800
_SECONDS: Final = 60.0
_ATTEMPTS: Final = 6
_LAYER: Final = re.compile(r"^([0-9a-f]{12}): (Preparing|Waiting|Pushed|Layer already exists|Mounted from .*)$")
_DONE: Final = ("Pushed", "Layer already exists", "Mounted from")


class Trouble(StrEnum):
    """Why an image could not be pushed."""

    EXPIRED = "the login to the registry has ended"
    RATE_LIMIT = "the registry limits the rate of pushes"
    REPOSITORY = "there is no such repository"
    IMMUTABLE = "its tag has another image there, and may not change"
    DENIED = "it is not allowed"
    UNREACHABLE = "the registry cannot be reached"
    OTHER = "the engine could not push it"


# What ECR says through the Docker engine, first match first ("Troubleshooting Amazon ECR" in its user guide).
_SAID: Final = tuple(
    (trouble, re.compile(pattern, re.IGNORECASE))
    for trouble, pattern in (
        (Trouble.EXPIRED, r"authorization token has expired"),
        (Trouble.RATE_LIMIT, r"toomanyrequests|too many requests|rate exceeded|\b429\b"),
        (Trouble.REPOSITORY, r"name unknown|repository with name .* does not exist"),
        (Trouble.IMMUTABLE, r"repository is immutable"),
        (Trouble.DENIED, r"denied|unauthorized|not authorized|no basic auth|\b403\b"),
        (Trouble.UNREACHABLE, r"connection refused|no such host|i/o timeout|timeout|unreachable|x509|\bEOF\b"),
    )
)
_NEXT: Final = {
    Trouble.EXPIRED: "check this machine's clock",
    Trouble.RATE_LIMIT: "run the same command again: what is there is not pushed again",
    Trouble.REPOSITORY: "create it, or let the harness (eks.ecr_create)",
    Trouble.IMMUTABLE: "delete that tag, or name another eks.ecr_prefix",
    Trouble.DENIED: "give the caller what a push needs: see docs/how-to/eks.md, images",
    Trouble.UNREACHABLE: "check the network, the proxy and the certificates of the container engine",
    Trouble.OTHER: "try `docker push` by hand",
}


class PushFailed(EnvironmentFailed):
    """An image could not be pushed.

    Attributes:
        trouble: Why.
    """

    def __init__(self, name: str, said: str) -> None:
        self.trouble = next((trouble for trouble, pattern in _SAID if pattern.search(said)), Trouble.OTHER)
        last = "\n".join([line for line in said.strip().splitlines() if line.strip()][-3:])
        super().__init__(
            f"the image {name} could not be pushed: {self.trouble}",
            evidence={"it said": last or "nothing"},
            next_step=_NEXT[self.trouble],
        )


@dataclass(slots=True)
class Login:
    """A login to ECR, as a Docker configuration that is gone at the end of `with`.

    Attributes:
        ecr: boto3's client.
        parent: Folder that the configuration is made in.
        now: The time.
    """

    ecr: Any = field(repr=False)
    parent: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _folder: Path | None = None
    _ends: datetime | None = None
    _endpoint: str = ""

    def __enter__(self) -> Self:
        """Ask for the first.

        Raises:
            AwsRefused: ECR refuses it.
        """
        self.renew()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    @property
    def host(self) -> str:
        """What names of images in the registry begin with."""
        return self._endpoint.partition("//")[2].rstrip("/")

    @property
    def env(self) -> dict[str, str]:
        """What a docker needs in its environment to be logged in; renewed if it ends soon.

        Raises:
            AwsRefused: ECR refuses a new one.
        """
        if self._ends is None or self._ends - self.now() < _MARGIN:
            self.renew()
        return {"DOCKER_CONFIG": str(self._folder)}

    def renew(self) -> None:
        """Ask for a new one.

        Raises:
            AwsRefused: ECR refuses it.
        """
        with explained("log in to ECR (ecr:GetAuthorizationToken)"):
            data: Mapping[str, Any] = self.ecr.get_authorization_token()["authorizationData"][0]
        self._ends, self._endpoint = data["expiresAt"], data["proxyEndpoint"]
        if self._folder is None:
            self._folder = self.parent / "docker-login"
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, mode=0o700)
        path, draft = self._folder / "config.json", self._folder / ".config.json.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump({"auths": {self.host: {"auth": data["authorizationToken"]}}}, out)
        draft.replace(path)


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes images by `docker push`.

    Attributes:
        engine: Where they are.
        runner: Runs docker.
        login: To the registry.
        journal: Told before the engine is told the image's name there.
        status: Told of progress and of each retry.
        clock: Time for the pauses between retries.
    """

    engine: Engine
    runner: Runner
    login: Login
    journal: Journal
    status: Callable[[str], None]
    clock: Clock = SYSTEM_CLOCK

    def push(self, source: str, name: str) -> None:
        """Push an image under a name of the registry; the engine knows it by that name no longer than this takes.

        Args:
            source: What the engine calls it.
            name: With the registry's host.

        Raises:
            PushFailed: The registry does not take it.
            AwsRefused: There is no new login.
        """
        entry = self.journal.record("image-name", name, host=self.engine.host)
        try:
            command: list[str | Path] = [self.engine.docker, "tag", source, name]
            self.runner.run(command, env=self.engine.env, timeout=_SECONDS)
            self._until_done(name)
        finally:
            remove_image_name(name, engine=self.engine, runner=self.runner)
            self.journal.removed(entry)

    def _until_done(self, name: str) -> None:
        renewed = False

        def again(error: BaseException) -> bool:
            nonlocal renewed
            if not isinstance(error, PushFailed):
                return False
            if error.trouble is Trouble.EXPIRED and not renewed:
                self.login.renew()
                renewed = True
                return True
            return error.trouble is Trouble.RATE_LIMIT

        def report(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            why = error.trouble if isinstance(error, PushFailed) else Trouble.OTHER
            self.status(f"{name}: {why}; trying again in {state.upcoming_sleep:.0f} s ({state.attempt_number})")

        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=1, max=30),
            sleep=self.clock.sleep,
            before_sleep=report,
            reraise=True,
        )
        retrying(self._once, name)

    def _once(self, name: str) -> None:
        layers: dict[str, bool] = {}

        def on_line(line: str) -> None:
            if found := _LAYER.match(line):
                done = found[2].startswith(_DONE)
                changed = layers.get(found[1]) is not done
                layers[found[1]] = done
                if changed and done:
                    self.status(f"pushing {name}: {sum(layers.values())} of {len(layers)} layers")

        command: list[str | Path] = [self.engine.docker, "push", name]
        try:
            self.runner.run(
                command, env={**self._engine_env(), **self.login.env}, timeout=_PUSH_SECONDS, on_line=on_line
            )
        except CommandFailed as error:
            raise PushFailed(name, error.stderr or error.stdout) from error
        except CommandTimeout as error:
            raise PushFailed(name, f"timeout: {error.message}") from error

    def _engine_env(self) -> dict[str, str]:
        """The engine by its address: the context that a client uses by default stands in the user's configuration."""
        if self.engine.env:
            return self.engine.env
        command: list[str | Path] = [self.engine.docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
        host = self.runner.run(command, timeout=_SECONDS, check=False).stdout.strip()
        return {"DOCKER_HOST": host} if host else {}
