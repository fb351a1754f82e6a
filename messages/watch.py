"""Looks over all lanes for what should not be: asleep with work, due and taken by nobody, taken again and again."""

import logging
from datetime import timedelta

from django.db.models import F, Q

from messages.choices import Hold
from messages.database import clock, clock_reading, write
from messages.lanes import SUSPECT_STRIKES
from messages.models import Lane
from messages.models.lane import LaneQuerySet

log = logging.getLogger(__name__)

OVERDUE_AFTER = timedelta(minutes=1)
NAMED = 5  # of the lanes that a line is about


def overdue() -> LaneQuerySet:
    """Lanes that nobody has taken although they have been due for a minute: workers are missing, or too few."""
    return Lane.objects.due(clock() - OVERDUE_AFTER)


def suspects() -> LaneQuerySet:
    """Lanes with work that were taken several times without any progress: their head may be what ends its workers.

    Found through the index of due lanes. One of their own would hold `strikes`, which every claim writes.
    """
    return Lane.objects.filter(due_at__isnull=False, hold=Hold.NONE, strikes__gte=SUSPECT_STRIKES)


def wake() -> int:
    """Asserts that no lane has work and no due time; wakes any that has, and says so: it would be a fault of ours."""
    asleep = Lane.objects.filter(due_at=None, hold=Hold.NONE, last_position__gt=F("done_position"))
    with write():
        woken = asleep.filter(Q(lease_until=None) | Q(lease_until__lt=clock())).update(due_at=clock())
    if woken:
        log.error("%s lanes had work but no due time; they have been woken.", woken)
    return woken


def complain() -> None:
    """A line for each kind of trouble, with the longest waiting and the most often taken lanes."""
    late = overdue().select_related("route").order_by("due_at")
    if (first := late.first()) is not None and first.due_at is not None:
        seconds = (clock_reading() - first.due_at).total_seconds()
        log.warning(
            "%s lanes are due and nobody takes them, the oldest since %.0f s: %s", late.count(), seconds, _named(late)
        )
    suspicious = suspects().select_related("route").order_by("-strikes", "due_at")
    if count := suspicious.count():
        log.warning("%s lanes are taken again and again without progress: %s", count, _named(suspicious))


def _named(lanes: LaneQuerySet) -> str:
    names = [f"{lane} ({lane.strikes} strikes)" if lane.strikes else str(lane) for lane in lanes[: NAMED + 1]]
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
