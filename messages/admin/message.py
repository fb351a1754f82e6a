"""Messages: find one, see what happened to it."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import HiddenFromIndex, ReadOnly
from messages.admin.display import STATUS_COLOURS, duration, headers, moment, payload
from messages.admin.paging import UncountedPaginator
from messages.models import Attempt, Message, Result, SearchKey

VIEW_PAYLOAD = "messaging.view_payload"
PREFIX_DIGITS = 8
SHOWN_ATTEMPTS = 100


@admin.register(Message)
class MessageAdmin(ReadOnly, ModelAdmin):
    list_display = ("correlation_id", "standing", "route", "mode", "lane_key", "keys", "received", "took")
    list_filter = ("status", "route", "pattern")
    list_select_related = ("route", "lane", "lane__route")
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    ordering = ("-pk",)
    search_fields = ("correlation_id",)
    search_help_text = "A correlation id or its beginning, or a search key: 4711 or order:4711"
    fieldsets = (
        (None, {"fields": ("correlation_id", "standing", "route", "pattern", "error")}),
        (
            "Place",
            {"fields": ("lane", "position", "idempotency_key", "keys", "received", "completed", "took", "versions")},
        ),
        ("Attempts", {"classes": ("tab",), "fields": ("attempt_list",)}),
        ("Payload as received", {"classes": ("tab",), "fields": ("payload_shown",)}),
        ("Response", {"classes": ("tab",), "fields": ("response_shown",)}),
        ("Headers", {"classes": ("tab",), "fields": ("content_type", "headers_shown")}),
    )
    readonly_fields = (
        *("correlation_id", "standing", "route", "pattern", "error", "lane", "position", "idempotency_key", "keys"),
        *("received", "completed", "took", "versions", "attempt_list", "payload_shown", "response_shown"),
        *("content_type", "headers_shown", "attempt_facts"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """`read_at` is the database's clock, read once for all rows."""
        return super().get_queryset(request).defer("body").prefetch_related("search_keys").annotate(read_at=Now())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """By index only: a correlation id, the beginning of one, or a search key. Never a scan."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (span := correlation_span(term)) is not None:
            return queryset.filter(correlation_id__range=span), False
        name, colon, value = term.partition(":")
        keys = SearchKey.objects.filter(name=name, value=value) if colon else SearchKey.objects.filter(value=term)
        found = list(keys.order_by("-message").values_list("message", flat=True)[:1000])
        if colon and not found:
            found = list(SearchKey.objects.filter(value=term).values_list("message", flat=True)[:1000])
        return queryset.filter(pk__in=found), False

    def get_urls(self) -> list[Any]:
        download = path(
            "<int:pk>/payload/", self.admin_site.admin_view(self.download), name="messaging_message_payload"
        )
        return [download, *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The bytes exactly as they were received."""
        if not self.has_view_permission(request) or not request.user.has_perm(VIEW_PAYLOAD):
            raise PermissionDenied
        message = Message.objects.get(pk=pk)
        disposition = f'attachment; filename="{message.correlation_id}.bin"'
        return HttpResponse(
            bytes(message.body), content_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Payloads are for those who may see them; others get the facts around them."""
        if request.user.has_perm(VIEW_PAYLOAD):
            return super().get_fieldsets(request, obj)
        return (*self.fieldsets[:2], ("Attempts", {"classes": ("tab",), "fields": ("attempt_facts",)}))

    @display(description="Status", label=STATUS_COLOURS)
    def standing(self, message: Any) -> str:
        return str(message.standing(message.read_at))

    @display(description="Pattern", ordering="pattern")
    def mode(self, message: Message) -> str:
        """Short, so that the list fits a laptop's screen."""
        return str(message.pattern)

    @display(description="Lane", ordering=None)
    def lane_key(self, message: Message) -> str:
        return f"{message.lane.key or 'whole route'} #{message.position}"

    @display(description="Search keys")
    def keys(self, message: Message) -> str:
        return ", ".join(str(key) for key in message.search_keys.all()) or "–"

    @display(description="Received", ordering="pk")
    def received(self, message: Message) -> str:
        return moment(message.received_at)

    @display(description="Completed")
    def completed(self, message: Message) -> str:
        return moment(message.completed_at)

    @display(description="Total time")
    def took(self, message: Any) -> str:
        end = message.completed_at or message.read_at
        return duration(end - message.received_at) + ("" if message.completed_at else " so far")

    @display(description="What went wrong")
    def error(self, message: Message) -> str:
        error = getattr(message, "result", None) and message.result.error
        if error:
            return str(error.get("detail") or error.get("title"))
        last = message.attempt_set.order_by("-number").first()
        return last.detail if last is not None and last.detail else "–"

    @display(description="Mapped with")
    def versions(self, message: Message) -> str:
        named = [str(version) for version in (message.mapping_version, message.reply_mapping_version) if version]
        return ", ".join(named) or "no mapping"

    @display(description="")
    def attempt_list(self, message: Message) -> SafeString:
        rows = [
            {
                "attempt": attempt,
                "started": moment(attempt.started_at),
                "request": payload(message.body if attempt.request_body is None else attempt.request_body),
                "response": payload(attempt.response_body),
                "request_headers": headers(attempt.request_headers),
                "response_headers": headers(attempt.response_headers),
            }
            for attempt in message.attempt_set.order_by("number", "pk")[:SHOWN_ATTEMPTS]
        ]
        return render_to_string("admin/messaging/message/attempts.html", {"rows": rows, "bodies": True})

    @display(description="")
    def attempt_facts(self, message: Message) -> SafeString:
        """The same without what was sent and what came back."""
        attempts = message.attempt_set.order_by("number", "pk")[:SHOWN_ATTEMPTS]
        rows = [{"attempt": attempt, "started": moment(attempt.started_at)} for attempt in attempts]
        return render_to_string("admin/messaging/message/attempts.html", {"rows": rows})

    @display(description="")
    def payload_shown(self, message: Message) -> SafeString:
        if message.purged_at is not None:
            return format_html("Retention removed it at {}.", moment(message.purged_at))
        link = reverse("admin:messaging_message_payload", args=[message.pk])
        shown = payload(message.body, message.content_type)
        return format_html(
            '{}<p><a class="platform-link" href="{}">Download the {} bytes</a></p>', shown, link, len(message.body)
        )

    @display(description="")
    def response_shown(self, message: Message) -> SafeString:
        result: Result | None = getattr(message, "result", None)
        if result is None or result.status_code is None:
            return format_html("{}", "There is none yet." if not message.is_final else "There is none.")
        shown = payload(result.body, result.content_type)
        return format_html(
            "<p>Status {}, {}</p>{}", result.status_code, result.content_type or "no content type", shown
        )

    @display(description="Headers")
    def headers_shown(self, message: Message) -> SafeString:
        return headers(message.headers)


def correlation_span(term: str) -> tuple[UUID, UUID] | None:
    """The first and last id that begin with `term`; None if it does not look like the beginning of one.

    A range and not a `startswith`: ids are stored as bytes on one database and as text on the other, and both sort.
    """
    digits = term.replace("-", "").lower()
    if not PREFIX_DIGITS <= len(digits) <= 32 or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    if "-" not in term and len(digits) < 32 and digits.isdigit():
        return None  # a plain number is an order's
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


@admin.register(Attempt)
class AttemptAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("message", "number", "outcome", "status_code", "duration_ms", "started_at")
    list_select_related = ("message",)
    show_full_result_count = False
    paginator = UncountedPaginator
    ordering = ("-pk",)
    fields = ("message", "number", "outcome", "status_code", "detail", "method", "url", "started_at", "duration_ms")


@admin.register(Result)
class ResultAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("message", "status_code", "created_at")
    list_select_related = ("message",)
    show_full_result_count = False
    paginator = UncountedPaginator
    ordering = ("-pk",)
    fields = ("message", "status_code", "content_type", "created_at")


@admin.register(SearchKey)
class SearchKeyAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("name", "value", "message")
    list_select_related = ("message",)
    show_full_result_count = False
    paginator = UncountedPaginator
    ordering = ("-pk",)
