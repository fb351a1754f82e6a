"""What people did: by person, by kind of object and by object."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import ReadOnly, link
from messages.admin.display import second
from messages.admin.paging import FixedOrder, key_in


class PersonFilter(admin.SimpleListFilter):
    """Those who have done something, the accounts that stand for nobody included."""

    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = get_user_model()._default_manager.filter(Exists(LogEntry.objects.filter(user=OuterRef("pk"))))
        return [(str(one.pk), one.get_username()) for one in people.order_by("username")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        key = key_in(self.value())
        return queryset if key is None else queryset.filter(user=key)


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kinds = ContentType.objects.filter(Exists(LogEntry.objects.filter(content_type=OuterRef("pk"))))
        return sorted(((str(one.pk), capfirst(one.name)) for one in kinds), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        key = key_in(self.value())
        return queryset if key is None else queryset.filter(content_type=key)


@admin.register(LogEntry)
class PlatformLogEntryAdmin(FixedOrder, ReadOnly, ModelAdmin):
    """Every change and verb; the pages of objects show their own history."""

    list_display = ("when", "user", "what", "thing")
    list_display_links = ("when",)
    list_filter = (PersonFilter, KindFilter, "action_time")
    list_select_related = ("user", "content_type")
    looked_up = frozenset({"action_time__gte", "action_time__lt"})  # the filter by time is a range
    search_fields = ("object_repr",)
    search_help_text = "A name or a correlation id, exactly"
    fields = ("when", "user", "thing", "what")
    readonly_fields = fields

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        return (queryset.filter(object_repr=term) if term else queryset), False

    @display(description="Time")
    def when(self, entry: LogEntry) -> SafeString:
        return format_html('<span class="platform-nowrap">{}</span>', second(entry.action_time))

    @display(description="What was done")
    def what(self, entry: LogEntry) -> SafeString:
        return render_to_string("admin/told.html", {"entry": entry})

    @display(description="To what")
    def thing(self, entry: LogEntry) -> SafeString:
        """Leads to the object's own history, as long as it is there."""
        kind = capfirst(entry.content_type.name) if entry.content_type else ""
        name = format_html('<span class="platform-object">{}</span>', entry.object_repr)
        if entry.action_flag == DELETION or not (url := history_of(entry)):
            return format_html("{} {}", kind, name)
        return format_html("{} {}", kind, link(url, name))


def history_of(entry: LogEntry) -> str:
    """The address of the object's history; "" for what has no page."""
    if entry.content_type is None or not entry.object_id:
        return ""
    try:
        return reverse(
            f"admin:{entry.content_type.app_label}_{entry.content_type.model}_history", args=[entry.object_id]
        )
    except NoReverseMatch:
        return ""
