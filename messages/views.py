"""The HTTP edge for source applications: read, ask the modules that know, answer."""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import get_script_prefix, reverse
from rest_framework.request import Request
from rest_framework.views import APIView

from connectors import formats
from connectors.catalogue import RoutePlan, catalogue
from connectors.choices import OnDeadline, Pattern, Scheme
from connectors.signatures import challenge_of
from messages import cloud_events, intake, openapi, rates, reply, steering, tracing, waiting
from messages.authentication import Caller, authenticate, is_authentic
from messages.bodies import REFUSED, ask_for_body, read_body
from messages.choices import FINAL_STATUSES
from messages.database import UNREACHABLE, clock_reading
from messages.exceptions import ConfigurationChanged, LaneUnavailable, Refused
from messages.intake import Accepted, Incoming
from messages.models import Message
from messages.preferences import Preferences, idempotency_key, preferences, wait_seconds
from messages.problem_types import TYPES
from messages.problems import Problem, unreachable
from messages.rejections import reject
from messages.serializers import accepted_document, etag, result_document
from messages.waiting import Waiting, lookout

KEPT_HEADERS = ("User-Agent", "X-Request-Id")
RETRY_AFTER_OPEN = "1"
MAX_WAIT_SECONDS = 30.0
ORIGIN = re.compile(r"[A-Za-z0-9.:/_-]{1,253}\Z")


class PlatformView(APIView):
    """What all addresses share: problem documents, and 503 instead of 500 while the database is away."""

    default_response_headers: dict[str, str] = {}  # Allow is for OPTIONS and 405

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        headers = {"Allow": ", ".join(self.allowed_methods)}
        problem = Problem("method-not-allowed", f'Method "{request.method}" not allowed.', headers=headers)
        reject(request._request, None, problem)
        raise problem

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, UNREACHABLE):
            exc = unreachable(exc)
        return super().handle_exception(exc)


class WebhookView(PlatformView):
    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Besides the methods the handshake of CloudEvents' webhooks: whether a sender may begin, and how fast.

        Everybody may: what proves a sender is its credential. How fast is told to those who have one, and nobody
        learns which routes there are.
        """
        response = super().options(request, *args, **kwargs)
        origin = request.headers.get("WebHook-Request-Origin", "")
        if ORIGIN.match(origin):
            plan = catalogue.remembered().by_slug.get(kwargs["slug"])
            limit = plan.requests_per_minute if plan and is_authentic(request._request, plan.credentials) else None
            response["WebHook-Allowed-Origin"] = origin
            response["WebHook-Allowed-Rate"] = str(limit or "*")
            response.status_code = 200  # some senders take no other answer for an agreement
        return response

    def post(self, request: Request, slug: str, pattern: str | None = None) -> HttpResponse:
        """By the configuration that this process remembers: a message is committed only while that holds, and whoever
        is refused is refused by the newest one. So nobody has to ask for the revision first."""
        http = request._request
        if (waited := waiting.waited(http)) is not None:
            return _ended(http, waited)
        while True:
            known = catalogue.remembered()
            plan = known.by_slug.get(slug)
            try:
                if plan is None or not plan.enabled:
                    raise Problem("not-found", "There is no such route, or it is disabled.")
                if REFUSED in http.META:
                    raise http.META[REFUSED]
                return self._take(http, plan, pattern, known.revision)
            except (Problem, ConfigurationChanged) as refusal:
                if catalogue.moved_since(known):
                    continue
                if isinstance(refusal, Problem):
                    reject(http, plan, refusal)
                raise

    def _take(self, http: HttpRequest, plan: RoutePlan, pattern: str | None, revision: int) -> HttpResponse:
        caller = authenticate(http, plan.credentials, read=lambda: read_body(http, limit=plan.max_body_bytes))
        http.caller_is_known = True  # type: ignore[attr-defined]
        ask_for_body(http, limit=plan.max_body_bytes)
        left = rates.spend(plan.source_id, plan.requests_per_minute)
        try:
            response = self._push(http, plan, pattern, caller, revision)
        except Problem as refusal:
            refusal.headers = {**left, **refusal.headers}
            raise
        for name, value in left.items():
            response[name] = value
        return response

    def _push(
        self, http: HttpRequest, plan: RoutePlan, pattern: str | None, caller: Caller, revision: int
    ) -> HttpResponse:
        wishes = preferences(http)
        waits_first = _waits_first(plan, pattern, wishes)
        pattern = Pattern.SYNC if waits_first else _pattern(plan, pattern, wishes)
        key = idempotency_key(http) or caller.own_id()
        body = read_body(http, limit=plan.max_body_bytes) if caller.body is None else caller.body
        http.refused_body = body  # type: ignore[attr-defined] # evidence, should it be refused
        if caller.credential.scheme == Scheme.SLACK and (challenge := challenge_of(body)) is not None:
            return HttpResponse(formats.dump({"challenge": challenge}), content_type=formats.JSON)
        incoming = Incoming(pattern, body, http.headers.get("Content-Type", ""), _kept_headers(http), key)
        try:
            if waits_first:
                response = _synchronous_at_first(http, plan, incoming, wishes, revision)
            elif pattern == Pattern.SYNC:
                response = _synchronous(http, plan, incoming, wishes, revision)
            else:
                response = _asynchronous(http, intake.accept(plan, incoming, revision=revision), plan)
        except Refused as refused:
            raise Problem(refused.slug, refused.detail, refused.extra()) from refused
        except LaneUnavailable as standing:
            raise Problem(
                standing.slug, standing.detail, headers={"Retry-After": str(standing.retry_after)}
            ) from standing
        return _honoured(response, wishes, waits=pattern == Pattern.SYNC)


class ResultView(PlatformView):
    def get(self, request: Request, correlation_id: str) -> HttpResponse:
        http = request._request
        try:
            authenticate(http, catalogue.all_credentials())
        except Problem as refusal:
            reject(http, None, refusal)
            raise
        message = reply.load(_uuid(correlation_id))
        # an unknown id and another application's id are told apart by nobody
        if message is None or not is_authentic(http, catalogue.credentials_of(message.route.source_id)):
            raise _unknown()
        if message.purged_at is not None:
            known = str(message.correlation_id)
            detail = "The result is no longer kept."
            raise Problem("gone", detail, {"correlation_id": known}, {"X-Correlation-ID": known})
        seconds = wait_seconds(http, maximum=MAX_WAIT_SECONDS)
        if message.is_final or not seconds or waiting.waited(http) is not None:
            return _result(http, message)
        if waiting.server_waits(http):
            waiting.check_room(http)
            return waiting.later(http, Waiting(lookout.end_of(message.correlation_id), waiting.arrived(http) + seconds))
        reply.long_poll(message, seconds=seconds)
        return _result(http, reply.load(message.correlation_id) or message)


class OpenApiView(PlatformView):
    """The description of everything here, for anybody: it holds schemas and no secrets."""

    def get(self, request: Request) -> HttpResponse:
        document = openapi.description.text()
        return _unless_known(request._request, document, {"ETag": etag(document), "Cache-Control": "no-cache"})


class ProblemTypeView(PlatformView):
    """Where the `type` of a problem document leads: JSON, or a page for browsers. Open to everybody."""

    def get(self, request: Request, slug: str) -> HttpResponse:
        kind = TYPES.get(slug)
        if kind is None:
            raise Problem("not-found", "There is no such type of problem.")
        http = request._request
        if _prefers_html(http):
            page = render_to_string("problem_type.html", {"kind": kind})
            return HttpResponse(page, headers={"Vary": "Accept", "ETag": etag(page.encode())})
        document = formats.dump(kind.document())
        return _unless_known(http, document, {"ETag": etag(document), "Vary": "Accept"})


def _prefers_html(http: HttpRequest) -> bool:
    """Browsers name it; programs that take anything (`*/*`) get the document."""
    return http.get_preferred_type(["text/html", formats.JSON]) == "text/html" and "text/html" in http.headers.get(
        "Accept", ""
    )


def _result(http: HttpRequest, message: Message) -> HttpResponse:
    standing = message.standing(clock_reading())
    document = formats.dump(result_document(message, message.route.slug, standing))
    headers = {
        "ETag": etag(document),
        "X-Correlation-ID": str(message.correlation_id),
        "Cache-Control": "private, no-cache",
    }
    if standing not in FINAL_STATUSES:
        headers["Retry-After"] = RETRY_AFTER_OPEN
    return _unless_known(http, document, headers)


def _unless_known(http: HttpRequest, document: bytes, headers: dict[str, str]) -> HttpResponse:
    """The document, or 304 for a caller whose If-None-Match names the ETag of `headers`."""
    known = [tag.strip().removeprefix("W/") for tag in http.headers.get("If-None-Match", "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(document, content_type=formats.JSON, headers=headers)


def _synchronous(
    http: HttpRequest, plan: RoutePlan, incoming: Incoming, wishes: Preferences, revision: int, *, later: bool = False
) -> HttpResponse:
    """Stores the message, waits for its end in the turn of its lane, and answers with what the destination said.

    `later`: the caller takes a 202 as well, for a repeat of what is still being processed.
    """
    seconds = plan.sync_deadline_seconds if wishes.wait is None else min(wishes.wait, plan.sync_deadline_seconds)
    deadline = waiting.arrived(http) + seconds
    waiting.check_room(http)
    accepted = reply.accept(plan, incoming, revision=revision)
    if accepted.replayed and later and not accepted.message.is_final:
        return _asynchronous(http, accepted, plan)
    if accepted.replayed:
        return _named(_repeated(accepted, plan), accepted.message)
    if waiting.server_waits(http):
        return waiting.later(http, Waiting(reply.end_of(accepted, plan), deadline, (accepted.message, plan)))
    return _told(http, accepted.message, plan, reply.wait_for(accepted, plan, deadline=deadline))


def _ended(http: HttpRequest, waited: Waiting) -> HttpResponse:
    """The second part of `_synchronous`, when the server has waited meanwhile."""
    message, plan = waited.subject
    final = None
    if waited.ended:
        final = message if message.is_final else reply.load(message.correlation_id)
    response = _told(http, message, plan, final)
    return _honoured(response, preferences(http), waits=True)


def _told(http: HttpRequest, message: Message, plan: RoutePlan, final: Message | None) -> HttpResponse:
    return _named(_late(http, message, plan) if final is None else reply.answer(final, plan), message)


def _honoured(response: HttpResponse, wishes: Preferences, *, waits: bool) -> HttpResponse:
    """Says which preferences this answer honours; of one that is still to come it is said again when it is there."""
    later = response.status_code == 202 and "Location" in response
    if applied := wishes.applied(waits=waits and response.status_code != 409, later=later):
        response["Preference-Applied"] = applied
    return response


def _named(response: HttpResponse, message: Message) -> HttpResponse:
    response["X-Correlation-ID"] = str(message.correlation_id)
    return response


def _synchronous_at_first(
    http: HttpRequest, plan: RoutePlan, incoming: Incoming, wishes: Preferences, revision: int
) -> HttpResponse:
    """For callers who wait a while and would then rather have a 202 (RFC 7240, 4.3): it never ends in a 504.

    Where nobody can be kept waiting, since the lane stands still or too many wait already, it queues up at once, like
    an asynchronous message.
    """
    patient = replace(plan, on_deadline=OnDeadline.ACCEPT)
    try:
        return _synchronous(http, patient, incoming, wishes, revision, later=True)
    except (LaneUnavailable, Problem):
        queued = replace(incoming, pattern=Pattern.ASYNC)
        return _asynchronous(http, intake.accept(plan, queued, revision=revision), plan)


def _repeated(accepted: Accepted, plan: RoutePlan) -> HttpResponse:
    message = reply.load(accepted.message.correlation_id) or accepted.message
    if not message.is_final:
        extra = {"correlation_id": str(message.correlation_id)}
        detail = "The first request with this idempotency key is still being processed."
        return Problem("in-progress", detail, extra, {"Retry-After": RETRY_AFTER_OPEN}).response()
    response = reply.answer(message, plan)
    response["Idempotency-Replayed"] = "true"
    return response


def _late(http: HttpRequest, message: Message, plan: RoutePlan) -> HttpResponse:
    """The deadline passed; the message goes on to its end either way."""
    url = _result_url(http, message)
    if plan.on_deadline == OnDeadline.ACCEPT:
        if steering.make_retryable(message):
            return _accepted(message, plan, url)
        final = reply.load(message.correlation_id)  # it became final while we were about to say that it had not
        if final is not None and final.is_final:
            return reply.answer(final, plan)
    extra = {"correlation_id": str(message.correlation_id)}
    detail = "The destination has not confirmed in time. The message goes on; its result can be fetched."
    return Problem("deadline-passed", detail, extra, {"Location": url}).response()


def _asynchronous(http: HttpRequest, accepted: Accepted, plan: RoutePlan) -> HttpResponse:
    response = _named(_accepted(accepted.message, plan, _result_url(http, accepted.message)), accepted.message)
    if accepted.replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def _accepted(message: Message, plan: RoutePlan, url: str) -> HttpResponse:
    document = accepted_document(message, plan.slug, status=message.status, result_url=url)
    headers = {"Location": url}
    if not message.is_final:
        headers["Retry-After"] = RETRY_AFTER_OPEN
    return HttpResponse(formats.dump(document), status=202, content_type=formats.JSON, headers=headers)


def _result_url(http: HttpRequest, message: Message) -> str:
    return f"{http.scheme}://{http.get_host()}{_results_path(get_script_prefix())}{message.correlation_id}"


@lru_cache(maxsize=4)
def _results_path(script_prefix: str) -> str:
    """Reversed once: it is the same for all but its last part."""
    return reverse("result", args=["x"]).removesuffix("x")


def _pattern(plan: RoutePlan, asked: str | None, wishes: Preferences) -> str:
    """The address decides; without one the route's default, or async where the caller prefers it and may have it."""
    if asked is None:
        return Pattern.ASYNC if wishes.respond_async and Pattern.ASYNC in plan.patterns else plan.patterns[0]
    if asked not in plan.patterns:
        raise Problem("not-found", "This route does not allow that pattern.")
    return asked


def _waits_first(plan: RoutePlan, asked: str | None, wishes: Preferences) -> bool:
    """Whether `Prefer: respond-async, wait=N` came to a route that is synchronous unless asked, and may be async."""
    prefers = asked is None and wishes.respond_async and bool(wishes.wait)
    return prefers and plan.patterns[0] == Pattern.SYNC and Pattern.ASYNC in plan.patterns


def _kept_headers(http: HttpRequest) -> dict[str, str]:
    named = {name: value[:1000] for name in KEPT_HEADERS if (value := http.headers.get(name))}
    return {**named, **tracing.received(http.headers), **cloud_events.received(http.headers)}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _unknown() from None


def _unknown() -> Problem:
    return Problem("not-found", "There is no such result.")
