"""Why messages wait although nothing is wrong with them: what they go to is not called at present."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Model, Q, Sum

from connectors.catalogue import catalogue
from connectors.models import Endpoint, Route
from messages.choices import Standstill
from messages.database import clock_reading
from messages.models import Lane

WITH_STANDING = ("endpoint", "endpoint__circuit", "endpoint__allowance")
"""What `standstill` looks at, for `select_related` of routes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a route's messages are not sent."""

    kind: Standstill
    detail: str
    page: Model
    """The row whose page shows more, and has the verb that ends it."""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class Waiting:
    """What waits for one endpoint, for one reason."""

    endpoint: Endpoint
    standing: Standing
    lanes: int = 0
    messages: int = 0


def standstill(route: Route, *, now: datetime, unusable: Mapping[int, str] | None = None) -> Standing | None:
    """Why the messages of `route` are not sent at present; None if they are. The reason that lasts longest comes first.

    `unusable` as `catalogue.unusable` knows it; without it, what this process last saw.
    """
    endpoint = route.endpoint
    if route.paused:
        return Standing(Standstill.ROUTE_PAUSED, f"The route {route} is paused.", route)
    if endpoint.paused:
        return Standing(Standstill.ENDPOINT_PAUSED, f"The endpoint {endpoint} is paused.", endpoint)
    broken = (catalogue.remembered().unusable if unusable is None else unusable).get(endpoint.pk)
    if broken:
        return Standing(Standstill.UNUSABLE, broken, endpoint)
    circuit, allowance = getattr(endpoint, "circuit", None), getattr(endpoint, "allowance", None)
    if endpoint.circuit_enabled and circuit is not None and circuit.retry_at is not None:
        detail = f"The circuit of endpoint {endpoint} is {str(circuit).lower()}. {circuit.reason}".strip()
        return Standing(Standstill.CIRCUIT_OPEN, detail, circuit, since=circuit.since, until=circuit.retry_at)
    if endpoint.call_limits and allowance is not None and allowance.full_until and allowance.full_until > now:
        detail = f"As many calls of endpoint {endpoint} are out, or have begun, as its limits allow."
        return Standing(Standstill.LIMIT_REACHED, detail, endpoint, until=allowance.full_until)
    return None


def waiting() -> list[Waiting]:
    """The endpoints that are not called although messages wait for them; those that most wait for come first.

    Four queries; the price grows with the lanes that wait, not with the messages kept.
    """
    now, unusable = clock_reading(), catalogue.unusable()
    standing = {route.pk: (route, standstill(route, now=now, unusable=unusable)) for route in _suspects(unusable)}
    found: dict[tuple[int, Standstill], Waiting] = {}
    waits = Sum(F("last_position") - F("done_position"))
    counted = Lane.objects.unheld().filter(route__in=list(standing)).order_by()
    for pk, lanes, messages in (
        counted.values("route").annotate(lanes=Count("pk"), waits=waits).values_list("route", "lanes", "waits")
    ):
        route, why = standing[pk]
        if why is not None:
            one = found.setdefault((route.endpoint_id, why.kind), Waiting(route.endpoint, why))
            one.lanes += lanes
            one.messages += messages
    return sorted(found.values(), key=lambda one: (-one.messages, one.endpoint.slug))


def _suspects(unusable: Mapping[int, str]) -> list[Route]:
    stands = Q(paused=True) | Q(endpoint__paused=True) | Q(endpoint__in=list(unusable))
    stands |= Q(endpoint__circuit__retry_at__isnull=False) | Q(endpoint__allowance__full_until__isnull=False)
    return list(Route.objects.filter(stands).select_related(*WITH_STANDING))
