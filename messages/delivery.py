"""One attempt, without the database: map, call, say what came out. Runs in threads that never touch the ORM."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone

from connectors import formats, retries
from connectors.catalogue import EndpointPlan, RoutePlan
from connectors.headers import check_header, redacted
from connectors.mapping import FieldError, MappingFailed
from connectors.transport import ApiKeyAuth, OutboundRequest, OutboundResponse, Transport, TransportError
from messages.choices import OutcomeKind
from messages.claims import Work
from messages.outcomes import Outcome, Received, Reply, Sent
from messages.problems import PROBLEMS, type_of

MAX_OUTGOING_BYTES = 32 * 1024 * 1024
WITHOUT_BODY = frozenset({"GET", "DELETE"})


@lru_cache(maxsize=1)
def transport() -> Transport:
    """This process's one; its pool of connections is as large as the queue's or the web server's threads."""
    size = max(settings.QUEUE_THREADS, settings.WEB_THREADS)
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
        body, content_type = _outgoing(work, plan)
    except MappingFailed as error:
        return Outcome(
            OutcomeKind.MAPPING_FAILED,
            clock.started_at,
            clock.milliseconds(),
            detail=str(error),
            error=mapping_error(error, "The mapping could not make the outgoing message."),
            **versions,
        )
    request = _request(work, plan.endpoint, body, content_type)
    sent = Sent(
        method=request.method,
        url=request.url,
        headers=redacted(request.sent_headers(), also=_secret_header(plan.endpoint)),
        body=None if plan.mapping is None else body,
    )
    try:
        response = transport().send(request)
    except TransportError as error:
        return Outcome(
            OutcomeKind.NOT_SENT if error.permanent else OutcomeKind.FAILED,
            clock.started_at,
            clock.milliseconds(),
            detail=f"{error.detail}{' It may have arrived all the same.' if error.sent else ''}",
            sent=sent,
            error=error_document("destination-failed", error.detail),
            **versions,
        )
    return _answered(response, plan, clock, sent, versions)


def _outgoing(work: Work, plan: RoutePlan) -> tuple[bytes, str]:
    """The bytes that go out: the received ones without a mapping, else the mapped value in the endpoint's format."""
    if plan.mapping is None:
        return work.body, work.content_type or formats.JSON
    try:
        payload = formats.read(work.body, work.content_type, force_list=plan.force_list)
        body, content_type = formats.write(plan.mapping.run(payload), plan.endpoint.format)
    except (formats.UnwritableValue, formats.MalformedBody, formats.UnknownFormat) as error:
        raise single_failure(str(error)) from error
    if len(body) > MAX_OUTGOING_BYTES:
        raise single_failure(f"The mapped message is larger than {MAX_OUTGOING_BYTES} bytes.")
    return body, content_type


def _request(work: Work, endpoint: EndpointPlan, body: bytes, content_type: str) -> OutboundRequest:
    """Configured headers first; those by which the destination recognises a repeat cannot be overridden."""
    with_body = endpoint.method not in WITHOUT_BODY
    headers = {"Content-Type": content_type} if with_body else {}
    configured = {name.lower() for name, _ in endpoint.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in configured}
    headers.update(endpoint.headers)
    headers["X-Correlation-ID"] = str(work.correlation_id)
    headers["Idempotency-Key"] = _idempotency_key(work)
    return OutboundRequest(
        method=endpoint.method,
        url=endpoint.url,
        headers=tuple(headers.items()),
        body=body if with_body else None,
        deadline_seconds=endpoint.timeout_seconds,
        auth=endpoint.auth,
    )


def _idempotency_key(work: Work) -> str:
    """The source's own name for the message where it has one that a header can carry; the same at every attempt."""
    key = work.idempotency_key
    return key if key and check_header("Idempotency-Key", key) is None else str(work.correlation_id)


def _secret_header(endpoint: EndpointPlan) -> frozenset[str]:
    return frozenset({endpoint.auth.header.lower()}) if isinstance(endpoint.auth, ApiKeyAuth) else frozenset()


def _answered(
    response: OutboundResponse, plan: RoutePlan, clock: _Clock, sent: Sent, versions: Mapping[str, Any]
) -> Outcome:
    status = response.status_code
    received = Received(status, redacted(response.headers), response.body, response.truncated)
    plain = Reply(status, response.header("content-type"), response.body)
    if retries.is_success(status):
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
    passing = retries.is_passing(status)
    detail = _refusal(status, passing)
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


def _refusal(status: int, passing: bool) -> str:
    if 300 <= status < 400:
        return f"The destination answered {status}; redirects are not followed."
    if status == 410:
        return "The destination answered 410: what this endpoint calls is gone for good."
    return f"The destination answered {status}." if passing else f"The destination refused the message with {status}."


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
