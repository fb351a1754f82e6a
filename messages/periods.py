"""Messages by when they were received, without an index on the time: ids grow with it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from messages.models import Message

PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


def smallest_id(moment: datetime) -> UUID:
    """No message received at `moment` or later has a smaller correlation id: it begins with its milliseconds.

    RFC 9562, version 7.
    """
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)  # there were none before 1970


def first_since(moment: datetime) -> QuerySet[Message]:
    """The first message received at `moment` or later, if there is one: looked up in the unique index of the ids."""
    return Message.objects.filter(correlation_id__gte=smallest_id(moment)).order_by("correlation_id")


def since(messages: Any, moment: datetime) -> Any:
    """Those of `messages` (a queryset) received since then: by primary key, which every index of theirs ends with."""
    first = first_since(moment).values_list("pk", flat=True).first()
    return messages.none() if first is None else messages.filter(pk__gte=first)


def before(messages: Any, moment: datetime) -> Any:
    """Those of `messages` received before it."""
    first = first_since(moment).values_list("pk", flat=True).first()
    return messages if first is None else messages.filter(pk__lt=first)
