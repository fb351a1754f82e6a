"""Bytes ↔ values.

A value is what JSON can say: dict, list, str, int, Decimal, bool, None. Numbers with a fraction are Decimal, so that
money keeps its digits; integers have any size; floats come out of expressions only.
"""

import base64
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

MAX_DEPTH = 64
JSON = "application/json"

# type/subtype, and parameters as RFC 9110 (5.6.6) writes them; possessive, so that no header is read slowly
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_ESSENCE = re.compile(rf"\s*+({_NAME}/{_NAME})\s*+(?=;|\Z)")
_PARAMETER = re.compile(rf""";\s*+(?:({_NAME})\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;"]*+))?+[^;]*+""", re.DOTALL)
# what replies are read by; a list, since Python's codecs also know names that are no charsets (idna, unicode_escape),
# raise other errors than for wrong bytes, and remember every unknown name for ever
_CHARSETS = frozenset(
    [f"iso-8859-{part}" for part in range(1, 17) if part != 12]
    + [f"{family}{page}" for family in ("windows-", "cp") for page in range(1250, 1259)]
    + ["utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "us-ascii", "ascii"]
    + ["latin1", "koi8-r", "koi8-u", "macintosh", "cp437", "cp850", "cp932", "cp936", "cp949", "shift_jis", "euc-jp"]
    + ["iso-2022-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr"]
)
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
    """The value of a JSON text (RFC 8259): UTF-8, no duplicate keys, depth ≤ 64, finite. Raises MalformedBody."""
    if not body.strip():
        raise MalformedBody("The body is empty; a JSON text was expected.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedBody("The body begins with a byte order mark; JSON is sent without one.")
    try:
        value = _decoder.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _explained(body, str(error)) from None
    keys = _count_keys(value)
    # each key in the text has one colon outside strings; equal counts mean that no key was lost
    if body.count(b":") != keys and _count_colons(body) != keys:
        raise _duplicate(body)
    return value


def dump(value: Any) -> bytes:
    """Compact JSON: digits, key order and letters as they are.

    Takes values as the top of this file describes them, with finite floats, tuples and texts of `TextChoices` besides.
    Raises UnwritableValue for everything else.
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
    found = _ESSENCE.match(header)
    if found is None:
        return MediaType("", "")
    for name, value in _PARAMETER.findall(header, found.end()):
        if name.lower() == "charset":
            return MediaType(found[1].lower(), value.strip().strip("\"'").lower())
    return MediaType(found[1].lower(), "")


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
    for charset in (kind.charset, "utf-8"):
        if charset in _CHARSETS:
            try:
                return body.decode(charset), ""
            except UnicodeDecodeError:
                pass  # it is not what it says; the next may fit
    return base64.b64encode(body).decode("ascii"), "base64"


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        raise ValueError("number out of range") from None
    if number.adjusted() >= 308 and math.isinf(float(number)):
        raise ValueError("number out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=_number)
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


def _too_deep() -> MalformedBody:
    return MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _count_colons(body: bytes) -> int:
    """Number of colons outside strings, in a text that is JSON.

    Without escaped backslashes and then without escaped quotes, quotes only begin and end strings, so that every second
    piece is outside. There each colon follows a string of its own: stripped of other signs, a piece is one colon or
    nothing. Half the cost of a regular expression, and as exact.
    """
    if b'\\"' in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return body.translate(None, _NEITHER_QUOTE_NOR_COLON).split(b'"')[::2].count(b":")


_NEITHER_QUOTE_NOR_COLON = bytes(byte for byte in range(256) if byte not in b'":')


def _count_keys(value: Any) -> int:
    """Number of keys in all objects; level by level, so that depth cannot exhaust the stack. Raises MalformedBody."""
    keys = depth = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                below += item.values()
            else:
                below += item
        level = [child for child in below if type(child) in _CONTAINERS]
    return keys


_CONTAINERS = frozenset({dict, list})


def _duplicate(body: bytes) -> MalformedBody:
    """Names the first key that occurs twice, for the message only."""
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
        return _too_deep()
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
            elif kind in _CONTAINERS or isinstance(item, dict | list | tuple):
                todo.append(item)
            elif not isinstance(item, str | int):
                raise UnwritableValue(f"The value holds a {kind.__name__}, which JSON does not have.")


_PLAIN = frozenset({str, int, bool, type(None)})
_FRACTIONS = frozenset({float, Decimal})
_TEXT_ONLY = frozenset({str})


def _check_keys(value: dict[Any, Any]) -> None:
    if not _TEXT_ONLY.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
        raise UnwritableValue("The value holds an object with a key that is not a text.")
