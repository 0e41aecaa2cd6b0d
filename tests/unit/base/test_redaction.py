"""No learned secret survives, in no usual form, in no surrounding."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import string
import threading
import time
import urllib.parse
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redaction import MASK, LineRedactor, Redactor

_characters = st.characters(codec="utf-8")
secrets = st.text(_characters, min_size=8, max_size=60).filter(lambda secret: secret not in MASK)
# What a generator of passwords and tokens makes: nothing in it is an ordinary word.
tokens = st.text(
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,;=:/?#@% "),
    min_size=12,
    max_size=60,
)
surroundings = st.text(_characters, max_size=40)


def redactor(*known: str) -> Redactor:
    made = Redactor()
    made.learn(*known)
    return made


@given(secrets, surroundings, surroundings)
def test_no_secret_survives_as_it_is(secret: str, before: str, after: str) -> None:
    assert secret not in redactor(secret).text(before + secret + after)


@given(tokens, st.binary(max_size=20), st.binary(max_size=20))
def test_no_secret_survives_in_base64_at_any_alignment(secret: str, before: bytes, after: bytes) -> None:
    whole = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(whole).decode()
        for text in (encoded, encoded.rstrip("=")):
            shown = redactor(secret).text(f"data: {text}")
            # What is left at either end of the mask is less than a character of the secret and its neighbours.
            left = shown.removeprefix("data: ").split(MASK)
            assert len(left) == 2
            assert len("".join(left)) <= 4 * (len(before) + len(after)) // 3 + 8


@pytest.mark.parametrize("shown", [json.dumps, repr, lambda text: repr(text.replace("\n", "\r\n").encode())])
def test_no_secret_survives_in_base64_that_is_wrapped_and_shown_with_its_line_ends(shown: Callable[[str], str]) -> None:
    secret = "a-long-token-" + "x7Q" * 20
    text, found = redactor(secret).examined(shown(base64.encodebytes(f"user:{secret}".encode()).decode()))
    assert found == 1
    assert len(text) < 25


@pytest.mark.parametrize("secret", ["a&b<c>d'e\"f", "it's-two\nlines", 'say-"it"-now'])
def test_no_secret_survives_as_other_programs_escape_it(secret: str) -> None:
    in_go = json.dumps(secret).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    for form in (in_go[1:-1], html.escape(secret), html.escape(secret, quote=False), repr(secret)[1:-1]):
        assert redactor(secret).examined(f"<{form}>") == (f"<{MASK}>", 1)


IN_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
QUOTED: dict[str, Callable[[str], str]] = {
    "JSON in JSON": lambda secret: json.dumps({"event": json.dumps({"a": secret})}),
    "a Python value in JSON": lambda secret: json.dumps({"event": repr({"a": secret})}),
    "a Python value with both quotes in it": lambda secret: repr(f"""it's "{secret}" """),
    "YAML": lambda secret: "a: '{}'".format(secret.replace("'", "''")),
    "the trace of a shell": lambda secret: "+ login '{}'".format(secret.replace("'", r"'\''")),
    "the trace of a shell in JSON": lambda secret: json.dumps({"event": "+ '{}'".format(secret.replace("'", r"'\''"))}),
    "a command that Python quoted": shlex.quote,
    "a page by Go or Jinja": lambda secret: secret.translate(IN_HTML),
    "a page by html/template": lambda secret: secret.translate(IN_HTML | {ord("+"): "&#43;"}),
}


@pytest.mark.parametrize("secret", ['a"double-quoted', "it's-a-secret", "back\\slashed-one", 'it\'s+"both"&<more>\\'])
@pytest.mark.parametrize("form", QUOTED)
def test_no_secret_survives_in_quotes_within_quotes(form: str, secret: str) -> None:
    shown, found = redactor(secret).examined(QUOTED[form](secret))
    assert found == 1
    assert not re.search("quoted|secret|slashed|both|more", shown)


@pytest.mark.parametrize("token", ["s3cr3t-s3cr3t_s3cr3t", "Qm9va3NBcmVOaWNlIQ"])
def test_of_a_token_of_letters_and_digits_no_more_forms_are_looked_for(token: str) -> None:
    (forms,) = redactor(token)._known
    assert set(forms.literals) - set(forms.cores) == {token, token.encode().hex(), token.encode().hex().upper()}


@given(tokens, st.binary(max_size=100), st.binary(max_size=100))
def test_no_secret_survives_in_base64_that_is_wrapped(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.encodebytes(before + secret.encode() + after).decode()
    shown = redactor(secret).text(encoded)
    assert MASK in shown


@given(tokens, surroundings, surroundings, st.sampled_from(["", "/", "/:@!$&'()*+,;="]))
def test_no_secret_survives_in_url_encoding(secret: str, before: str, after: str, safe: str) -> None:
    forms = [urllib.parse.quote(secret, safe=safe), urllib.parse.quote_plus(secret, safe=safe)]
    forms += [re.sub("%..", lambda found: found.group().lower(), form) for form in forms]
    for form in forms:
        assert form not in redactor(secret).text(before + form + after)


@given(tokens, surroundings, surroundings)
def test_no_secret_survives_in_hex(secret: str, before: str, after: str) -> None:
    for form in (secret.encode().hex(), secret.encode().hex().upper()):
        assert form not in redactor(secret).text(before + form + after)


@given(secrets)
def test_no_secret_survives_in_json(secret: str) -> None:
    for ensure_ascii in (True, False):
        shown = redactor(secret).text(json.dumps({"a": secret}, ensure_ascii=ensure_ascii))
        assert shown == f'{{"a": "{MASK}"}}'


@pytest.mark.parametrize("secret", ["\\abcdefgh", "abcdefgh\\"])
def test_a_secret_that_its_own_json_form_contains_leaves_nothing_of_that_form(secret: str) -> None:
    assert redactor(secret).text(json.dumps({"a": secret})) == f'{{"a": "{MASK}"}}'


@given(st.lists(tokens, min_size=2, max_size=4), surroundings)
def test_of_several_secrets_none_survives(known: list[str], between: str) -> None:
    shown = redactor(*known).text(between.join(known))
    assert not [secret for secret in known if secret in shown]


@given(tokens, surroundings)
def test_redacting_twice_changes_nothing(secret: str, around: str) -> None:
    once = redactor(secret).text(around + secret + around)
    assert redactor(secret).text(once) == once


@given(st.text(st.sampled_from("abc def.\n"), max_size=200))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redactor("s3cr3t-s3cr3t").text(text) == text


def test_a_secret_inside_another_leaves_no_rest_of_the_longer_one() -> None:
    shown = redactor("hunter22", "hunter22-and-more").text("a hunter22-and-more b hunter22")
    assert shown == f"a {MASK} b {MASK}"


@pytest.mark.parametrize("longer", ["aa hunter22+more", "zz hunter22+more", "hunter22+and more", 'a"hunter22%b\\'])
def test_a_secret_inside_another_leaves_no_rest_of_the_longer_one_in_any_form(longer: str) -> None:
    made = redactor("hunter22", longer)
    forms = [longer, urllib.parse.quote(longer), json.dumps(longer)[1:-1], longer.encode().hex()]
    # Text around it that has a percent sign and wrapped base64, so that every way of looking is tried.
    around = f"100 % {'QUFB' * 12}\n{'QUFB' * 12}"
    for form in forms:
        assert made.text(f"{around} <{form}>") == f"{around} <{MASK}>"


def test_a_secret_inside_another_leaves_no_rest_of_it_in_wrapped_base64() -> None:
    # Multiples of three bytes, so that nothing of the secret shares a character with its neighbours.
    longer = "zzz/hunter22/hunter22/no"
    encoded = base64.b64encode(b"x" * 45 + longer.encode() + b"y" * 45).decode()
    for width in range(44, 100, 4):
        lines = "\n".join(encoded[start : start + width] for start in range(0, len(encoded), width))
        left = redactor("hunter22", longer, "nter22/no").text(lines).replace("\n", "")
        assert left == "eHh4" * 15 + MASK + "eXl5" * 15


def test_the_whole_of_a_secret_in_base64_is_masked() -> None:
    encoded = base64.b64encode(b"correct-horse!!").decode()
    assert redactor("correct-horse!!").text(f"<{encoded}>") == f"<{MASK}>"


@pytest.mark.parametrize("quoted", ["gr%C3%BCnau-geheim", "gr%c3%bcnau%2Dgeheim", "grünau%2dgeheim"])
def test_a_character_of_several_bytes_is_found_in_url_encoding(quoted: str) -> None:
    assert redactor("grünau-geheim").text(f"<{quoted}>") == f"<{MASK}>"


def test_a_plus_stands_for_a_space_only() -> None:
    assert redactor("two words").text("two+words two-words") == f"{MASK} two-words"
    assert redactor("abcdefgh").text("+bcdefgh") == "+bcdefgh"


def test_each_line_of_a_key_file_is_masked_by_itself() -> None:
    pem = "-----BEGIN SECRETS-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAg\nEFAASCBKcwggSjA\n-----END X-----\n"
    shown = redactor(pem).text("-----BEGIN SECRETS----- EFAASCBKcwggSjAg EFAASCBKcwggSjA end")
    assert shown == f"-----BEGIN SECRETS----- {MASK} EFAASCBKcwggSjA end"


@pytest.mark.parametrize("secret", ["", "short", "1234567", "redacted", "[redacte"])
def test_a_value_that_cannot_be_told_from_words_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="cannot be redacted"):
        Redactor().learn(secret)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAIOSFODNN7EXAMPLE.", f"key {MASK}."),
        ("session LSIAQAAAAAAVNCBMPNSG ok", f"session {MASK} ok"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1g end", f"jwt {MASK} end"),
        ("fatal: https://airflow:p%40ss@git.harness.svc/mlops.git", f"fatal: https://{MASK}@git.harness.svc/mlops.git"),
        ("postgresql://u:pw@postgres:5432/db", f"postgresql://{MASK}@postgres:5432/db"),
        ("remote https://tokenonly@git.example/x.git", f"remote https://{MASK}@git.example/x.git"),
        ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789", f"token {MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', f'{{"authorization": "Basic {MASK}"}}'),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", f"aws_secret_access_key = {MASK}"),
        ('"AWS_SESSION_TOKEN": "FQoGZXIvYXdzE"', f'"AWS_SESSION_TOKEN": "{MASK}"'),
        (
            """{"SecretAccessKey": "wJalrXUtn/K7", 'SessionToken': 'FQoGZXIv+Y='}""",
            f"""{{"SecretAccessKey": "{MASK}", 'SessionToken': '{MASK}'}}""",
        ),
        (r'"said": "{\"SecretAccessKey\":\"wJalrXUtn/K7\"}"', rf'"said": "{{\"SecretAccessKey\":\"{MASK}\"}}"'),
        ("<SecretAccessKey>wJalrXUtn/K7</SecretAccessKey>", f"<SecretAccessKey>{MASK}</SecretAccessKey>"),
        ("token: k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdz", f"token: {MASK}"),
        ("a\n-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\nb", f"a\n{MASK}\nb"),
        ("a -----BEGIN RSA PRIVATE KEY-----\\nMIIabc\\nxyz", f"a {MASK}"),
        (
            "-----BEGIN PRIVATE KEY-----. So: -----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
            f"{MASK}. So: {MASK}",
        ),
    ],
)
def test_a_shape_that_is_secret_anywhere_is_masked_unlearned(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


SIGNED = "https://s3.example/charts/airflow.tgz?X-Amz-Algorithm=AWS4-HMAC-SHA256"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{SIGNED}&X-Amz-Signature=0a1b2c&X-Amz-Expires=60", f"{SIGNED}&X-Amz-Signature={MASK}&X-Amz-Expires=60"),
        (f"{SIGNED}&X-Amz-Security-Token=FQoG%2Fx ok", f"{SIGNED}&X-Amz-Security-Token={MASK} ok"),
        (
            "get https://a.blob.example/c?sv=2024&sig=a%2Bb%3D, then",
            f"get https://a.blob.example/c?sv=2024&sig={MASK} then",
        ),
        ('"https://h/x?access_token=abc","next"', f'"https://h/x?access_token={MASK}","next"'),
        ("<https://h/x?a=1&amp;Token=abc#part>", f"<https://h/x?a=1&amp;Token={MASK}#part>"),
        (
            '{"u": "https://h/x?a=1\\u0026private_token=abc\\n"}',
            f'{{"u": "https://h/x?a=1\\u0026private_token={MASK}\\n"}}',
        ),
        ("to=https%3A%2F%2Fh%2F%3Fapi_key%3Dabc%26b%3D1 x", f"to=https%3A%2F%2Fh%2F%3Fapi_key%3D{MASK} x"),
        (
            "grant_type=password&client_secret=abc&password=def",
            f"grant_type=password&client_secret={MASK}&password={MASK}",
        ),
        (f"?sig={MASK}rest", f"?sig={MASK}"),
    ],
)
def test_a_secret_in_a_query_is_masked_by_its_key(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown
    assert Redactor().text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "GET /bucket?list-type=2&continuation-token=1ueGcxLPRx1Tr&prefix=runs%2F HTTP/1.1",
        "?versionId=3L4kqtJlcpXroDTDmJ&uploadId=VXBsb2Fk&partNumber=2",
        'url = f"https://h/x?token={token}&sig=$SIG&password=%(password)s"',
        "signature=def f(token=None, *, password=1)",
        'keys["SecretAccessKey"], "SessionToken": "{{ var.value.token }}"',
        "https://h/?sig=&b=1",
        "ssh://git@git.example/x.git",
        "http://s3.harness.svc.cluster.local:4566/bucket",
        "sha256:1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988",
        "s3://bucket/store/files/md5/59/4c0d5e1f",
        "Airflow <airflow@example.invalid>",
    ],
)
def test_what_a_reader_needs_is_left_alone(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "A" * 40 + "\n" * 40_000 + "!",
        "?sig=&amp;token" * 10_000,
        ("A" * 76 + "\n") * 5_000,
        "-----BEGIN PRIVATE KEY-----\n" * 10_000,
    ],
)
def test_the_time_that_it_takes_does_not_run_away_with_the_length_of_a_text(text: str) -> None:
    began = time.process_time()
    redactor(PASSWORD).examined(text)
    assert time.process_time() - began < 2.0


def test_learning_while_others_redact_is_safe() -> None:
    made = Redactor()
    problems: list[BaseException] = []

    def learn(number: int) -> None:
        try:
            for n in range(15):
                made.learn(f"secret-{number}-{n}-value")
                made.text(f"x secret-{number}-{n}-value y")
        except BaseException as error:  # noqa: BLE001 - shown below
            problems.append(error)

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert made.text("secret-0-0-value secret-3-14-value") == f"{MASK} {MASK}"


def test_a_redactor_does_not_show_what_it_hides() -> None:
    assert "s3cr3t" not in repr(redactor("s3cr3t-s3cr3t"))


PASSWORD = "tok/en+of=this~run"
STANDS: dict[str, tuple[str, int]] = {
    "nothing": ("cloned branch main", 0),
    "plain": (f"cloning https://bot:{PASSWORD}@git/x", 1),
    "twice": (f"{PASSWORD} and {PASSWORD}", 2),
    "base64": (f"Basic {base64.b64encode(f'bot:{PASSWORD}'.encode()).decode()}", 1),
    "wrapped base64": (base64.encodebytes(b"-" * 50 + PASSWORD.encode() + b"-" * 50).decode(), 1),
    "hex": (PASSWORD.encode().hex(), 1),
    "URL-encoded": (urllib.parse.quote(PASSWORD, safe=""), 1),
    "a shape of somebody else's": ("ghp_" + "a" * 36, 0),
    "a mask that is there already": (MASK, 0),
}


@pytest.mark.parametrize("what", STANDS)
def test_it_is_counted_where_a_learned_secret_stood_and_where_only_a_shape_did_not(what: str) -> None:
    text, places = STANDS[what]
    known = redactor(PASSWORD, "another-secret")
    shown, found = known.examined(text)
    assert found == places
    assert shown == known.text(text)
    assert PASSWORD not in shown


def test_secrets_of_several_values_are_counted_together() -> None:
    assert redactor(PASSWORD, "another-secret").examined(f"{PASSWORD} another-secret") == (f"{MASK} {MASK}", 2)


BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
BEGIN, END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"


def line_by_line(*lines: str, known: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    reader = LineRedactor(redactor(*known))
    return [reader.examined(line) for line in lines]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["a", BEGIN, BODY, BODY[:9], END, BODY], ["a", MASK, MASK, MASK, MASK, BODY]),
        ([f"key: {BEGIN}", BODY, f"{BODY[:9]}{END} done"], [f"key: {MASK}", MASK, f"{MASK} done"]),
        ([f"{BEGIN}{BODY}", BODY, "", BODY, "no key any more", BODY],
         [MASK, MASK, MASK, MASK, "no key any more", BODY]),
        ([f"{BEGIN} is how a key begins.", BODY], [f"{MASK}.", BODY]),
        ([f"{BEGIN}{BODY}{END}", BODY], [MASK, BODY]),
    ],
    ids=["a key", "among words", "cut off", "a sentence", "in one line"],
)  # fmt: skip
def test_the_inside_of_a_private_key_is_masked_though_it_comes_line_by_line(lines: list[str], shown: list[str]) -> None:
    assert [text for text, _found in line_by_line(*lines)] == shown


def test_a_learned_key_is_counted_line_by_line_too() -> None:
    key = f"{BEGIN}\n{BODY}\n{END}"
    assert line_by_line(BEGIN, BODY, END, known=(key,)) == [(MASK, 0), (MASK, 1), (MASK, 0)]


def test_a_learned_secret_in_wrapped_base64_is_counted_where_it_ends() -> None:
    first, second, *_rest = base64.encodebytes(b"-" * 50 + PASSWORD.encode() + b"-" * 50).decode().splitlines()
    assert [found for _text, found in line_by_line("x", first, second, "y", known=(PASSWORD,))] == [0, 0, 1, 0]
    assert [found for _text, found in line_by_line(first, "x", second, known=(PASSWORD,))] == [0, 0, 0]
    whole = base64.b64encode(b"-" * 30 + PASSWORD.encode() + b"-" * 30).decode()
    assert [found for _text, found in line_by_line(whole, "A" * 50, known=(PASSWORD,))] == [1, 0]


@given(st.randoms(), st.integers(12, 600), st.binary(max_size=100), st.binary(max_size=100), st.integers(40, 80))
def test_a_learned_secret_in_wrapped_base64_is_counted_over_however_many_lines_it_goes(
    random: Random, length: int, before: bytes, after: bytes, width: int
) -> None:
    secret = "".join(random.choice(string.ascii_letters + string.digits + "-_") for _ in range(length))
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    lines = [encoded[start : start + width] for start in range(0, len(encoded), width)]
    found = line_by_line("x", *lines, "y", known=(secret,))
    assert sum(places for _text, places in found) == 1


@pytest.mark.parametrize("around", [("data: ", "  ", "\r"), ("", "\t", " "), ("key=", "    ", "")])
def test_wrapped_base64_may_be_indented_and_begin_behind_other_text(around: tuple[str, str, str]) -> None:
    first, indent, end = around
    secret = PASSWORD * 12
    head, *rest = base64.encodebytes(b"-" * 50 + secret.encode() + b"-" * 50).decode().splitlines()
    lines = [f"{first}{head}{end}", *(f"{indent}{line}{end}" for line in ["", *rest])]
    assert sum(places for _text, places in line_by_line(*lines, known=(secret,))) == 1


def test_what_stands_between_two_lines_of_base64_parts_them() -> None:
    secret = PASSWORD * 12
    lines = base64.encodebytes(b"-" * 50 + secret.encode() + b"-" * 50).decode().splitlines()
    for between in ("a line of its own.", "QUJD", "QUJD = 3"):
        assert sum(places for _text, places in line_by_line(*lines[:3], between, *lines[3:], known=(secret,))) == 0


def test_a_line_redactor_does_not_show_what_it_has_read() -> None:
    reader = LineRedactor(redactor(PASSWORD))
    reader.examined(PASSWORD)
    assert PASSWORD not in repr(reader)


def test_bytes_of_a_name_that_are_no_utf_8_are_shown_as_escapes() -> None:
    """They could neither be printed nor written; Python has them as lone surrogates (PEP 383)."""
    name = b"data-\xff.csv".decode("utf-8", "surrogateescape")
    assert Redactor().examined(name) == ("data-\\udcff.csv", 0)
