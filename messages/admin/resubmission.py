"""Edit and resubmit: the payload of a message in an editor, and where a message came from."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connectors import formats
from connectors.admin.base import page_of
from connectors.admin.comparing import changed_lines
from messages import operate
from messages.admin.display import may_see_payloads
from messages.exceptions import LaneUnavailable, NotPossible, Refused
from messages.models import Message

EDITABLE_BYTES = 1024 * 1024
COMPARED_BYTES = 256 * 1024
"""Longer payloads are not compared on the page: nobody waits for it."""


class ResubmissionForm(forms.Form):
    payload = forms.CharField(strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 24, "spellcheck": "false"}))
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in both histories.")


def resubmit(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """The editor; its POST makes the new message and shows it. The payload's own digits and letters stay."""
    if not page.has_operate_permission(request) or not may_see_payloads(request):
        raise PermissionDenied
    message = get_object_or_404(Message, pk=pk)
    text = None if message.purged_at is not None else editable(bytes(message.body))
    if text is None:
        page.message_user(request, "This payload cannot be edited here: it is no text, too long, or gone.", "warning")
        return redirect(page_of(message))
    form = ResubmissionForm(request.POST or None, initial={"payload": text})
    if form.is_valid() and (made := _made(request, message, form)) is not None:
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
    return TemplateResponse(request, "admin/messaging/message/resubmit.html", context)


def _made(request: HttpRequest, message: Message, form: ResubmissionForm) -> Message | None:
    """The new message, or None after the form was told why there is none."""
    body = form.cleaned_data["payload"].replace("\r\n", "\n").encode()
    try:
        return operate.resubmit(message, body, by=request.user, reason=form.cleaned_data["reason"])
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
    made = Message.objects.filter(resubmission_of=message.pk).without_body().order_by("pk")[:20]
    return {
        "before": None if before is None else (page_of(before), before),
        "made": [(page_of(one), one) for one in made],
        "difference": difference(before, message) if before is not None and contents else [],
    }


def difference(before: Message, after: Message) -> list[tuple[str, str]]:
    """Changed lines with their surroundings, as (kind, text); kind is "added", "removed" or "same"."""
    bodies = bytes(before.body), bytes(after.body)
    if before.purged_at is not None or after.purged_at is not None or max(map(len, bodies)) > COMPARED_BYTES:
        return []
    old, new = (readable(body) or body.decode(errors="replace") for body in bodies)
    return changed_lines(old.splitlines(), new.splitlines())
