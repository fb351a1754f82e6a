"""Applications: the external systems, with their credentials."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from connectors.admin.base import NamedAdmin, links
from connectors.admin.credential import CredentialInline, show_made_secret
from connectors.models import Application


@admin.register(Application)
class ApplicationAdmin(NamedAdmin):
    list_display = ("__str__", "slug", "credential_count", "endpoint_count", "route_count", "changed")
    fieldsets = ((None, {"fields": ("name", "slug", "description", "requests_per_minute")}),)
    uses_fieldsets = (("Leads to", {"fields": ("endpoint_links", "route_links")}),)
    readonly_fields = ("endpoint_links", "route_links")
    inlines = (CredentialInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        counts = {name: Count(name, distinct=True) for name in ("credentials", "endpoints", "routes")}
        return super().get_queryset(request).annotate(**{f"{name}_found": count for name, count in counts.items()})

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for credential in [*formset.new_objects, *(changed for changed, _ in formset.changed_objects)]:
            show_made_secret(self, request, credential)

    @display(description="Endpoints")
    def endpoint_links(self, application: Application) -> SafeString:
        return links(application.endpoints.all())

    @display(description="Routes from it")
    def route_links(self, application: Application) -> SafeString:
        return links(application.routes.all())

    @display(description="Credentials", ordering="credentials_found")
    def credential_count(self, application: Any) -> int:
        return int(application.credentials_found)

    @display(description="Endpoints", ordering="endpoints_found")
    def endpoint_count(self, application: Any) -> int:
        return int(application.endpoints_found)

    @display(description="Routes from it", ordering="routes_found")
    def route_count(self, application: Any) -> int:
        return int(application.routes_found)
