"""Pause and resume: the operators' verbs of routes and endpoints alike."""

from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from connectors import audit
from connectors.admin.base import page_of
from connectors.admin.reason import ReasonForm, verb


class Pausable:
    """Adds both verbs to a detail page: by POST, for those who may change the object, logged with who did it."""

    actions_detail: tuple[str, ...] = ("pause", "resume")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only the verb that would do something is offered; both stay harmless where a page is out of date."""
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        moot = "_pause" if row is not None and row.paused else "_resume"
        offered = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [verb for verb in offered if not verb.action_name.endswith(moot)]

    @verb(
        "Pause",
        "pause",
        "Messages are accepted and wait in their lanes; synchronous calls get 503.",
        question="Pause it?",
        permission="change",
    )
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return set_paused(self, request, object_id, paused=True, reason=form.cleaned_data["reason"])

    @verb("Resume", "play_arrow", "Waiting messages are sent, in order.", question="Resume it?", permission="change")
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return set_paused(self, request, object_id, paused=False, reason=form.cleaned_data["reason"])


def set_paused(page: Any, request: HttpRequest, object_id: str, *, paused: bool, reason: str) -> HttpResponse:
    found = page.get_object(request, object_id)
    if found is None:
        raise Http404
    with transaction.atomic():
        row = page.get_queryset(request).select_for_update(of=("self",)).get(pk=found.pk)
        if row.paused != paused:
            row.paused = paused
            row.save(update_fields=["paused", "updated_at"])
            audit.record(row, by=request.user, text=f"{'Paused' if paused else 'Resumed'}. {reason}")
    page.message_user(request, f"“{row}” is {'paused' if paused else 'resumed'}.", level="success")
    return back_to(request, row)


def back_to(request: HttpRequest, row: Any) -> HttpResponse:
    """To the object's page, behind a dialog: it sends its form in the background and follows this header."""
    url = page_of(row)
    return HttpResponse(headers={"HX-Redirect": url}) if "HX-Request" in request.headers else redirect(url)
