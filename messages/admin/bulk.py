"""Bulk actions: what is selected is counted and frozen, confirmed on its page, and followed there."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from connectors.admin.base import ReadOnly, listed, page_of
from connectors.admin.reason import ReasonForm, verb
from messages import bulk
from messages.admin.display import label, moment, status_label
from messages.admin.evidence import EvidenceAdmin
from messages.admin.once import ReadOnce
from messages.admin.paging import PASSING, FixedOrder
from messages.admin.verbs import carry_out, row_of
from messages.choices import BulkState, BulkVerb, ItemState
from messages.exceptions import NotPossible
from messages.models import Bulk, BulkItem, Message

OPERATE = "messaging.operate_message"
TYPED_ABOVE = 1_000
SHOWN_REFUSED = 50
SHOWN_DONE = 10
STATE_COLOURS = {
    BulkState.COLLECTING: "default",
    BulkState.PREPARED: "warning",
    BulkState.RUNNING: "info",
    BulkState.FINISHED: "success",
    BulkState.STOPPED: "danger",
}
LEFT_OUT = frozenset({*PASSING, "o", "q", "all", "_changelist_filters"})


def prepare(page: Any, request: HttpRequest, kind: BulkVerb, messages: QuerySet[Message]) -> HttpResponse | None:
    """Freezes what is selected in the message list, and shows it for confirmation."""
    try:
        made = bulk.prepare(kind, messages.select_related(None), by=request.user, selection=selection_in_words(request))
    except NotPossible as error:
        page.message_user(request, str(error), level="warning")
        return None
    return redirect(page_of(made))


def selection_in_words(request: HttpRequest) -> str:
    if request.POST.get("select_across") != "1":
        return "chosen one by one"
    search = [f"search “{request.GET['q']}”"] if request.GET.get("q") else []
    filters = [
        f"{name.removesuffix('__exact').removesuffix('__id').replace('_', ' ')}: {value}"
        for name, value in request.GET.items()
        if name not in LEFT_OUT
    ]
    return ", ".join([*search, *filters]) or "all messages"


class StartForm(ReasonForm):
    """Repeats what will happen, to how many.

    Above TYPED_ABOVE messages the number has to be typed: a mistake of that size is not a click away.
    """

    form_before_template = "admin/messaging/bulk/about.html"

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        return {"made": self.made, "for_good": self.made.verb == BulkVerb.CANCEL}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        made = row_of(Bulk.objects.all(), self.object_id)
        if made is None:
            raise Http404
        self.made: Bulk = made
        if made.total > TYPED_ABOVE:
            self.total = made.total
            self.fields["typed"] = forms.IntegerField(
                label="Number of messages",
                widget=UnfoldAdminIntegerFieldWidget,
                help_text=f"Type {made.total} to confirm.",
            )

    def clean_typed(self) -> int:
        typed: int = self.cleaned_data["typed"]
        if typed != self.total:
            raise forms.ValidationError(f"These are {self.total} messages.")
        return typed


@admin.register(Bulk)
class BulkAdmin(FixedOrder, ReadOnce, ReadOnly, ModelAdmin):
    list_display = ("__str__", "state_listed", "selection", "come_far", "made_by", "made")
    list_display_links = ("__str__",)
    list_filter = ("state", "verb")
    list_select_related = ("made_by", "started_by")
    actions_detail = ("start", "stop")
    change_form_outer_after_template = "admin/messaging/bulk/progress.html"
    fields = (
        *(("state_shown", "verb"), ("selection", "total"), ("made_by", "made"), ("started_by", "finished")),
        "reason",
    )
    readonly_fields = (
        *("state_shown", "verb", "selection", "total", "made_by", "made", "started_by", "finished", "reason"),
    )

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(OPERATE)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verbs that can do something now."""
        made = self.get_object(request, object_id)
        state = made.state if made is not None else ""
        possible = {
            "start": state == BulkState.PREPARED,
            "stop": state in (BulkState.COLLECTING, BulkState.PREPARED, BulkState.RUNNING),
        }
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if possible[one.action_name.removeprefix("messaging_bulk_")]]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        told = progress(context["original"])
        context.update(told)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        if "HX-Request" in request.headers and not told["is_running"]:
            response["HX-Refresh"] = "true"  # it has come to its end: the facts and verbs around it change, too
        return response

    @display(description="Progress")
    def come_far(self, made: Bulk) -> str:
        refused = f", {made.refused:,} not possible" if made.refused else ""
        return f"{made.done:,} of {made.total:,} done{refused}, {made.left:,} left"

    @display(description="State", label=STATE_COLOURS)
    def state_listed(self, made: Bulk) -> str:
        return str(made.state)

    @display(description="State")
    def state_shown(self, made: Bulk) -> SafeString:
        return label(made.get_state_display(), STATE_COLOURS[BulkState(made.state)])

    @display(description="Made")
    def made(self, made: Bulk) -> str:
        return moment(made.made_at)

    @display(description="Ended")
    def finished(self, made: Bulk) -> str:
        return moment(made.finished_at)

    @verb(
        "Start",
        "play_arrow",
        "It is worked in the background, lane by lane and oldest first.",
        form=StartForm,
        question="Start this bulk action?",
    )
    def start(self, request: HttpRequest, form: StartForm, object_id: str) -> HttpResponse:
        def do(made: Bulk) -> str:
            if not bulk.start(made, by=request.user, reason=form.cleaned_data["reason"]):
                raise NotPossible("It has been started already, or it is over.")
            return "Started."

        return carry_out(self, request, object_id, do)

    @verb("Stop", "stop", "No further message is touched; what is done stays done.")
    def stop(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def do(made: Bulk) -> str:
            if not bulk.stop(made, by=request.user, reason=form.cleaned_data["reason"]):
                raise NotPossible("It is over already.")
            return "Stopped."

        return carry_out(self, request, object_id, do)


def progress(made: Bulk) -> dict[str, Any]:
    """What the page shows below the facts: how far it has come, what it is about, and what was not possible."""
    refused = BulkItem.objects.filter(bulk=made, state=ItemState.REFUSED).select_related("message")
    refused = refused.defer("message__body", "message__headers").order_by("pk")[:SHOWN_REFUSED]
    told: dict[str, Any] = {
        "percent": 100 * (made.total - made.left) // made.total if made.total else 0,
        "is_running": made.state == BulkState.RUNNING,
        "refused_items": [(page_of(item.message), item.message, item.note) for item in refused],
        "refused_more": max(0, made.refused - SHOWN_REFUSED),
        "items_url": listed("messaging_bulkitem", bulk=made.pk),
    }
    if made.state != BulkState.PREPARED:
        done = BulkItem.objects.filter(bulk=made).exclude(state=ItemState.WAITING).select_related("message")
        newest = done.defer("message__body", "message__headers").order_by("-pk")[:SHOWN_DONE]
        told["done_items"] = [
            (page_of(item.message), item.message, status_label(item.message.status), item.note) for item in newest
        ]
    if made.state == BulkState.PREPARED:
        counted = BulkItem.objects.filter(bulk=made).order_by().values_list("message__route__slug", "message__status")
        groups = counted.annotate(number=Count("pk")).order_by("message__route__slug", "message__status")
        told["groups"] = [(route, status_label(status), number) for route, status, number in groups]
    return told


@admin.register(BulkItem)
class BulkItemAdmin(EvidenceAdmin):
    list_display = ("message", "bulk", "state", "note")
    list_filter = ("state",)
    looked_up = frozenset({"bulk"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkItem]:
        return super().get_queryset(request).defer("message__body", "message__headers")
