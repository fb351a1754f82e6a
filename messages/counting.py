"""Counts of closed minutes, so that the first page reads no messages: by a schedule, from indexes, off the hot path.

A minute is counted when it has been over for CLOSED_AFTER: whatever was committed late is in it by then. Each step
moves a row's `counted_until` together with its numbers: one that is interrupted, or made twice, counts nothing twice.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from django.db.models import OuterRef, Subquery

from connectors.models import Route
from messages.choices import Status
from messages.database import write
from messages.models import HourlyCount, Message
from messages.periods import before, since

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CLOSED_AFTER = MINUTE
BEGINS_BEFORE = timedelta(hours=24)
"""How far back a route is counted that never was."""
KEPT = timedelta(days=90)
BOUNDS = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0),
)
"""Seconds; a last bucket takes what is above them."""
FAILED = (Status.FAILED, Status.DEAD)
MOST = 20_000
"""Messages that `ended_since` looks at: it is about the last minutes."""


@dataclass(slots=True)
class Tally:
    received: int = 0
    succeeded: int = 0
    failed: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def end(self, status: str, took: timedelta) -> None:
        """Takes a message that ended with `status`, `took` after its receipt."""
        if status == Status.SUCCEEDED:
            self.succeeded += 1
            self.latencies[bisect_left(BOUNDS, took.total_seconds())] += 1
        elif status in FAILED:
            self.failed += 1

    def add(self, other: "Tally | HourlyCount") -> None:
        self.received += other.received
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.latencies = [one + more for one, more in zip_longest(self.latencies, other.latencies, fillvalue=0)]

    def percentile(self, share: float) -> float | None:
        """Seconds within which this share of the succeeded messages was delivered, between the bounds of its bucket.

        None where there are none; the highest bound for what lies above it.
        """
        total = sum(self.latencies)
        wanted, before = share * total, 0
        for place, count in enumerate(self.latencies):
            if count and before + count >= wanted:
                low = BOUNDS[place - 1] if place else 0.0
                high = BOUNDS[min(place, len(BOUNDS) - 1)]
                return low + (high - low) * (wanted - before) / count
            before += count
        return None


def count_closed(now: datetime) -> int:
    """Counts what the closed minutes before `now` brought, route by route; returns how many steps that took."""
    end = (now - CLOSED_AFTER).replace(second=0, microsecond=0)
    newest = HourlyCount.objects.filter(route=OuterRef("pk")).order_by("-hour").values("counted_until")[:1]
    steps = 0
    for route_id, reached in Route.objects.order_by().values_list("pk", Subquery(newest)):
        start = reached or hour_of(end - BEGINS_BEFORE)
        for first, last in pieces(start, end):
            _count(route_id, first, last)
            steps += 1
    with write():
        HourlyCount.objects.filter(hour__lt=now - KEPT).delete()
    return steps


def pieces(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The span in parts that lie within one hour each."""
    while start < end:
        last = min(hour_of(start) + HOUR, end)
        yield start, last
        start = last


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _count(route_id: int, start: datetime, end: datetime) -> None:
    tally = Tally(received=received(route_id, start, end).count())
    for status, received_at, completed_at in ended([route_id], start, end).iterator():
        tally.end(status, completed_at - received_at)
    with write():
        row, made = HourlyCount.objects.select_for_update().get_or_create(
            route_id=route_id,
            hour=hour_of(start),
            defaults={"counted_until": start, "latencies": Tally().latencies},
        )
        if not made and row.counted_until != start:
            return  # somebody else has counted it meanwhile
        tally.add(row)
        HourlyCount.objects.filter(pk=row.pk).update(
            counted_until=end,
            received=tally.received,
            succeeded=tally.succeeded,
            failed=tally.failed,
            latencies=tally.latencies,
        )


def received(route_id: int, start: datetime, end: datetime) -> Any:
    """Messages of a route that came within the span."""
    return before(since(Message.objects.filter(route=route_id), start), end)


def ended(routes: Iterable[int], start: datetime, end: datetime) -> Any:
    """Status and both times of the routes' messages that ended within the span: by the index that retention uses."""
    rows = Message.objects.filter(
        route__in=routes, completed_at__gte=start, completed_at__lt=end, purged_at=None
    ).order_by()
    return rows.values_list("status", "received_at", "completed_at")


def ended_since(moment: datetime, routes: Iterable[int], *, until: datetime) -> Tally:
    """What of these routes ended since `moment`, MOST messages at most; one query."""
    tally = Tally()
    for status, received_at, completed_at in ended(routes, moment, until)[:MOST]:
        tally.end(status, completed_at - received_at)
    return tally
