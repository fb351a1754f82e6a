"""How payloads, headers and durations are shown."""

import base64
import codecs
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from connectors import formats
from connectors.admin.base import link, page_of
from messages.choices import PROCESSING, Status
from messages.standing import Standing

VIEW_PAYLOAD = "messaging.view_payload"
SHOWN_CHARACTERS = 64 * 1024
SHOWN_HTML = 96 * 1024
"""What a body may weigh on a page once it is escaped: a quotation mark becomes six characters."""
INDENTED_BYTES = 1024 * 1024
"""Longer bodies are shown as they came."""

STATUS_COLOURS = {
    Status.QUEUED: "info",
    PROCESSING: "info",
    Status.RETRYING: "warning",
    Status.SUCCEEDED: "success",
    Status.FAILED: "danger",
    Status.DEAD: "danger",
    Status.CANCELLED: "default",
}


def may_see_payloads(request: HttpRequest) -> bool:
    return request.user.has_perm(VIEW_PAYLOAD)


def status_label(status: str) -> SafeString:
    """A status in its colour, for pages; lists have their own way."""
    return label(status, STATUS_COLOURS.get(status, "default"))


def label(text: str, colour: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"type": colour, "text": text})


def payload(body: bytes | memoryview | None, content_type: str = "") -> SafeString:
    """A body for people: JSON and XML indented, digits and order as they came; escaped, and cut where it is long."""
    if not body:
        return format_html('<span class="platform-muted">{}</span>', "empty")
    text, note = _read_long(bytes(body)) if len(body) > INDENTED_BYTES else _read(bytes(body), content_type)
    shown = format_html('<pre class="platform-json" tabindex="0">{}</pre>', _light(text[:SHOWN_CHARACTERS]))
    return format_html('{}<p class="platform-muted">{}</p>', shown, note) if note else shown


def _light(text: str) -> str:
    """As much of it as weighs SHOWN_HTML, and a sign where something is left out."""
    weight, kept = len(escape(text)), text
    while weight > SHOWN_HTML:
        kept = kept[: len(kept) * SHOWN_HTML // weight]
        weight = len(escape(kept))
    return kept if kept == text else f"{kept}…"


def _read(body: bytes, content_type: str) -> tuple[str, str]:
    """The text that is shown, and what has to be said about it."""
    try:
        text, note = formats.readable(body, content_type), ""
    except formats.UNREADABLE:
        value, encoding = formats.reply_value(body, content_type)
        text, note = str(value), f"{len(body):,} bytes that are no text, in base64." if encoding else ""
    cut = f"The first {SHOWN_CHARACTERS:,} of {len(text):,} characters." if len(text) > SHOWN_CHARACTERS else ""
    return text, f"{note} {cut}".strip()


def _read_long(body: bytes) -> tuple[str, str]:
    """Only its beginning is looked at: nobody waits for megabytes to be indented and thrown away."""
    beginning = body[:SHOWN_CHARACTERS]
    note = f"The first {SHOWN_CHARACTERS:,} of {len(body):,} bytes, as they came."
    try:
        # a letter that is cut in two at the end is left out, bytes that are no text at all are not
        return codecs.getincrementaldecoder("utf-8")().decode(beginning), note
    except UnicodeDecodeError:
        return base64.b64encode(beginning).decode("ascii"), f"{note} They are no text and stand here in base64."


def headers(pairs: Any) -> SafeString:
    """Headers as they are stored: a mapping, or pairs."""
    rows = list(pairs.items()) if isinstance(pairs, dict) else pairs
    if not rows:
        return format_html('<span class="platform-muted">{}</span>', "none")
    return format_html(
        '<table class="platform-headers">{}</table>',
        format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", ((name, value) for name, value in rows)),
    )


def content_type(pairs: Any) -> str:
    """The Content-Type among headers as they are stored, or ""."""
    rows = pairs.items() if isinstance(pairs, dict) else pairs or ()
    return next((str(value) for name, value in rows if name.lower() == "content-type"), "")


def duration(span: timedelta | None) -> str:
    """A span in its two largest units: 1 h 5 min, 3.2 s, 18 ms."""
    if span is None:
        return "–"
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if hours < 1:
        return f"{minutes} min {int(seconds) % 60} s"
    return f"{hours} h {minutes % 60} min" if days < 1 else f"{days} d {hours % 24} h"


def why(standing: Standing) -> SafeString:
    """Why messages are not sent at present, as a link to where it can be ended."""
    since = f" Since {moment(standing.since)}." if standing.since else ""
    until = f" Next look at {moment(standing.until)}." if standing.until else ""
    return format_html("{}{}{}", link(page_of(standing.page), standing.detail), since, until)


def roughly(span: timedelta) -> str:
    """A span in its largest unit alone: 5 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def moment(value: datetime | None) -> str:
    """To the millisecond: messages of one second have an order."""
    return "–" if value is None else f"{second(value)}.{value.microsecond // 1000:03d}"


def second(value: datetime | None) -> str:
    """To the second, where the order does not matter."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"
