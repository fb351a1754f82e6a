"""Routes: one integration point each."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from connectors.admin.base import NamedAdmin
from connectors.admin.pausing import Pausable
from connectors.models import Route


@admin.register(Route)
class RouteAdmin(Pausable, NamedAdmin):
    list_display = ("__str__", "slug", "source", "endpoint", "patterns", "ordering", "state", "updated_at")
    list_filter = ("source", "endpoint", "enabled", "paused")
    list_select_related = ("source", "endpoint")
    autocomplete_fields = ("source", "endpoint", "mapping", "reply_mapping")
    readonly_fields = ("addresses",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "enabled", "addresses")}),
        ("From and to", {"classes": ("tab",), "fields": ("source", "endpoint", "patterns")}),
        (
            "Payload",
            {"classes": ("tab",), "fields": ("schema", "max_body_bytes", "mapping", "idempotency_key", "search_keys")},
        ),
        (
            "Order and failures",
            {
                "classes": ("tab",),
                "fields": (
                    "ordering",
                    "ordering_key",
                    "on_failure",
                    ("max_attempts", "first_delay_seconds"),
                    ("factor", "max_delay_seconds"),
                ),
            },
        ),
        (
            "Reply",
            {
                "classes": ("tab",),
                "fields": ("reply_mapping", "reply", "sync_deadline_seconds", "on_deadline", "retention_days"),
            },
        ),
    )

    @display(description="State", label={"enabled": "success", "paused": "warning", "disabled": "danger"})
    def state(self, route: Route) -> str:
        return "disabled" if not route.enabled else "paused" if route.paused else "enabled"

    @display(description="Addresses")
    def addresses(self, route: Route) -> str:
        """The webhook addresses to give to the source application's developers."""
        if not route.pk:
            return "Shown as soon as the route is saved."
        paths = [
            f"/webhooks/{route.slug}",
            *(f"/webhooks/{route.slug}/{pattern}" for pattern in route.allowed_patterns),
        ]
        return format_html(
            "{}",
            format_html_join("", '<div><code class="platform-code">POST {}</code></div>', ((path,) for path in paths)),
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"ordering": "route", **super().get_changeform_initial_data(request)}
