"""Forms (application/x-www-form-urlencoded) ↔ values.

An object of texts by name, in the order of the first of each; a name that occurs several times is a list, and so are
names in `force_list`. `+` is a space, and a field without `=` is an empty text, as browsers have it (WHATWG URL, 5.1).
Names such as `items[0][sku]` are kept as they are.
"""

import binascii
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote_plus

from connectors.formats.faults import MalformedBody, UnwritableValue
from connectors.formats.json import dump as dump_json

MAX_FIELDS = 200_000
"""Fields that are read in a quarter of a second."""

_HALF_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse(body: bytes, charset: str = "", force_list: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a form, `charset` (UTF-8 without one) applying to what is escaped. Raises MalformedBody."""
    if body.count(b"&") >= MAX_FIELDS:
        raise MalformedBody(f"The body holds more than {MAX_FIELDS:,} fields.")
    charset = charset or "utf-8"
    found: dict[str, Any] = {}
    for field in body.strip(b"\r\n").split(b"&"):
        if not field:
            continue
        raw_name, _, raw_value = field.partition(b"=")
        _collect(found, _text(raw_name, charset), _text(raw_value, charset))
    for name in force_list:
        if isinstance(found.get(name), str):
            found[name] = [found[name]]
    return found


def dump(value: Any) -> bytes:
    """The fields of an object, in UTF-8; a list makes one of each item, null an empty one. Raises UnwritableValue."""
    if not isinstance(value, dict):
        raise UnwritableValue("A form is written from an object of names and values.")
    fields = []
    for name, item in value.items():
        for one in item if isinstance(item, list | tuple) else [item]:
            if isinstance(one, dict | list | tuple):
                raise UnwritableValue(f"The field {str(name)[:100]!r} is not a text, a number, true, false or null.")
            fields.append(f"{_quoted(name)}={_quoted('' if one is None else one)}")
    return "&".join(fields).encode()


def _collect(found: dict[str, Any], name: str, value: str) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(known := found[name], list):
        known.append(value)
    else:
        found[name] = [known, value]


def _text(raw: bytes, charset: str) -> str:
    raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        if _HALF_ESCAPE.search(raw):
            raise MalformedBody("The body is not a form: a % is not followed by two hexadecimal digits.")
        # an escape is quoted-printable's but for the sign, and there is a fast reader of that
        raw = binascii.a2b_qp(raw.replace(b"=", b"=3D").replace(b"%", b"="))
    try:
        return raw.decode(charset)
    except UnicodeDecodeError:
        raise MalformedBody(f"The body holds a field that is not {charset.upper()}.") from None


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else dump_json(value).decode()
    try:
        return quote_plus(text)
    except UnicodeEncodeError:
        raise UnwritableValue("The value holds half of a surrogate pair, which is not a letter.") from None
