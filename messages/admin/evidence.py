"""Attempts, results and search keys: what a message's page is made of, each with a page of its own."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import HiddenFromIndex, ReadOnly
from messages.admin.display import content_type, headers, label, may_see_payloads, moment, payload
from messages.admin.once import ReadOnce
from messages.admin.paging import FixedOrder, Uncounted
from messages.admin.sides import Body
from messages.choices import OutcomeKind
from messages.models import Attempt, HourlyCount, Message, Result, SearchKey

OUTCOME_COLOURS = {OutcomeKind.SUCCEEDED: "success", OutcomeKind.FAILED: "warning", OutcomeKind.UNKNOWN: "warning"}
CONTENTS = ("request_headers", "request_body", "response_headers", "response_body")


def carried(attempt: Attempt, message: Message) -> Body:
    """What a call sent: a request without a body of its own carried the payload as it was received."""
    body = message.body if attempt.request_body is None else attempt.request_body
    return Body(bytes(body), content_type(attempt.request_headers) or message.content_type)


def shown_of(attempt: Attempt, *, contents: bool) -> dict[str, Any]:
    """What `attempt.html` shows besides the row; `contents`: with what was sent and what came back."""
    shown = {
        "started": moment(attempt.started_at),
        "outcome": label(attempt.get_outcome_display(), OUTCOME_COLOURS.get(OutcomeKind(attempt.outcome), "danger")),
        "contents": contents,
    }
    if not contents:
        return shown
    sent = carried(attempt, attempt.message)
    return {
        **shown,
        "sent_title": "To be sent" if attempt.outcome == OutcomeKind.NOT_SENT else "Sent",
        "request": payload(sent.content, sent.content_type),
        "request_headers": headers(attempt.request_headers),
        "response": payload(attempt.response_body, content_type(attempt.response_headers)),
        "response_headers": headers(attempt.response_headers),
    }


class EvidenceAdmin(FixedOrder, ReadOnce, HiddenFromIndex, ReadOnly, ModelAdmin):
    list_select_related: tuple[str, ...] = ("message",)


@admin.register(Attempt)
class AttemptAdmin(EvidenceAdmin):
    list_display = ("message", "number", "outcome", "status_code", "duration_ms", "started")
    fields = ("message", "number")
    change_form_outer_after_template = "admin/messaging/attempt/attempt.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        return super().get_queryset(request).defer(*CONTENTS, "message__body", "message__headers")

    @display(description="Started")
    def started(self, attempt: Attempt) -> str:
        return moment(attempt.started_at)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context["shown"] = shown_of(context["original"], contents=may_see_payloads(request))
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(Result)
class ResultAdmin(EvidenceAdmin):
    list_display = ("message", "status_code", "created_at")
    fields = ("message", "status_code", "content_type", "created_at", "error_shown", "body_shown")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Result]:
        return super().get_queryset(request).defer("body", "message__body", "message__headers")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.fields if may_see_payloads(request) else self.fields[:-1]

    @display(description="Error")
    def error_shown(self, result: Result) -> str:
        return error_in_words(result.error) or "–"

    @display(description="Response")
    def body_shown(self, result: Result) -> SafeString:
        return payload(result.body, result.content_type)


@admin.register(SearchKey)
class SearchKeyAdmin(EvidenceAdmin):
    list_display = ("name", "value", "message")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SearchKey]:
        return super().get_queryset(request).defer("message__body", "message__headers")


@admin.register(HourlyCount)
class HourlyCountAdmin(Uncounted, HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("hour", "route", "received", "succeeded", "failed")
    list_select_related = ("route",)
    fields = ("route", "hour", "counted_until", "received", "succeeded", "failed")
    readonly_fields = fields


def error_in_words(error: Any) -> str:
    """What a result says went wrong, in one line; empty where nothing did."""
    return str(error.get("detail") or error.get("title")) if error else ""


def wrong_with(message: Message) -> str:
    """What went wrong with it last, in one line; empty where nothing did. One query more while it has no result."""
    result: Result | None = getattr(message, "result", None)
    if result is not None:
        return error_in_words(result.error)
    newest = message.attempt_set.order_by("-number", "-pk").values_list("detail", flat=True).first()
    return newest or ""
