"""Bodies of recorded messages, to try something out with; for those who may see payloads."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from connectors import formats
from connectors.models import Endpoint, Route
from messages.admin.evidence import carried
from messages.choices import Status
from messages.models import Attempt, Message
from messages.models.message import MessageQuerySet

SHOWN_ROUTES = 5
SHOWN = 5
BODY_BYTES = 128 * 1024
"""Longer ones are not filled into a form."""


@dataclass(frozen=True)
class Recorded:
    text: str
    content_type: str


def with_payload(route: Route) -> MessageQuerySet:
    """The messages of a route that still have their payload, without loading it; the newest first."""
    return Message.objects.filter(route=route, purged_at=None).without_body().order_by("-pk")


def newest(route: Route) -> list[Message]:
    return list(with_payload(route)[:SHOWN])


def newest_sent(endpoint: Endpoint) -> list[Message]:
    """The newest messages that were sent to an endpoint."""
    routes = Route.objects.filter(endpoint=endpoint)[:SHOWN_ROUTES]
    found = [message for route in routes for message in newest(route) if message.attempts]
    return sorted(found, key=lambda message: -message.pk)[:SHOWN]


def chosen(messages: list[Message], number: str) -> Message | None:
    """The one of `messages` that was asked for; else the newest that went well, else the newest."""
    asked = [message for message in messages if str(message.pk) == number]
    well = [message for message in messages if message.status == Status.SUCCEEDED]
    return next(iter([*asked, *well, *messages]), None)


def as_received(message: Message) -> Recorded | None:
    """None where the body is no text, or too long."""
    return _read(bytes(message.body), message.content_type)


def as_sent(message: Message) -> Recorded | None:
    """What the last call carried: what the mapping made of it, or the body as it came."""
    attempts: Iterable[Attempt] = Attempt.objects.filter(~Q(method=""), message=message).order_by("-pk")[:1]
    for attempt in attempts:
        sent = carried(attempt, message)
        return _read(sent.content, sent.content_type)
    return None


def _read(body: bytes, kind: str) -> Recorded | None:
    if len(body) > BODY_BYTES:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    with contextlib.suppress(*formats.UNREADABLE):
        text = formats.readable(body, kind)  # otherwise it is offered as it came
    return Recorded(text, kind or formats.JSON)
