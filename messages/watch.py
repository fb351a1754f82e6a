"""Looks over all lanes for what should not be: asleep with work, due and taken by nobody, taken again and again, or in
somebody's hand for ever.
"""

import logging
import time
from datetime import timedelta

from django.db.models import F, Q

from connectors.catalogue import catalogue
from messages.choices import Hold
from messages.database import clock, clock_reading, write
from messages.lanes import SUSPECT_STRIKES
from messages.models import Lane
from messages.models.lane import LaneQuerySet

log = logging.getLogger(__name__)

OVERDUE_AFTER = timedelta(minutes=1)
HELD_AFTER_SECONDS = 180.0  # longer than any call may take, with mapping and recording
NAMED = 5  # of the lanes that a line is about

_held: dict[int, tuple[tuple[int, int], float]] = {}
"""What this process saw of each leased lane: token and progress, and when it first saw them together."""


def overdue() -> LaneQuerySet:
    """Lanes that nobody has taken although they have been due for a minute: workers are missing, or too few."""
    return Lane.objects.due(clock() - OVERDUE_AFTER).without_endpoints(catalogue.unusable())


def suspects() -> LaneQuerySet:
    """Lanes with work that were taken several times without any progress: their head may be what ends its workers.

    Found through the index of due lanes. One of their own would hold `strikes`, which every claim writes.
    """
    return Lane.objects.unheld().filter(strikes__gte=SUSPECT_STRIKES)


def held() -> LaneQuerySet:
    """Lanes that are leased on and on without progress, as far as this process has watched them.

    Their worker lives, since it renews; but the thread that sends for them does not come back.
    """
    now = time.monotonic()
    leased = Lane.objects.leased(clock()).values_list("pk", "token", "done_position")
    seen = {pk: (token, done) for pk, token, done in leased}
    known = {pk: (state, _held[pk][1] if pk in _held and _held[pk][0] == state else now) for pk, state in seen.items()}
    _held.clear()
    _held.update(known)
    return Lane.objects.filter(pk__in=[pk for pk, (_, since) in known.items() if now - since >= HELD_AFTER_SECONDS])


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
    for endpoint_id, reason in catalogue.unusable().items():
        if waiting := Lane.objects.due(clock()).filter(route__endpoint=endpoint_id).count():
            log.error("%s lanes wait, since their messages cannot be sent: %s", waiting, reason)
    late = overdue().select_related("route").order_by("due_at")
    if (first := late.first()) is not None and first.due_at is not None:
        seconds = (clock_reading() - first.due_at).total_seconds()
        log.warning(
            "%s lanes are due and nobody takes them, the oldest since %.0f s: %s", late.count(), seconds, _named(late)
        )
    suspicious = suspects().select_related("route").order_by("-strikes", "due_at")
    if count := suspicious.count():
        log.warning("%s lanes are taken again and again without progress: %s", count, _named(suspicious))
    stuck = held().select_related("route").order_by("pk")
    if count := stuck.count():
        owners = ", ".join(sorted(set(stuck.values_list("owner", flat=True))))
        log.warning("%s lanes are held by %s without progress for minutes: %s", count, owners, _named(stuck))


def _named(lanes: LaneQuerySet) -> str:
    names = [f"{lane} ({lane.strikes} strikes)" if lane.strikes else str(lane) for lane in lanes[: NAMED + 1]]
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
