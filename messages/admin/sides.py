"""Two bodies side by side, with what is different marked."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from connectors import differences, formats
from connectors.paths import MISSING
from messages.admin.display import SHOWN_HTML, payload

COMPARED_BYTES = 256 * 1024
"""Longer bodies are shown as they are: nobody reads so much."""
SHOWN_CHANGES = 200
SHOWN_VALUE = 300


@dataclass(frozen=True, slots=True)
class Body:
    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Sides:
    left: SafeString
    right: SafeString
    compared: bool


def side_by_side(left: Body, right: Body) -> Sides:
    """Both, indented; lines that the other has not are marked where both can be read, and are not too long."""
    if left.content == right.content and left.content_type == right.content_type:
        shown = payload(left.content, left.content_type)
        return Sides(shown, shown, compared=True)
    values = _values(left, right)
    if values is None:
        as_they_are = payload(left.content, left.content_type), payload(right.content, right.content_type)
        return Sides(*as_they_are, compared=False)
    old, new = values
    return Sides(
        _shown(differences.marked(old, new, differences.REMOVED)),
        _shown(differences.marked(new, old, differences.ADDED)),
        compared=True,
    )


def changes(old: Body, new: Body) -> list[dict[str, Any]] | None:
    """What is different by path, the first SHOWN_CHANGES; None where the bodies are too long to be compared."""
    if max(len(old.content), len(new.content)) > COMPARED_BYTES:
        return None
    values = _values(old, new)
    found: Iterable[differences.Change]
    if values is not None:
        found = differences.changes(*values)
    else:
        texts = [one.content.decode(errors="replace").splitlines() for one in (old, new)]
        found = differences.changed_items(*texts)
    return [
        {"path": change.path or "$", "kind": change.kind, "old": _value(change.old), "new": _value(change.new)}
        for change in islice(found, SHOWN_CHANGES)
    ]


def _values(left: Body, right: Body) -> tuple[Any, Any] | None:
    if max(len(left.content), len(right.content)) > COMPARED_BYTES:
        return None
    try:
        old, new = (formats.read(one.content, one.content_type) for one in (left, right))
    except formats.UNREADABLE:
        return None
    return old, new


def _value(value: Any) -> str:
    if value is MISSING:
        return ""
    try:
        text = formats.dump(value).decode()
    except formats.UnwritableValue:
        text = str(value)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}…"


def _shown(lines: list[differences.Line]) -> SafeString:
    """Neighbours of one kind share their markup; what does not fit is left out and said."""
    parts, left = [], SHOWN_HTML
    for kind, group in groupby(lines, key=lambda line: line[0]):
        texts = []
        for _, text in group:
            left -= len(escape(text)) + 1
            if left < 0:
                break
            texts.append(text)
        parts.append((kind, "\n".join(texts) + "\n"))
        left -= len('<span class="platform-removed"></span>')
        if left < 0:
            break
    spans = format_html_join("", '<span class="platform-{}">{}</span>', parts)
    shown = format_html('<pre class="platform-json" tabindex="0">{}</pre>', spans)
    if left >= 0:
        return shown
    return format_html('{}<p class="platform-muted">{}</p>', shown, f"The first of {len(lines):,} lines.")
