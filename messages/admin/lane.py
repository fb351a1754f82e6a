"""Lanes and workers: what stands still, and who works."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from connectors.admin.base import ReadOnly
from connectors.admin.pausing import back_to
from messages import operate
from messages.admin.display import duration, moment
from messages.admin.paging import UncountedPaginator
from messages.database import clock_reading
from messages.exceptions import NotPossible
from messages.models import Lane, Message, Worker


class WorkFilter(admin.SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "With waiting messages"), ("held", "Standing still"), ("leased", "Being worked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Lane]:
        match self.value():
            case "waiting":
                return queryset.with_work()
            case "held":
                return queryset.held()
            case "leased":
                return queryset.leased(clock_reading())
        return queryset


class ReasonForm(BaseDialogForm):
    """Why: kept in the lane's history."""

    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def verb(title: str, icon: str, description: str) -> Callable[[Callable[..., Any]], Any]:
    """An operator's verb on a lane's page: a dialog asks for the reason, only its POST does anything."""
    dialog = {"title": f"{title}?", "description": description, "form_class": ReasonForm, "form_submit_text": title}
    return action(description=title, icon=icon, permissions=["operate"], dialog=dialog)


@admin.register(Lane)
class LaneAdmin(ReadOnly, ModelAdmin):
    list_display = ("__str__", "standing", "waiting", "last_position", "next_look", "owner")
    list_filter = (WorkFilter, "hold", "route")
    actions_detail = ("retry_head", "skip_head", "pause", "resume")
    list_select_related = ("route",)
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    search_fields = ("key__exact",)
    search_help_text = "An ordering key, exactly"
    fields = (
        "route",
        "key",
        "standing",
        "waiting",
        "head",
        "last_position",
        "done_position",
        "next_look",
        "owner",
        "lease_until",
        "strikes",
        "token",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        return (
            super().get_queryset(request).annotate(waiting_found=F("last_position") - F("done_position"), read_at=Now())
        )

    @display(
        description="State",
        label={
            "idle": "default",
            "working": "info",
            "waiting": "info",
            "backing off": "warning",
            "paused": "warning",
            "blocked": "danger",
        },
    )
    def standing(self, lane: Any) -> str:
        if lane.hold:
            return str(lane.hold)
        if lane.lease_until is not None and lane.lease_until > lane.read_at:
            return "working"
        if lane.due_at is None:
            return "idle"
        return "backing off" if lane.due_at > lane.read_at else "waiting"

    @display(description="Waiting messages", ordering="waiting_found")
    def waiting(self, lane: Lane) -> int:
        return lane.depth

    @display(description="Next look")
    def next_look(self, lane: Lane) -> str:
        return moment(lane.due_at)

    @display(description="Head")
    def head(self, lane: Any) -> SafeString:
        message = Message.objects.filter(lane=lane, position=lane.head_position).without_body().first()
        if message is None:
            return format_html("{}", "–")
        url = reverse("admin:messaging_message_change", args=[message.pk])
        age = duration(lane.read_at - message.received_at)
        return format_html(
            '<a class="platform-link" href="{}">{}</a>, {}, waiting for {}', url, message, message.status, age
        )

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm("messaging.operate_lane")

    @verb("Retry head", "replay", "The dead head is sent again and keeps its place; what waits behind it follows.")
    def retry_head(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.retry_head, request, form, object_id)

    @verb("Skip head", "skip_next", "The head is cancelled for good, and the lane goes on with the next message.")
    def skip_head(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.skip_head, request, form, object_id)

    @verb("Pause", "pause", "Messages are accepted and wait in this lane.")
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.pause, request, form, object_id)

    @verb("Resume", "play_arrow", "Waiting messages are sent, in order.")
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.resume, request, form, object_id)

    def _operate(self, do: Callable[..., None], request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        lane = Lane.objects.get(pk=object_id)
        try:
            do(lane, by=request.user, reason=form.cleaned_data["reason"])
            self.message_user(request, f"Done: {lane}.", level="success")
        except NotPossible as error:
            self.message_user(request, str(error), level="warning")
        return back_to(request, lane)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, ModelAdmin):
    list_display = ("name", "state", "started_at", "seen_at")

    @display(description="State", label={"well": "success", "silent": "danger"})
    def state(self, worker: Worker) -> str:
        return "well" if clock_reading() - worker.seen_at < timedelta(minutes=1) else "silent"
