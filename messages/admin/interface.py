"""What source applications can call, for the people who connect them: the OpenAPI document as pages.

Rendered here from the configuration as it stands, without a script and without another host. Who may view routes may
view them; secrets are in no page.
"""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from connectors import formats
from connectors.admin.base import page_of, webhook_address
from connectors.admin.route import missing, open_credentials
from connectors.admin.senders import steps
from connectors.admin.snippets import snippets
from connectors.choices import Ordering, Pattern
from connectors.models import Credential, Route
from connectors.paths import MISSING
from messages import cloud_events, openapi
from messages.openapi_components import FIXED_PATHS, HEADERS, PARAMETERS, RATE_HEADERS, Node
from messages.problem_types import TYPES
from messages.problems import CONTENT_TYPE, type_of

PATTERNS = {
    Pattern.ASYNC: "Answered 202 as soon as the message is stored; the result is fetched later.",
    Pattern.SYNC: "Answered when the destination has confirmed, at most after {seconds:g} s.",
}

MEDIA_TYPES = {
    formats.JSON: "As the schema reads; so is any media type that ends with +json.",
    cloud_events.STRUCTURED: "A CloudEvent with its data inside. With ce-* headers the body is the data.",
}
EVERYWHERE = ("X-Request-ID", *RATE_HEADERS)
"""Headers that are told once, not for each answer."""


def index(request: HttpRequest) -> HttpResponse:
    """Every route, and what holds for all of them."""
    _check(request)
    routes = Route.objects.select_related("source", "endpoint").order_by("slug")
    base = request.build_absolute_uri("/")
    context = {
        "title": "API",
        "routes": [
            (route, webhook_address(base, route.slug), reverse("api-route", args=[route.slug])) for route in routes
        ],
        "fixed": [(path, item["get"], _answers([(None, item["get"])])) for path, item in FIXED_PATHS.items()],
        "parameters": PARAMETERS.values(),
        "headers": HEADERS.items(),
        "types": TYPES.values(),
    }
    return _page(request, "index", context)


def of_route(request: HttpRequest, slug: str) -> HttpResponse:
    """One route: its addresses, how to prove who calls, what to send, and what comes back."""
    _check(request)
    route = Route.objects.select_related("source", "endpoint").filter(slug=slug).first()
    if route is None:
        raise Http404
    base = request.build_absolute_uri("/")
    example, credentials = openapi.example_for(route), open_credentials(route)
    context = {
        "title": f"API: {route}",
        "route": route,
        "route_url": page_of(route),
        "missing": missing(route, credentials),
        "addresses": _addresses(route, base),
        "calls": _calls(route, credentials, base, example),
        "largest": f"{route.max_body_bytes:,}",
        "media_types": [
            (name, told["schema"].get("description") or MEDIA_TYPES[name])
            for name, told in openapi.bodies(route).items()
        ],
        "schema": None if route.schema is None else formats.dump_pretty(route.schema),
        "example": None if example is MISSING else formats.dump_pretty(example),
        "keys": _keys(route),
        "parameters": PARAMETERS.values(),
        "answers": _answers(_operations(route)),
    }
    return _page(request, "route", context)


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm("connectors.view_route"):
        raise PermissionDenied


def _page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    context = {**admin.site.each_context(request), **context, "index_url": reverse("api")}
    return TemplateResponse(request, f"admin/messaging/api/{name}.html", context)


def _addresses(route: Route, base: str) -> list[tuple[str, str]]:
    """Each with what it does; the first is that of the default pattern."""
    told = {pattern: text.format(seconds=route.sync_deadline_seconds) for pattern, text in PATTERNS.items()}
    default, *_ = allowed = [Pattern(pattern) for pattern in route.allowed_patterns]
    address = webhook_address(base, route.slug)
    first = f"{default.label}, this route's default. {told[default]}"
    return [(address, first), *((f"{address}/{one.value}", f"{one.label}. {told[one]}") for one in allowed)]


def _calls(route: Route, credentials: list[Credential], base: str, example: Any) -> list[dict[str, Any]]:
    """A request to copy for each credential in force, with a body that the route takes."""
    body = None if example is MISSING else formats.dump(example).decode()
    address = webhook_address(base, route.slug)
    return [
        {
            "credential": credential,
            "steps": steps(credential.scheme),
            "snippets": snippets(credential, address, body),
        }
        for credential in credentials
    ]


def _keys(route: Route) -> list[tuple[str, str]]:
    """What of a payload the platform itself reads."""
    named = [
        ("Ordering key", route.ordering_key if route.ordering == Ordering.KEY else ""),
        ("Idempotency key", route.idempotency_key),
        *((f"Search key {name}", path) for name, path in (route.search_keys or {}).items()),
    ]
    return [(name, path) for name, path in named if path]


def _operations(route: Route) -> list[tuple[str | None, Node]]:
    paths = openapi.webhooks(route, [])
    return [
        (pattern, paths[f"/webhooks/{route.slug}/{pattern}"]["post"]) for pattern in route.allowed_patterns
    ]  # fmt: skip


def _answers(operations: list[tuple[str | None, Node]]) -> list[dict[str, Any]]:
    """The answers of one address or of several, by status: what it says, its headers, the problems it may be."""
    found: dict[str, dict[str, Any]] = {}
    for pattern, operation in operations:
        for status, told in operation["responses"].items():
            row = found.setdefault(status, {"status": status, "patterns": [], "text": "", "headers": [], "slugs": []})
            row["patterns"] += [pattern] if pattern else []
            known = (*EVERYWHERE, *row["headers"])
            row["headers"] += [name for name in told.get("headers", {}) if name not in known]
            examples = told.get("content", {}).get(CONTENT_TYPE, {}).get("examples", {})
            row["slugs"] += [slug for slug in examples if slug not in row["slugs"]]
            row["text"] = "" if examples else told["description"]
    several = len(operations) > 1
    for row in found.values():
        row["only"] = row["patterns"][0] if several and len(row["patterns"]) == 1 else ""
        row["problems"] = [(TYPES[slug], type_of(slug)) for slug in row.pop("slugs")]
    return sorted(found.values(), key=lambda row: str(row["status"]))
