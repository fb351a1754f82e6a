"""Edit and resubmit: the payload of a message in an editor, and where a message came from."""

from hashlib import sha256
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connectors import formats
from connectors.admin.base import page_of
from messages import operate
from messages.admin.display import may_see_payloads, status_label
from messages.admin.sides import Body, changes
from messages.exceptions import LaneUnavailable, NotPossible, Refused
from messages.models import Message

EDITABLE_BYTES = 1024 * 1024
SHOWN_MADE = 20


class ResubmissionForm(forms.Form):
    payload = forms.CharField(strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 24, "spellcheck": "false"}))
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in both histories.")
    compared = forms.CharField(required=False, widget=forms.HiddenInput)
    """Names the payload whose difference was shown: only that one is sent."""

    @property
    def body(self) -> bytes:
        return str(self.cleaned_data["payload"]).replace("\r\n", "\n").encode()

    def digest(self) -> str:
        return sha256(self.body).hexdigest()


def resubmit(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """The editor. Its first POST shows what was changed, the next one makes the new message of just that and shows it.

    The payload's own digits and letters stay.
    """
    if not page.has_operate_permission(request) or not may_see_payloads(request):
        raise PermissionDenied
    message = get_object_or_404(Message, pk=pk)
    text = None if message.purged_at is not None else editable(bytes(message.body))
    if text is None:
        page.message_user(request, "This payload cannot be edited here: it is no text, too long, or gone.", "warning")
        return redirect(page_of(message))
    form = ResubmissionForm(request.POST or None, initial={"payload": text})
    is_compared = form.is_valid() and form.cleaned_data["compared"] == form.digest()
    if is_compared and (made := _made(request, message, form)) is not None:
        page.message_user(request, f"Resubmitted as {made}.", "success")
        return redirect(page_of(made))
    context = {
        **page.admin_site.each_context(request),
        "title": "Edit and resubmit",
        "opts": page.opts,
        "original": message,
        "message_url": page_of(message),
        "form": form,
        "replaces": not message.is_final or message.position > message.lane.done_position,
    }
    if form.is_valid():
        context |= _compared(message, form)
    return TemplateResponse(request, "admin/messaging/message/resubmit.html", context)


def _compared(message: Message, form: ResubmissionForm) -> dict[str, Any]:
    """What was changed, shown above the editor; the form comes back with the name of what is shown."""
    form.data = {**form.data.dict(), "compared": form.digest()}  # type: ignore[attr-defined] # what was posted
    edited = Body(form.body, message.content_type)
    return {"is_compared": True, "changes": changes(Body(bytes(message.body), message.content_type), edited)}


def _made(request: HttpRequest, message: Message, form: ResubmissionForm) -> Message | None:
    """The new message, or None after the form was told why there is none."""
    try:
        return operate.resubmit(message, form.body, by=request.user, reason=form.cleaned_data["reason"])
    except Refused as refused:
        for error in refused.errors or []:
            form.add_error("payload", f"{error['path'] or 'payload'}: {error['message']}")
        if not refused.errors:
            form.add_error("payload", str(refused))
    except (NotPossible, LaneUnavailable) as error:
        form.add_error(None, str(error))
    return None


def editable(body: bytes) -> str | None:
    """The payload as text, JSON on one line indented; None if it is too long or no text."""
    if len(body) > EDITABLE_BYTES:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if "\n" in text.strip() else readable(body) or text


def readable(body: bytes) -> str | None:
    """JSON with an indent; None for anything else."""
    try:
        return formats.dump_pretty(formats.parse(body))
    except (formats.MalformedBody, formats.UnwritableValue):
        return None


def lineage(message: Message, *, contents: bool) -> dict[str, Any]:
    """What it was made of and what was made of it, with the difference for those who may see payloads."""
    before = message.resubmission_of
    made = Message.objects.filter(resubmission_of=message.pk).without_body().order_by("pk")[:SHOWN_MADE]
    return {
        "before": None if before is None else (page_of(before), before),
        "made": [(page_of(one), one, status_label(one.status)) for one in made],
        "changes": _changed(before, message) if before is not None and contents else None,
    }


def _changed(before: Message, after: Message) -> list[dict[str, Any]] | None:
    if before.purged_at is not None or after.purged_at is not None:
        return None
    return changes(*(Body(bytes(one.body), one.content_type) for one in (before, after)))
