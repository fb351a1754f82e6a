"""What the first page knows: a few reads by index, each bounded, so that they cost the same at any size."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Exists, IntegerField, Subquery, Value
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from connectors.models import Application, Credential, Endpoint, Mapping, Revision, Route
from messages.admin.paging import COUNTED
from messages.admin.periods import PERIODS, first_since
from messages.choices import OPEN_STATUSES, OutcomeKind, Status
from messages.models import Attempt, Lane, Message, Worker

SHOWN_LANES = 10
COUNTED_LANES = 100
NEWEST = 1_000
"""Failed messages and attempts that are looked at; what is older has been seen."""
NEVER = 2**62
CALLED = set(OutcomeKind) - {OutcomeKind.MAPPING_FAILED, OutcomeKind.CRASHED}
RECENT = timedelta(hours=1)


class BoundedCount(Subquery):
    """How many rows a sliced queryset has: reads no more of them than the slice allows."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


@dataclass(frozen=True, slots=True)
class Numbers:
    received: dict[str, dict[str, int]]
    """By period ("hour", "day") and status; COUNTED + 1 stands for more."""
    waiting: dict[str, int]
    """By open status, whenever they were received."""
    oldest_waiting: tuple[int, Any] | None
    """Primary key, and when it was received."""
    set_up: dict[str, bool]
    """Which steps of the first run are done."""


def numbers() -> Numbers:
    """One query. Before the first change of the configuration there is nothing to count."""
    counted: Any = Revision.objects.annotate(**_counts(), **_oldest(), **_steps())
    row: dict[str, Any] = counted.values().first() or {}
    received = {
        period: {str(status): row.get(f"{period}_{status}", 0) for status in Status} for period in ("hour", "day")
    }
    oldest = [
        (row[f"{status}_pk"], row[f"{status}_at"]) for status in OPEN_STATUSES if row.get(f"{status}_pk") is not None
    ]
    return Numbers(
        received=received,
        waiting={str(status): row.get(f"open_{status}", 0) for status in OPEN_STATUSES},
        oldest_waiting=min(oldest) if oldest else None,
        set_up={step: bool(row.get(f"has_{step}")) for step in STEPS},
    )


def _counts() -> dict[str, Any]:
    counts: dict[str, Any] = {}
    now = timezone.now()
    for status in Status:
        kept = Message.objects.filter(status=status).order_by("-pk").values("pk")
        for period in ("hour", "day"):
            first = Subquery(first_since(now - PERIODS[period]).values("pk")[:1])
            recent = kept.filter(pk__gte=Coalesce(first, Value(NEVER)))
            counts[f"{period}_{status}"] = BoundedCount(recent[: COUNTED + 1])
        if status in OPEN_STATUSES:
            counts[f"open_{status}"] = BoundedCount(kept[: COUNTED + 1])
    return counts


def _oldest() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in OPEN_STATUSES:
        first = Message.objects.filter(status=status).order_by("pk")
        found[f"{status}_pk"] = Subquery(first.values("pk")[:1])
        found[f"{status}_at"] = Subquery(first.values("received_at")[:1])
    return found


STEPS = {
    "application": Application.objects.all(),
    "credential": Credential.objects.all(),
    "endpoint": Endpoint.objects.all(),
    "mapping": Mapping.objects.all(),
    "route": Route.objects.all(),
    "message": Message.objects.all(),
}


def _steps() -> dict[str, Any]:
    return {f"has_{step}": Exists(rows) for step, rows in STEPS.items()}


def held_lanes() -> list[Lane]:
    """Blocked ones first; one more than COUNTED_LANES at most."""
    return list(Lane.objects.held().select_related("route").order_by("hold", "pk")[: COUNTED_LANES + 1])


def in_trouble() -> dict[str, Counter[int]]:
    """How many messages are dead, and failed in the last 24 hours, by route; of the NEWEST of each."""
    dead = Message.objects.filter(status=Status.DEAD).order_by("-pk")
    first = Subquery(first_since(timezone.now() - PERIODS["day"]).values("pk")[:1])
    failed = Message.objects.filter(status=Status.FAILED, pk__gte=Coalesce(first, Value(NEVER))).order_by("-pk")
    return {"dead": _by_route(dead), "failed": _by_route(failed)}


def _by_route(messages: Any) -> Counter[int]:
    return Counter(messages.values_list("route_id", flat=True)[:NEWEST])


@dataclass(frozen=True, slots=True)
class Calls:
    endpoint: Endpoint
    failed: int
    total: int


def failing_endpoints(routes: Iterable[Route]) -> list[Calls]:
    """Endpoints with failed calls in the last hour, of the NEWEST attempts, the worst first."""
    endpoints = {route.pk: route.endpoint for route in routes}
    newest = Attempt.objects.order_by("-pk").values_list("message__route_id", "outcome", "started_at")[:NEWEST]
    since = timezone.now() - RECENT
    total: Counter[Endpoint] = Counter()
    failed: Counter[Endpoint] = Counter()
    for route_id, outcome, started_at in newest:
        if started_at >= since and outcome in CALLED:
            total[endpoints[route_id]] += 1
            failed[endpoints[route_id]] += outcome != OutcomeKind.SUCCEEDED
    return [Calls(endpoint, number, total[endpoint]) for endpoint, number in failed.most_common() if number]


def all_routes() -> list[Route]:
    return list(Route.objects.select_related("endpoint").defer("schema", "endpoint__auth_secrets"))


def workers() -> list[Any]:
    """Those seen last, with the database's clock as `read_at`."""
    return list(Worker.objects.annotate(read_at=Now()).order_by("-seen_at")[:10])
