"""How lanes stand, and why: their heads, what went wrong with them, who paused them; for a page or a list of lanes."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connectors.admin.base import link, page_of
from messages.admin.display import duration, moment, status_label
from messages.admin.display import why as why_it_stands
from messages.admin.evidence import wrong_with
from messages.choices import Hold, Status
from messages.models import Lane, Message
from messages.standing import Standing, standstill

SHOWN_WAITING = 10
PAUSED = "Paused. "
"""How `operate.pause` begins its entry in the history."""

Row = dict[str, Any]


def attach(lanes: Iterable[Lane]) -> None:
    """Gives each lane its `head_message`, or None, and its `pause`, the entry of whoever paused it: two queries."""
    rows = list(lanes)
    heads = _heads([lane for lane in rows if lane.depth])
    pauses = _pauses([lane for lane in rows if lane.hold == Hold.PAUSED])
    for lane in rows:
        lane.head_message = heads.get(lane.pk)  # type: ignore[attr-defined]
        lane.pause = pauses.get(str(lane.pk))  # type: ignore[attr-defined]


def _heads(lanes: list[Lane]) -> dict[int, Message]:
    if not lanes:
        return {}
    places = reduce(or_, (Q(lane=lane.pk, position=lane.head_position) for lane in lanes))
    found = Message.objects.filter(places).without_body().select_related("result").defer("result__body")
    return {message.lane_id: message for message in found}


def _pauses(lanes: list[Lane]) -> dict[str, LogEntry]:
    """The newest entry of each; there are as many as people have paused lanes, and no more."""
    if not lanes:
        return {}
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Lane),
        object_id__in=[str(lane.pk) for lane in lanes],
        change_message__startswith=PAUSED,
    )
    return {entry.object_id or "": entry for entry in entries.select_related("user").order_by("pk")}


def why(lane: Any) -> str:
    """What keeps it, in one line; empty where nothing does. After `attach`."""
    if lane.hold == Hold.PAUSED:
        entry = lane.pause
        return f"{entry.user}: {entry.get_change_message().removeprefix(PAUSED)}" if entry else "paused"
    if (stands := _stands(lane)) is not None:
        return stands.detail
    head = lane.head_message
    return wrong_with(head) if head is not None and head.status in (Status.DEAD, Status.RETRYING) else ""


def _stands(lane: Any) -> Standing | None:
    """Why nothing of it is sent although it has work and nobody holds it."""
    return None if lane.hold or lane.due_at is None else standstill(lane.route, now=lane.read_at)


def standing(lane: Any, *, state: SafeString, colour: str) -> Row:
    """The head of a lane's page, and what waits behind it. After `attach`."""
    head, stands = lane.head_message, _stands(lane)
    waiting = Message.objects.filter(lane=lane, position__gt=lane.done_position).exclude(status=Status.CANCELLED)
    rows = waiting.without_body().order_by("position")[:SHOWN_WAITING]
    return {
        "state": state,
        "colour": colour,
        "depth": f"{lane.depth:,}",
        "has_work": lane.depth > 0,
        "signature": signature(lane),
        "why": why(lane) if stands is None else why_it_stands(stands),
        "pause": lane.pause,
        "paused_at": moment(lane.pause.action_time) if lane.pause else "",
        "head": None if head is None else head_in_words(lane, head),
        "waiting": [
            {
                "url": page_of(message),
                "message": message,
                "position": f"{message.position:,}",
                "status": status_label(message.status),
                "received": moment(message.received_at),
                "age": duration(lane.read_at - message.received_at),
            }
            for message in rows
        ],
        "more": max(0, lane.depth - SHOWN_WAITING),
    }


def signature(lane: Lane) -> str:
    """What the verbs of its page go by: when it is another one, the page is loaded anew."""
    return f"{lane.hold or 'free'}-{'work' if lane.depth else 'idle'}"


def head_in_words(lane: Any, head: Message) -> SafeString:
    waits = "received" if head.status == Status.DEAD else "waiting since"
    return format_html(
        "{} {}, {} {} ({} ago)",
        *(status_label(head.status), link(page_of(head), head), waits, moment(head.received_at)),
        duration(lane.read_at - head.received_at),
    )
