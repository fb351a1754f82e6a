"""Lanes and workers: what stands still, and who works."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import ReadOnly, page_of
from connectors.models import Route
from messages import operate
from messages.admin.display import duration, label, moment, status_label, why
from messages.admin.paging import FixedOrder, UncountedPaginator
from messages.admin.saved_views import WithViews
from messages.admin.verbs import HeadForm, ReasonForm, carry_out, verb
from messages.choices import Hold, Standstill, Status
from messages.database import clock_reading
from messages.models import Lane, Message, SavedView, Worker
from messages.standing import WITH_STANDING, standstill


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


STANDING_COLOURS = {
    "idle": "default",
    "working": "info",
    "waiting": "info",
    "backing off": "warning",
    "paused": "warning",
    "blocked": "danger",
    Standstill.ROUTE_PAUSED.label: "warning",
    Standstill.ENDPOINT_PAUSED.label: "warning",
    Standstill.UNUSABLE.label: "danger",
    Standstill.CIRCUIT_OPEN.label: "danger",
    Standstill.LIMIT_REACHED.label: "warning",
}
SILENT_AFTER = timedelta(minutes=1)


@admin.register(Lane)
class LaneAdmin(WithViews, FixedOrder, ReadOnly, ModelAdmin):
    views_of = SavedView.List.LANES
    list_display = ("__str__", "standing", "waiting", "last_position", "next_look", "owner")
    list_filter = (WorkFilter, "hold", "route")
    actions_detail = ("try_now", "retry_head", "skip_head", "pause", "resume")
    list_select_related = ("route", *(f"route__{name}" for name in WITH_STANDING))
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    search_fields = ("key",)
    search_help_text = "An ordering key, exactly"
    fields = (
        ("standing_shown", "waiting"),
        "head",
        ("route", "key"),
        ("last_position", "done_position"),
        ("next_look", "strikes"),
        ("owner", "leased_until"),
        ("token", "messages_link"),
    )
    readonly_fields = (
        *("standing_shown", "waiting", "head", "route", "key", "last_position", "done_position", "next_look"),
        *("strikes", "owner", "leased_until", "token", "messages_link"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        return super().get_queryset(request).annotate(read_at=Now())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """By the index on (route, key): every route is named, since a key alone would be looked for in all rows."""
        if not search_term:
            return queryset, False
        return queryset.filter(route__in=list(Route.objects.values_list("pk", flat=True)), key=search_term), False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verbs that can do something now; each looks again when it is meant."""
        lane: Any = self.get_object(request, object_id)
        offered = super().get_actions_detail(request, object_id)
        if lane is None:
            return offered
        possible = {
            "try_now": not lane.hold and lane.due_at is not None and lane.due_at > lane.read_at,
            "retry_head": lane.hold == Hold.BLOCKED or (lane.hold == Hold.PAUSED and self._head_is_dead(lane)),
            "skip_head": lane.depth > 0 and self.standing(lane) != "working",
            "pause": lane.hold != Hold.PAUSED,
            "resume": lane.hold == Hold.PAUSED,
        }
        return [verb for verb in offered if possible[verb.action_name.removeprefix("messaging_lane_")]]

    def _head_is_dead(self, lane: Lane) -> bool:
        return Message.objects.filter(lane=lane, position=lane.head_position, status=Status.DEAD).exists()

    @display(description="State", label=STANDING_COLOURS)
    def standing(self, lane: Any) -> str:
        if lane.hold:
            return str(lane.hold)
        if lane.lease_until is not None and lane.lease_until > lane.read_at:
            return "working"
        if lane.due_at is None:
            return "idle"
        if (stands := standstill(lane.route, now=lane.read_at)) is not None:
            return stands.kind.label
        return "backing off" if lane.due_at > lane.read_at else "waiting"

    @display(description="State")
    def standing_shown(self, lane: Any) -> SafeString:
        standing = self.standing(lane)
        stands = standstill(lane.route, now=lane.read_at)
        shown = label(standing, STANDING_COLOURS[standing])
        return format_html("{} {}", shown, why(stands)) if stands and stands.kind.label == standing else shown

    @display(description="Waiting messages")
    def waiting(self, lane: Lane) -> int:
        return lane.depth

    @display(description="Next look")
    def next_look(self, lane: Lane) -> str:
        return moment(lane.due_at)

    @display(description="Leased until")
    def leased_until(self, lane: Lane) -> str:
        return moment(lane.lease_until)

    @display(description="Head, the oldest that waits")
    def head(self, lane: Any) -> SafeString:
        message = Message.objects.filter(lane=lane, position=lane.head_position).without_body().first()
        if message is None:
            return format_html("{}", "–")
        waits = "received" if message.status == Status.DEAD else "waiting since"
        return format_html(
            '{} <a class="platform-link" href="{}">{}</a>, {} {} ({})',
            *(status_label(message.status), page_of(message), message, waits, moment(message.received_at)),
            duration(lane.read_at - message.received_at),
        )

    @display(description="Messages")
    def messages_link(self, lane: Lane) -> SafeString:
        url = f"{reverse('admin:messaging_message_changelist')}?lane={lane.pk}"
        return format_html('<a class="platform-link" href="{}">All of this lane, newest first</a>', url)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm("messaging.operate_lane")

    @verb(
        "Retry head",
        "replay",
        "The dead head is sent again and keeps its place; what waits behind it follows.",
        form=HeadForm,
    )
    def retry_head(self, request: HttpRequest, form: HeadForm, object_id: str) -> HttpResponse:
        return self._operate(operate.retry_head, request, form, object_id)

    @verb(
        "Skip head",
        "skip_next",
        "The head is cancelled for good, and the lane goes on with the next message.",
        form=HeadForm,
    )
    def skip_head(self, request: HttpRequest, form: HeadForm, object_id: str) -> HttpResponse:
        return self._operate(operate.skip_head, request, form, object_id)

    @verb("Try now", "fast_forward", "The head does not wait out its pause; this uses one of the attempts it has left.")
    def try_now(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.try_now, request, form, object_id)

    @verb("Pause", "pause", "Messages are accepted and wait in this lane.")
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.pause, request, form, object_id)

    @verb("Resume", "play_arrow", "Waiting messages are sent, in order.")
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.resume, request, form, object_id)

    def _operate(self, do: Callable[..., None], request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        given = {name: form.cleaned_data[name] for name in ("reason", "position") if name in form.cleaned_data}

        def carry(lane: Lane) -> str:
            do(lane, by=request.user, **given)
            return f"Done: {lane}."

        return carry_out(self, request, object_id, carry)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, ModelAdmin):
    list_display = ("name", "state", "started", "seen")
    fields = ("name", "state", "started", "seen")
    readonly_fields = ("state", "started", "seen")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return super().get_queryset(request).annotate(read_at=Now())

    @display(description="State")
    def state(self, worker: Any) -> SafeString:
        well = worker.read_at - worker.seen_at < SILENT_AFTER
        return label("well", "success") if well else label("silent", "danger")

    @display(description="Started", ordering="started_at")
    def started(self, worker: Worker) -> str:
        return moment(worker.started_at)

    @display(description="Last seen", ordering="seen_at")
    def seen(self, worker: Worker) -> str:
        return moment(worker.seen_at)
