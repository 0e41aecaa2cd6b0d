"""The one redactor: applied where text is kept, shown or written to a file.

It knows two kinds of secrets: the values a run generated or was given (`learn`), found also in their base64 and
URL-encoded forms, and shapes that are secret wherever they come from (AWS key ids, JWTs, credentials in a URL,
private keys).
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from dataclasses import dataclass, field

MASK = "[redacted]"
# Shorter values would mask ordinary words ("git", "main") wherever they stand.
_SHORTEST = 8

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:AKIA|ASIA|LSIA|LKIA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), MASK),
    (re.compile(r"\bk8s-aws-v1\.[A-Za-z0-9_-]{16,}"), MASK),
    (
        re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----.*?-----END (?:[A-Z]+ )?PRIVATE KEY-----", re.DOTALL),
        MASK,
    ),
    (re.compile(r"(?i)\b(authorization:\s*(?:basic|bearer)\s+)\S+"), rf"\g<1>{MASK}"),
)


@dataclass(slots=True)
class Redactor:
    """Masks secrets in text. Safe to share between threads: values are only ever added."""

    _values: set[str] = field(default_factory=set)

    def learn(self, *secrets: str) -> None:
        """Mask these values from now on, in plain, base64 and URL-encoded form.

        Raises:
            ValueError: A value is too short to be told from ordinary words.
        """
        for secret in secrets:
            if len(secret) < _SHORTEST:
                raise ValueError(f"a secret of fewer than {_SHORTEST} characters cannot be redacted reliably")
            self._values.update(_forms(secret))

    def text(self, text: str) -> str:
        """The text with every known secret replaced by `MASK`."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        for shape, mask in _SHAPES:
            text = shape.sub(mask, text)
        return text


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    forms = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), secret.encode().hex()}
    # base64 of a longer text holds the secret at one of three alignments; the characters that also depend on
    # its neighbours are cut off at both ends.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        start = (offset * 8 + 5) // 6
        core = encoded[start : (offset + len(raw)) * 8 // 6]
        if len(core) >= _SHORTEST:
            forms.update({core, core.replace("+", "-").replace("/", "_")})
    return forms
