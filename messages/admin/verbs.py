"""The operators' verbs on a page: a dialog asks for the reason, only its POST does anything."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.forms import BaseDialogForm

from connectors.admin.pausing import back_to
from connectors.admin.reason import ReasonForm
from messages.exceptions import NotPossible
from messages.models import Lane


class HeadForm(ReasonForm):
    """For verbs on a lane's head: carries the position of the head that was shown when the dialog opened."""

    position = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        number = str(self.object_id)
        lane = Lane.objects.filter(pk=number).first() if number.isdecimal() else None
        if lane is None:
            raise Http404
        self.initial["position"] = lane.head_position
        self.fields["reason"].help_text = f"It is about the message at position {lane.head_position:,}."


def verb(
    title: str, icon: str, description: str, *, form: type[BaseDialogForm] = ReasonForm
) -> Callable[[Callable[..., Any]], Any]:
    dialog = {"title": f"{title}?", "description": description, "form_class": form, "form_submit_text": title}
    return action(description=title, icon=icon, permissions=["operate"], dialog=dialog)


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
