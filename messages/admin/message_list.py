"""The list of messages: what it shows of each, and what many of them can be asked for at once."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from messages.admin import bulk, search
from messages.admin.display import STATUS_COLOURS, moment
from messages.admin.paging import FixedOrder, UncountedPaginator
from messages.admin.periods import ReceivedFilter
from messages.choices import BulkVerb
from messages.models import Message

OPERATE = "messaging.operate_message"


class MessageList(FixedOrder):
    list_display = ("correlation_id", "standing", "route", "mode", "lane_key", "keys", "received", "took")
    list_filter = ("status", ReceivedFilter, "route")
    list_select_related = ("route", "lane", "lane__route")
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    search_fields = ("correlation_id",)
    search_help_text = "A correlation id or its beginning, or a search key: 4711 or order:4711"
    looked_up = frozenset({"lane"})
    actions = ("retry_selected", "cancel_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """`read_at` is the database's clock, read once for all rows."""
        rows: QuerySet[Message] = super().get_queryset(request).defer("body", "headers")  # type: ignore[misc]
        return rows.prefetch_related("search_keys").annotate(read_at=Now())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search.find(queryset, search_term.strip()), False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm(OPERATE)

    @admin.action(description="Retry…", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return bulk.prepare(self, request, BulkVerb.RETRY, queryset)

    @admin.action(description="Cancel…", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return bulk.prepare(self, request, BulkVerb.CANCEL, queryset)

    @display(description="Status", label=STATUS_COLOURS)
    def standing(self, message: Any) -> str:
        return str(message.standing(message.read_at))

    @display(description="Pattern")
    def mode(self, message: Message) -> str:
        """Short, so that the list fits a laptop's screen."""
        return str(message.pattern)

    @display(description="Lane")
    def lane_key(self, message: Message) -> str:
        return f"{message.lane.key or 'whole route'} #{message.position}"

    @display(description="Search keys")
    def keys(self, message: Message) -> str:
        return ", ".join(str(key) for key in message.search_keys.all()) or "–"

    @display(description="Received")
    def received(self, message: Message) -> str:
        return moment(message.received_at)
