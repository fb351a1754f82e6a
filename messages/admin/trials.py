"""Trying things out: one call of an endpoint, one message on a route. By POST, each with an entry in the history."""

import time
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connectors import audit, formats
from connectors.admin.base import listed, page_of
from connectors.admin.prefill import example_body
from connectors.admin.route import may_send
from connectors.admin.senders import EXAMPLE
from connectors.catalogue import RoutePlan, catalogue, plan_of
from connectors.choices import Pattern
from connectors.masking import masked_url
from connectors.models import Endpoint, Route
from messages import delivery, intake, reply
from messages.admin import recorded
from messages.admin.display import content_type, headers, may_see_payloads, payload
from messages.exceptions import LaneUnavailable, Refused
from messages.intake import Incoming
from messages.models import Message

BODY_CHARACTERS = 1024 * 1024
SENT_BEFORE = "The same payload came before, and the route's idempotency key tells: nothing was sent. Change {key}."


class TrialForm(forms.Form):
    body = forms.CharField(
        required=False,
        strip=False,
        max_length=BODY_CHARACTERS,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "spellcheck": "false"}),
    )
    content_type = forms.RegexField(
        r"\A[\x20-\x7e]+\Z", max_length=200, initial=formats.JSON, widget=UnfoldAdminTextInputWidget
    )

    @property
    def body_bytes(self) -> bytes:
        return str(self.cleaned_data["body"]).replace("\r\n", "\n").encode()


class TestMessageForm(TrialForm):
    pattern = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, patterns: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        titles = dict(Pattern.choices)
        self.fields["pattern"].choices = [(one, titles[one]) for one in patterns]  # type: ignore[attr-defined]


def call_endpoint(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """The endpoint is really called, with its stored secrets; they are shown to nobody."""
    if not request.user.has_perm("connectors.change_endpoint"):
        raise PermissionDenied
    endpoint = get_object_or_404(Endpoint, pk=pk)
    samples = recorded.newest_sent(endpoint) if may_see_payloads(request) else []
    initial = {}
    if request.method != "POST":  # what was typed counts then
        taken = recorded.chosen(samples, request.GET.get("message", ""))
        initial = _initial(recorded.as_sent(taken) if taken else None, EXAMPLE)
    form = TrialForm(request.POST or None, initial=initial)
    outcome = None
    if form.is_valid():
        audit.record(endpoint, by=request.user, text=f"Test call: {endpoint.method} {masked_url(endpoint.url)}")
        trial = delivery.try_out(plan_of(endpoint), form.body_bytes, form.cleaned_data["content_type"])
        outcome = _of_call(trial)
    what = f"{endpoint.method} {masked_url(endpoint.url)} is really called, once, with the authentication of"
    return _page(page, request, "Test call", what, endpoint, form, outcome, samples)


def _of_call(trial: delivery.Trial) -> dict[str, Any]:
    sent, received = trial.sent, trial.received
    sides = [
        {
            "title": f"Sent: {sent.method} {sent.url}",
            "body": payload(sent.body, content_type(sent.headers)),
            "headers": headers(sent.headers),
        }
    ]
    if received is not None:
        beginning = " (the beginning)" if received.truncated else ""
        body = payload(received.body, content_type(received.headers))
        sides.append({"title": f"Came back{beginning}", "body": body, "headers": headers(received.headers)})
    answered = f"HTTP {received.status_code}" if received else "No answer"
    return {
        "title": f"{answered}, {trial.milliseconds:,.0f} ms",
        "text": trial.detail,
        "sides": sides,
        "went_well": received is not None and received.status_code < 300,
    }


def send_message(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """A message like any other: stored, in its lane, delivered. Answers are shown to those who may see payloads."""
    if not may_send(request):
        raise PermissionDenied
    route = get_object_or_404(Route, pk=pk)
    plan = catalogue.by_id()[route.pk]
    samples = recorded.newest(route) if may_see_payloads(request) else []
    initial = {}
    if request.method != "POST":
        taken = recorded.chosen(samples, request.GET.get("message", ""))
        found = recorded.as_received(taken) if taken else None
        initial = _initial(found, "" if found else example_body(route))
    form = TestMessageForm(request.POST or None, patterns=plan.patterns, initial=initial)
    outcome = _sent(request, route, plan, form) if form.is_valid() else None
    what = "The message is stored and delivered like any other of"
    return _page(page, request, "Send a test message", what, route, form, outcome, samples)


def _initial(found: recorded.Recorded | None, example: str) -> dict[str, str]:
    return {"body": found.text, "content_type": found.content_type} if found else {"body": example}


def _sent(request: HttpRequest, route: Route, plan: RoutePlan, form: TestMessageForm) -> dict[str, Any] | None:
    """What came of it; None after the form was told why nothing did."""
    pattern = form.cleaned_data["pattern"]
    is_sync = pattern == Pattern.SYNC
    if problem := _unavailable(plan, form, is_sync=is_sync):
        form.add_error(*problem)
        return None
    deadline = time.monotonic() + plan.sync_deadline_seconds
    incoming = Incoming(pattern, form.body_bytes, form.cleaned_data["content_type"], {}, None)
    try:
        accepted = reply.accept(plan, incoming) if is_sync else intake.accept(plan, incoming)
    except Refused as refused:
        said = [f"{error['path'] or 'payload'}: {error['message']}" for error in refused.errors or []]
        form.add_error("body", forms.ValidationError(said or [str(refused)]))
        return None
    except LaneUnavailable as standing:
        form.add_error("pattern", str(standing))
        return None
    audit.record(route, by=request.user, text=f"Sent a test message: {accepted.message}")
    outcome: dict[str, Any] = {"message": accepted.message, "message_url": page_of(accepted.message), "sides": []}
    if accepted.replayed:
        told = SENT_BEFORE.format(key=route.idempotency_key or "something in it")
        return {**outcome, "title": "It was there before", "text": told}
    if not is_sync:
        return {**outcome, "title": "Accepted", "text": "Its page shows what becomes of it."}
    final = reply.wait_for(accepted, plan, deadline=deadline)
    if final is None:
        return {**outcome, "title": "No answer in time", "text": "The message goes on; its page shows its end."}
    answer = reply.answer(final, plan)
    outcome |= {"title": f"HTTP {answer.status_code}", "went_well": answer.status_code < 300}
    if not may_see_payloads(request):
        return {**outcome, "text": "What the destination answered is shown to those who may see payloads."}
    body = payload(answer.content, answer.headers.get("Content-Type", ""))
    return {**outcome, "sides": [{"title": "The caller is answered", "body": body}]}


def _unavailable(plan: RoutePlan, form: TrialForm, *, is_sync: bool) -> tuple[str, str] | None:
    """A field and what is wrong, where a caller would be turned away before its payload is read."""
    if not plan.enabled:
        return "pattern", "The route is disabled."
    if is_sync and (plan.paused or plan.endpoint.paused):
        return "pattern", "It is paused: only asynchronous messages are accepted."
    if len(form.body_bytes) > plan.max_body_bytes:
        return "body", f"The route takes at most {plan.max_body_bytes:,} bytes."
    return None


def _page(
    page: Any,
    request: HttpRequest,
    title: str,
    what: str,
    row: Any,
    form: forms.Form,
    outcome: dict[str, Any] | None,
    samples: list[Message],
) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "what": what,
        "original": row,
        "list_title": row._meta.verbose_name_plural.capitalize(),
        "list_url": listed(f"connectors_{row._meta.model_name}"),
        "back_url": page_of(row),
        "form": form,
        "outcome": outcome,
        "samples": samples,
    }
    return TemplateResponse(request, "admin/messaging/message/trial.html", context)
