"""What a message's page tells: how it stands, what happened to it (`timeline`), what came in and what went out."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connectors.admin.base import link, page_of
from messages.admin import resubmission
from messages.admin.curl import as_curl
from messages.admin.display import (
    STATUS_COLOURS,
    content_type,
    duration,
    headers,
    moment,
    payload,
    status_label,
    why,
)
from messages.admin.evidence import CONTENTS, carried, error_in_words
from messages.admin.sides import Body, side_by_side
from messages.admin.timeline import attempts_of, timeline, verbs_of
from messages.choices import Hold, OutcomeKind
from messages.models import Attempt, Message, Result
from messages.problems import type_of
from messages.standing import standstill

SHOWN_ERRORS = 500
NEIGHBOURS = {
    "lane_before": ("Before it in its lane", {"lane": "lane", "position__lt": "position"}, "-position"),
    "lane_after": ("Behind it in its lane", {"lane": "lane", "position__gt": "position"}, "position"),
    "list_before": ("Older", {"pk__lt": "pk"}, "-pk"),
    "list_after": ("Newer", {"pk__gt": "pk"}, "pk"),
}

Row = dict[str, Any]


def with_neighbours(messages: QuerySet[Message]) -> QuerySet[Message]:
    """Each with the keys of those next to it: in its lane by position, in the list by primary key; by index."""
    return messages.annotate(
        **{
            name: Subquery(
                Message.objects.filter(**{one: OuterRef(other) for one, other in conditions.items()})
                .order_by(order)
                .values("pk")[:1]
            )
            for name, (_, conditions, order) in NEIGHBOURS.items()
        }
    )


def standing(message: Any, attempts: list[Any], waits: SafeString | None) -> Row:
    """The page's head: how it stands, for how long, what went wrong and where one goes from here."""
    status = message.standing(message.read_at)
    result: Result | None = getattr(message, "result", None)
    return {
        "status": status_label(status),
        "colour": STATUS_COLOURS.get(status, "default"),
        "is_final": message.is_final,
        "total": duration((message.completed_at or message.read_at) - message.received_at),
        "wrong": _wrong(result, attempts),
        "errors": _errors(result),
        "neighbours": [
            (title, reverse("admin:messaging_message_change", args=[getattr(message, name)]))
            for name, (title, *_) in NEIGHBOURS.items()
            if getattr(message, name) is not None
        ],
        "waits": waits,
    }


def _wrong(result: Result | None, attempts: list[Any]) -> str:
    """What the result says, without the errors that are listed below it; before there is one, the newest attempt."""
    if result is None:
        return attempts[-1].detail if attempts else ""
    if not result.error:
        return ""
    listed = _errors(result)
    said = error_in_words(result.error)
    if attempts and attempts[-1].detail and result.error.get("type") == type_of("destination-failed"):
        said = attempts[-1].detail  # the source is told less of a call without an answer than the attempt knows
    return said if len(listed) < 2 else f"{result.error.get('title') or said}: {len(listed)} places."


def _errors(result: Result | None) -> list[Row]:
    """Every place that failed at once: rows of a mapping, or places of a payload."""
    found = (result.error or {}).get("errors") if result is not None else None
    return [
        {
            "target": error.get("target") or error.get("path") or "",
            "source": error.get("source") or "",
            "message": error.get("message") or "",
        }
        for error in (found or [])[:SHOWN_ERRORS]
        if isinstance(error, dict)
    ]


def _waits(message: Any) -> SafeString:
    """Why it is not sent at this moment, in a sentence that leads to its lane."""
    lane, ahead = message.lane, message.position - message.lane.head_position
    place = link(page_of(lane), "its lane")
    if lane.hold == Hold.BLOCKED:
        return format_html("The head of {} is dead, and blocks what waits behind it.", place)
    if lane.hold == Hold.PAUSED:
        return format_html("Somebody paused {}.", place)
    if (stands := standstill(message.route, now=message.read_at)) is not None:
        return why(stands)
    if ahead > 0:
        return format_html("{} before it in {}.", f"{ahead:,} message{'' if ahead == 1 else 's'}", place)
    if lane.due_at is not None and lane.due_at > message.read_at:
        return format_html("The next attempt is in {}.", duration(lane.due_at - message.read_at))
    return format_html("It is the next of {}.", place)


# --- what came in and what went out ----------------------------------------------------------------------------------


def bodies(message: Message, attempts: list[Any]) -> Row:
    """Received and sent side by side, what came back, what the source is told; for those who may see payloads."""
    newest = attempts[-1] if attempts else None
    received = Body(bytes(message.body), message.content_type)
    told: Row = {
        "attempt": newest,
        "content_type": message.content_type,
        "headers": headers(message.headers),
        "response": _told(message),
        "download": reverse("admin:messaging_message_payload", args=[message.pk]),
        "size": f"{len(message.body):,}",
        "purged": moment(message.purged_at) if message.purged_at else "",
        "is_compared": False,
    }
    if message.purged_at is not None:
        return told
    contents = Attempt.objects.filter(pk=newest.pk).only(*CONTENTS).first() if newest is not None else None
    if newest is None or contents is None or not newest.method:
        return {**told, "received": payload(received.content, received.content_type)}
    sent = carried(contents, message)
    shown = side_by_side(received, sent)
    return {
        **told,
        "received": shown.left,
        "sent": shown.right,
        "is_compared": shown.compared and sent.content != received.content,
        "is_same": sent.content == received.content,
        "sent_title": "To be sent" if newest.outcome == OutcomeKind.NOT_SENT else "Payload as sent",
        "sent_headers": headers(contents.request_headers),
        "reply": payload(contents.response_body, content_type(contents.response_headers)),
        "reply_headers": headers(contents.response_headers),
        "curl": as_curl(newest.method, newest.url, contents.request_headers or (), sent.content),
    }


def _told(message: Message) -> SafeString:
    result: Result | None = getattr(message, "result", None)
    if result is None or result.status_code is None:
        said = "There is none." if message.is_final else "There is none yet."
        return format_html('<p class="platform-muted">{}</p>', said)
    return format_html(
        '{}<p class="mt-2">Status {}, {}</p>',
        payload(result.body, result.content_type),
        result.status_code,
        result.content_type or "no content type",
    )


def story(message: Any, *, contents: bool, renews: bool = False) -> Row:
    """Everything that the page shows around its facts; `renews`: only what changes while somebody looks."""
    attempts = attempts_of(message)
    waits = None if message.is_final else _waits(message)
    told: Row = {
        "standing": standing(message, attempts, waits),
        "timeline": timeline(message, attempts, verbs_of(message), waits=waits, contents=contents),
        "may_see": contents,
    }
    if renews:
        return told
    told["lineage"] = resubmission.lineage(message, contents=contents)
    if contents:
        told["bodies"] = bodies(message, attempts)
    return told


def versions_in_words(message: Message) -> str:
    """Where no version is known: whether it is yet to be mapped, or goes on as it came."""
    if message.attempts:
        return "no mapping" if message.route.mapping_id is None else "no mapping that is known"
    if message.route.mapping_id is None:
        return "no mapping yet: its route has none"
    ended = message.is_final
    return "it was never mapped" if ended else "not mapped yet"
