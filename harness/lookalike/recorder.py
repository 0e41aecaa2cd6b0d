"""Hears the harness's own calls to AWS by the events of botocore's clients, and writes them into a transcript.

What is not heard: calls of other processes (DVC's), and those of pods, but for what the pod that proves the services
says of the Pod Identity agent.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.model import OperationModel

from harness.errors import UsageError
from harness.lookalike.anonymous import Anonymous
from harness.lookalike.transcript import AGENT, Exchange, first_line, hides, line, plain

# Where botocore's clients carry what belongs to one call from event to event.
_NOTE: Final = "harness-transcript"
# AWS's own domains (botocore 1.43, data/partitions.json and endpoints.json).
_OF_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")
# Of every answer, and about its way rather than about its subject.
_NOT_OUTPUT: Final = frozenset({"ResponseMetadata", "Error"})


class Ear:
    """Hears every attempt at a call that was answered.

    Args:
        take: Given each, without secrets; from whichever thread made it.
    """

    def __init__(self, take: Callable[[Exchange], object]) -> None:
        self._take = take

    def listen(self, events: Any) -> None:
        """Hear the clients that a session makes from now on."""
        name = f"{_NOTE}-{id(self)}"
        # First: what botocore adds to the parameters by itself, it adds in a replay again.
        events.register_first("before-parameter-build", self._asked, unique_id=f"{name}-asked")
        events.register_last("before-call", self._sent, unique_id=f"{name}-sent")
        events.register_last("response-received", self._answered, unique_id=f"{name}-answered")

    def _asked(
        self, params: Mapping[str, Any], model: OperationModel, context: dict[str, Any], **_more: object
    ) -> None:
        context[_NOTE] = {"model": model, "parameters": plain(params, model.input_shape), "of_aws": False}

    def _sent(self, params: Mapping[str, Any], context: dict[str, Any], **_more: object) -> None:
        if _NOTE in context:
            host = urlsplit(str(params.get("url", ""))).hostname or ""
            context[_NOTE]["of_aws"] = host.endswith(_OF_AWS)

    def _answered(
        self, parsed_response: Mapping[str, Any] | None, context: dict[str, Any], event_name: str, **_more: object
    ) -> None:
        note = context.get(_NOTE)
        if note is None or parsed_response is None:
            return  # nobody answered: nothing is known of AWS by it
        model: OperationModel = note["model"]
        output = {name: value for name, value in parsed_response.items() if name not in _NOT_OUTPUT}
        self._take(
            Exchange(
                service=event_name.split(".")[1],
                operation=model.name,
                parameters=note["parameters"],
                status=int(parsed_response["ResponseMetadata"]["HTTPStatusCode"]),
                code=str(parsed_response.get("Error", {}).get("Code", "")),
                answer=plain(output, model.output_shape),
                of_aws=note["of_aws"],
            )
        )


class Recorder:
    """Writes a transcript as calls are made: a `harness.awstap.Listener`.

    Attributes:
        count: Exchanges so far.
        of_aws: How many of them were with an address of AWS's own.
    """

    def __init__(self, path: Path, *, region: str, anonymous: Anonymous | None = None) -> None:
        """Begin the file; for its owner only.

        Raises:
            UsageError: There is a file of that name, or none can be made there.
        """
        self._path = path
        self._anonymous = anonymous or Anonymous()
        self._lock = threading.Lock()
        self._ear = Ear(self._write)
        self.count = self.of_aws = 0
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(first_line(datetime.now(UTC).isoformat(timespec="seconds"), region))
        except OSError as error:
            raise UsageError(
                f"no transcript can be written to {path}: {error.strerror}",
                next_step="name a file that is not there yet, in a folder that is",
            ) from None

    def listen(self, events: Any) -> None:
        """Hear the clients that a session makes from now on."""
        self._ear.listen(events)

    def agent(self, said: str) -> None:
        """Write down what a pod says of an answer of the Pod Identity agent."""
        told = json.loads(said)
        # An agent has the same address everywhere: it is AWS's where all that was asked before was.
        of_aws = 0 < self.count == self.of_aws
        answer = {"content_type": told["content_type"], "members": told["members"]}
        self._write(Exchange(AGENT, "GetCredentials", {"as": told["as"]}, told["status"], "", answer, of_aws))

    def _write(self, heard: Exchange) -> None:
        if hides(heard.parameters):
            return  # nobody could ask it again
        with self._lock:
            exchange = replace(
                heard,
                parameters=self._anonymous.value(heard.parameters),
                answer=self._anonymous.value(heard.answer),
            )
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line(exchange))
            self.count += 1
            self.of_aws += exchange.of_aws
