"""Rejections: what was refused at the door, why, and from where."""

import ipaddress
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import ReadOnly
from messages.admin.display import may_see_payloads, moment, payload
from messages.admin.paging import Uncounted
from messages.models import Rejection

MAX_WORDS = 5


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@admin.register(Rejection)
class RejectionAdmin(Uncounted, ReadOnly, ModelAdmin):
    list_display = ("refused", "reason", "status_code", "route", "target", "remote_address", "shortly", "and_more")
    search_fields = ("request_id", "remote_address", "target", "detail")  # `get_search_results` says how
    search_help_text = "Request id, caller's address, or words"
    list_filter = ("reason", "route")
    list_select_related = ("route",)
    sortable_by = ("refused",)
    fields = (
        "refused",
        "reason",
        "status_code",
        "route",
        "target",
        "request_id",
        "remote_address",
        "user_agent",
        "content_type",
        "size",
        "detail",
        "and_more",
        "body_shown",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rejection]:
        return super().get_queryset(request).defer("body")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Rejection], search_term: str
    ) -> tuple[QuerySet[Rejection], bool]:
        """A request id and an address as they are, the id by its index; else the words are looked for in the texts.

        The table is trimmed to some thousands of rows (`tasks.trim_rejections`), so looking through it is quick.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        if is_address(term):
            return queryset.filter(remote_address=term), False
        if queryset.filter(request_id=term).exists():
            return queryset.filter(request_id=term), False
        for word in term.split()[:MAX_WORDS]:
            queryset = queryset.filter(
                Q(detail__icontains=word) | Q(target__icontains=word) | Q(user_agent__icontains=word)
            )
        return queryset, False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.fields if may_see_payloads(request) else self.fields[:-1]

    @display(description="Time", ordering="pk")
    def refused(self, rejection: Rejection) -> str:
        return moment(rejection.created_at)

    @display(description="Detail")
    def shortly(self, rejection: Rejection) -> str:
        return rejection.detail if len(rejection.detail) <= 100 else f"{rejection.detail[:99]}…"

    @display(description="Not kept", empty_value="–")
    def and_more(self, rejection: Rejection) -> str | None:
        """Of the same minute, route, and callers who proved who they are or did not."""
        return f"at least {rejection.further:,} more" if rejection.further else None

    @display(description="Beginning of the body")
    def body_shown(self, rejection: Rejection) -> SafeString:
        return payload(rejection.body, rejection.content_type)
