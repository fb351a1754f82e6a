"""The synchronous pattern's answer: wait for the outcome, then say it in HTTP."""

import threading
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse

from connectors import formats
from connectors.catalogue import RoutePlan
from connectors.choices import Reply
from messages import intake
from messages.accepting import Taking
from messages.breaker import breaker
from messages.choices import Status
from messages.claims import Finished
from messages.exceptions import LaneUnavailable
from messages.intake import Accepted, Incoming
from messages.models import Message, Result
from messages.problems import Problem
from messages.pump import owner_name
from messages.recording import show
from messages.serializers import result_document
from messages.waiting import conclude, lookout
from messages.web_pump import web_pump

POLL_FIRST_SECONDS = 0.01
POLL_LAST_SECONDS = 0.1


def accept(plan: RoutePlan, incoming: Incoming, *, revision: int | None = None) -> Accepted:
    """Commits the message of a synchronous caller; an idle lane is claimed at once.

    Raises LaneUnavailable where its lane, its endpoint's circuit or the whole route stands still, unless it repeats a
    message; and Refused as `intake.accept` does.
    When the time has come to try the endpoint of an open circuit, the message is the one that is tried.
    """
    probe, standing = None, None
    try:
        if plan.paused or plan.endpoint.paused:
            raise LaneUnavailable("paused", f"This {'route' if plan.paused else 'endpoint'} is paused.")
        probe = breaker.admit(plan.endpoint)
    except LaneUnavailable as unavailable:
        standing = unavailable
    accepted = None
    try:
        taking = Taking(owner_name(), settings.LEASE_SECONDS)
        accepted = intake.accept(plan, incoming, taking=taking, revision=revision, standing=standing)
    finally:
        if probe is not None and (accepted is None or accepted.claim is None):
            breaker.settle(plan.endpoint, probe, None)
    if accepted.claim is not None:
        accepted.claim.probe = probe
    return accepted


def end_of(accepted: Accepted, plan: RoutePlan) -> "Future[None]":
    """Done when the message is final; whoever waits no longer cancels it. One that ends in our hand shows it by then.

    An idle lane was claimed by `intake.accept`: its message goes out at once, through this process's pump. Otherwise
    it takes its turn: whoever holds the lane works it, and we look until its result is there.
    """
    if accepted.claim is None or accepted.work is None:
        return lookout.end_of(accepted.message.correlation_id)
    end: Future[None] = Future()

    def recorded(waiter: "Future[Finished]") -> None:
        if _is_over(waiter):
            show(accepted.message, waiter.result())
            conclude(end)
        else:
            lookout.end_of(accepted.message.correlation_id, end)

    web_pump.get().take(accepted.claim, accepted.work, plan).add_done_callback(recorded)
    return end


def wait_for(accepted: Accepted, plan: RoutePlan, *, deadline: float) -> Message | None:
    """The message as soon as it is final, or None at `deadline` (monotonic). As `end_of`, but this thread waits."""
    message = accepted.message
    if accepted.claim is not None and accepted.work is not None:
        waiter = web_pump.get().take(accepted.claim, accepted.work, plan)
        try:
            waiter.result(timeout=max(0.0, deadline - time.monotonic()))
        except FutureTimeoutError:
            return None
        except CancelledError:
            pass
        if _is_over(waiter):
            show(message, waiter.result())
            return message
    return wait_until_final(message.correlation_id, deadline=deadline)


def _is_over(waiter: "Future[Finished]") -> bool:
    """Whether the first attempt was the last: recorded in our hand, and the message is final."""
    if waiter.cancelled():
        return False
    recorded = waiter.result()
    return not recorded.fenced and recorded.verdict is not None and recorded.verdict.status is not None


# Where the server cannot wait by itself, half of the threads may wait for results; the others stay free to accept. Who
# comes later is told "not yet" at once.
_long_polls = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


def long_poll(message: Message, *, seconds: float) -> None:
    """Waits until a message is final, at most so long, if there is a thread to spare for it."""
    if message.is_final or not seconds or not _long_polls.acquire(blocking=False):
        return
    try:
        wait_until_final(message.correlation_id, deadline=time.monotonic() + seconds)
    finally:
        _long_polls.release()


def wait_until_final(correlation_id: UUID, *, deadline: float) -> Message | None:
    """Looks at one message until it is final; None at `deadline` (monotonic)."""
    pause = POLL_FIRST_SECONDS
    while not Message.objects.final().filter(correlation_id=correlation_id).exists():
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, POLL_LAST_SECONDS)
    return load(correlation_id)


def load(correlation_id: UUID) -> Message | None:
    """A message with its lane and result, without its body."""
    found = Message.objects.filter(correlation_id=correlation_id).without_body()
    return found.select_related("lane", "result", "route").first()


def answer(message: Message, plan: RoutePlan) -> HttpResponse:
    """The answer to a synchronous caller for a message that is final."""
    if message.purged_at is not None:
        return _gone(message)
    if message.status == Status.SUCCEEDED:
        if plan.reply == Reply.BODY:
            return _body(message)
        return HttpResponse(
            formats.dump(result_document(message, plan.slug, message.status)), content_type=formats.JSON
        )
    return failure(message).response()


def failure(message: Message) -> Problem:
    """Why a message ended otherwise than succeeded, as the problem that its caller gets."""
    result: Result | None = getattr(message, "result", None)
    extra: dict[str, object] = {"correlation_id": str(message.correlation_id)}
    if message.status == Status.CANCELLED:
        return Problem("cancelled", "The message was cancelled.", extra)
    error: dict[str, Any] = (result.error if result else None) or {}
    slug = str(error.get("type", "")).rpartition("/")[2] or "destination-failed"
    if slug == "mapping-failed":
        extra["errors"] = error.get("errors", [])
    else:
        extra["destination_status"] = result.status_code if result else None
    return Problem(slug, error.get("detail", "The message could not be delivered."), extra)


def _body(message: Message) -> HttpResponse:
    """`reply: body`: the destination's own status and its mapped body."""
    result: Result | None = getattr(message, "result", None)
    if result is None or result.status_code is None:
        return _gone(message)
    if result.error is not None:  # confirmed, but the reply mapping failed: there is no mapped body to give
        extra = {
            "correlation_id": str(message.correlation_id),
            "destination_status": result.status_code,
            "errors": result.error.get("errors", []),
        }
        return Problem("mapping-failed", result.error["detail"], extra).response()
    body = bytes(result.body or b"")
    return HttpResponse(body, status=result.status_code, content_type=result.content_type or "application/octet-stream")


def _gone(message: Message) -> HttpResponse:
    extra = {"correlation_id": str(message.correlation_id)}
    return Problem("gone", "The answer is no longer kept.", extra).response()
