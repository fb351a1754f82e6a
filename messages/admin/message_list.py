"""The list of messages: what it shows of each, and what many of them can be asked for at once."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from messages.admin import bulk, search
from messages.admin.display import STATUS_COLOURS, duration, roughly, second
from messages.admin.evidence import error_in_words
from messages.admin.keyset import KeysetPages
from messages.admin.narrowing import NAMES, QUICK, Narrowing
from messages.admin.paging import OLDER, FixedOrder
from messages.admin.saved_views import WithViews
from messages.choices import BulkVerb, Status
from messages.models import Attempt, Message, SavedView


class MessagePages(KeysetPages):
    """What the form above the list shows, and why messages wait that will be tried again."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        retrying = [row.pk for row in self.result_list if row.status == Status.RETRYING]
        tried = Attempt.objects.filter(message__in=retrying).order_by("number", "pk")
        said = dict(tried.values_list("message_id", "detail")) if retrying else {}
        for row in self.result_list:
            row.last_detail = said.get(row.pk, "")

    @property
    def quick(self) -> list[tuple[str, str, bool]]:
        """Title, address, and whether it is what is shown."""
        shown = self.narrowing.used_parameters
        return [
            (title, f"?{'&'.join(f'{name}={value}' for name, value in query.items())}", shown == query)
            for title, query in QUICK
        ]

    @property
    def without_search(self) -> str:
        query: str = self.get_query_string({"q": None})  # type: ignore[attr-defined]
        return query

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """Label, value, and the address without it, of each filter that is set."""
        query = self.get_query_string  # type: ignore[attr-defined]
        return [(label, words, query({name: None})) for name, label, words in self.narrowing.active()]


class MessageList(WithViews, FixedOrder):
    views_of = SavedView.List.MESSAGES
    list_display = ("identity", "standing", "way", "times", "fault")
    list_display_links = ("identity",)
    list_filter = (Narrowing,)
    list_select_related = ("route", "lane", "result")
    list_before_template = "admin/messaging/message/narrow.html"
    list_fullwidth = True
    search_fields = ("correlation_id",)
    search_help_text = "An id or its beginning, 4711 or order:4711"
    actions = ("retry_selected", "cancel_selected")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return type("MessageChangeList", (MessagePages, super().get_changelist(request, **kwargs)), {})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """`read_at` is the database's clock, read once for all rows."""
        rows: QuerySet[Message] = super().get_queryset(request)  # type: ignore[misc]
        rows = rows.defer("body", "headers", "result__body")
        return rows.prefetch_related("search_keys").annotate(read_at=Now())

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup in (*NAMES, OLDER) or super().lookup_allowed(lookup, value, request)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search.find(queryset, search_term.strip()), False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm(bulk.OPERATE)

    @admin.action(description="Retry…", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return bulk.prepare(self, request, BulkVerb.RETRY, queryset)

    @admin.action(description="Cancel…", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return bulk.prepare(self, request, BulkVerb.CANCEL, queryset)

    @display(description="Message")
    def identity(self, message: Message) -> SafeString:
        """What machines call it, and what people do."""
        keys = ", ".join(str(key) for key in message.search_keys.all())
        return _two_lines(message.correlation_id, keys or "no search keys", "platform-mono")

    @display(description="Status", label=STATUS_COLOURS)
    def standing(self, message: Any) -> str:
        return str(message.standing(message.read_at))

    @display(description="Route and lane")
    def way(self, message: Message) -> SafeString:
        lane = f"{message.lane.key or 'whole route'} #{message.position}"
        return _two_lines(message.route, f"{lane}, {message.pattern}", "platform-short")

    @display(description="Received")
    def times(self, message: Any) -> SafeString:
        """How long ago; and how long it took, once it has come to its end."""
        ago = f"{roughly(message.read_at - message.received_at)} ago"
        took = f", took {duration(message.completed_at - message.received_at)}" if message.completed_at else ""
        return _two_lines(second(message.received_at), f"{ago}{took}")

    @display(description="Error")
    def fault(self, message: Any) -> SafeString:
        result = getattr(message, "result", None)
        told = "" if result is None else error_in_words(result.error)
        text = told or getattr(message, "last_detail", "")
        if not text:
            return format_html('<span class="platform-none">{}</span>', "–")
        return format_html('<span class="platform-one-line" title="{}">{}</span>', text, text)


def _two_lines(first: Any, second: Any, style: str = "") -> SafeString:
    return format_html(
        '<span class="platform-two"><span class="{}" title="{}">{}</span>'
        '<span class="platform-muted" title="{}">{}</span></span>',
        *(style, first, first, second, second),
    )
