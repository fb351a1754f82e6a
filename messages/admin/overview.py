"""What the first page knows: a few reads by index, each bounded, so that they cost the same at any size."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, IntegerField, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from connectors.models import Application, Credential, Endpoint, Revision, Route
from messages.admin.paging import COUNTED
from messages.choices import OPEN_STATUSES, OutcomeKind, Status
from messages.counting import HOUR, Tally, ended_since, hour_of
from messages.models import Attempt, HourlyCount, Lane, Message, Rejection, Result, Worker
from messages.periods import PERIODS, first_since, smallest_id

SHOWN_LANES = 10
SHOWN_WORKERS = 100
STALE = timedelta(minutes=15)
"""Where nobody has counted for longer, what came since is left out: it may be any number."""
COUNTED_LANES = 100
NEWEST = 1_000
"""Attempts that are looked at; what is older has been seen."""
NEVER = 2**62
CALLED = set(OutcomeKind) - {OutcomeKind.MAPPING_FAILED, OutcomeKind.CRASHED}
RECENT = timedelta(hours=1)


class BoundedCount(Subquery):
    """How many rows a sliced queryset has: reads no more of them than the slice allows."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


@dataclass(frozen=True, slots=True)
class Numbers:
    """COUNTED + 1 stands for more."""

    received: int
    """In the last 24 hours."""
    uncounted: int
    """Received since the moment that was asked for."""
    failed: int
    dead: int
    """Of those received in the last 24 hours, as the list of messages filters them."""
    dead_ever: int
    oldest_waiting: tuple[int, Any] | None
    """Primary key, and when it was received."""
    workers: int
    silent_workers: int
    last_sign: Any
    """When a worker was seen last."""
    held_lanes: int
    """COUNTED_LANES + 1 stands for more."""
    rejections: int
    last_rejection: tuple[str, Any] | None
    """Reason, and when it was."""
    set_up: dict[str, bool]
    """Which steps of the first run are done."""
    newest: dict[str, int | None]
    """Keys of the application and of the route that were made last."""


def numbers(*, silent_after: timedelta, counted_until: Any) -> Numbers:
    """One query. `counted_until`: from when on messages are not in the hourly counts.

    Before the first change of the configuration there is nothing to count.
    """
    now = timezone.now()
    parts = {
        **_counts(now, counted_until),
        **_oldest(),
        **_workers(now - silent_after),
        **_rejections(now),
        **_steps(),
        "held_lanes": BoundedCount(Lane.objects.held().order_by().values("pk")[: COUNTED_LANES + 1]),
    }
    counted: Any = Revision.objects.annotate(**parts)
    row: dict[str, Any] = counted.values().first() or {}
    oldest = [
        (row[f"{status}_pk"], row[f"{status}_at"]) for status in OPEN_STATUSES if row.get(f"{status}_pk") is not None
    ]
    return Numbers(
        **{name: row.get(name) or 0 for name in COUNTS},
        oldest_waiting=min(oldest) if oldest else None,
        last_sign=row.get("last_sign"),
        last_rejection=(row["rejection_reason"], row["rejection_at"]) if row.get("rejection_at") else None,
        set_up={step: bool(row.get(f"has_{step}")) for step in STEPS},
        newest={"application": row.get("newest_application"), "route": row.get("newest_route")},
    )


COUNTS = (
    *("received", "uncounted", "failed", "dead", "dead_ever"),
    *("workers", "silent_workers", "held_lanes", "rejections"),
)


def _counts(now: Any, counted_until: Any) -> dict[str, Any]:
    recent = _received_since(now - PERIODS["day"])
    dead = Message.objects.filter(status=Status.DEAD).order_by("-pk").values("pk")
    return {
        "received": _how_many_since(now - PERIODS["day"]),
        "uncounted": _how_many_since(counted_until),
        "failed": BoundedCount(recent.filter(status=Status.FAILED)[: COUNTED + 1]),
        "dead": BoundedCount(recent.filter(status=Status.DEAD)[: COUNTED + 1]),
        "dead_ever": BoundedCount(dead[: COUNTED + 1]),
    }


def _how_many_since(moment: Any) -> BoundedCount:
    """By the index of the ids, which grow with time: by primary key, SQLite would read the rows with their bodies."""
    ids = Message.objects.filter(correlation_id__gte=smallest_id(moment)).order_by("-correlation_id")
    return BoundedCount(ids.values("correlation_id")[: COUNTED + 1])


def _received_since(moment: Any) -> Any:
    first = Coalesce(Subquery(first_since(moment).values("pk")[:1]), Value(NEVER))
    return Message.objects.filter(pk__gte=first).order_by("-pk").values("pk")


def _oldest() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in OPEN_STATUSES:
        first = Message.objects.filter(status=status).order_by("pk")
        found[f"{status}_pk"] = Subquery(first.values("pk")[:1])
        found[f"{status}_at"] = Subquery(first.values("received_at")[:1])
    return found


def _workers(silent_since: Any) -> dict[str, Any]:
    workers = Worker.objects.order_by("-seen_at").values("pk")
    return {
        "workers": BoundedCount(workers[:SHOWN_WORKERS]),
        "silent_workers": BoundedCount(workers.filter(seen_at__lt=silent_since)[:SHOWN_WORKERS]),
        "last_sign": Subquery(workers.values("seen_at")[:1]),
    }


def _rejections(now: Any) -> dict[str, Any]:
    """Their table is kept small, so that looking through it costs little."""
    newest = Rejection.objects.filter(created_at__gte=now - PERIODS["day"]).order_by("-pk")
    return {
        "rejections": BoundedCount(newest.values("pk")[: COUNTED + 1]),
        "rejection_reason": Subquery(newest.values("reason")[:1]),
        "rejection_at": Subquery(newest.values("created_at")[:1]),
    }


STEPS = {
    "application": Application.objects.all(),
    "credential": Credential.objects.all(),
    "endpoint": Endpoint.objects.all(),
    "mapping": Route.objects.exclude(mapping=None),
    "route": Route.objects.all(),
    "message": Message.objects.filter(status=Status.SUCCEEDED),
}


def _steps() -> dict[str, Any]:
    return {
        **{f"has_{step}": Exists(rows) for step, rows in STEPS.items()},
        "newest_application": Subquery(Application.objects.order_by("-pk").values("pk")[:1]),
        "newest_route": Subquery(Route.objects.order_by("-pk").values("pk")[:1]),
    }


@dataclass(slots=True)
class Day:
    """The last 24 hours, by hour, and what of their end is not counted yet."""

    hours: dict[Any, Tally]
    failed_of: Counter[int]
    """By route."""
    live_from: Any
    """From when on messages have to be looked at; far behind, they may be any number, and are left out."""

    @property
    def total(self) -> Tally:
        total = Tally()
        for tally in self.hours.values():
            total.add(tally)
        return total

    def add_live(self, received: int, routes: Iterable[int]) -> None:
        """Adds the minutes since `live_from` to the last hour; one query."""
        tally = ended_since(self.live_from, routes, until=timezone.now())
        tally.received = received
        list(self.hours.values())[-1].add(tally)


def day() -> Day:
    """What is counted of it; one query."""
    now = timezone.now()
    hours = {hour_of(now) - HOUR * back: Tally() for back in range(23, -1, -1)}
    failed_of: Counter[int] = Counter()
    until = None
    for row in HourlyCount.objects.filter(hour__gte=min(hours)).order_by():
        if row.hour in hours:
            hours[row.hour].add(row)
        failed_of[row.route_id] += row.failed
        until = row.counted_until if until is None else max(until, row.counted_until)
    if until is None:
        return Day(hours, failed_of, now - STALE)
    return Day(hours, failed_of, until if now - until < STALE else now)


def held_lanes() -> list[Any]:
    """The first SHOWN_LANES, blocked ones before others, with their heads' `error`."""
    at_head = Result.objects.filter(message__lane=OuterRef("pk"), message__position=OuterRef("done_position") + 1)
    rows = Lane.objects.held().select_related("route").annotate(error=Subquery(at_head.values("error")[:1]))
    return list(rows.order_by("hold", "pk")[:SHOWN_LANES])


@dataclass(frozen=True, slots=True)
class Calls:
    endpoint: Endpoint
    failed: int
    total: int


def failing_endpoints(routes: Iterable[Route]) -> list[Calls]:
    """Endpoints with failed calls in the last hour, of the NEWEST attempts, the worst first; one query."""
    endpoints = {route.pk: route.endpoint for route in routes}
    newest = Attempt.objects.order_by("-pk").values("pk")[:NEWEST]
    calls = Attempt.objects.filter(pk__in=newest, started_at__gte=timezone.now() - RECENT, outcome__in=CALLED)
    counted = calls.order_by().values("message__route").annotate(calls=Count("pk"))
    total: Counter[Endpoint] = Counter()
    failed: Counter[Endpoint] = Counter()
    for route_id, outcome, count in counted.values_list("message__route", "outcome", "calls"):
        total[endpoints[route_id]] += count
        failed[endpoints[route_id]] += count if outcome != OutcomeKind.SUCCEEDED else 0
    return [Calls(endpoint, number, total[endpoint]) for endpoint, number in failed.most_common() if number]


def all_routes() -> list[Route]:
    """With their endpoints and the circuits of these."""
    rows = Route.objects.select_related("endpoint", "endpoint__circuit")
    return list(rows.defer("schema", "endpoint__auth_secrets", "endpoint__circuit__buckets"))
