"""Rejections: what was refused at the door, why, and from where."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import ReadOnly
from messages.admin.display import may_see_payloads, moment, payload
from messages.admin.paging import UncountedPaginator
from messages.models import Rejection


@admin.register(Rejection)
class RejectionAdmin(ReadOnly, ModelAdmin):
    list_display = ("refused", "reason", "status_code", "route", "remote_address", "size", "shortly")
    list_filter = ("reason", "route")
    list_select_related = ("route",)
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    sortable_by = ("refused",)
    fields = (
        "refused",
        "reason",
        "status_code",
        "route",
        "remote_address",
        "content_type",
        "size",
        "detail",
        "body_shown",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rejection]:
        return super().get_queryset(request).defer("body")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.fields if may_see_payloads(request) else self.fields[:-1]

    @display(description="Time", ordering="pk")
    def refused(self, rejection: Rejection) -> str:
        return moment(rejection.created_at)

    @display(description="Detail")
    def shortly(self, rejection: Rejection) -> str:
        return rejection.detail if len(rejection.detail) <= 100 else f"{rejection.detail[:99]}…"

    @display(description="Beginning of the body")
    def body_shown(self, rejection: Rejection) -> SafeString:
        return payload(rejection.body, rejection.content_type)
