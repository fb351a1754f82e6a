"""Pause and resume: the operators' verbs of routes and endpoints alike."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.decorators import action


class Pausable:
    """Adds both verbs to a detail page: by POST, for those who may change the object, logged with who did it."""

    actions_detail = ("pause", "resume")

    @action(
        description="Pause",
        permissions=["change"],
        icon="pause",
        dialog={
            "title": "Pause it?",
            "description": "Messages are accepted and wait in their lanes; synchronous calls get 503.",
            "form_submit_text": "Pause",
        },
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return set_paused(self, request, object_id, paused=True)

    @action(
        description="Resume",
        permissions=["change"],
        icon="play_arrow",
        dialog={
            "title": "Resume it?",
            "description": "Waiting messages are sent, in order.",
            "form_submit_text": "Resume",
        },
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return set_paused(self, request, object_id, paused=False)


def set_paused(page: Any, request: HttpRequest, object_id: str, *, paused: bool) -> HttpResponse:
    with transaction.atomic():
        row = page.get_queryset(request).select_for_update(of=("self",)).get(pk=object_id)
        if row.paused != paused:
            row.paused = paused
            row.save(update_fields=["paused", "updated_at"])
            page.log_change(request, row, "Paused." if paused else "Resumed.")
    page.message_user(request, f"“{row}” is {'paused' if paused else 'resumed'}.", level="success")
    return back_to(request, row)


def back_to(request: HttpRequest, row: Any) -> HttpResponse:
    """To the object's page, behind a dialog: it sends its form in the background and follows this header."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return HttpResponse(headers={"HX-Redirect": url}) if "HX-Request" in request.headers else redirect(url)
