"""The operators' verbs on a page: a dialog asks for the reason, only its POST does anything."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant

from connectors.admin.pausing import back_to
from connectors.admin.reason import ReasonForm
from messages.admin.display import moment, status_label
from messages.admin.evidence import wrong_with
from messages.admin.once import MAX_KEY_DIGITS
from messages.exceptions import NotPossible
from messages.models import Lane, Message


class MessageForm(ReasonForm):
    """Names the message, and what went wrong with it."""

    form_before_template = "admin/messaging/message/about.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.message = self.find()

    def find(self) -> Message | None:
        found = _of(Message.objects.without_body().select_related("result").defer("result__body"), self.object_id)
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
        lane = _of(Lane.objects.all(), self.object_id)
        if lane is None:
            raise Http404
        self.initial["position"] = lane.head_position
        return Message.objects.filter(lane=lane, position=lane.head_position).without_body().first()


class SkipForm(HeadForm):
    for_good = True


def _of(rows: QuerySet[Any], object_id: Any) -> Any:
    number = str(object_id)
    return rows.filter(pk=number).first() if number.isdecimal() and len(number) <= MAX_KEY_DIGITS else None


def verb(
    title: str, icon: str, description: str, *, form: type[ReasonForm] = ReasonForm, question: str = ""
) -> Callable[[Callable[..., Any]], Any]:
    dialog = {
        "title": question or f"{title}?",
        "description": description,
        "form_class": form,
        "form_submit_text": title,
    }
    variant = ActionVariant.DANGER if form.for_good else ActionVariant.DEFAULT
    return action(description=title, icon=icon, permissions=["operate"], dialog=dialog, variant=variant)


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
