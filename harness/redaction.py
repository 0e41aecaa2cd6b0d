"""The one redactor: applied where text is kept, shown or written to a file.

It knows two kinds of secrets: the values a run generated or was given (`learn`), found also in their base64, hex,
JSON, HTML, quoted and URL-encoded forms, and shapes that are secret wherever they come from (AWS keys, JWTs, access
tokens of Git hosts, credentials in a URL and in its query, private keys).
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from dataclasses import dataclass, field

from harness.wrapping import BASE64, SHORTEST, Cores, Trail, broken, masked

MASK = "[redacted]"
# Shorter values would mask ordinary words ("git", "main") wherever they stand.
_SHORTEST = 8
# A line of a secret of several lines (a PEM file) is a secret of its own from this length on.
_SHORTEST_LINE = 16

_PRIVATE_KEY = r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
# Keys of a query, or of a form, whose values let in whoever has the address: of AWS, Google, Azure, Git hosts, OAuth.
_QUERY_KEYS = (
    r"x-(?:amz|goog)-signature|x-amz-security-token|signature|sig|token"
    r"|(?:access|auth|id|job|oauth|private|refresh)[_-]?token"
    r"|api[_-]?key|(?:client[_-]?)?secret|password|passwd|pwd"
)
# Also where the address stands in JSON ("\u0026" for "&"), in HTML ("&amp;") or in another query. Not the places where
# a program puts a value in: "{token}", "$TOKEN", "%(token)s", "%s".
_QUERY = re.compile(rf"""(?i)((?:[?&;]|\\u0026|%3f|%26)(?:{_QUERY_KEYS})(?:=|%3d))(?!\{{|\$|%\(|%s\b)[^\s&"'<>#\\`]+""")
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:AKIA|ASIA|LSIA|LKIA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})"), MASK),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), MASK),
    # A token alone before the host; over SSH that would be a user name.
    (re.compile(r"(?<=http://)[^/\s:@]+(?=@)|(?<=https://)[^/\s:@]+(?=@)"), MASK),
    (re.compile(r"\bk8s-aws-v1\.[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(_PRIVATE_KEY + r"(?:(?!-----BEGIN ).)*?-----END (?:[A-Z]+ )?PRIVATE KEY-----", re.DOTALL), MASK),
    # Cut off before its end, in a shortened log.
    (re.compile(_PRIVATE_KEY + r"[A-Za-z0-9+/=\s\\]*"), MASK),
    (re.compile(r"""(?i)(authorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"']+"""), rf"\g<1>{MASK}"),
    (
        re.compile(r"""(?i)(aws_(?:secret_access_key|session_token)["']?\s*[:=]\s*["']?)(?!\[redacted\])[^\s"',}]+"""),
        rf"\g<1>{MASK}",
    ),
    # As AWS answers who asks for keys, in JSON (also as Python shows it, and within another JSON) and in XML.
    (
        re.compile(r"""((?:SecretAccessKey|SessionToken)(?:\\?["']\s*:\s*\\?["']|>))(?![{$%\[])[^\s"'<\\]{8,}"""),
        rf"\g<1>{MASK}",
    ),
    (_QUERY, rf"\g<1>{MASK}"),
)
# What goes on behind such a beginning, in a text that comes line by line.
_KEY_BEGINS = re.compile(_PRIVATE_KEY + r"[A-Za-z0-9+/=\s\\]*\Z")
_KEY_LINE = re.compile(r"\s*[A-Za-z0-9+/=\\]*\s*")
_KEY_ENDS = re.compile(r"[A-Za-z0-9+/=\s\\]*-----END (?:[A-Z]+ )?PRIVATE KEY-----")
# Base64 that goes on in the next line, as `base64` and `openssl` print it (with something before it: harness.wrapping).
# As they are, or written out, as in JSON and in what Python shows of a text.
_WRAPPED = re.compile(rf"[{BASE64}]{{{SHORTEST}}}(?:[^\S\n]*\n\s*|(?:\\r)?\\n)[{BASE64}]")
_LINE_END = r"(?:\s|(?:\\r)?\\n)*"


@dataclass(frozen=True, slots=True)
class _Forms:
    """The forms of one value.

    Attributes:
        literals: As they stand in the text, longest first.
        encoded: With a choice at each character (URL encoding).
        cores: What any base64 that holds it must hold; among the literals too.
        wrapped: The same with line ends anywhere inside.
    """

    literals: tuple[str, ...]
    encoded: re.Pattern[str]
    cores: tuple[str, ...]
    wrapped: tuple[re.Pattern[str], ...]


@dataclass(slots=True)
class Redactor:
    """Masks secrets in text. Safe to share between threads: values are only ever added."""

    # Never in its own representation: test runners show that of every argument of a function that failed.
    _secrets: set[str] = field(default_factory=set, repr=False)
    # Longest value first: one inside another must not tear it, in whatever form, and leave its rest.
    _known: tuple[_Forms, ...] = field(default=(), repr=False)
    _cores: Cores = field(default=Cores(), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, *secrets: str) -> None:
        """Mask these values from now on, in plain, base64, hex, JSON, HTML, quoted and URL-encoded form.

        The lines of a value of several lines (a key file) are masked each by itself too.

        Raises:
            ValueError: A value is too short, or too plain, to be told from ordinary words.
        """
        for secret in secrets:
            if len(secret) < _SHORTEST or secret in MASK:
                raise ValueError(f"a secret of fewer than {_SHORTEST} characters cannot be redacted reliably")
        with self._lock:
            for secret in secrets:
                self._secrets.add(secret)
                self._secrets.update(
                    line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith("-----")
                )
            self._known = tuple(_forms(secret) for secret in sorted(self._secrets, key=len, reverse=True))
            self._cores = Cores.of({core for forms in self._known for core in forms.cores})

    @property
    def cores(self) -> Cores:
        """What any base64 must hold that holds a learned secret."""
        return self._cores

    def text(self, text: str) -> str:
        """The text with every known secret replaced by `MASK`."""
        return self.examined(text)[0]

    def examined(self, text: str) -> tuple[str, int]:
        """The redacted text, and at how many places a learned secret stood in it.

        Shapes are masked but not counted: what only looks like a secret (a signed token that has expired, an example
        in a help text) must not be shown, yet says nothing against whoever printed it.
        """
        text, found = masked(text, broken(text, self._cores), MASK)
        may_be_encoded, may_be_wrapped = "%" in text or "+" in text, _WRAPPED.search(text) is not None
        for forms in self._known:
            for literal in forms.literals:
                found += text.count(literal)
                text = text.replace(literal, MASK)
            patterns = (*([forms.encoded] if may_be_encoded else ()), *(forms.wrapped if may_be_wrapped else ()))
            for pattern in patterns:
                text, places = pattern.subn(MASK, text)
                found += places
        for shape, mask in _SHAPES:
            text = shape.sub(mask, text)
        # Names of files may be any bytes: those that are no UTF-8 could neither be printed nor written as they are.
        return text.encode("utf-8", "backslashreplace").decode("utf-8"), found


@dataclass(slots=True)
class LineRedactor:
    """Redacts one text that comes line by line, and cannot be held back until it is whole: a log.

    Attributes:
        redactor: What does it.
    """

    redactor: Redactor
    _trail: Trail = field(default_factory=Trail, repr=False)
    _in_key: bool = False

    def examined(self, line: str) -> tuple[str, int]:
        """As `Redactor.examined` of the next line, with what only its place among the lines shows.

        That is the inside of a private key, which is masked, and a learned secret whose base64 began in a line
        before, which is counted. A part of it stands in each line: whoever keeps the lines redacts them once more
        together.
        """
        text, found = self.redactor.examined(line)
        if self._in_key and (end := _KEY_ENDS.match(line)) is not None:
            text, self._in_key = MASK + self.redactor.text(line[end.end() :]), False
        elif self._in_key and _KEY_LINE.fullmatch(line):
            text = MASK
        else:
            self._in_key = _KEY_BEGINS.search(line) is not None
        ended = self._trail.read(line, self.redactor.cores)
        return text, found or len(ended)


def _forms(secret: str) -> _Forms:
    in_hex, cores = secret.encode().hex(), _base64_cores(secret)
    literals = {secret, *_escaped(secret), in_hex, in_hex.upper(), *cores}
    return _Forms(
        literals=tuple(sorted(literals, key=len, reverse=True)),
        encoded=_url_encoded(secret),
        cores=tuple(cores),
        wrapped=tuple(re.compile(_LINE_END.join(map(re.escape, core))) for core in cores),
    )


def _escaped(secret: str) -> set[str]:
    """As programs write it between quotes or in a page, and as JSON then writes that.

    Airflow logs in JSON what a task prints, be that JSON, Python's view of a value or a traced command. Of a value of
    letters and digits all of them are the value itself, so that no more is looked for.
    """
    once = {secret, *_in_json(secret), *_in_quotes(secret), *_in_html(secret)}
    return once.union(*map(_in_json, once))


def _in_json(text: str) -> set[str]:
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    # Programs in Go, such as git-sync, also escape these three (encoding/json, `HTMLEscape`).
    in_go = plain.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    return {json.dumps(text)[1:-1], plain, in_go}


def _in_quotes(text: str) -> set[str]:
    # Python escapes "'" only in a text that holds both quotes, be it outside of the secret.
    in_python = {repr(text)[1:-1], repr(f"'\"{text}")[4:-1]}
    # YAML; `set -x` of bash; shlex.quote.
    return in_python | {text.replace("'", quote) for quote in ("''", r"'\''", "'\"'\"'")}


def _in_html(text: str) -> set[str]:
    # Go's EscapeString and Jinja write both quotes as numbers, html/template (htmlReplacementTable) "+" as well.
    in_numbers = html.escape(text, quote=False).replace("'", "&#39;").replace('"', "&#34;")
    return {html.escape(text), html.escape(text, quote=False), in_numbers, in_numbers.replace("+", "&#43;")}


def _url_encoded(secret: str) -> re.Pattern[str]:
    """Each character plain or percent-encoded: encoders differ in what they leave as it is, and in the case of hex."""
    choices = []
    for character in secret:
        percent = "".join(f"%{byte:02x}" for byte in character.encode())
        plus = r"|\+" if character == " " else ""
        choices.append(f"(?:{re.escape(character)}|(?i:{percent}){plus})")
    return re.compile("".join(choices))


def _base64_cores(secret: str) -> set[str]:
    """What any base64 text that holds the secret must hold, in both alphabets.

    The secret stands there at one of three alignments; the characters that also depend on its neighbours are cut
    off at both ends.
    """
    raw = secret.encode()
    cores = set()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode()
        core = encoded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        cores.update({core, core.replace("+", "-").replace("/", "_")})
    return cores
