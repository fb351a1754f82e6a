"""The first page: whether all is well, and where to look if it is not; before that, what is still to be set up."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from connectors.admin.base import listed, page_of
from connectors.models import Route
from messages.admin import overview
from messages.admin.chart import Hour, chart
from messages.admin.display import duration, roughly
from messages.admin.evidence import error_in_words
from messages.admin.lane import SILENT_AFTER
from messages.admin.paging import COUNTED
from messages.choices import CircuitState, Status

STEPS = (
    ("application", "An application", "The system that sends, and the one that receives.", False),
    ("credential", "A credential", "On the sender's page: how it proves who it is.", False),
    ("endpoint", "An endpoint", "Where and how the receiver is called.", False),
    ("mapping", "A mapping in a route", "What becomes of the payload. Without one it goes on unchanged.", True),
    ("route", "A route", "From the sender to the endpoint.", False),
    ("message", "A first success", "Send a test message and see it arrive.", False),
)
"""Step, title, text, and whether one may do without."""
SHOWN = 10
LATE = timedelta(minutes=15)
"""A message that has been waiting for longer is trouble."""

Row = dict[str, Any]


def home(request: HttpRequest, context: Row) -> Row:
    """What `templates/admin/index.html` shows: each part for those who may see what it is about."""
    may = request.user.has_perm
    day = overview.day()
    numbers = overview.numbers(silent_after=SILENT_AFTER, counted_until=day.live_from)
    routes = overview.all_routes()
    troubles: list[Row] = []
    context["title"] = "Overview"
    if may("connectors.add_route") and not numbers.set_up["message"]:
        context["checklist"] = checklist(numbers)
    if may("messaging.view_message"):
        day.add_live(numbers.uncounted, [route.pk for route in routes])
        context |= {"tiles": tiles(numbers, day), "failing_routes": failing_routes(routes, day)}
        context["chart"] = chart([Hour(begins, tally.received, tally.failed) for begins, tally in day.hours.items()])
        troubles += message_troubles(numbers)
    if may("messaging.view_lane"):
        context["lanes"] = lanes(numbers)
        troubles += lane_troubles(context["lanes"])
    if may("connectors.view_endpoint"):
        context["failing"] = failing(routes)
        circuits = open_circuits(routes)
        troubles += circuits + endpoint_troubles(context["failing"], routes)
    if may("connectors.view_route"):
        troubles += [{"url": page_of(route), "text": f"Route {route} is paused"} for route in routes if route.paused]
    if may("messaging.view_rejection"):
        context["rejections"] = rejections(numbers)
    if may("messaging.view_worker"):
        context["workers"] = workers(numbers)
        troubles += worker_troubles(numbers)
    if all(
        may(f"messaging.view_{one}") for one in ("message", "lane")
    ):  # who sees half of it cannot say that all is well
        context["troubles"] = troubles
    return context


def messages_listed(**filters: Any) -> str:
    return listed("messaging_message", **filters)


def cell(count: int, model: str, *, bound: int = COUNTED, **filters: Any) -> Row:
    """A number that leads to what it counts; above `bound` it is not known exactly."""
    text = f"{bound:,}+" if count > bound else f"{count:,}"
    return {"count": count, "text": text, "url": listed(model, **filters)}


# --- the first run ---------------------------------------------------------------------------------------------------


def checklist(numbers: overview.Numbers) -> list[Row]:
    """The steps to the first success, the next one marked; each leads to where it is done."""
    done = numbers.set_up
    following = next((step for step, *_, optional in STEPS if not done[step] and not (optional and done["route"])), "")
    return [
        {
            "title": title,
            "text": text,
            "done": done[step],
            "next": step == following,
            "url": step_url(step, numbers.newest),
        }
        for step, title, text, _ in STEPS
    ]


def step_url(step: str, newest: dict[str, int | None]) -> str:
    application, route = newest["application"], newest["route"]
    if step == "credential" and application is not None:
        return reverse("admin:connectors_application_change", args=[application])
    if step == "message":
        return reverse("admin:messaging_route_test", args=[route]) if route else reverse("admin:connectors_route_add")
    return reverse(f"admin:connectors_{'application' if step == 'credential' else step}_add")


# --- numbers ---------------------------------------------------------------------------------------------------------


def tiles(numbers: overview.Numbers, day: overview.Day) -> list[Row]:
    """Each with where it leads; bad ones are coloured."""
    received = max(numbers.received, day.total.received) if numbers.received > COUNTED else numbers.received
    p95 = day.total.percentile(0.95)
    oldest = numbers.oldest_waiting
    age = max(timezone.now() - oldest[1], timedelta()) if oldest else None
    return [
        {"title": "Received, 24 h", "text": f"{received:,}", "url": messages_listed(received="day")},
        {
            "title": "Failed, 24 h",
            "text": f"{COUNTED:,}+" if numbers.failed > COUNTED else f"{numbers.failed:,}",
            "note": f"and {numbers.dead:,} dead" if numbers.dead else "",
            "url": messages_listed(status__exact=Status.FAILED, received="day"),
            "bad": numbers.failed + numbers.dead > 0,
        },
        {
            "title": "95 % delivered within",
            "text": "–" if p95 is None else f"{duration(timedelta(seconds=p95))}",
            "note": "of the last 24 h",
            "url": messages_listed(status__exact=Status.SUCCEEDED, received="day"),
        },
        {
            "title": "Oldest waiting",
            "text": "nothing waits" if age is None else duration(age),
            "url": reverse("admin:messaging_message_change", args=[oldest[0]]) if oldest else "",
            "bad": age is not None and age > LATE,
        },
    ]


def failing_routes(routes: list[Route], day: overview.Day) -> list[Row]:
    """Routes whose messages failed in the last 24 hours, the worst first."""
    names = {route.pk: route for route in routes}
    return [
        {
            "route": names[pk],
            "url": page_of(names[pk]),
            "failed": cell(count, "messaging_message", bound=10**12, route__id__exact=pk, received="day"),
        }
        for pk, count in day.failed_of.most_common(SHOWN)
        if count and pk in names
    ]


def lanes(numbers: overview.Numbers) -> Row:
    held = overview.held_lanes()
    return {
        "rows": [{"url": page_of(lane), "lane": lane, "why": error_in_words(lane.error)} for lane in held],
        "all": cell(numbers.held_lanes, "messaging_lane", bound=overview.COUNTED_LANES, work="held"),
    }


def failing(routes: list[Route]) -> list[Row]:
    return [
        {"url": page_of(calls.endpoint), "endpoint": calls.endpoint, "failed": calls.failed, "total": calls.total}
        for calls in overview.failing_endpoints(routes)[:SHOWN]
    ]


def rejections(numbers: overview.Numbers) -> Row:
    last = numbers.last_rejection
    return {
        "all": cell(numbers.rejections, "messaging_rejection"),
        "last": f"{last[0]}, {roughly(timezone.now() - last[1])} ago" if last else "",
    }


def workers(numbers: overview.Numbers) -> Row:
    sign = numbers.last_sign
    return {
        "count": numbers.workers,
        "silent": numbers.silent_workers,
        "last_sign": duration(max(timezone.now() - sign, timedelta())) if sign else "",
        "url": listed("messaging_worker"),
    }


# --- what is not well ------------------------------------------------------------------------------------------------


def message_troubles(numbers: overview.Numbers) -> list[Row]:
    found = []
    if numbers.dead_ever:
        dead = cell(numbers.dead_ever, "messaging_message", status__exact=Status.DEAD)
        found.append({"url": dead["url"], "text": _many(dead, "message is dead", "messages are dead")})
    if numbers.failed:
        failed = cell(numbers.failed, "messaging_message", status__exact=Status.FAILED, received="day")
        text = _many(failed, "message failed in the last 24 hours", "messages failed in the last 24 hours")
        found.append({"url": failed["url"], "text": text})
    oldest = numbers.oldest_waiting
    if oldest and (age := timezone.now() - oldest[1]) > LATE:
        url = reverse("admin:messaging_message_change", args=[oldest[0]])
        found.append({"url": url, "text": f"A message has been waiting for {duration(age)}"})
    return found


def lane_troubles(lanes: Row) -> list[Row]:
    if not lanes["all"]["count"]:
        return []
    return [{"url": lanes["all"]["url"], "text": _many(lanes["all"], "lane stands still", "lanes stand still")}]


def open_circuits(routes: list[Route]) -> list[Row]:
    """Endpoints that are not called at present; the circuit says why."""
    endpoints = {route.endpoint.pk: route.endpoint for route in routes}.values()
    circuits = [circuit for one in endpoints if (circuit := getattr(one, "circuit", None)) is not None]
    return [
        {"url": page_of(circuit), "text": f"The circuit of {circuit.endpoint} is {circuit}: {circuit.reason}"}
        for circuit in circuits
        if circuit.state != CircuitState.CLOSED
    ]


def endpoint_troubles(failing: list[Row], routes: list[Route]) -> list[Row]:
    paused = {route.endpoint.pk: route.endpoint for route in routes if route.endpoint.paused}.values()
    return [
        *({"url": page_of(endpoint), "text": f"Endpoint {endpoint} is paused"} for endpoint in paused),
        *(
            {"url": row["url"], "text": f"{row['failed']} of the last {row['total']} calls of {row['endpoint']} failed"}
            for row in failing
            if row["failed"] * 2 >= row["total"]
        ),
    ]


def worker_troubles(numbers: overview.Numbers) -> list[Row]:
    url = listed("messaging_worker")
    if not numbers.workers:
        return [{"url": url, "text": "No worker has been seen: messages are accepted and wait"}]
    if numbers.silent_workers == numbers.workers:
        return [{"url": url, "text": "No worker gives a sign of life: messages are accepted and wait"}]
    return []


def _many(counted: Row, one: str, more: str) -> str:
    return f"{counted['text']} {one if counted['count'] == 1 else more}"
