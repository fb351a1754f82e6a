"""The first page: whether all is well, and where to look if it is not; before that, what is still to be set up."""

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from connectors.admin.base import page_of
from connectors.models import Route
from messages.admin import overview
from messages.admin.display import duration, label, status_label
from messages.admin.lane import SILENT_AFTER
from messages.admin.paging import COUNTED
from messages.choices import Status

STEPS = (
    ("application", "connectors_application", "An application", "The system that sends, and the one that receives."),
    ("credential", "connectors_application", "A credential", "On the sender's page: how it proves who it is."),
    ("endpoint", "connectors_endpoint", "An endpoint", "Where and how the receiver is called."),
    ("mapping", "connectors_mapping", "A mapping", "What becomes of the payload. Without one it goes on unchanged."),
    ("route", "connectors_route", "A route", "From the sender to the endpoint."),
    ("message", "connectors_route", "A first message", "The route's page has the addresses to send it to."),
)
SHOWN = 10

Row = dict[str, Any]


def home(request: HttpRequest, context: Row) -> Row:
    """What `templates/admin/index.html` shows: each part for those who may see what it is about."""
    may = request.user.has_perm
    numbers = overview.numbers()
    routes = overview.all_routes()
    context["title"] = "Overview"
    if may("connectors.add_route") and not numbers.set_up["message"]:
        context["checklist"] = checklist(numbers.set_up)
    if may("messaging.view_message"):
        context |= {"totals": totals(numbers), "waiting": waiting(numbers), "troubles": troubles(routes)}
    if may("messaging.view_lane"):
        context["lanes"] = lanes()
    if may("connectors.view_endpoint"):
        context["failing"] = failing(routes)
    if may("connectors.view_route"):
        context["paused"] = paused(routes)
    if may("messaging.view_worker"):
        context["workers"] = workers()
    return context


def listed(model: str, **filters: Any) -> str:
    """The address of a list, filtered."""
    url = reverse(f"admin:{model}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def cell(count: int, model: str, *, bound: int = COUNTED, **filters: Any) -> Row:
    """A number that leads to what it counts; above `bound` it is not known exactly."""
    text = f"{bound:,}+" if count > bound else f"{count:,}"
    return {"count": count, "text": text, "url": listed(model, **filters)}


def checklist(done: dict[str, bool]) -> list[Row]:
    """The steps of the first run, the next one marked."""
    following = next(step for step, *_ in STEPS if not done[step])
    return [
        {"title": title, "text": text, "done": done[step], "next": step == following, "url": listed(model)}
        for step, model, title, text in STEPS
    ]


def totals(numbers: overview.Numbers) -> list[Row]:
    """A row for all and one for each status, with a number for each period."""
    everything = [
        cell(sum(counts.values()), "messaging_message", received=period) for period, counts in numbers.received.items()
    ]
    return [
        {"title": "received", "cells": everything},
        *(
            {
                "title": status_label(status),
                "cells": [
                    cell(counts[status], "messaging_message", status__exact=status, received=period)
                    for period, counts in numbers.received.items()
                ],
            }
            for status in Status
        ),
    ]


def waiting(numbers: overview.Numbers) -> Row:
    """What is still to be delivered, and for how long the oldest of it has been waiting."""
    oldest = numbers.oldest_waiting
    return {
        "rows": [
            (status_label(status), cell(count, "messaging_message", status__exact=status))
            for status, count in numbers.waiting.items()
        ],
        "oldest": oldest and duration(max(timezone.now() - oldest[1], timedelta())),
        "oldest_url": oldest and reverse("admin:messaging_message_change", args=[oldest[0]]),
    }


def troubles(routes: list[Route]) -> list[Row]:
    """Routes with dead messages, or messages that failed in the last 24 hours, the worst first."""
    found = overview.in_trouble()
    rows = [
        {
            "route": route,
            "dead": _of_route(found["dead"], route, status__exact=Status.DEAD),
            "failed": _of_route(found["failed"], route, status__exact=Status.FAILED, received="day"),
        }
        for route in routes
        if found["dead"][route.pk] or found["failed"][route.pk]
    ]
    return sorted(rows, key=lambda row: (row["dead"]["count"], row["failed"]["count"]), reverse=True)


def _of_route(counts: Counter[int], route: Route, **filters: Any) -> Row:
    # where not all were looked at, each route's number is the least that it can be
    count, cut = counts[route.pk], counts.total() >= overview.NEWEST
    filters |= {"route__id__exact": route.pk}
    return cell(count, "messaging_message", bound=count - 1 if cut and count else COUNTED, **filters)


def lanes() -> Row:
    held = overview.held_lanes()
    return {
        "rows": [(page_of(lane), lane) for lane in held[: overview.SHOWN_LANES]],
        "all": cell(len(held), "messaging_lane", bound=overview.COUNTED_LANES, work="held"),
    }


def failing(routes: list[Route]) -> list[Row]:
    return [
        {"url": page_of(calls.endpoint), "endpoint": calls.endpoint, "failed": calls.failed, "total": calls.total}
        for calls in overview.failing_endpoints(routes)[:SHOWN]
    ]


def paused(routes: list[Route]) -> list[tuple[str, str]]:
    """Routes and endpoints that a person holds."""
    endpoints = {route.endpoint.pk: route.endpoint for route in routes if route.endpoint.paused}.values()
    return [
        *((page_of(route), f"Route {route}") for route in routes if route.paused),
        *((page_of(endpoint), f"Endpoint {endpoint}") for endpoint in endpoints),
    ][:SHOWN]


def workers() -> list[Row]:
    return [
        {
            "url": page_of(worker),
            "worker": worker,
            "state": label("well", "success") if silence < SILENT_AFTER else label("silent", "danger"),
            "silence": duration(max(silence, timedelta())),
        }
        for worker in overview.workers()
        for silence in [worker.read_at - worker.seen_at]
    ]
