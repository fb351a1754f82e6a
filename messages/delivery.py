"""One attempt, without the database: map, call, say what came out. Runs in threads that never touch the ORM."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from connectors import auth, formats, retries
from connectors.catalogue import EndpointPlan, RoutePlan
from connectors.headers import check_header
from connectors.mapping import FieldError, MappingFailed
from connectors.masking import masked_url, redacted
from connectors.transport import Kind, OutboundRequest, OutboundResponse, Transport, TransportError
from messages import cloud_events, tracing
from messages.choices import OutcomeKind
from messages.claims import Work
from messages.outcomes import Outcome, Received, Reply, Sent
from messages.problems import PROBLEMS, type_of

MAX_OUTGOING_BYTES = 32 * 1024 * 1024
MAX_KEPT_HEADERS = 64 * 1024  # characters of an answer's headers; HTTP allows a hundred times as many
PERHAPS_ARRIVED = " It may have arrived all the same."
NOT_CALLABLE = "The platform cannot call the destination as it is configured."
NOT_REACHED = "The destination cannot be reached."
TOLD = {
    Kind.ADDRESS_REFUSED: NOT_CALLABLE,
    Kind.INVALID_REQUEST: NOT_CALLABLE,
    Kind.AUTH_REFUSED: NOT_CALLABLE,
    Kind.AUTH_FAILED: "The platform cannot call the destination at present.",
    Kind.NAME_NOT_RESOLVED: NOT_REACHED,
    Kind.CONNECT_FAILED: NOT_REACHED,
    Kind.TLS_FAILED: "There is no secure connection to the destination.",
    Kind.TIMEOUT: "The destination did not answer in time.",
    Kind.CONNECTION_LOST: "The destination closed the connection without an answer.",
    Kind.INVALID_RESPONSE: "The destination's answer broke off or is not HTTP.",
}
"""What the source learns of a call without an answer: our names, addresses and settings are for support staff alone."""
WITHOUT_BODY = frozenset({"GET", "DELETE"})
OWN_HEADERS = frozenset({"x-correlation-id", "idempotency-key", tracing.TRACEPARENT, tracing.TRACESTATE})


@lru_cache(maxsize=1)
def transport() -> Transport:
    """This process's one; its pool of connections is as large as the queue's or the web server's threads."""
    size = max(settings.QUEUE_THREADS, settings.WEB_CALLS)
    return Transport(allowed=settings.OUTBOUND_ALLOWED_NETWORKS, pool_size=size)


@dataclass(slots=True)
class _Clock:
    started_at: datetime
    start: float

    def milliseconds(self) -> float:
        return round((time.monotonic() - self.start) * 1000, 3)


def attempt(work: Work, plan: RoutePlan) -> Outcome:
    """Maps and sends one message. Every expected failure is an Outcome; bugs propagate."""
    clock = _Clock(timezone.now(), time.monotonic())
    versions: dict[str, Any] = {
        "mapping_version_id": plan.mapping.version_id if plan.mapping else None,
        "reply_mapping_version_id": plan.reply_mapping.version_id if plan.reply_mapping else None,
    }
    try:
        outgoing = _outgoing(work, plan)
    except MappingFailed as error:
        return Outcome(
            OutcomeKind.MAPPING_FAILED,
            clock.started_at,
            clock.milliseconds(),
            detail=str(error),
            error=mapping_error(error, "The mapping could not make the outgoing message."),
            **versions,
        )
    request = _request(work, plan.endpoint, outgoing, event=plan.mapping is None)
    exchange = auth.call(transport(), request, plan.endpoint.auth, secrets=plan.endpoint.secrets)
    sent = Sent(
        method=request.method,
        url=masked_url(request.url),
        headers=redacted(exchange.headers, also=plan.endpoint.auth.secret_headers),
        body=None if plan.mapping is None else outgoing.body,
    )
    if isinstance(exchange.answer, TransportError):
        failure = exchange.answer
        return Outcome(
            _kind(failure),
            clock.started_at,
            clock.milliseconds(),
            detail=f"{failure.detail}{PERHAPS_ARRIVED if failure.sent else ''}",
            sent=sent,
            error=error_document("destination-failed", _told(failure)),
            **versions,
        )
    return _answered(exchange.answer, plan, clock, sent, versions)


def interrupted() -> Outcome:
    """In place of an attempt, where whoever had the message before ended and may have sent it: a person decides."""
    detail = f"The worker that had it in hand ended before it could record what came of it.{PERHAPS_ARRIVED}"
    told = f"The platform was interrupted while it handled the message.{PERHAPS_ARRIVED}"
    error = error_document("destination-failed", told)
    return Outcome(OutcomeKind.UNKNOWN, timezone.now(), detail=detail, error=error)


@dataclass(frozen=True, slots=True)
class Trial:
    """One call that belongs to no message: what was sent, secrets masked, and what came back, or why nothing did."""

    sent: Sent
    received: Received | None
    detail: str
    milliseconds: float


def try_out(endpoint: EndpointPlan, body: bytes, content_type: str) -> Trial:
    """Calls the endpoint once with these bytes, as a message would, under names that nobody has used before."""
    clock = _Clock(timezone.now(), time.monotonic())
    work = Work(0, uuid4(), 0, 0, "", False, 0, body, content_type, None)
    try:
        payload = formats.read(body, content_type) if endpoint.template else None
        outgoing = _Outgoing(body, content_type, *_addressed(endpoint, payload))
    except (MappingFailed, formats.MalformedBody, formats.UnknownFormat) as error:
        return Trial(Sent(endpoint.method, masked_url(endpoint.url), [], body), None, str(error), clock.milliseconds())
    request = _request(work, endpoint, outgoing, event=False)
    exchange = auth.call(transport(), request, endpoint.auth, secrets=endpoint.secrets)
    headers = redacted(exchange.headers, also=endpoint.auth.secret_headers)
    sent = Sent(method=request.method, url=masked_url(request.url), headers=headers, body=request.body)
    answer = exchange.answer
    if isinstance(answer, TransportError):
        return Trial(sent, None, answer.detail, clock.milliseconds())
    return Trial(sent, _received(answer), "", clock.milliseconds())


@dataclass(slots=True)
class _Outgoing:
    body: bytes
    content_type: str
    url: str
    headers: tuple[tuple[str, str], ...]


def _outgoing(work: Work, plan: RoutePlan) -> _Outgoing:
    """What goes out: the received bytes without a mapping, else the mapped value in the endpoint's format."""
    endpoint, payload = plan.endpoint, None
    body, content_type = work.body, work.content_type or formats.JSON
    try:
        if plan.mapping is not None or endpoint.template is not None:
            payload = _value(work, plan)
        if plan.mapping is not None:
            payload = plan.mapping.run(payload)
            body, content_type = formats.write(payload, endpoint.format)
    except (formats.UnwritableValue, formats.MalformedBody, formats.UnknownFormat) as error:
        raise single_failure(str(error)) from error
    if plan.mapping is not None and len(body) > MAX_OUTGOING_BYTES:
        raise single_failure(f"The mapped message is larger than {MAX_OUTGOING_BYTES} bytes.")
    return _Outgoing(body, content_type, *_addressed(endpoint, payload))


def _value(work: Work, plan: RoutePlan) -> Any:
    if cloud_events.has_no_data(work.body, work.headers or {}):
        return None
    return formats.read(work.body, work.content_type, force_list=plan.force_list)


def _addressed(endpoint: EndpointPlan, payload: Any) -> tuple[str, tuple[tuple[str, str], ...]]:
    """URL and headers, with the payload's values where they ask for some. Raises MappingFailed."""
    return endpoint.template.fill(payload) if endpoint.template else (endpoint.url, endpoint.headers)


def _request(work: Work, endpoint: EndpointPlan, outgoing: _Outgoing, *, event: bool) -> OutboundRequest:
    """Configured headers, but for those by which the destination recognises a message, a repeat and a trace.

    `event`: the payload goes on unchanged, and with it the attributes of a CloudEvent that came in headers.
    """
    with_body = endpoint.method not in WITHOUT_BODY
    configured = {name.lower() for name, _ in outgoing.headers}
    headers = {"Content-Type": outgoing.content_type} if with_body and "content-type" not in configured else {}
    headers |= {name: value for name, value in outgoing.headers if name.lower() not in OWN_HEADERS}
    if event:
        headers |= cloud_events.received(work.headers)
    headers["X-Correlation-ID"] = str(work.correlation_id)
    headers["Idempotency-Key"] = _idempotency_key(work)
    headers |= tracing.trace_of(work.headers, work.correlation_id).next_span()
    return OutboundRequest(
        method=endpoint.method,
        url=outgoing.url,
        headers=tuple(headers.items()),
        body=outgoing.body if with_body else None,
        deadline_seconds=endpoint.timeout_seconds,
        id=str(work.correlation_id),
        tls=endpoint.tls,
    )


def _idempotency_key(work: Work) -> str:
    """The source's own name for the message where it has one that a header can carry; the same at every attempt."""
    key = work.idempotency_key
    return key if key and check_header("Idempotency-Key", key) is None else str(work.correlation_id)


def _kind(failure: TransportError) -> OutcomeKind:
    if failure.permanent:
        return OutcomeKind.NOT_SENT
    return OutcomeKind.UNKNOWN if failure.sent else OutcomeKind.FAILED


def _told(failure: TransportError) -> str:
    return f"{TOLD[failure.kind]}{PERHAPS_ARRIVED if failure.sent else ''}"


def _answered(
    response: OutboundResponse, plan: RoutePlan, clock: _Clock, sent: Sent, versions: Mapping[str, Any]
) -> Outcome:
    status = response.status_code
    received = _received(response)
    plain = Reply(status, response.header("content-type"), response.body)
    meaning = plan.statuses.meaning(status)
    if meaning == retries.Meaning.SUCCESS:
        reply, error = _mapped_reply(response, plain, plan)
        return Outcome(
            OutcomeKind.SUCCEEDED,
            clock.started_at,
            clock.milliseconds(),
            detail=error["detail"] if error else "",
            sent=sent,
            received=received,
            reply=reply,
            error=error,
            **versions,
        )
    passing = meaning == retries.Meaning.PASSING
    detail = _refusal(status, passing=passing)
    slug = "destination-failed" if passing else "destination-refused"
    return Outcome(
        OutcomeKind.FAILED if passing else OutcomeKind.REFUSED,
        clock.started_at,
        clock.milliseconds(),
        detail=detail,
        sent=sent,
        received=received,
        reply=plain,
        error=error_document(slug, detail),
        retry_after=retries.parse_retry_after(response.header("retry-after"), timezone.now()),
        **versions,
    )


def _received(response: OutboundResponse) -> Received:
    """What is kept of an answer: all of its headers that fit, and how many did not."""
    kept, left, room = [], 0, MAX_KEPT_HEADERS
    for name, value in response.headers:
        if len(name) + len(value) <= room:
            kept.append((name, value))
            room -= len(name) + len(value)
        else:
            left += 1
    if left:
        kept.append(("(not kept)", f"{left} headers for which there was no room"))
    return Received(response.status_code, redacted(kept), response.body, response.truncated)


def _refusal(status: int, *, passing: bool) -> str:
    if passing:
        return f"The destination answered {status}."
    if 300 <= status < 400:
        return f"The destination answered {status}; redirects are not followed."
    if status == 410:
        return "The destination answered 410: what this endpoint calls is gone for good."
    return f"The destination refused the message with {status}."


def _mapped_reply(response: OutboundResponse, plain: Reply, plan: RoutePlan) -> tuple[Reply, dict[str, Any] | None]:
    """The destination has confirmed: a reply that cannot be mapped is told, but the message stays succeeded."""
    if plan.reply_mapping is None:
        return plain, None
    body = formats.reply_input(response.body, plain.content_type, force_list=plan.force_list)
    headers = {name.lower(): value for name, value in response.headers}
    try:
        value = plan.reply_mapping.run({"status_code": response.status_code, "headers": headers, "body": body})
        return Reply(response.status_code, formats.JSON, formats.dump(value)), None
    except MappingFailed as error:
        return plain, mapping_error(error, "The destination confirmed, but its reply could not be mapped.")
    except formats.UnwritableValue as error:
        failed = single_failure(str(error))
        return plain, mapping_error(failed, "The destination confirmed, but its reply could not be mapped.")


def error_document(slug: str, detail: str) -> dict[str, Any]:
    return {"type": type_of(slug), "title": PROBLEMS[slug][1], "detail": detail}


def mapping_error(error: MappingFailed, opening: str) -> dict[str, Any]:
    """Names every failing row: target, source, message."""
    rows = [{"target": row.target, "source": row.source, "message": row.message} for row in error.errors]
    return {**error_document("mapping-failed", f"{opening} {error}"), "errors": rows}


def single_failure(message: str) -> MappingFailed:
    return MappingFailed([FieldError("", "", message)])
