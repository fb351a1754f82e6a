"""Messages: find one, see what happened to it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from connectors import audit
from connectors.admin.base import ReadOnly, links
from connectors.admin.reason import verb
from messages import operate, tracing
from messages.admin import activity, resubmission, samples, story, trials
from messages.admin.display import (
    may_see_payloads,
    moment,
)
from messages.admin.message_list import MessageList
from messages.admin.once import ReadOnce
from messages.admin.paging import key_in
from messages.admin.timeline import DOWNLOADED
from messages.admin.verbs import CancelForm, MessageForm, carry_out
from messages.choices import PROCESSING
from messages.models import Message
from messages.standing import WITH_STANDING
from messages.steering import CANCELLABLE, RETRYABLE

SHOWN_WITH = (
    *("route", "lane", "lane__route", "result", "resubmission_of"),
    *(f"route__{name}" for name in WITH_STANDING),
    *("mapping_version__mapping", "reply_mapping_version__mapping"),
)
UNSHOWN = ("route__schema", "route__endpoint__auth_secrets", "lane__route__schema", "resubmission_of__headers")


@admin.register(Message)
class MessageAdmin(MessageList, ReadOnce, ReadOnly, ModelAdmin):
    """The page of one message, and the addresses around it; `message_list` says what the list is."""

    actions_detail = ("retry", "cancel", "edit")
    change_form_outer_before_template = "admin/messaging/message/standing.html"
    change_form_outer_after_template = "admin/messaging/message/story.html"
    fields = (
        ("route_shown", "lane_shown"),
        ("versions", "pattern"),
        ("received", "completed"),
        ("keys", "idempotency_key"),
        ("attempts", "trace"),
    )
    readonly_fields = tuple(name for pair in fields for name in pair)

    def read_object(self, request: HttpRequest, object_id: Any, from_field: str | None) -> Any:
        """All that its page shows of it in one query; the payload only where it is shown."""
        key = key_in(object_id)
        if key is None:
            return None
        bodies = ("body", "resubmission_of__body")
        unread = () if may_see_payloads(request) and "HX-Request" not in request.headers else bodies
        rows = self.get_queryset(request).select_related(*SHOWN_WITH).defer(None).defer(*unread, *UNSHOWN)
        return story.with_neighbours(rows).filter(pk=key).first()

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

    @verb(
        "Retry",
        "replay",
        "It is sent again. Where its lane has gone on without it, it goes to the end of its lane.",
        form=MessageForm,
        question="Retry this message?",
    )
    def retry(self, request: HttpRequest, form: MessageForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return carry_out(
            self, request, object_id, lambda row: f"Queued. {operate.retry(row, by=request.user, reason=reason)}"
        )

    @verb(
        "Cancel it",
        "cancel",
        "It is not sent any more; its lane passes it over.",
        form=CancelForm,
        question="Cancel this message?",
    )
    def cancel(self, request: HttpRequest, form: CancelForm, object_id: str) -> HttpResponse:
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
        audit.record(message, by=request.user, text=DOWNLOADED)
        disposition = f'attachment; filename="{message.correlation_id}.bin"'
        return HttpResponse(
            bytes(message.body), content_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        message, renews = context["original"], "HX-Request" in request.headers
        context.update(story.story(message, contents=may_see_payloads(request), renews=renews))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        if renews and (message.is_final or request.GET.get("attempts") != str(message.attempts)):
            response["HX-Refresh"] = "true"  # something came of it: the facts, bodies and verbs around it change, too
        return response

    @display(description="Search keys")
    def keys(self, message: Message) -> str:
        return ", ".join(str(key) for key in message.search_keys.all()) or "–"

    @display(description="Received")
    def received(self, message: Message) -> str:
        return moment(message.received_at)

    @display(description="Completed")
    def completed(self, message: Message) -> str:
        return moment(message.completed_at)

    @display(description="Route")
    def route_shown(self, message: Message) -> SafeString:
        """Whether it is still as it was for this message."""
        changed = message.route.updated_at
        since = f", changed since then, at {changed:%Y-%m-%d %H:%M}" if changed > message.received_at else ""
        return format_html("{}{}", links([message.route]), since)

    @display(description="Lane")
    def lane_shown(self, message: Message) -> SafeString:
        return links([message.lane])

    @display(description="Trace id (W3C)")
    def trace(self, message: Message) -> SafeString:
        """What it is called in tracing tools: the source's own trace, or the one that begins here."""
        trace = tracing.trace_of(message.headers or {}, message.correlation_id)
        return format_html('<span class="platform-break">{}</span>', trace.trace_id)

    @display(description="Mapped with")
    def versions(self, message: Message) -> SafeString:
        used = [version for version in (message.mapping_version, message.reply_mapping_version) if version]
        return links(used) if used else format_html("{}", story.versions_in_words(message))
