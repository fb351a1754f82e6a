"""CloudEvents 1.0 over HTTP (https://cloudevents.io): which requests are events, and how each is told from others.

Structured mode (application/cloudevents+json) is JSON like any other: schema, mapping and keys see the event as it was
sent, attributes and `data` beside each other. In binary mode (`ce-*` headers) the body is the data and they see that;
the attributes are kept with the message, and go on where the body goes on unchanged.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from connectors import formats
from messages.exceptions import Refused

STRUCTURED = "application/cloudevents+json"
FAMILY = "application/cloudevents"
PREFIX = "ce-"
REQUIRED = ("specversion", "id", "source", "type")
VERSION = "1.0"
MAX_VALUE = 2000
MAX_ATTRIBUTES = 50
_NAME = re.compile(r"ce-[a-z0-9]+\Z")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # no CloudEvents string holds them (type system, String)


def check_type(content_type: str) -> None:
    """Raises Refused (415) for events that are not read here: batches, and other encodings than JSON."""
    essence = formats.media_type(content_type).essence
    if essence.startswith(f"{FAMILY}-batch"):
        raise Refused("unsupported-media-type", "Batches of CloudEvents are not accepted: send each event by itself.")
    if essence.startswith(FAMILY) and essence != STRUCTURED:
        raise Refused("unsupported-media-type", f"CloudEvents are accepted as {STRUCTURED}, or with ce-* headers.")


def received(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes of an event in binary mode as they came, names in lower case; empty for any other request."""
    sent = {name.lower(): value for name, value in headers.items()}
    if not any(f"{PREFIX}{name}" in sent for name in REQUIRED):
        return {}
    return {name: value for name, value in sent.items() if _NAME.match(name)}


def has_no_data(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether this is an event in binary mode that carries nothing but its attributes: its value is null."""
    return not body and bool(received(headers))


def key_of(content_type: str, headers: Mapping[str, str], value: Any) -> str | None:
    """What tells an event from all others, its source and id; None for what is no event.

    `value` is the body's. Raises Refused (400) for an event without the attributes that every event has.
    """
    if formats.media_type(content_type).essence == STRUCTURED:
        if not isinstance(value, dict):
            raise Refused("malformed-body", "A CloudEvent in structured mode is a JSON object.")
        if "data" in value and "data_base64" in value:
            raise Refused("malformed-body", "A CloudEvent has either data or data_base64.")
        return _key("malformed-body", value, "")
    sent = received(headers)
    if not sent:
        return None
    if len(sent) > MAX_ATTRIBUTES:
        raise Refused("malformed-header", f"A CloudEvent has at most {MAX_ATTRIBUTES} attributes here.")
    return _key("malformed-header", {name[len(PREFIX) :]: _decoded(text) for name, text in sent.items()}, PREFIX)


def _key(slug: str, attributes: Mapping[str, Any], prefix: str) -> str:
    for name in REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value or _CONTROLS.search(value):
            raise Refused(slug, f"A CloudEvent has {prefix}{name}: a text, not empty, without control characters.")
        if len(value) > MAX_VALUE:
            raise Refused(slug, f"{prefix}{name} has at most {MAX_VALUE} characters.")
    if any(char.isspace() for char in attributes["source"]):  # a URI reference holds none
        raise Refused(slug, f"{prefix}source holds white space; it is a URI reference.")
    if attributes["specversion"] != VERSION:
        raise Refused(slug, f"CloudEvents are read in version {VERSION}.")
    return f"{attributes['source']} {attributes['id']}"  # the first space is between them


def _decoded(text: str) -> str:
    """A header's value is percent-encoded, and may stand in quotes (HTTP binding, 3.1.3.2)."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return unquote(text, errors="replace")
