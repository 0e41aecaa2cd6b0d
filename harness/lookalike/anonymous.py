"""What may not leave an account, taken out of a text: secrets are masked, names of things get stand-ins.

The same thing has the same stand-in throughout one transcript, so that what belongs together still does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from harness.redaction import MASK, Redactor

# What a secret of AWS looks like in a request or an answer, besides what the harness's redactor knows: parts of a
# signature, and anything very long in base64, as session tokens are. (Keys of objects have slashes and letters, too.)
_SECRET_SHAPES: Final = (
    (re.compile(r"(?i)((?:x-amz-)?(?:signature|credential|security-token)=)[^&\s,\"']+"), rf"\g<1>{MASK}"),
    (re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{200,}={0,2}(?![A-Za-z0-9+/=_-])"), MASK),
)


def _account(number: int, _found: re.Match[str]) -> str:
    # AWS's own examples: 111122223333, 444455556666, 777788889999; then counted on.
    examples = ("111122223333", "444455556666", "777788889999")
    return examples[number - 1] if number <= len(examples) else f"{number:012d}"


def _resource(number: int, found: re.Match[str]) -> str:
    return f"{found[1]}-{number:0{len(found[2])}x}"


# Each kind of thing: what it looks like, and its stand-in by its number among its kind.
_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[int, re.Match[str]], str]], ...]] = (
    (re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])"), _account),
    # "Unique identifiers" in the IAM user guide: of users, roles, groups, instance profiles, policies.
    (re.compile(r"\b(AIDA|AROA|AGPA|AIPA|ANPA|ANVA|APKA|ABIA|ACCA|ASCA)[A-Z0-9]{12,}\b"),
     lambda number, found: f"{found[1]}EXAMPLE{number:010d}"),
    (re.compile(r"\b(vpc|subnet|sg|eni|vol|rtb|igw|nat|lt|ami|snap|eipalloc|fs|fsap|i)-([0-9a-f]{8,17})\b"), _resource),
    # The name of an EKS cluster's endpoint, and of its OIDC issuer.
    (re.compile(r"(?<![0-9A-Z])[0-9A-F]{32}(?![0-9A-Z])"), lambda number, _found: f"{number:032X}"),
    # The canonical user id of an account ("AWS account identifiers" in AWS's reference guide for account management),
    # which S3 gives as the owner of whatever it lists; a digest says that it is one.
    (re.compile(r"(?<!sha256:)(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])"),
     lambda number, _found: f"{number:064x}"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), lambda number, _found: f"user-{number}@example.invalid"),
    (re.compile(r"(?<=:user/)[\w+=,.@/-]+"), lambda number, _found: f"user-{number}"),
    (re.compile(r"(?<=:assumed-role/)([\w+=,.@-]+)/[\w+=,.@-]+"), lambda number, found: f"{found[1]}/session-{number}"),
    # Who may reach a cluster's endpoint is told by address; these are for documentation (RFC 5737).
    (re.compile(r"(?<![\d.])(?!0\.0\.0\.0|127\.)(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
     lambda number, _found: f"192.0.2.{number % 256}"),
)  # fmt: skip


class Anonymous:
    """Takes out of texts what may not leave an account. Safe between threads.

    Args:
        redactor: Knows the secrets of the run.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        self._stand_ins: list[dict[str, str]] = [{} for _ in _KINDS]
        self._lock = threading.Lock()

    def text(self, text: str) -> str:
        """A text without secrets, and with stand-ins."""
        text = self._redactor.text(text)
        for shape, mask in _SECRET_SHAPES:
            text = shape.sub(mask, text)
        for (pattern, named), known in zip(_KINDS, self._stand_ins, strict=True):
            text = pattern.sub(partial(self._stand_in, named, known), text)
        return text

    def value(self, value: Any) -> Any:
        """All texts in a value of JSON, names of members and keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        return value

    def _stand_in(self, named: Callable[[int, re.Match[str]], str], known: dict[str, str], found: re.Match[str]) -> str:
        with self._lock:
            if found[0] in known.values():
                return found[0]
            return known.setdefault(found[0], named(len(known) + 1, found))
