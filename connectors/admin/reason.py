"""What a verb asks of whoever uses it."""

from django import forms
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget


class ReasonForm(BaseDialogForm):
    """Why: kept in the history."""

    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)
