"""The HTTP edge for source applications: read, ask the modules that know, answer."""

import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.views import APIView

from connectors import formats
from connectors.catalogue import RoutePlan, catalogue
from connectors.choices import OnDeadline, Pattern, Scheme
from connectors.signatures import challenge_of
from messages import intake, reply, steering
from messages.authentication import authenticate, is_authentic
from messages.bodies import read_body
from messages.choices import FINAL_STATUSES
from messages.database import clock_reading
from messages.exceptions import LaneUnavailable, Refused
from messages.intake import Accepted, Incoming
from messages.models import Message
from messages.preferences import Preferences, idempotency_key, preferences, wait_seconds
from messages.problems import Problem
from messages.pump import owner_name
from messages.rejections import reject
from messages.serializers import accepted_document, etag, result_document

KEPT_HEADERS = ("User-Agent", "Traceparent", "Tracestate", "X-Request-Id")
RETRY_AFTER_OPEN = "1"
RETRY_AFTER_STANDING = "30"
MAX_WAIT_SECONDS = 30.0


class PlatformView(APIView):
    """What all addresses share: problem documents, and 503 instead of 500 while the database is away."""

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, OperationalError | InterfaceError):
            detail = "The platform cannot reach its database. Nothing was accepted; send the request again."
            exc = Problem("unavailable", detail, headers={"Retry-After": "5"})
        return super().handle_exception(exc)


class WebhookView(PlatformView):
    def post(self, request: Request, slug: str, pattern: str | None = None) -> HttpResponse:
        http = request._request
        plan = catalogue.by_slug(slug)
        if plan is None or not plan.enabled:
            raise Problem("not-found", "There is no such route, or it is disabled.")
        try:
            return self._take(http, plan, pattern)
        except Problem as problem:
            reject(http, plan, problem)
            raise

    def _take(self, http: HttpRequest, plan: RoutePlan, pattern: str | None) -> HttpResponse:
        caller = authenticate(http, plan.credentials, read=lambda: read_body(http, limit=plan.max_body_bytes))
        http.caller_is_known = True  # type: ignore[attr-defined]
        wishes = preferences(http)
        pattern = _pattern(plan, pattern, wishes)
        key = idempotency_key(http) or caller.own_id()
        body = read_body(http, limit=plan.max_body_bytes) if caller.body is None else caller.body
        http.refused_body = body  # type: ignore[attr-defined] # evidence, should it be refused
        if caller.credential.scheme == Scheme.SLACK and (challenge := challenge_of(body)) is not None:
            return HttpResponse(formats.dump({"challenge": challenge}), content_type=formats.JSON)
        incoming = Incoming(pattern, body, http.headers.get("Content-Type", ""), _kept_headers(http), key)
        try:
            if pattern == Pattern.SYNC:
                return _synchronous(http, plan, incoming, wishes)
            return _asynchronous(http, intake.accept(plan, incoming), plan)
        except Refused as refused:
            raise Problem(refused.slug, refused.detail, refused.extra()) from refused
        except LaneUnavailable as standing:
            raise Problem(standing.slug, standing.detail, headers={"Retry-After": RETRY_AFTER_STANDING}) from standing


class ResultView(PlatformView):
    def get(self, request: Request, correlation_id: str) -> HttpResponse:
        http = request._request
        authenticate(http, catalogue.all_credentials())
        message = reply.load(_uuid(correlation_id))
        # an unknown id and another application's id are told apart by nobody
        if message is None or not is_authentic(http, catalogue.credentials_of(message.route.source_id)):
            raise _unknown()
        if message.purged_at is not None:
            raise Problem("gone", "The result is no longer kept.", {"correlation_id": str(message.correlation_id)})
        reply.long_poll(message, seconds=wait_seconds(http, maximum=MAX_WAIT_SECONDS))
        return _result(http, reply.load(message.correlation_id) or message)


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
    known = [tag.strip().removeprefix("W/") for tag in http.headers.get("If-None-Match", "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(document, content_type=formats.JSON, headers=headers)


def _synchronous(http: HttpRequest, plan: RoutePlan, incoming: Incoming, wishes: Preferences) -> HttpResponse:
    """Stores the message, waits for its end in the turn of its lane, and answers with what the destination said."""
    if plan.paused or plan.endpoint.paused:
        raise LaneUnavailable("paused", "This route is paused.")
    seconds = plan.sync_deadline_seconds if wishes.wait is None else min(wishes.wait, plan.sync_deadline_seconds)
    deadline = time.monotonic() + seconds
    accepted = intake.accept(plan, incoming, lease_seconds=settings.LEASE_SECONDS, owner=owner_name())
    if accepted.replayed:
        response = _repeated(accepted, plan)
    else:
        final = reply.wait_for(accepted, plan, deadline=deadline)
        response = _late(http, accepted.message, plan) if final is None else reply.answer(final, plan)
    response["X-Correlation-ID"] = str(accepted.message.correlation_id)
    return response


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
    response = _accepted(accepted.message, plan, _result_url(http, accepted.message))
    response["X-Correlation-ID"] = str(accepted.message.correlation_id)
    if accepted.replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def _accepted(message: Message, plan: RoutePlan, url: str) -> HttpResponse:
    document = accepted_document(message, plan.slug, status=message.status, result_url=url)
    headers = {"Location": url, "Retry-After": RETRY_AFTER_OPEN}
    return HttpResponse(formats.dump(document), status=202, content_type=formats.JSON, headers=headers)


def _result_url(http: HttpRequest, message: Message) -> str:
    return http.build_absolute_uri(reverse("result", args=[str(message.correlation_id)]))


def _pattern(plan: RoutePlan, asked: str | None, wishes: Preferences) -> str:
    """The address decides; without one the route's default, or async where the caller prefers it and may have it."""
    if asked is None:
        return Pattern.ASYNC if wishes.respond_async and Pattern.ASYNC in plan.patterns else plan.patterns[0]
    if asked not in plan.patterns:
        raise Problem("not-found", "This route does not allow that pattern.")
    return asked


def _kept_headers(http: HttpRequest) -> dict[str, str]:
    return {name: value[:1000] for name in KEPT_HEADERS if (value := http.headers.get(name))}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _unknown() from None


def _unknown() -> Problem:
    return Problem("not-found", "There is no such result.")
