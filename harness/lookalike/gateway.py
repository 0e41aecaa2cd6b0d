"""The one door: tells whose request it is, what it is, whether it may, has it done, writes it down."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from botocore.model import OperationModel

from harness.errors import EnvironmentFailed
from harness.lookalike import wire
from harness.lookalike.authorisation import Authorisation
from harness.lookalike.calls import Call, CallLog, Outcome, without_secrets
from harness.lookalike.errors import AwsError, LookAlikeBroken, Problem, Refused
from harness.lookalike.faults import Faults
from harness.lookalike.incoming import Incoming
from harness.lookalike.principals import NOBODY, Credentials
from harness.lookalike.routing import service_model
from harness.lookalike.service import Account, Check, Output, Service
from harness.lookalike.sigv4 import Claim, Verifier, claim_of
from harness.lookalike.witness import PROTOCOL, Witness

_S3: Final = "s3"
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})


@dataclass(slots=True)
class _Record:
    """What is known of a call so far."""

    service: str
    operation: OperationModel | None = None
    principal: str = ""
    access_key_id: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    checked: tuple[Check, ...] = ()
    output: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out.

    Attributes:
        status: HTTP status.
        headers: By name.
        body: Pieces.
        length: Of the body where it is known; None leaves it to the headers or the end of the connection.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Iterator[bytes]
    length: int | None


class Gateway:
    """All services behind one address; which one is meant is told by the scope of the signature.

    Attributes:
        faults: Failures to come.
    """

    def __init__(
        self,
        account: Account,
        *,
        services: Mapping[str, Service],
        witness: Witness | None,
        verifier: Verifier,
        authorisation: Authorisation,
        log: CallLog,
        faults: Faults | None = None,
    ) -> None:
        self._account = account
        self._services = services
        self._witness = witness
        self._verifier = verifier
        self._authorisation = authorisation
        self._log = log
        # State changes one call at a time; S3's bytes do not wait for it.
        self._lock = threading.RLock()
        self.faults = faults or Faults()

    def reply(self, incoming: Incoming, *, only: frozenset[str] | None = None) -> Reply:
        """Answer a request; at an address where only some services are spoken, refuse one to another."""
        record = _Record(_unsigned_service(incoming))
        try:
            claim = claim_of(incoming.request)
            if claim is not None:
                record.service, record.access_key_id = claim.service, claim.access_key_id
            return self._dispatch(incoming, claim, record, only)
        except Refused as refused:
            return self._refuse(record, refused)
        except AwsError as error:
            failed = error
        except EnvironmentFailed as error:
            failed = AwsError("ServiceUnavailableException", error.message, status=503)
        except LookAlikeBroken as error:
            failed = AwsError("InternalFailure", str(error), status=500)
        return self._fail(record, failed, _protocol(record.service))

    def _dispatch(self, incoming: Incoming, claim: Claim | None, record: _Record, only: frozenset[str] | None) -> Reply:
        if only is not None and record.service not in only:
            raise AwsError("NotImplemented", f"{record.service} is not spoken at this address", status=501)
        if record.service == _S3 and self._witness is not None:
            return self._object_store(incoming, claim, record, self._witness)
        if record.service in self._services:
            return self._control(incoming, claim, record)
        raise AwsError("NotImplemented", f"the look-alike does not speak {record.service}", status=501)

    def _control(self, incoming: Incoming, claim: Claim | None, record: _Record) -> Reply:
        request, protocol = incoming.request, _protocol(record.service)
        body = incoming.whole()
        parsed: wire.Parsed | Refused
        try:
            parsed = wire.parse(
                record.service, protocol, method=request.method, path=request.path, query=request.query,
                headers=request.headers, body=body,
            )  # fmt: skip
            record.operation = parsed.operation
            record.parameters = parsed.parameters
        except Refused as refused:
            parsed = refused  # told once the caller is known: AWS authenticates first
        if claim is None and not isinstance(parsed, Refused) and parsed.operation.auth_type == "none":
            caller = NOBODY
        else:
            caller = self._authenticate(incoming, claim, record).principal
        if isinstance(parsed, Refused):
            raise parsed
        self.faults.check(record.service, parsed.operation.name)
        operation = self._services[record.service].find(parsed.operation.name)
        with self._lock:
            record.checked = tuple(operation.checks(parsed.parameters))
            self._authorisation.hold(caller, record.checked)
            output: Output = operation.handle(caller, parsed.parameters)
            request_id = str(uuid.uuid4())
            made = wire.answer(protocol, parsed.operation, output, request_id)
        record.output = output
        self._write(record, "allowed", "", made.status)
        return _reply(made)

    def _object_store(self, incoming: Incoming, claim: Claim | None, record: _Record, witness: Witness) -> Reply:
        asked = None
        understood: Refused | AwsError | None = None
        try:
            asked = witness.understand(incoming)
            record.operation = asked.operation
            record.parameters = asked.parameters(incoming.request.arguments())
        except (Refused, AwsError) as error:
            understood = error
        credentials = self._authenticate(incoming, claim, record)
        if asked is None:
            raise understood or LookAlikeBroken("neither understood nor refused")
        self.faults.check(_S3, asked.operation.name)
        record.checked = asked.checks
        policy = witness.resource_policy(asked)
        self._authorisation.hold(credentials.principal, asked.checks, resource=policy)
        forwarded = witness.forward(incoming, asked)
        if told := witness.checks_of_answer(asked, forwarded):
            record.checked += told
            self._authorisation.hold(credentials.principal, told, resource=policy)
        etag = dict(forwarded.headers).get("ETag") or dict(forwarded.headers).get("etag")
        record.output = {"ETag": etag} if etag else {}
        self._write(record, "allowed", "", forwarded.status)
        return Reply(forwarded.status, forwarded.headers, forwarded.body, None)

    def _authenticate(self, incoming: Incoming, claim: Claim | None, record: _Record) -> Credentials:
        if claim is None:
            raise Refused(Problem.NOT_SIGNED, "Request is missing Authentication Token")
        credentials = self._verifier.verify(incoming.request, claim, region=self._account.region)
        record.principal = credentials.principal.arn
        return credentials

    def _refuse(self, record: _Record, refused: Refused) -> Reply:
        protocol = _protocol(record.service)
        outcome: Outcome = {Problem.DENIED: "denied", Problem.THROTTLED: "throttled"}.get(refused.problem, "refused")  # type: ignore[assignment]
        return self._fail(record, wire.in_words_of(protocol, refused), protocol, outcome)

    def _fail(self, record: _Record, error: AwsError, protocol: str, outcome: Outcome | None = None) -> Reply:
        made = wire.failure(protocol, error, str(uuid.uuid4()), record.operation)
        self._write(record, outcome or ("denied" if error.code in _DENIED else "refused"), error.code, made.status)
        return _reply(made)

    def _write(self, record: _Record, outcome: Outcome, code: str, status: int) -> None:
        operation = record.operation
        given = without_secrets(dict(record.parameters), operation.input_shape if operation else None)
        output = without_secrets(dict(record.output), operation.output_shape if operation else None)
        vends = {"AssumedRoleUser", "assumedRoleUser", "Credentials", "credentials", "subject", "ETag"}
        self._log.add(
            Call(
                time=self._account.now().isoformat(),
                service=record.service,
                operation=operation.name if operation else "",
                principal=record.principal,
                access_key_id=record.access_key_id,
                parameters=given,
                checked=tuple((check.action, check.resource) for check in record.checked),
                outcome=outcome,
                code=code,
                status=status,
                response={name: value for name, value in output.items() if name in vends},
            )
        )


def _reply(made: wire.Answer) -> Reply:
    return Reply(made.status, tuple(made.headers.items()), iter([made.body]), len(made.body))


def _protocol(service: str) -> str:
    if service == _S3:
        return PROTOCOL
    try:
        return str(service_model(service).metadata["protocol"])
    except LookupError:
        return "rest-json"


def _unsigned_service(incoming: Incoming) -> str:
    """Whom a request without a signature was for: told by its form, for the words of the refusal only."""
    headers, path = incoming.request.headers, incoming.request.path
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return "sts"
    if headers.get("x-amz-target", "").startswith("AmazonEC2ContainerRegistry_"):
        return "ecr"
    return "eks" if path.startswith(("/clusters/", "/tags/")) else _S3
