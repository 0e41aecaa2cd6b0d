"""No learned secret survives in base64 whose lines have something before and behind them, and nothing else is a hit."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.redaction import MASK, LineRedactor, Redactor
from harness.wrapping import SHORTEST, Cores, Span, Trail, masked

SECRET = "git-password-" + "x7Q" * 20
TIME = "2026-11-21T12:00:00.123456Z"
LOGGED: dict[str, Callable[[str], str]] = {
    "time and level": lambda line: f"2026-11-21 12:00:00,123 INFO {line}",
    "an event in JSON": lambda line: json.dumps(
        {"timestamp": TIME, "level": "info", "event": line, "logger": "stdout"}
    ),
    "an event in JSON, indented": lambda line: json.dumps({"event": f"\t{line}", "timestamp": TIME}),
    "a container's name": lambda line: f"[base] {line}",
    "a colour": lambda line: f"\x1b[34m{line}\x1b[0m",
    "quoted": lambda line: f"> '{line}',",
}
logged = pytest.mark.parametrize("form", LOGGED)


def redactor(*known: str) -> Redactor:
    made = Redactor()
    made.learn(*known)
    return made


def wrapped(whole: bytes, width: int = 76) -> list[str]:
    encoded = base64.b64encode(whole).decode()
    return [encoded[start : start + width] for start in range(0, len(encoded), width)]


def line_by_line(lines: list[str], *known: str) -> list[int]:
    reader = LineRedactor(redactor(*known))
    return [reader.examined(line)[1] for line in lines]


@logged
def test_a_secret_in_base64_whose_lines_have_something_before_them_is_masked_in_each(form: str) -> None:
    lines = [LOGGED[form](line) for line in wrapped(f"user:{SECRET}".encode())]
    shown, found = redactor(SECRET).examined("\n".join(["x", *lines, "y"]))
    assert found == 1
    # Of the first line what is the user's, of the last what fills it up.
    assert shown.split("\n") == ["x", LOGGED[form](f"dXNlcjp{MASK}"), LOGGED[form](MASK), "y"]


@logged
def test_it_is_counted_line_by_line_where_it_ends(form: str) -> None:
    lines = [LOGGED[form](line) for line in wrapped(f"user:{SECRET * 3}".encode())]
    assert line_by_line(["x", *lines, "y"], SECRET * 3) == [0] * len(lines) + [1, 0]


@settings(max_examples=15, deadline=None)  # each makes patterns of a long secret
@given(
    st.builds(Random, st.integers(0, 2**32)),
    st.integers(12, 200),
    st.binary(max_size=100),
    st.binary(max_size=100),
    st.integers(40, 80),
    st.sampled_from(sorted(LOGGED)),
)
def test_it_is_found_over_however_many_lines_it_goes(
    random: Random, length: int, before: bytes, after: bytes, width: int, form: str
) -> None:
    secret = "".join(random.choice(string.ascii_letters + string.digits + "-_") for _ in range(length))
    lines = [LOGGED[form](line) for line in wrapped(before + secret.encode() + after, width)]
    known = redactor(secret)
    reader = LineRedactor(known)
    assert [reader.examined(line)[1] for line in ["x", *lines, "y"]].count(1) == 1
    shown, found = known.examined("\n".join(lines))
    assert found == 1
    # What is not masked is the logger's, the neighbours', and less than a character of the secret at either end.
    left = len(shown.replace(MASK, "").replace("\n", "")) - sum(len(LOGGED[form]("")) for _ in lines)
    assert left <= 4 * (len(before) + len(after)) // 3 + 8


def test_the_prefix_may_differ_from_line_to_line() -> None:
    lines = wrapped(f"user:{SECRET * 3}".encode())
    text = "\n".join(f"{'INFO' if number % 2 else 'WARNING'} {number * 9} {line}" for number, line in enumerate(lines))
    assert redactor(SECRET * 3).examined(text)[1] == 1


def test_a_secret_inside_another_leaves_no_rest_of_the_longer_one() -> None:
    longer = "zzz/hunter22/hunter22/no"
    for width in range(44, 100, 4):
        lines = [f"INFO {line}" for line in wrapped(b"x" * 45 + longer.encode() + b"y" * 45, width)]
        shown, found = redactor("hunter22", longer, "nter22/no").examined("\n".join(lines))
        left = shown.replace("INFO ", "").replace("\n", "").replace(MASK, "")
        assert (left, found) == ("eHh4" * 15 + "eXl5" * 15, 1), width


def test_a_blank_line_parts_nothing_and_any_other_does() -> None:
    first, *rest = [f"INFO {line}" for line in wrapped(f"user:{SECRET}".encode())]
    assert sum(line_by_line([first, "", *rest], SECRET)) == 1
    assert sum(line_by_line([first, "INFO a line of its own", *rest], SECRET)) == 0


def ordinary(random: Random, lines: int) -> str:
    """What looks like base64 in a log: checksums, image digests, ids, keys of objects, base64 of something else."""
    forms: list[Callable[[], str]] = [
        lambda: f"INFO pulled sha256:{random.randbytes(32).hex()} for pod {random.randbytes(16).hex()}",
        lambda: LOGGED["an event in JSON"](f"pushed files/md5/{random.randbytes(16).hex()}"),
        lambda: f"INFO {base64.b64encode(random.randbytes(57)).decode()}",
        lambda: base64.urlsafe_b64encode(random.randbytes(57)).decode(),
        lambda: f"commit {random.randbytes(20).hex()} /opt/airflow/dags/{'a_long_name/' * 6}",
    ]
    return "\n".join(random.choice(forms)() for _ in range(lines))


@settings(max_examples=8, deadline=None)
@given(st.builds(Random, st.integers(0, 2**32)))
def test_what_only_looks_like_base64_is_no_hit(random: Random) -> None:
    known = [SECRET, random.randbytes(16).hex(), base64.b64encode(random.randbytes(24)).decode(), "12345678"]
    text = ordinary(random, 40)
    assert redactor(*known).examined(text) == (text, 0)
    assert sum(line_by_line(text.split("\n"), *known)) == 0


def test_what_is_kept_does_not_grow_with_what_was_read() -> None:
    """Every line of a secret that repeats itself may go on with every other one: the worst case."""
    secret = "A" * 600
    cores, trail = redactor(secret).cores, Trail()
    line = " ".join(["QUFB" * 19] * 20)
    for _ in range(50):
        trail.read(line, cores)
    kept = sum(len(word.text) for track in trail._tracks for word in track.words)
    assert len(secret) < kept < 8 * (cores.longest + len(line))


@pytest.mark.parametrize("before", ["key-", "a_b_", "x: ", "\\n", "\\u001b[1m", "\\x1b[0;34m"])
def test_what_is_no_part_of_the_alphabet_may_stand_right_before_a_line(before: str) -> None:
    lines = [f"{before}{line}" for line in wrapped(f"user:{SECRET * 2}".encode())]
    assert sum(line_by_line(lines, SECRET * 2)) == 1


def test_each_place_is_counted_and_what_overlaps_is_one() -> None:
    twice = [f"INFO {line}" for line in wrapped(f"user:{SECRET} and {SECRET}".encode())]
    shown, found = redactor(SECRET, SECRET[3:]).examined("\n".join([*twice, "INFO between", *twice]))
    assert found == 4
    assert shown.count("INFO between") == 1


@given(st.text(alphabet="ABab+/", min_size=10, max_size=30), st.integers(1, 29))
def test_no_core_is_overlooked_at_its_seam(core: str, place: int) -> None:
    cut = min(place, len(core) - 1)
    cores = Cores.of([core, "another-one-that-is-longer"])
    assert cores.may_go_on(f"xyz{core[:cut]}", f"{core[cut:]}xyz")
    assert cores.may_go_on(core[:cut], core[cut:])


CORE = "".join(Random(7).sample(string.ascii_letters, 50))  # noqa: S311 - a text, not a secret
FILLER = "0123456789" * 4


@pytest.mark.parametrize("place", range(1, len(CORE)))
def test_it_may_be_broken_at_any_place_where_the_line_before_is_long(place: int) -> None:
    """Of what is in base64 the secret is a part: the line begins long before it."""
    trail, cores = Trail(), Cores.of([CORE])
    assert trail.read(FILLER + CORE[:place], cores) == []
    (spans,) = trail.read(f"INFO {CORE[place:]}", cores, offset=1000)
    assert spans == ((len(FILLER), len(FILLER) + place), (1005, 1005 + len(CORE) - place))


def test_each_of_the_long_words_of_a_line_may_go_on() -> None:
    trail, cores = Trail(), Cores.of([CORE])
    trail.read(f"{CORE[:SHORTEST]} {FILLER}", cores)
    assert len(trail.read(CORE[SHORTEST:], cores)) == 1


def test_a_line_that_only_looks_like_what_comes_before_is_no_part_of_the_place() -> None:
    first, rest = CORE * 2, "9" + CORE[1:]
    # The end of FILLER and the beginning of `first` stand at a seam of another secret.
    cores = Cores.of([first + rest, FILLER[-3:] + first[:3]])
    trail = Trail()
    trail.read(FILLER, cores)
    trail.read(first, cores, offset=100)
    (spans,) = trail.read(rest, cores, offset=300)
    assert spans == ((100, 100 + len(first)), (300, 300 + len(rest)))


def test_what_ended_in_a_line_is_not_found_again_in_the_next() -> None:
    other = CORE[-3:] + "012"
    trail, cores = Trail(), Cores.of([CORE, other])
    trail.read(FILLER + CORE[:10], cores)
    assert len(trail.read(CORE[10:], cores)) == 1
    (spans,) = trail.read(f"012{FILLER}", cores, offset=200)
    assert spans[-1] == (200, 203), other


def test_of_a_track_no_more_is_kept_than_a_secret_is_long() -> None:
    period = "abcd" * 15
    cores = Cores.of([period * 3])
    trail = Trail()
    for _ in range(30):
        trail.read(period, cores)
    (track,) = trail._tracks
    assert sum(len(word.text) for word in track.words[:-1]) == len(period) * 3


def test_unrelated_words_do_not_go_on_in_each_other() -> None:
    assert not Cores.of([CORE]).may_go_on("000", "111")


@pytest.mark.parametrize(
    ("places", "shown", "count"),
    [
        ([((0, 2), (4, 6))], "*cd*ghijklmnop", 1),
        ([((0, 2), (4, 6)), ((5, 7), (8, 9))], "*cd*h*jklmnop", 1),
        ([((0, 2), (4, 6)), ((6, 7), (8, 9))], "*cd**h*jklmnop", 2),
        ([((0, 2), (4, 6), (8, 10)), ((9, 11), (12, 13))], "*cd*gh*l*nop", 1),
        ([((1, 2), (4, 6), (8, 10)), ((10, 11), (12, 13))], "a*cd*gh**l*nop", 2),
    ],
)
def test_places_that_overlap_are_one_and_those_that_touch_are_two(
    places: list[tuple[Span, ...]], shown: str, count: int
) -> None:
    assert masked("abcdefghijklmnop", places, "*") == (shown, count)
