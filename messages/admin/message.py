"""Messages: find one, see what happened to it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from connectors import audit
from connectors.admin.base import ReadOnly, links, page_of
from messages import operate, tracing
from messages.admin import activity, resubmission, samples, trials
from messages.admin.display import (
    duration,
    headers,
    may_see_payloads,
    moment,
    payload,
    status_label,
    why,
)
from messages.admin.evidence import CONTENTS, attempt_context, error_in_words
from messages.admin.message_list import MessageList
from messages.admin.verbs import ReasonForm, carry_out, verb
from messages.choices import PROCESSING, Hold
from messages.models import Message, Result
from messages.problems import type_of
from messages.standing import standstill
from messages.steering import CANCELLABLE, RETRYABLE

SHOWN_ATTEMPTS = 100
SHOWN_CONTENTS = 3
"""Attempts with what was sent and what came back: the newest; the others have pages of their own."""


@admin.register(Message)
class MessageAdmin(MessageList, ReadOnly, ModelAdmin):
    """The page of one message, and the addresses around it; `message_list` says what the list is."""

    actions_detail = ("retry", "cancel", "edit")
    change_form_outer_after_template = "admin/messaging/message/story.html"
    fields = (
        ("status_shown", "took"),
        "waits",
        "error",
        ("route", "lane"),
        ("pattern", "position"),
        ("received", "completed"),
        ("versions", "attempts"),
        ("keys", "idempotency_key"),
        ("correlation_id", "trace"),
    )
    readonly_fields = (
        *("status_shown", "took", "waits", "error", "route", "lane", "pattern", "position", "received", "completed"),
        *("versions", "attempts", "keys", "idempotency_key", "correlation_id", "trace"),
    )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        own = [
            path("<int:pk>/payload/", view(self.download), name="messaging_message_payload"),
            path("<int:pk>/resubmit/", view(self.resubmit), name="messaging_message_editor"),
            path("samples/", view(self.samples), name="messaging_message_samples"),
            path("<int:pk>/sample/", view(self.sample), name="messaging_message_sample"),
            path("endpoints/<int:pk>/test/", view(self.call_endpoint), name="messaging_endpoint_test"),
            path("routes/<int:pk>/activity/", view(self.activity), name="messaging_route_activity"),
            path("routes/<int:pk>/test/", view(self.send_message), name="messaging_route_test"),
        ]
        return [*own, *super().get_urls()]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verbs that can do something now; each looks again when it is meant."""
        message: Any = self.get_object(request, object_id)
        offered = super().get_actions_detail(request, object_id)
        if message is None:
            return offered
        ahead = message.position > message.lane.done_position
        has_payload = message.purged_at is None
        possible = {
            "retry": message.status in RETRYABLE and has_payload,
            "cancel": message.status in CANCELLABLE and ahead and message.standing(message.read_at) != PROCESSING,
            "edit": has_payload and may_see_payloads(request),
        }
        return [one for one in offered if possible[one.action_name.removeprefix("messaging_message_")]]

    @verb("Retry", "replay", "It is sent again. Where its lane has gone on without it, it goes to the end of its lane.")
    def retry(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return carry_out(
            self, request, object_id, lambda row: f"Queued. {operate.retry(row, by=request.user, reason=reason)}"
        )

    @verb("Cancel", "cancel", "It is not sent any more; its lane passes it over.")
    def cancel(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def do(message: Message) -> str:
            operate.cancel(message, by=request.user, reason=form.cleaned_data["reason"])
            return "Cancelled."

        return carry_out(self, request, object_id, do)

    @action(description="Edit and resubmit", icon="edit", permissions=["operate"])
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opens the editor; nothing is changed by following it."""
        return redirect("admin:messaging_message_editor", pk=object_id)

    def resubmit(self, request: HttpRequest, pk: int) -> HttpResponse:
        return resubmission.resubmit(self, request, pk)

    def samples(self, request: HttpRequest) -> HttpResponse:
        return samples.samples(self, request)

    def sample(self, request: HttpRequest, pk: int) -> HttpResponse:
        return samples.sample(self, request, pk)

    def call_endpoint(self, request: HttpRequest, pk: int) -> HttpResponse:
        return trials.call_endpoint(self, request, pk)

    def send_message(self, request: HttpRequest, pk: int) -> HttpResponse:
        return trials.send_message(self, request, pk)

    def activity(self, request: HttpRequest, pk: int) -> HttpResponse:
        return activity.activity(self, request, pk)

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The bytes exactly as they were received; that they were fetched is kept in the history."""
        if not self.has_view_permission(request) or not may_see_payloads(request):
            raise PermissionDenied
        message = get_object_or_404(Message, pk=pk)
        if message.purged_at is not None:
            raise Http404("Retention removed this payload.")
        audit.record(message, by=request.user, text="Downloaded the payload.")
        disposition = f'attachment; filename="{message.correlation_id}.bin"'
        return HttpResponse(
            bytes(message.body), content_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        context.update(story(context["original"], contents=may_see_payloads(request)))
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="Status")
    def status_shown(self, message: Any) -> SafeString:
        return status_label(message.standing(message.read_at))

    @display(description="Search keys")
    def keys(self, message: Message) -> str:
        return ", ".join(str(key) for key in message.search_keys.all()) or "–"

    @display(description="Received")
    def received(self, message: Message) -> str:
        return moment(message.received_at)

    @display(description="Completed")
    def completed(self, message: Message) -> str:
        return moment(message.completed_at)

    @display(description="Time")
    def took(self, message: Any) -> str:
        """From its acceptance to its end, or till now."""
        end = message.completed_at or message.read_at
        return duration(end - message.received_at)

    @display(description="What went wrong")
    def error(self, message: Message) -> str:
        result: Result | None = getattr(message, "result", None)
        told = (result.error if result is not None else None) or {}
        if result is not None and told.get("type") != type_of("destination-failed"):
            return error_in_words(told)
        # the source is told less of a call without an answer than the attempt knows
        last = message.attempt_set.defer(*CONTENTS).order_by("-number", "-pk").first()
        return last.detail if last is not None and last.detail else error_in_words(told)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the line about waiting where there is nothing to say."""
        stands = obj is not None and not obj.is_final and (obj.lane.hold or standstill(obj.route, now=obj.read_at))
        return self.fields if stands else [field for field in self.fields if field != "waits"]

    @display(description="Not sent because")
    def waits(self, message: Any) -> SafeString:
        stands = standstill(message.route, now=message.read_at)
        if message.lane.hold or stands is None:
            hold = Hold(message.lane.hold).label.lower()
            return format_html('<a class="platform-link" href="{}">Its lane is {}.</a>', page_of(message.lane), hold)
        return why(stands)

    @display(description="Trace id (W3C)")
    def trace(self, message: Message) -> str:
        """What it is called in tracing tools: the source's own trace, or the one that begins here."""
        return tracing.trace_of(message.headers or {}, message.correlation_id).trace_id

    @display(description="Mapped with")
    def versions(self, message: Message) -> SafeString:
        used = [version for version in (message.mapping_version, message.reply_mapping_version) if version]
        return links(used) if used else format_html("{}", "no mapping")


def story(message: Message, *, contents: bool) -> dict[str, Any]:
    """What the page shows below the facts; `contents`: payloads too, for those who may see them."""
    attempts = list(message.attempt_set.defer(*CONTENTS).order_by("-number", "-pk")[:SHOWN_ATTEMPTS])
    rows = [
        attempt_context(attempt, message, contents=contents and place < SHOWN_CONTENTS)
        for place, attempt in enumerate(attempts)
    ]
    told = {
        "rows": rows[::-1],
        "more": message.attempts - len(rows),
        "may_see": contents,
        "lineage": resubmission.lineage(message, contents=contents),
    }
    if not contents:
        return told
    return {
        **told,
        "payload": _payload_shown(message),
        "response": _response_shown(message),
        "headers": headers(message.headers),
        "content_type": message.content_type,
    }


def _payload_shown(message: Message) -> SafeString:
    if message.purged_at is not None:
        return format_html('<p class="platform-muted">Retention removed it at {}.</p>', moment(message.purged_at))
    return format_html(
        '{}<p><a class="platform-link" href="{}">Download the {} bytes as they came</a></p>',
        payload(message.body, message.content_type),
        reverse("admin:messaging_message_payload", args=[message.pk]),
        f"{len(message.body):,}",
    )


def _response_shown(message: Message) -> SafeString:
    result: Result | None = getattr(message, "result", None)
    if result is None or result.status_code is None:
        said = "There is none." if message.is_final else "There is none yet."
        return format_html('<p class="platform-muted">{}</p>', said)
    return format_html(
        "{}<p>Status {}, {}</p>",
        payload(result.body, result.content_type),
        result.status_code,
        result.content_type or "no content type",
    )
