"""What the type of a field row makes of a value. Exact: no number passes through a float.

| type | takes | gives |
| --- | --- | --- |
| string | text; numbers with their digits; true and false | text |
| integer | whole numbers of any size, also as text (`"12"`, `12.0`) | integer |
| number | numbers as they are; text as the integer or decimal that it says | number |
| decimal | the same, but always a decimal: a float of an expression by its shortest form, 0.1 as 0.1 | number |
| boolean | true, false; 1, 0; the texts true, false, yes, no, 1, 0 in any case | true or false |
| date | text that is an ISO 8601 date, or a date and time: its date, on the sender's clock | `2026-11-23` |
| datetime | RFC 3339 text, its offset and fraction are kept; whole seconds since 1970 | `2026-11-23T08:16:54+01:00` |
| json | text that holds JSON, read strictly; anything else as it is | any value |

`number` and `decimal` differ for floats only, which come out of expressions; both are written as JSON numbers.
A bool is not a number, and what is not finite or beyond a double's range (RFC 8259, section 6) is refused everywhere.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeGuard

from connectors import formats

MAX_DIGITS: Final = 4300
"""Digits of a number that is read from text: Python's own limit for integers."""

MAX_EXPONENT: Final = 308
"""Decimal exponent of the largest double. A number with a fraction or exponent must be one that receivers can read."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<time>(?:[01][0-9]|2[0-3]):[0-9]{2})(?P<second>:[0-9]{2})?(?P<fraction>[.,][0-9]+)?"  # newer Pythons take 24
    r" ?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?)?\Z"  # and all of them take +01:75
)
_ONE = Decimal(1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})


class ConversionFailed(ValueError):
    """A value that the type cannot take; the message is for people and does not repeat long values."""


def shown(value: Any) -> str:
    """A value as error messages quote it: at most 60 characters."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 256:
        return "a very long integer"  # its digits would cost more than the whole mapping
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal | float):
        try:
            return str(to_number(value))
        except ValueError as error:
            raise ConversionFailed(f"A text cannot be made of {shown(value)}: {error}") from None
    raise ConversionFailed(f"A text cannot be made of {shown(value)}; type json keeps it as it is.")


def to_number(value: Any) -> int | Decimal | float:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal):
        return value if _is_long_integer(value) else _in_range(value)
    if isinstance(value, float):
        _in_range(Decimal(value))
        return value
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > MAX_DIGITS or not _NUMBER.match(text):
        raise ConversionFailed(f"{shown(value)} is not a number.")
    return int(text) if _INTEGER.match(text) else _in_range(Decimal(text))


def to_decimal(value: Any) -> Decimal:
    number = to_number(value)
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def to_integer(value: Any) -> int | Decimal:
    number = to_number(value)
    if isinstance(number, int) or _is_long_integer(number):
        return number
    exact = number if isinstance(number, Decimal) else Decimal(number)
    if exact != exact.to_integral_value():
        raise ConversionFailed(f"{shown(value)} is not a whole number.")
    return int(exact)


def to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    elif isinstance(value, int | Decimal | float):
        number = to_number(value)  # a signalling NaN cannot even be compared
        if number == 1:
            return True
        if number == 0:
            return False
    raise ConversionFailed(f"{shown(value)} is neither true nor false.")


def to_date(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if _MOMENT.match(text):
        return _moment(text, value)[0]
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ConversionFailed(f"{shown(value)} is not a date in ISO 8601, such as 2026-11-23.") from None


def to_datetime(value: Any) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        try:
            moment = _EPOCH + timedelta(seconds=float(to_integer(value)))
        except OverflowError:
            raise ConversionFailed(
                f"{shown(value)} is not a time in seconds since 1970 (are these milliseconds?)."
            ) from None
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")
    day, time, offset = _moment(value.strip() if isinstance(value, str) else "", value)
    if not offset:
        # an offset that nobody said would be a guess, and a wrong one moves the time without anybody noticing
        raise ConversionFailed(f"{shown(value)} has no offset from UTC, such as Z or +01:00.")
    return f"{day}T{time}{offset}"


def _moment(text: str, value: Any) -> tuple[str, str, str]:
    """Date, time and offset ("" for none) in the spelling of RFC 3339, section 5.6; digits are kept."""
    match = _MOMENT.match(text)
    if match is None:
        raise ConversionFailed(f"{shown(value)} is not a time in RFC 3339, such as 2026-11-23T08:16:54Z.")
    fraction = (match["fraction"] or "").replace(",", ".")
    time = f"{match['time']}{match['second'] or ':00'}"
    offset = (match["offset"] or "").upper()
    if len(offset) in (3, 5):  # +01 and +0100 are ISO 8601 only
        offset = f"{offset[:3]}:{offset[3:] or '00'}"
    try:
        datetime.fromisoformat(f"{match['date']}T{time}{offset}")
    except ValueError as error:
        raise ConversionFailed(f"{shown(value)} is not a time: {error}.") from None
    return match["date"], time + fraction, offset


def to_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return formats.parse(value.encode())
    except (formats.MalformedBody, UnicodeEncodeError) as error:
        raise ConversionFailed(f"The text does not hold JSON: {error}") from None


def _is_long_integer(number: int | Decimal | float) -> TypeGuard[Decimal]:
    """Whether it was read from digits that make no int; written, it is those digits again."""
    return (
        isinstance(number, Decimal)
        and number.is_finite()
        and number.adjusted() >= MAX_DIGITS
        and number.same_quantum(_ONE)
    )


def _in_range(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ConversionFailed("The number is not finite.")
    if number.adjusted() >= MAX_EXPONENT and math.isinf(float(number)):
        raise ConversionFailed("The number is too large.")
    return number


CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": to_string,
    "integer": to_integer,
    "number": to_number,
    "decimal": to_decimal,
    "boolean": to_boolean,
    "date": to_date,
    "datetime": to_datetime,
    "json": to_json,
}
