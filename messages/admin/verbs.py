"""The operators' verbs on a page: a dialog asks for the reason, only its POST does anything."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from connectors.admin.pausing import back_to
from connectors.admin.reason import ReasonForm
from messages.admin.display import moment, status_label
from messages.admin.evidence import wrong_with
from messages.admin.paging import key_in
from messages.exceptions import NotPossible
from messages.models import Lane, Message


class MessageForm(ReasonForm):
    """Names the message, and what went wrong with it."""

    form_before_template = "admin/messaging/message/about.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.message = self.find()

    def find(self) -> Message | None:
        found = row_of(Message.objects.without_body().select_related("result").defer("result__body"), self.object_id)
        if found is None:
            raise Http404
        return found

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        message = self.message
        if message is None:
            return {"for_good": self.for_good}
        return {
            "for_good": self.for_good,
            "message": message,
            "status": status_label(message.status),
            "received": moment(message.received_at),
            "wrong": wrong_with(message),
        }


class CancelForm(MessageForm):
    for_good = True


class HeadForm(MessageForm):
    """For verbs on a lane's head: carries the position of the head that was shown when the dialog opened."""

    position = forms.IntegerField(widget=forms.HiddenInput)

    def find(self) -> Message | None:
        lane = row_of(Lane.objects.all(), self.object_id)
        if lane is None:
            raise Http404
        self.initial["position"] = lane.head_position
        return Message.objects.filter(lane=lane, position=lane.head_position).without_body().first()


class SkipForm(HeadForm):
    for_good = True


def row_of(rows: QuerySet[Any], object_id: Any) -> Any:
    """The row that a dialog is about; None if there is none."""
    key = key_in(object_id)
    return None if key is None else rows.filter(pk=key).first()


def carry_out(page: Any, request: HttpRequest, object_id: str, do: Callable[[Any], str]) -> HttpResponse:
    """Does it to the row of this page, says what came of it, and shows the row again."""
    row = page.get_object(request, object_id)
    if row is None:
        raise Http404
    try:
        page.message_user(request, do(row), level="success")
    except NotPossible as error:
        page.message_user(request, str(error), level="warning")
    return back_to(request, row)
