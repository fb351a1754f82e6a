"""Lanes and workers: what stands still, and who works."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors.admin.base import ReadOnly, link, listed
from connectors.admin.reason import ReasonForm, verb
from connectors.models import Route
from messages import operate
from messages.admin import lane_story
from messages.admin.display import duration, label, moment
from messages.admin.once import ReadOnce
from messages.admin.paging import FixedOrder
from messages.admin.saved_views import WithViews
from messages.admin.verbs import HeadForm, SkipForm, carry_out
from messages.choices import Hold, Standstill, Status
from messages.database import clock_reading
from messages.models import Lane, Message, SavedView, Worker
from messages.standing import WITH_STANDING, standstill


class WorkFilter(admin.SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", "Standing still"), ("leased", "Being worked"), ("all", "All, idle ones too")]

    def choices(self, changelist: Any) -> Any:
        """The first one is what is shown where nothing is chosen."""
        first, *others = super().choices(changelist)
        return [{**first, "display": "Waiting or standing still"}, *others]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Lane]:
        match self.value():
            case None | "waiting" if shows_busy(request):
                return queryset.busy()
            case "waiting":
                return queryset.with_work()
            case "held":
                return queryset.held()
            case "leased":
                return queryset.leased(clock_reading())
        return queryset


def shows_busy(request: HttpRequest) -> bool:
    """Lanes with work and held ones, those that stand still first; whoever asks for certain lanes gets these, all."""
    return set(request.GET) <= {"work", "p"} and request.GET.get("work", "waiting") == "waiting"


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
TROUBLE_FIRST = ("-is_blocked", "-is_held", "due_at", "-pk")
SILENT_AFTER = timedelta(minutes=1)


@admin.register(Lane)
class LaneAdmin(WithViews, FixedOrder, ReadOnce, ReadOnly, ModelAdmin):
    views_of = SavedView.List.LANES
    list_display = ("__str__", "standing", "waiting", "oldest", "reason_shown", "next_look", "worker")
    list_filter = (WorkFilter, "hold", "route")
    actions_detail = ("try_now", "retry_head", "skip_head", "pause", "resume")
    list_select_related = ("route", *(f"route__{name}" for name in WITH_STANDING))
    search_fields = ("key",)
    search_help_text = "An ordering key, exactly"
    change_form_outer_before_template = "admin/messaging/lane/standing.html"
    fieldsets = (
        (None, {"fields": (("route", "key"), ("next_look", "messages_link"))}),
        (
            "Internals",
            {
                "classes": ("collapse",),
                "fields": (("last_position", "done_position"), ("owner", "leased_until"), ("token", "strikes")),
            },
        ),
    )
    readonly_fields = (
        *("route", "key", "last_position", "done_position", "next_look"),
        *("strikes", "owner", "leased_until", "token", "messages_link"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        return super().get_queryset(request).select_related(*self.list_select_related).annotate(read_at=Now())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Its rows with their heads; busy lanes in the order of their trouble, all lanes in no order that costs."""
        base = super().get_changelist(request, **kwargs)
        order = list(TROUBLE_FIRST) if shows_busy(request) else list(self.ordering)

        class LaneChangeList(base):  # type: ignore[misc, valid-type]
            def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
                return order

            def get_results(self, request: HttpRequest) -> None:
                super().get_results(request)
                self.result_list: list[Lane] = list(self.result_list)
                lane_story.attach(self.result_list)

        return LaneChangeList

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        lane: Any = context["original"]
        lane_story.attach([lane])
        standing = self.standing(lane)
        colour = STANDING_COLOURS[standing]
        context["standing"] = lane_story.standing(lane, state=label(standing, colour), colour=colour)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        if "HX-Request" in request.headers and request.GET.get("standing") != lane_story.signature(lane):
            response["HX-Refresh"] = "true"  # it is held, freed or empty by now: its verbs are others
        return response

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

    @display(description="Waiting")
    def waiting(self, lane: Lane) -> int:
        return lane.depth

    @display(description="Next look")
    def next_look(self, lane: Lane) -> str:
        return moment(lane.due_at)

    @display(description="Leased until")
    def leased_until(self, lane: Lane) -> str:
        return moment(lane.lease_until)

    @display(description="Oldest")
    def oldest(self, lane: Any) -> str:
        head = lane.head_message
        return "–" if head is None else duration(lane.read_at - head.received_at)

    @display(description="In the hands of")
    def worker(self, lane: Lane) -> str:
        return lane.owner or "–"

    @display(description="Why")
    def reason_shown(self, lane: Any) -> str:
        return lane_story.why(lane) or "–"

    @display(description="Messages")
    def messages_link(self, lane: Lane) -> SafeString:
        return link(listed("messaging_message", lane=lane.pk), "All of this lane, newest first")

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm("messaging.operate_lane")

    @verb(
        "Retry head",
        "replay",
        "The dead head is sent again and keeps its place; what waits behind it follows.",
        form=HeadForm,
        question="Retry this message?",
    )
    def retry_head(self, request: HttpRequest, form: HeadForm, object_id: str) -> HttpResponse:
        return self._operate(operate.retry_head, "Retried the head", request, form, object_id)

    @verb(
        "Skip head",
        "skip_next",
        "The head is cancelled for good, and the lane goes on with the next message.",
        form=SkipForm,
        question="Skip this message?",
    )
    def skip_head(self, request: HttpRequest, form: HeadForm, object_id: str) -> HttpResponse:
        return self._operate(operate.skip_head, "Skipped the head", request, form, object_id)

    @verb("Try now", "fast_forward", "The head does not wait out its pause; this uses one of the attempts it has left.")
    def try_now(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.try_now, "Hurried the head", request, form, object_id)

    @verb("Pause", "pause", "Messages are accepted and wait in this lane.")
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.pause, "Paused", request, form, object_id)

    @verb("Resume", "play_arrow", "Waiting messages are sent, in order.")
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._operate(operate.resume, "Resumed", request, form, object_id)

    def _operate(
        self, do: Callable[..., None], done: str, request: HttpRequest, form: Any, object_id: str
    ) -> HttpResponse:
        given = {name: form.cleaned_data[name] for name in ("reason", "position") if name in form.cleaned_data}

        def carry(lane: Lane) -> str:
            do(lane, by=request.user, **given)
            return f"{done}: {lane}."

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
