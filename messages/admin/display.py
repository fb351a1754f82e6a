"""How payloads, headers and durations are shown."""

from datetime import datetime, timedelta
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connectors import formats
from messages.choices import PROCESSING, Status

SHOWN_CHARACTERS = 64 * 1024

STATUS_COLOURS = {
    Status.QUEUED: "info",
    PROCESSING: "info",
    Status.RETRYING: "warning",
    Status.SUCCEEDED: "success",
    Status.FAILED: "danger",
    Status.DEAD: "danger",
    Status.CANCELLED: "default",
}


def payload(body: bytes | memoryview | None, content_type: str = "") -> SafeString:
    """A body for people: JSON indented with its own digits, keys in their order; escaped, and cut where it is long."""
    if not body:
        return format_html('<span class="platform-muted">{}</span>', "empty")
    text = _text(bytes(body), content_type)
    cut = len(text) > SHOWN_CHARACTERS
    note = f"The first {SHOWN_CHARACTERS:,} of {len(text):,} characters; the download has all of it." if cut else ""
    return format_html(
        '<pre class="platform-json">{}</pre><p class="platform-muted">{}</p>', text[:SHOWN_CHARACTERS], note
    )


def _text(body: bytes, content_type: str) -> str:
    try:
        return formats.dump_pretty(formats.parse(body))
    except (formats.MalformedBody, formats.UnwritableValue):
        value, encoding = formats.reply_value(body, content_type)
        return f"{len(body)} bytes, in base64:\n{value}" if encoding else str(value)


def headers(pairs: Any) -> SafeString:
    """Headers as they are stored: a mapping, or pairs."""
    rows = list(pairs.items()) if isinstance(pairs, dict) else pairs or []
    return format_html(
        '<table class="platform-headers">{}</table>',
        format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", ((name, value) for name, value in rows)),
    )


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


def moment(value: datetime | None) -> str:
    """To the millisecond: messages of one second have an order."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
