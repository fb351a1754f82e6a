"""Bytes and values: strict reading and exact writing."""

import collections
import dataclasses
import datetime
import enum
import gc
import json
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import MalformedBody, UnwritableValue, dump, dump_pretty, parse
from tests.payloads import MEBIBYTE, all_payloads, large_payloads, order
from tests.payloads.hostile import HOSTILE, LARGEST
from tests.payloads.parsing import ACCEPTED, DECIDED, REFUSED

PAYLOADS = all_payloads()

SECONDS = 0.5
"""What any body may cost, in processor time of this thread: other work on the machine must not count."""


def exact(value: Any) -> Any:
    """A value in which equal means the same digits, the same order of keys, and true is not 1."""
    if isinstance(value, dict):
        return [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [exact(item) for item in value]
    return value if value is None or isinstance(value, bool | str) else ("number", str(value))


def reference(body: bytes) -> Any:
    """What Python's own parser reads, with keys in order and numbers as sign, digits and exponent."""

    def number(text: str) -> Any:
        return Decimal("0" if text == "-0" else text).as_tuple()  # an integer has no negative zero

    return json.loads(body, object_pairs_hook=lambda pairs: ("object", pairs), parse_int=number, parse_float=number)


def slow_reads(body: bytes) -> bool:
    """Whether Python's own parser takes the body, with the checks that it does not make: the slow reference."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) < len(found):
            raise ValueError("a key twice")
        return dict(found)

    def constant(name: str) -> Any:
        raise ValueError(name)

    try:
        value = json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def reads(body: bytes) -> bool:
    try:
        parse(body)
    except MalformedBody:
        return False
    return True


def seconds(body: bytes) -> float:
    """Processor time of this thread for reading `body`."""
    start = time.thread_time()
    reads(body)
    return time.thread_time() - start


@pytest.mark.parametrize(("body", "value"), [case for case in ACCEPTED if case[1] is not None])
def test_json_is_read_to_the_digit(body, value):
    found = parse(body)

    assert exact(found) == exact(value)
    assert type(found) is type(value)


@pytest.mark.parametrize("body", [body for body, value in ACCEPTED if value is None])
def test_null_and_the_greatest_depth_are_read(body):
    found = parse(body)

    assert dump(found) == body


@pytest.mark.parametrize(("body", "reason"), REFUSED)
def test_what_is_not_json_is_refused_with_a_reason(body, reason):
    with pytest.raises(MalformedBody) as caught:
        parse(body)

    assert reason in str(caught.value)


@pytest.mark.parametrize(("body", "reason"), DECIDED)
def test_where_the_standard_is_open_we_refuse(body, reason):
    with pytest.raises(MalformedBody) as caught:
        parse(body)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"{} x", 3),  # what trails
        (b"[1,]", 3),  # the bracket behind the comma
        (b'{"a":1]', 6),  # the wrong bracket
        (b'{"a" 1}', 5),
        (b"[01]", 2),
        (b'["\\x"]', 3),  # the escape that there is not
        (b'["a\tb"]', 3),
        (b'{"a":', 5),  # the end
        (b'{"name":"\xc3\xa9\xff"}', 11),  # counted from the body's start, not from the text's
        (b'{"a":1,"a":2}', None),  # nobody counted
        (b"[1e999]", None),
    ],
)
def test_a_position_is_a_byte_of_the_body(body, position):
    with pytest.raises(MalformedBody) as caught:
        parse(body)

    assert caught.value.position == position
    assert (f"(byte {position})" in str(caught.value)) == (position is not None)


def test_a_key_in_a_message_is_short():
    key = "k" * 10_000

    with pytest.raises(MalformedBody) as caught:
        parse(f'{{"{key}":1,"{key}":2}}'.encode())

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("begin_end", [(b"[", b"]"), (b'{"k":', b"}"), (b'[{"k":', b"}]")])
def test_no_depth_escapes_the_refusal_behind_a_double_key(begin_end):
    begin, end = begin_end
    bodies = [b'{"a":' + begin * depth + b"1" + end * depth + b',"a":1}' for depth in range(400, 1100)]

    accepted = [body for body in bodies if reads(body)]

    assert accepted == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_of_providers_survive_reading_and_writing(name):
    body = PAYLOADS[name]

    written = dump(parse(body))

    assert reference(written) == reference(body)


def test_money_of_an_invoice_keeps_its_zeros():
    found = parse(PAYLOADS["invoice_batch"])

    assert [str(line["net"]) for line in found[0]["lines"]] == ["10.00", "3.33"]
    assert [str(invoice["total"]) for invoice in found] == ["15.46", "0.00"]


def test_escapes_of_a_payload_are_read():
    found = parse(PAYLOADS["escapes"])

    assert found["nul"] == "before\0after"
    assert found["slashes"] == found["plain"] == "https://example.com/a/b"
    assert (found["key"], found["colon:"], found["quotes"]) == ("an escaped key", '::\\:":', '"\\"')


def test_exponents_keep_value_and_digits():
    found = parse(PAYLOADS["numbers"])

    assert [str(number) for number in found["money"]] == [
        *("19.90", "1.10", "0.00", "100.0", "-19.90", "1234567.890"),
    ]
    assert found["exponents"][:3] == [100000, 100000, Decimal("0.00001")]
    assert str(found["exponents"][4]) == "-2.50E+3"
    assert found["integers"][0] == 12345678901234567890123


def test_large_payloads_fill_their_size():
    lengths = {name: len(body) for name, body in large_payloads().items()}

    assert max(lengths.values()) <= MEBIBYTE
    assert min(lengths.values()) > MEBIBYTE * 0.99
    assert 9_000 < len(order(31)) < 11_000


@pytest.fixture(scope="module")
def own_memory() -> Iterator[None]:
    """Hides what other tests left in memory from the garbage collector, whose rounds would count as the parser's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("own_memory")
@pytest.mark.parametrize("name", LARGEST)
def test_no_body_of_the_largest_size_is_slow(name):
    body = LARGEST[name]()

    assert len(body) <= 32 * MEBIBYTE
    assert any(seconds(body) < SECONDS for _ in range(3))


def test_key_that_occurs_twice_in_a_large_body_is_refused_without_its_name():
    body = b'{"a":1,"b":"' + b"x" * MEBIBYTE + b'","a":1}'

    with pytest.raises(MalformedBody, match=r"\AA key occurs twice in one object\.\Z"):
        parse(body)


@pytest.mark.usefixtures("own_memory")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_body_of_a_mebibyte_is_slow(name):
    body = HOSTILE[name](MEBIBYTE)

    # the best of three: now and then the collector walks through all that the other tests have left behind
    assert any(seconds(body) < SECONDS for _ in range(3))


texts = st.text(st.characters(exclude_categories=["Cs"]))
# Decimal("-0") is left out: as a JSON number it is the integer -0, which is 0
decimals = st.decimals(-(10**300), 10**300, allow_nan=False, allow_infinity=False).filter(lambda d: str(d) != "-0")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | decimals | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_what_is_written_reads_as_the_same_value(value):
    written = dump(value)

    assert exact(parse(written)) == exact(value)
    assert exact(parse(dump_pretty(value).encode())) == exact(value)


spaces = st.sampled_from([b"", b"", b" ", b"\n", b" \t\r\n "])
words = st.sampled_from(
    [b'"a"', b'"\\u0061"', b'"b"', b'":"', b'"\\u003a"', b'"\\":"', b'"\\\\"', b'"\\\\\\":"', b'""', b'"{\\"a\\":1}"']
)


def joined(parts: st.SearchStrategy[bytes], begin: bytes, end: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(parts, max_size=4).map(lambda found: begin + b",".join(found) + end)


documents = st.recursive(
    words | st.sampled_from([b"1", b"-0", b"1.50", b"null", b"true"]),
    lambda inner: (
        joined(inner, b"[", b"]")
        | joined(st.tuples(spaces, words, spaces, st.just(b":"), inner, spaces).map(b"".join), b"{", b"}")
    ),
    max_leaves=12,
)


@given(documents)
def test_double_keys_are_found_exactly(body):
    assert reads(body) == slow_reads(body)


tokens = st.sampled_from([*b'{}[]:,"\\01-. \n\x00\x7f\xff']).map(lambda code: bytes([code])) | st.sampled_from(
    [b'"a"', b"\\ud800", b"\\udc00", b"e1", b"true", b"null", b"NaN", b"\xc3\xa9", b"\xef\xbb\xbf", b'"\\ud83d\\ude00"']
)


@given(st.lists(tokens, max_size=12).map(b"".join))
def test_fragments_are_read_only_where_they_are_json(body):
    assert reads(body) == slow_reads(body)


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(body):
    assert reads(body) == slow_reads(body)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("", '""'),
        ([], "[]"),
        ({}, "{}"),
        ({"b": 1, "a": [1, 2]}, '{"b":1,"a":[1,2]}'),  # no spaces, keys as they come
        ("é😀/\u2028\x7f", '"é😀/\u2028\x7f"'),  # letters as they are
        ('\0\x1f\n"\\', '"\\u0000\\u001f\\n\\"\\\\"'),
        (Decimal("19.90"), "19.90"),
        (Decimal("1.0"), "1.0"),
        (Decimal("-0.00"), "-0.00"),
        (Decimal("1E+5"), "1E+5"),
        (Decimal("0E-7"), "0E-7"),
        (Decimal("1E-400"), "1E-400"),
        (2**53 + 1, "9007199254740993"),
        (2**64, "18446744073709551616"),
        (-(10**40), "-1" + "0" * 40),
        (10**4299, "1" + "0" * 4299),
        (1.5, "1.5"),  # floats come out of expressions
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        ([None, "null", "NaN", 0.5], '[null,"null","NaN",0.5]'),  # words that are not what they look like
        ((1, 2), "[1,2]"),
    ],
)
def test_values_are_written_compactly_and_exactly(value, text):
    assert dump(value) == text.encode()


def test_a_choice_is_written_as_its_text():
    class Colour(enum.StrEnum):
        RED = "red"

    assert dump({Colour.RED: Colour.RED}) == b'{"red":"red"}'


def test_people_see_two_spaces_and_the_same_digits():
    value = {"b": [Decimal("1.10"), {}], "a": [], "é": {"n": 10**30}}

    text = dump_pretty(value)

    assert text == (
        '{\n  "b": [\n    1.10,\n    {}\n  ],\n  "a": [],\n  "é": {\n    "n": 1000000000000000000000000000000\n  }\n}'
    )


@dataclasses.dataclass
class Point:
    x: int = 1


class Plain(enum.Enum):
    ONE = 1


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def tower(height: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(height):
        found = [found]
    return found


UNWRITABLE = [
    # numbers that JSON does not have; the encoder writes null or their name
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    # an integer of more digits than Python writes
    10**5000,
    # half a character
    "\ud800",
    # types without a JSON form, most of which the encoder would write as texts
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC),
    datetime.date(2026, 11, 23),
    datetime.timedelta(1),
    uuid.UUID(int=7),
    {1, 2},
    frozenset({1}),
    collections.deque([1]),
    Point(),
    Plain.ONE,
    1j,
    object(),
    msgspec.Raw(b"{not json"),
    # keys that are not texts, which could make two keys one
    {1: 1, "1": 2},
    {None: 1},
    {True: 1},
    {1.5: 1},
    {Decimal("1.5"): 1},
    {float("nan"): 1},
    {datetime.date(2026, 11, 23): 1},
    {"\ud800": 1},
    # without an end
    circle(),
    tower(100_000),
]


@pytest.mark.parametrize("value", UNWRITABLE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, {"a": [None, v]}], lambda v: {"a": (v,)}])
def test_what_json_cannot_say_is_refused(value, wrap):
    with pytest.raises(UnwritableValue):
        dump(wrap(value))

    with pytest.raises(UnwritableValue):
        dump_pretty(wrap(value))


NINES = b"9" * 5000


@pytest.mark.parametrize(
    "body",
    [
        NINES,
        b"-" + NINES,
        b"[" + NINES + b",1.50,-" + NINES + b',{"a":' + NINES + b"}]",
        b'["' + NINES + b'",' + NINES + b"]",  # digits in a text are a text
        b'["\\"' + NINES + b'",' + NINES + b"]",
        b'{"' + NINES + b'":' + NINES + b"}",
        b"[0." + NINES + b"," + NINES[:1001] + b"]",
        b"[" + NINES[:1000] + b"," + NINES[:1001] + b"]",
    ],
    ids=lambda body: body[:12].decode(),
)
def test_integers_of_any_size_keep_their_digits(body):
    assert dump(parse(body)) == body
    assert parse(dump(parse(body))) == parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"0" + NINES,
        b"-0" + NINES,
        b"[" + NINES,
        NINES + b"x",
        NINES + b"e1",  # a number with an exponent is read as a double
        NINES + b".5",
        b"[" + NINES + b",1e400]",
        b"[" + NINES + b",1e" + NINES + b"]",
        b"[" + NINES + b",1e-" + NINES + b"]",
        b'{"a":' + NINES + b',"a":1}',
        b"[" + NINES + b",NaN]",
    ],
    ids=lambda body: body[:3].decode() + body[-6:].decode(),
)
def test_long_integers_excuse_nothing_else(body):
    with pytest.raises(MalformedBody):
        parse(body)


def test_values_are_counted_outside_texts():
    commas = b"," * 800_001

    assert parse(b'["\\",' + commas + b'"]') == ['",' + commas.decode()]
    with pytest.raises(MalformedBody, match="800,000 values"):
        parse(b"[1" + b",1" * 800_001 + b"]")
    with pytest.raises(MalformedBody, match="600,000 keys"):
        parse(b"[" + b'{"a":1,"b":2},' * 300_001 + b"1]")
    with pytest.raises(MalformedBody, match="500,000 lists and objects"):
        parse(b"[" + (b"[" * 50 + b"]" * 50 + b",") * 10_000 + b"{}]")
    with pytest.raises(MalformedBody, match="4,000,000 quotation marks"):
        parse(b"[" + b'"",' * 2_000_001 + b"1]")
