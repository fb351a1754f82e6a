"""For operators and their monitoring: live, ready, metrics."""

import hmac
import ipaddress
from collections.abc import Callable
from datetime import timedelta
from functools import wraps

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Count, Min, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from connectors.catalogue import catalogue
from connectors.management.database import is_migrated
from connectors.models import Endpoint
from messages import standing, watch
from messages.addresses import client_address
from messages.choices import CircuitState, Hold
from messages.database import clock, clock_reading
from messages.models import Circuit, Lane, Rejection, Worker
from messages.problems import Problem

SEEN_WITHIN_SECONDS = 60
REFUSED_WITHIN_SECONDS = 300.0
CIRCUIT_VALUES: dict[str, int] = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
ALLOWED = "GET, HEAD, OPTIONS"

_migrated = False

View = Callable[[HttpRequest], HttpResponse]


def safe(view: View) -> View:
    """For reading only; anything else gets the problem that every other address gives, too.

    Nothing is changed here, so nothing is asked of a caller's form: a POST is told that it is the wrong method.
    """

    @csrf_exempt
    @wraps(view)
    def call(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": ALLOWED})
        detail = f'Method "{request.method}" not allowed.'
        return Problem("method-not-allowed", detail, headers={"Allow": ALLOWED}).response()

    return call


@safe
def live(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@safe
def ready(request: HttpRequest) -> HttpResponse:
    """Whether messages can be accepted and will be worked; 503 names what is missing."""
    missing = _missing()
    if missing:
        detail = f"Not ready: {'; '.join(missing)}."
        return Problem("unavailable", detail, {"missing": missing}, {"Retry-After": "5"}).response()
    return JsonResponse({"status": "ok"})


def _missing() -> list[str]:
    try:
        connection.ensure_connection()
        if not _was_migrated():
            return ["migrations have not been applied"]
        since = clock_reading() - timedelta(seconds=SEEN_WITHIN_SECONDS)
        if not Worker.objects.filter(seen_at__gte=since).exists():
            return ["no worker has been seen in the last minute"]
    except (DatabaseError, InterfaceError):
        connection.close()
        return ["the database cannot be reached"]
    return []


def _was_migrated() -> bool:
    """Looked up until it is so; a process does not outlive the code that it was started with."""
    global _migrated
    _migrated = _migrated or is_migrated()
    return _migrated


@safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text (exposition format 0.0.4), for METRICS_TOKEN or METRICS_ALLOWED_NETWORKS."""
    if not _may_read_metrics(request):
        detail = "Send METRICS_TOKEN as a bearer token, or ask from METRICS_ALLOWED_NETWORKS."
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return Problem("authentication-failed", detail, headers=challenge).response()
    lines = []
    for name, help_text, samples in _samples():
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{labels} {value:g}" for labels, value in samples]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read_metrics(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return True
    address = client_address(request)
    if address is None:
        return False
    return any(ipaddress.ip_address(address) in network for network in settings.METRICS_ALLOWED_NETWORKS)


def _samples() -> list[tuple[str, str, list[tuple[str, float]]]]:
    """Each from an index that holds nothing but what is counted: the price does not grow with the messages kept."""
    now = clock_reading()
    due = Lane.objects.due(clock()).without_endpoints(catalogue.unusable())
    due_now = due.aggregate(oldest=Min("due_at"), lanes=Count("pk"))
    oldest = due_now["oldest"]
    held: list[tuple[str, float]] = [
        (f'{{hold="{hold}"}}', Lane.objects.filter(hold=hold).count()) for hold in (Hold.PAUSED, Hold.BLOCKED)
    ]
    circuits: list[tuple[str, float]] = [
        (f'{{endpoint="{slug}"}}', CIRCUIT_VALUES[state])
        for slug, state in Circuit.objects.order_by("endpoint__slug").values_list("endpoint__slug", "state")
    ]
    certificates = [
        (f'{{endpoint="{endpoint.slug}"}}', (endpoint.certificate_ends_at - now).total_seconds())
        for endpoint in Endpoint.objects.exclude(tls_certificate="").only("slug", "tls_certificate")
        if endpoint.certificate_ends_at is not None
    ]
    workers = Worker.objects.filter(seen_at__gte=now - timedelta(seconds=SEEN_WITHIN_SECONDS)).count()
    lately = Rejection.objects.filter(created_at__gte=timezone.now() - timedelta(seconds=REFUSED_WITHIN_SECONDS))
    counted = lately.aggregate(kept=Count("pk"), further=Sum("further"))
    refused: list[tuple[str, float]] = [
        ('{kept="yes"}', counted["kept"]),
        ('{kept="no"}', counted["further"] or 0),
    ]
    waiting = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return [
        ("platform_lanes_due", "Lanes with work that nobody has taken yet.", [("", due_now["lanes"])]),
        ("platform_oldest_due_seconds", "How long the oldest due lane has been waiting.", [("", waiting)]),
        (
            "platform_lanes_overdue",
            "Lanes that have been due for a minute and that nobody has taken.",
            [("", watch.overdue().count())],
        ),
        (
            "platform_lanes_suspect",
            "Lanes that were taken several times without progress.",
            [("", watch.suspects().count())],
        ),
        ("platform_lanes_held", "Lanes that stand still, by reason.", held),
        (
            "platform_endpoint_waiting",
            "Messages that wait for an endpoint that is not called at present, by reason.",
            [
                (f'{{endpoint="{one.endpoint.slug}",reason="{one.standing.kind}"}}', one.messages)
                for one in standing.waiting()
            ],
        ),
        ("platform_circuit_state", "Circuits: 0 closed, 1 half-open, 2 open; no line if nothing failed.", circuits),
        ("platform_rejections", f"Requests refused at the door within {REFUSED_WITHIN_SECONDS:.0f} s.", refused),
        (
            "platform_client_certificate_seconds_left",
            "How long the certificates that we show to destinations are still good for.",
            certificates,
        ),
        ("platform_workers", "Workers seen in the last minute.", [("", workers)]),
    ]
