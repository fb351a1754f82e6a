"""What a verb asks of whoever uses it."""

from django import forms
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget


class ReasonForm(BaseDialogForm):
    """Why: kept in the history. `for_good`: what it does cannot be taken back, and its button is red."""

    for_good = False
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)
