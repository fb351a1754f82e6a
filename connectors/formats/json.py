"""JSON ↔ values: strict, and exact in every digit."""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from connectors.formats.collecting import paused_collector
from connectors.formats.faults import CONTAINERS, MalformedBody, UnwritableValue, count_keys, too_deep

MAX_INT_DIGITS = 1000
"""Longer integers are Decimals: the time for an int grows with the square of its digits, and Python has a limit."""

MAX_QUOTES = 4_000_000
_LIMITS = (
    ((b",",), 800_000, "values"),
    ((b":",), 600_000, "keys"),
    ((b"[", b"{"), 500_000, "lists and objects"),
)
"""What is counted outside texts, and how much of it is read in half a second, whatever the size of the body."""

NAMED_UP_TO_BYTES = 1024 * 1024
"""Of larger bodies nobody says which key occurs twice: finding that out takes several times as long as reading."""

_POSITION = re.compile(r" \(byte (\d+)\)")


def parse(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259): UTF-8, no duplicate keys, depth ≤ 64, finite. Raises MalformedBody."""
    if not body.strip():
        raise MalformedBody("The body is empty; a JSON text was expected.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedBody("The body begins with a byte order mark; JSON is sent without one.")
    if body.count(b'"') > MAX_QUOTES:  # also those in texts: telling them apart is what takes the time
        raise MalformedBody(f"The body holds more than {MAX_QUOTES:,} quotation marks.")
    for signs, limit, what in _LIMITS:
        if sum(map(body.count, signs)) > limit and _count_outside_strings(body, b"".join(signs)) > limit:
            raise MalformedBody(f"The body holds more than {limit:,} {what}.")
    try:
        with paused_collector(len(body)):
            value = _decoded(body)
    except RecursionError:
        raise too_deep() from None
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _explained(body, str(error)) from None
    keys = count_keys(value)
    # each key in the text has one colon outside strings; equal counts mean that no key was lost
    if body.count(b":") != keys and _count_outside_strings(body, b":") != keys:
        raise _duplicate(body)
    return value


def dump(value: Any) -> bytes:
    """Compact JSON: digits, key order and letters as they are.

    Takes values as the top of the package describes them, with finite floats, tuples and texts of `TextChoices`
    besides. Raises UnwritableValue for everything else.
    """
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise UnwritableValue(f"The value cannot be written as JSON: {error}") from error
    _check_writable(value)  # behind the encoder, which has found out by now whether the value ever ends
    return text


def dump_pretty(value: Any) -> str:
    """Indented JSON for people, as exact as `dump`."""
    return msgspec.json.format(dump(value), indent=2).decode()


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        raise ValueError("number out of range") from None
    if number.adjusted() >= 308 and math.isinf(float(number)):
        raise ValueError("number out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=_number)


def _decoded(body: bytes) -> Any:
    zeros = body.translate(_DIGITS_AS_ZEROS) if len(body) > MAX_INT_DIGITS else b""
    marked = _with_marked_integers(body, zeros) if _LONG in zeros else body
    if len(marked) == len(body):
        return _decoder.decode(body)
    try:
        return _marked_decoder.decode(marked)
    except msgspec.DecodeError as error:
        raise _explained(body, _POSITION.sub("", str(error))) from None  # its positions are those of the marked text


def _with_marked_integers(body: bytes, zeros: bytes) -> bytes:
    """The text with _MARK behind each integer that is too long for an int, so that it is read like a fraction.

    Python reads integers in quadratic time, and refuses the longest for that; decimals are read in linear time, and are
    as exact. `zeros` is the body with zeros for all digits, and blanks for all else.
    """
    parts = []
    end = quotes = 0
    while (start := zeros.find(_LONG, end)) >= 0:
        between = body[end:start]
        quotes += between.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
        parts.append(between)
        end = start + len(_ZEROS.match(zeros, start)[0])  # type: ignore[index] # they are there
        parts.append(body[start:end])
        before = body[max(0, start - 2) : start]
        is_integer = before[-1:] not in (b".", b"e", b"E", b"+") and before not in (b"e-", b"E-")
        if not quotes % 2 and is_integer and body[end : end + 1] not in (b".", b"e", b"E"):
            parts.append(_MARK)
    return b"".join([*parts, body[end:]])


def _marked_number(text: str) -> Decimal:
    return Decimal(text) if text.endswith(_MARK.decode()) else _number(text)


_LONG = b"0" * (MAX_INT_DIGITS + 1)
_ZEROS = re.compile(rb"0++")
_DIGITS_AS_ZEROS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_MARK = b"e-0000"
_marked_decoder = msgspec.json.Decoder(float_hook=_marked_number)
_encoder = msgspec.json.Encoder(decimal_format="number")


def _explained(body: bytes, message: str) -> MalformedBody:
    """The decoder's message for a sender's developer, who sees neither our code nor perhaps the bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return MalformedBody("The body is not UTF-8.", error.start)
    if b"\0" in body[:2]:
        return MalformedBody("The body looks like UTF-16 or UTF-32; JSON is sent in UTF-8.")
    found = _POSITION.search(message)
    position = int(found[1]) if found else None
    reason = _POSITION.sub("", message).removeprefix("JSON is malformed: ")
    if "out of range" in reason:
        return MalformedBody("The body holds a number that is out of range.")
    if "surrogate" in reason or ("truncated" in reason and _reads_with_surrogates(text)):
        return MalformedBody("The body holds an unpaired surrogate, half of a \\u pair, which is not a character.")
    if "truncated" in reason:
        return MalformedBody("The body is not JSON: it ends too early.", len(body))
    if position is not None and reason.startswith(("trailing characters", "invalid escape")):
        position -= 1  # for these the decoder has already stepped over the byte at fault
    return MalformedBody(f"The body is not JSON: {reason}", position)


def _reads_with_surrogates(text: str) -> bool:
    """Whether a reader that lets unpaired surrogates pass finds nothing else wrong; msgspec calls them truncated."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _count_outside_strings(body: bytes, signs: bytes) -> int:
    """Number of these signs outside strings, in a text that is JSON.

    Without escaped backslashes and then without escaped quotes, quotes only begin and end strings, so that every second
    piece is outside; stripped of other signs, they are what is counted. Half the cost of a regular expression.
    """
    if b'\\"' in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    others = bytes(byte for byte in range(256) if byte not in b'"' + signs)
    return len(b"".join(body.translate(None, others).split(b'"')[::2]))


def _duplicate(body: bytes) -> MalformedBody:
    """Names the first key that occurs twice, for the message only."""
    if len(body) > NAMED_UP_TO_BYTES:
        return MalformedBody("A key occurs twice in one object.")
    found: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    try:
        json.loads(body, object_pairs_hook=check, parse_int=str, parse_float=str)
    except RecursionError:  # in a value that its double has replaced, so that nobody has measured its depth
        return too_deep()
    return MalformedBody(f"The key {found[0][:100]!r} occurs twice in one object.")


def _check_writable(value: Any) -> None:
    """Refuses what the encoder takes and JSON cannot say exactly.

    It writes null for floats that are not finite, the bare word for such Decimals, texts for dates and bytes, and keys
    that are not texts in a way that can make two keys one. Raises UnwritableValue.
    """
    todo: list[Any] = [[value]]
    for container in todo:  # it grows while it is read
        if isinstance(container, dict):
            _check_keys(container)
            items: Iterable[Any] = container.values()
        else:
            items = container
        for item in items:
            kind = type(item)
            if kind in _PLAIN:  # most are
                continue
            if kind in _FRACTIONS:
                if not (math.isfinite(item) if kind is float else item.is_finite()):
                    raise UnwritableValue("The value holds a number that is not finite.")
            elif kind in CONTAINERS or isinstance(item, dict | list | tuple):
                todo.append(item)
            elif not isinstance(item, str | int):
                raise UnwritableValue(f"The value holds a {kind.__name__}, which JSON does not have.")


_PLAIN = frozenset({str, int, bool, type(None)})
_FRACTIONS = frozenset({float, Decimal})
_TEXT_ONLY = frozenset({str})


def _check_keys(value: dict[Any, Any]) -> None:
    if not _TEXT_ONLY.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
        raise UnwritableValue("The value holds an object with a key that is not a text.")
