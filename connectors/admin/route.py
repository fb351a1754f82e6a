"""Routes: one integration point each."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connectors.admin.base import NamedAdmin, link, page_of, webhook_address
from connectors.admin.pausing import Pausable
from connectors.admin.prefill import example_body
from connectors.admin.senders import request_in_shell, steps
from connectors.forms import LinesFormField, ListsFormField, NamesFormField
from connectors.models import Credential, Route

WRITTEN = {"spellcheck": "false", "autocomplete": "off"}


ADDRESS = (
    '<div class="platform-address"><code class="platform-code" id="address-{}">{}</code>'
    '<button type="button" class="platform-copy" data-copy-from="address-{}">Copy</button></div>'
)


class RouteForm(forms.ModelForm):
    force_list = NamesFormField(
        required=False,
        label="Always lists",
        widget=UnfoldAdminTextInputWidget(WRITTEN),
        help_text="Elements of XML and form fields that are lists even where there is one: line, note",
    )
    search_keys = LinesFormField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, **WRITTEN}),
        help_text="What support staff search by, a line for each: order = id",
    )
    statuses = ListsFormField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, **WRITTEN}),
        help_text="What the destination means by a status where it is not the usual (2xx success; 408, 425, 429, 5xx "
        "passing; all others permanent), a line for each: success = 409 or passing = 404 or permanent = 5xx",
    )

    class Meta:
        model = Route
        fields = "__all__"
        widgets = {
            "ordering_key": UnfoldAdminTextInputWidget(WRITTEN),
            "idempotency_key": UnfoldAdminTextInputWidget(WRITTEN),
        }
        labels = {
            "first_delay_seconds": "First delay, seconds",
            "max_delay_seconds": "Longest delay, seconds",
            "sync_deadline_seconds": "Deadline, seconds",
            "max_body_bytes": "Largest body, bytes",
            "on_failure": "Behind a failure",
            "on_unknown": "Without an answer",
        }
        help_texts = {
            "patterns": "Asynchronous: accepted at once, the result is fetched later. Synchronous: the source waits.",
            "ordering": "Messages that wait for each other are delivered one at a time, in the order of acceptance.",
            "on_failure": "What a lane does behind an asynchronous message that is dead.",
            "max_attempts": "Calls at most, the first one included. Synchronous calls are not repeated.",
            "first_delay_seconds": "The pause before the second attempt.",
            "factor": "Each further pause is this many times as long …",
            "max_delay_seconds": "… and never longer than this.",
            "reply": "What a synchronous caller is answered after a delivery.",
            "sync_deadline_seconds": "How long a synchronous caller waits for the destination at most.",
            "on_deadline": "What it is answered then; either way the message goes on, and the result can be read.",
            "max_body_bytes": "Larger ones are refused with 413 before anything else is looked at.",
            "retention_days": "Payloads are removed this long after their message became final.",
        }


@admin.register(Route)
class RouteAdmin(Pausable, NamedAdmin):
    form = RouteForm
    list_display = ("__str__", "slug", "source", "endpoint", "patterns", "ordering", "state", "changed")
    list_filter = ("source", "endpoint", "enabled", "paused")
    list_select_related = ("source", "endpoint", "mapping")
    autocomplete_fields = ("source", "endpoint", "mapping", "reply_mapping")
    readonly_fields = ("way", "addresses")
    change_form_outer_after_template = "admin/connectors/route/setup.html"
    actions_detail = ("test", *Pausable.actions_detail)
    instead = "Disable it instead."
    # a key that is left over stays visible: it is checked even where it is not used
    conditional_fields = {"ordering_key": "ordering == 'key' || ordering_key"}
    fieldsets = (
        (None, {"fields": ("name", "slug", "enabled")}),
        ("From and to", {"classes": ("tab",), "fields": ("source", "endpoint", "patterns")}),
        (
            "Payload",
            {
                "classes": ("tab",),
                "fields": (
                    "mapping",
                    "schema",
                    "force_list",
                    "idempotency_key",
                    "search_keys",
                    "max_body_bytes",
                    "retention_days",
                ),
            },
        ),
        (
            "Order and failures",
            {
                "classes": ("tab",),
                "fields": (
                    "ordering",
                    "ordering_key",
                    "on_failure",
                    "max_attempts",
                    "first_delay_seconds",
                    "factor",
                    "max_delay_seconds",
                    "statuses",
                    "on_unknown",
                ),
            },
        ),
        (
            "Reply",
            {"classes": ("tab",), "fields": ("reply_mapping", "reply", "sync_deadline_seconds", "on_deadline")},
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first, *rest = super().get_fieldsets(request, obj)
        title, options = first
        shown = (*options["fields"], "way", "addresses")
        return ((title, {**options, "fields": shown}), *rest) if obj else (first, *rest)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Knows under which address the platform was reached: addresses are shown to be copied."""
        route = super().get_object(request, object_id, from_field)
        if route is not None:
            route.reached_at = request.build_absolute_uri("/")
        return route

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        route = context.get("original")
        if route is not None:
            context["setup"] = setup(route, request.build_absolute_uri("/"))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def has_test_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_send(request)

    @action(description="Send a test message", icon="send", permissions=["test"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opens the page that asks what to send; nothing is sent by following it."""
        return redirect("admin:messaging_route_test", pk=object_id)

    @display(description="State", label={"enabled": "success", "paused": "warning", "disabled": "danger"})
    def state(self, route: Route) -> str:
        return "disabled" if not route.enabled else "paused" if route.paused else "enabled"

    @display(description="Leads")
    def way(self, route: Route) -> SafeString:
        """From whom, by which mapping, to whom: each a link."""
        places = [route.source, *([route.mapping] if route.mapping else []), route.endpoint]
        return format_html_join(" → ", "{}", ((link(page_of(place), place),) for place in places))

    @display(description="Webhook addresses")
    def addresses(self, route: Any) -> SafeString:
        """To be given to the source application's developers."""
        base = webhook_address(getattr(route, "reached_at", "/"), route.slug)
        urls = [base, *(f"{base}/{pattern}" for pattern in route.allowed_patterns)]
        shown = format_html_join("", ADDRESS, ((number, url, number) for number, url in enumerate(urls)))
        page = reverse("api-route", args=[route.slug])
        return format_html("{}{}", shown, link(page, "For the people who call it"))


def may_send(request: HttpRequest) -> bool:
    """A test message: whoever configures routes tries them out, whoever works on messages sees what became of it."""
    operator = request.user.has_perms(("messaging.operate_message", "messaging.view_payload"))
    return operator or request.user.has_perm("connectors.change_route")


def setup(route: Route, base: str) -> dict[str, Any]:
    """What callers need: a first request for each credential; and what is still in the way of it."""
    credentials, body = open_credentials(route), example_body(route)
    address = webhook_address(base, route.slug)
    calls = [
        {
            "credential": credential,
            "url": page_of(credential),
            "steps": steps(credential.scheme),
            "request": f"SECRET='…'\n{request_in_shell(credential, address, body)}",
        }
        for credential in credentials
    ]
    return {"missing": missing(route, credentials), "calls": calls}


def missing(route: Route, credentials: list[Credential]) -> list[tuple[str, str]]:
    """What keeps calls from coming through, each with the page that can mend it, or ""."""
    found: list[tuple[str, str]] = []
    if not credentials:
        found.append((f"{route.source} has no credential in force: every call is refused.", page_of(route.source)))
    if not route.enabled:
        found.append(("The route is disabled: calls get 404.", ""))
    if route.paused:
        found.append(("The route is paused: messages wait.", ""))
    if route.endpoint.paused:
        found.append((f"The endpoint {route.endpoint} is paused: messages wait.", page_of(route.endpoint)))
    return found


def open_credentials(route: Route) -> list[Credential]:
    """Those of its source that a caller can use now."""
    return [one for one in route.source.credentials.select_related("application").order_by("name") if is_open(one)]


def is_open(credential: Credential) -> bool:
    expired = credential.expires_at is not None and credential.expires_at <= timezone.now()
    return credential.enabled and credential.revoked_at is None and not expired and credential.has_secret
