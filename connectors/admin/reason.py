"""Verbs of a page: a dialog asks for the reason, and only its POST does anything."""

from collections.abc import Callable
from typing import Any

from django import forms
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget


class ReasonForm(BaseDialogForm):
    """Why: kept in the history. `for_good`: what it does cannot be taken back, and its button is red."""

    for_good = False
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def verb(
    title: str,
    icon: str,
    description: str,
    *,
    form: type[ReasonForm] = ReasonForm,
    question: str = "",
    submit: str = "",
    permission: str = "operate",
) -> Callable[[Callable[..., Any]], Any]:
    """Makes a method of a page one: `title` on its button, `question` and `submit` where they say more than that."""
    dialog = {
        "title": question or f"{title}?",
        "description": description,
        "form_class": form,
        "form_submit_text": submit or title,
    }
    variant = ActionVariant.DANGER if form.for_good else ActionVariant.DEFAULT
    return action(description=title, icon=icon, permissions=[permission], dialog=dialog, variant=variant)
