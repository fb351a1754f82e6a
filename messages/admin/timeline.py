"""What happened to a message, from its receipt to its end: attempts, and what people did, in the order of time."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import BinaryField, F, Func, Value
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connectors.admin.base import link, page_of
from messages.admin.display import STATUS_COLOURS, duration, label, moment, status_label
from messages.admin.evidence import CONTENTS, OUTCOME_COLOURS
from messages.choices import OutcomeKind
from messages.models import Message

SHOWN_ATTEMPTS = 50
"""The newest; the others have pages of their own."""
SHOWN_VERBS = 50
"""The newest; the message's history has all of them."""
EXCERPT_BYTES = 400
DOWNLOADED = "Downloaded the payload."
"""Kept in the history of a message, but nothing that happened to it."""

Row = dict[str, Any]


def attempts_of(message: Message) -> list[Any]:
    """The newest SHOWN_ATTEMPTS, oldest first, each with the beginning of what came back as `excerpt`."""
    start: Any = Func(
        F("response_body"), Value(1), Value(EXCERPT_BYTES), function="SUBSTR", output_field=BinaryField(null=True)
    )
    rows = message.attempt_set.defer(*CONTENTS).annotate(excerpt=start).order_by("-number", "-pk")
    return list(rows[:SHOWN_ATTEMPTS])[::-1]


def verbs_of(message: Message) -> list[LogEntry]:
    """What people did with it, the newest SHOWN_VERBS, oldest first."""
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Message), object_id=message.pk)
    told = entries.exclude(change_message=DOWNLOADED).select_related("user").order_by("-action_time", "-pk")
    return list(told[:SHOWN_VERBS])[::-1]


def timeline(
    message: Any, attempts: list[Any], verbs: list[LogEntry], *, waits: SafeString | None, contents: bool
) -> list[Row]:
    """Each entry says how long after the one before it came. `waits`: why an open message is not sent now."""
    rows = [_row("info", format_html("{}", "Received"), message.received_at, text=_how(message))]
    hidden = message.attempts - len(attempts)
    if hidden > 0:
        rows.append(_row("default", format_html("{} earlier attempts are not shown", f"{hidden:,}"), None))
    base = list(_of_attempts(message, attempts, contents=contents))
    if message.is_final:
        title = format_html("{} after {}", status_label(message.status), _total(message))
        base.append(_row(STATUS_COLOURS[message.status], title, message.completed_at or message.received_at))
    before = message.received_at
    for row in heapq.merge(base, map(_verb, verbs), key=itemgetter("began")):  # workers' clocks move no attempt
        span = row["began"] - before
        rows.append({**row, "after": duration(span) if span >= timedelta(milliseconds=1) else ""})
        before = row["ended"]
    if waits is not None:
        rows.append(_row("default", waits, None))
    return rows


def _row(
    colour: str,
    title: SafeString,
    began: datetime | None,
    *,
    ended: datetime | None = None,
    text: str = "",
    **more: Any,
) -> Row:
    times = {"at": moment(began) if began else "", "began": began, "ended": ended or began, "after": ""}
    return {"colour": colour, "title": title, **times, "text": text, **more}


def _how(message: Message) -> str:
    kind = message.content_type or "no content type"
    return f"{message.get_pattern_display()}, {kind}, position {message.position:,} of its lane"


def _total(message: Any) -> str:
    return duration((message.completed_at or message.read_at) - message.received_at)


def _of_attempts(message: Message, attempts: list[Any], *, contents: bool) -> Iterator[Row]:
    mapped = _mapped(message, attempts)
    if mapped is not None:
        yield _row("default", mapped, attempts[0].started_at)
    for attempt in attempts:
        yield _attempt(attempt, contents=contents)


def _verb(entry: LogEntry) -> Row:
    user = entry.user
    name = user.get_full_name() or user.get_username()
    return _row("info", format_html("{}", name), entry.action_time, text=entry.get_change_message())


def _mapped(message: Message, attempts: list[Any]) -> SafeString | None:
    """None where the first attempts are not shown, or a worker ended in the first: nobody knows when it was."""
    if not attempts or attempts[0].number != 1 or _was_interrupted(attempts[0]):
        return None
    version = message.mapping_version
    if version is None:
        return format_html("{}", "No mapping: the payload goes on as it came")
    failed = attempts[-1].outcome == OutcomeKind.MAPPING_FAILED
    return format_html("{} with {}", "Could not be mapped" if failed else "Mapped", link(page_of(version), version))


def _was_interrupted(attempt: Any) -> bool:
    return bool(attempt.outcome == OutcomeKind.UNKNOWN and not attempt.method)


def _attempt(attempt: Any, *, contents: bool) -> Row:
    colour = OUTCOME_COLOURS.get(OutcomeKind(attempt.outcome), "danger")
    title = format_html(
        "{} {}{}",
        link(page_of(attempt), f"Attempt {attempt.number}"),
        label(attempt.get_outcome_display(), colour),
        f" HTTP {attempt.status_code}" if attempt.status_code else "",
    )
    return _row(
        colour,
        title,
        attempt.started_at,
        ended=attempt.started_at + timedelta(milliseconds=attempt.duration_ms),
        text=attempt.detail,
        took=f"{attempt.duration_ms:,.0f} ms",
        excerpt=_excerpt(attempt) if contents else "",
    )


def _excerpt(attempt: Any) -> str:
    beginning = bytes(attempt.excerpt or b"")
    text = beginning.decode(errors="ignore")
    return f"{text}…" if len(beginning) == EXCERPT_BYTES else text
