"""Bytes ↔ values.

A value is what JSON can say: dict, list, str, int, Decimal, bool, None. Numbers with a fraction are Decimal, so that
money keeps its digits; integers have any size, and are Decimal as well beyond 4,300 digits; floats come out of
expressions only. What XML, forms and CSV make of it stands at the top of their modules.
"""

import base64
from collections.abc import Callable, Collection
from typing import Any

from connectors.formats import csv, form, xml
from connectors.formats.collecting import paused_collector
from connectors.formats.faults import MAX_DEPTH, MalformedBody, UnknownFormat, UnwritableValue
from connectors.formats.json import dump, dump_pretty, parse
from connectors.formats.media import CHARSETS, CSV, FORM, JSON, TSV, XML, MediaType, media_type

__all__ = [
    "JSON",
    "MAX_DEPTH",
    "UNREADABLE",
    "MalformedBody",
    "MediaType",
    "UnknownFormat",
    "UnwritableValue",
    "check_readable",
    "dump",
    "dump_pretty",
    "media_type",
    "parse",
    "read",
    "readable",
    "reply_input",
    "reply_value",
    "write",
]

UNREADABLE = (MalformedBody, UnknownFormat, UnwritableValue)
"""Why a body cannot be shown as the value that it holds."""
_WRITERS: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "json": (dump, JSON),
    "form": (form.dump, FORM),
    "xml": (xml.dump_document, f"{XML}; charset=utf-8"),
}
_JSON_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def check_readable(content_type: str) -> None:
    """Raises UnknownFormat for a Content-Type that `read` does not know. Nothing said is taken for JSON."""
    kind = media_type(content_type)
    if kind.is_json or not content_type.strip():
        if kind.charset not in _JSON_CHARSETS:
            raise UnknownFormat("JSON is sent in UTF-8.")
        return
    if not (kind.is_xml or kind.is_form or kind.is_csv):
        raise UnknownFormat(f"This route takes {JSON}, {XML}, {FORM} and {CSV}.")
    if kind.charset and kind.charset not in CHARSETS:
        raise UnknownFormat(f"The charset {kind.charset[:40]!r} is not read here; UTF-8 always is.")
    if kind.is_csv:
        csv.check_parameters(kind.parameters)


def read(body: bytes, content_type: str, *, force_list: Collection[str] = ()) -> Any:
    """The value of a body by its media type; JSON where nothing is said.

    `force_list`: elements of XML and fields of forms that are lists even where there is one. Raises UnknownFormat and
    MalformedBody.
    """
    check_readable(content_type)
    kind = media_type(content_type)
    with paused_collector(len(body)):
        if kind.is_xml:
            return xml.parse(body, kind.charset, force_list)
        if kind.is_form:
            return form.parse(body, kind.charset, force_list)
        if kind.is_csv:
            parameters = {"delimiter": "tab", **kind.parameters} if kind.essence == TSV else kind.parameters
            return csv.parse(body, kind.charset, parameters)
        return parse(body)


def write(value: Any, name: str) -> tuple[bytes, str]:
    """A value as json, form or xml, and its Content-Type. Raises UnwritableValue."""
    writer, content_type = _WRITERS[name]
    return writer(value), content_type


def readable(body: bytes, content_type: str) -> str:
    """A body for people: JSON, forms and XML indented, CSV as it came, anything else as if it were JSON.

    Raises MalformedBody, UnknownFormat and UnwritableValue.
    """
    kind = media_type(content_type)
    if kind.is_xml:
        check_readable(content_type)
        return xml.indented(body, kind.charset)
    if kind.is_csv:
        check_readable(content_type)
        return csv.text_of(body, kind.charset)
    if kind.is_form:
        return dump_pretty(read(body, content_type))
    return dump_pretty(parse(body))


def reply_input(body: bytes, content_type: str, *, force_list: Collection[str] = ()) -> Any:
    """What a destination replied, for a reply mapping: its value where it can be read, else as `reply_value` has it."""
    if body and content_type.strip():
        try:
            return read(body, content_type, force_list=force_list)
        except (MalformedBody, UnknownFormat):
            pass  # it is not what it says, or something else: the mapping gets it as a text
    return reply_value(body, content_type)[0]


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
        if charset in CHARSETS:
            try:
                return body.decode(charset), ""
            except UnicodeDecodeError:
                pass  # it is not what it says; the next may fit
    return base64.b64encode(body).decode("ascii"), "base64"
