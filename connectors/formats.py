"""Bytes ↔ values.

A value is what JSON can say: dict, list, str, int, Decimal, bool, None. Numbers with a fraction are Decimal, so that
money keeps its digits; integers have any size; floats come out of expressions only.
"""

import base64
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

MAX_DEPTH = 64
JSON = "application/json"

# everything between quotes, to see which colons are structure; possessive-free but linear: no two branches overlap
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_POSITION = re.compile(r" \(byte (\d+)\)")


class MalformedBody(ValueError):
    """A body that is not what its media type says; `reason` is a sentence, `position` a byte offset or None."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (byte {position})")
        self.reason = reason
        self.position = position


class UnwritableValue(ValueError):
    """A value that the format cannot say, such as a number that is not finite."""


def parse(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259), strictly: UTF-8, no duplicate keys, depth ≤ 64, finite numbers. Raises MalformedBody."""
    if not body.strip():
        raise MalformedBody("The body is empty; a JSON text was expected.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedBody("The body begins with a byte order mark; JSON is sent without one.")
    try:
        value = _decoder.decode(body)
    except RecursionError:
        raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except UnicodeDecodeError as error:
        raise MalformedBody("The body is not UTF-8.", error.start) from None
    except msgspec.DecodeError as error:
        raise _explained(body, str(error)) from None
    keys = _count_keys(value)
    # each key in the text has one colon outside strings; equal counts mean that no key was lost
    if body.count(b":") != keys and _STRING.sub(b"", body).count(b":") != keys:
        raise MalformedBody(f"The key {_duplicate(body)} occurs twice in one object.")
    return value


def dump(value: Any) -> bytes:
    """Compact JSON: digits, key order and letters as they are. Raises UnwritableValue, also for NaN and Infinity."""
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise UnwritableValue(f"The value cannot be written as JSON: {error}") from error
    # msgspec writes null for a float that is not finite, and the word for a Decimal: look again only if one may be there
    if (b"null" in text or b"NaN" in text or b"Infinity" in text) and not all_finite(value):
        raise UnwritableValue("The value holds a number that is not finite.")
    return text


def dump_pretty(value: Any) -> str:
    """Indented JSON for people, as exact as `dump`."""
    return msgspec.json.format(dump(value), indent=2).decode()


@dataclass(frozen=True, slots=True)
class MediaType:
    """`essence` is type/subtype in lower case, without parameters; "" when the header was empty or unreadable."""

    essence: str
    charset: str

    @property
    def is_json(self) -> bool:
        return self.essence in (JSON, "text/json") or self.essence.endswith("+json")


def media_type(header: str) -> MediaType:
    """Reads a Content-Type header; what cannot be read counts as not being there."""
    essence, *parameters = header.split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'").lower()
    essence = essence.strip().lower()
    return MediaType(essence if essence.count("/") == 1 else "", charset)


def reply_value(body: bytes, content_type: str) -> tuple[Any, str]:
    """What a destination replied, and its encoding: a JSON value, a text, or base64 of other bytes with "base64"."""
    if not body:
        return None, ""
    kind = media_type(content_type)
    if kind.is_json:
        try:
            return parse(body), ""
        except MalformedBody:
            pass  # it says JSON and is not: the source gets it as the text that it is
    try:
        return body.decode(kind.charset or "utf-8"), ""
    except (UnicodeDecodeError, LookupError):
        return base64.b64encode(body).decode("ascii"), "base64"


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if number.adjusted() >= 308 and math.isinf(float(number)):
        raise ValueError("number out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder(decimal_format="number")


def _explained(body: bytes, message: str) -> MalformedBody:
    position = _POSITION.search(message)
    reason = _POSITION.sub("", message).removeprefix("JSON is malformed: ")
    if "out of range" in reason:
        return MalformedBody("The body holds a number that is out of range.")
    if "truncated" in reason:
        return MalformedBody("The body is not JSON: it ends too early or holds an unpaired surrogate.")
    return MalformedBody(f"The body is not JSON: {reason}", int(position.group(1)) if position else None)


def _count_keys(value: Any) -> int:
    """Number of keys in all objects; level by level, so that depth cannot exhaust the stack. Raises MalformedBody."""
    keys = depth = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                below += [child for child in item.values() if type(child) in _CONTAINERS]
            else:
                below += [child for child in item if type(child) in _CONTAINERS]
        level = below
    return keys


_CONTAINERS = frozenset({dict, list})


def _duplicate(body: bytes) -> str:
    """Names the first key that occurs twice, for the message only."""
    found: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    json.loads(body, object_pairs_hook=check, parse_int=str, parse_float=str)
    return repr(found[0][:100])


def all_finite(value: Any) -> bool:
    """Whether no number in `value` is NaN or infinite."""
    todo = [value]
    while todo:
        item = todo.pop()
        match item:
            case dict():
                todo.extend(item.values())
            case list() | tuple():
                todo.extend(item)
            case float():
                if not math.isfinite(item):
                    return False
            case Decimal():
                if not item.is_finite():
                    return False
    return True
