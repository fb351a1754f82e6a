"""Routes: one integration point each."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from connectors.admin.base import NamedAdmin
from connectors.admin.pausing import Pausable
from connectors.models import Route


class RouteForm(forms.ModelForm):
    class Meta:
        model = Route
        fields = "__all__"
        labels = {
            "force_list": "Always lists",
            "first_delay_seconds": "First delay, seconds",
            "max_delay_seconds": "Longest delay, seconds",
            "sync_deadline_seconds": "Deadline, seconds",
            "max_body_bytes": "Largest body, bytes",
            "on_failure": "Behind a failure",
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
    list_select_related = ("source", "endpoint")
    autocomplete_fields = ("source", "endpoint", "mapping", "reply_mapping")
    readonly_fields = ("addresses",)
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
        return ((title, {**options, "fields": (*options["fields"], "addresses")}), *rest) if obj else (first, *rest)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Knows under which address the platform was reached: addresses are shown to be copied."""
        route = super().get_object(request, object_id, from_field)
        if route is not None:
            route.reached_at = request.build_absolute_uri("/")
        return route

    @display(description="State", label={"enabled": "success", "paused": "warning", "disabled": "danger"})
    def state(self, route: Route) -> str:
        return "disabled" if not route.enabled else "paused" if route.paused else "enabled"

    @display(description="Webhook addresses")
    def addresses(self, route: Any) -> SafeString:
        """To be given to the source application's developers."""
        base = f"{getattr(route, 'reached_at', '/')}webhooks/{route.slug}"
        urls = [base, *(f"{base}/{pattern}" for pattern in route.allowed_patterns)]
        return format_html_join("", '<div><code class="platform-code">{}</code></div>', ((url,) for url in urls))
