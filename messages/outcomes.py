"""What came out of one attempt, and what follows from it. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors import retries
from connectors.choices import OnFailure, OnUnknown, Pattern
from connectors.retries import RetryPolicy
from messages.choices import OutcomeKind, Status

PERMANENT = frozenset({OutcomeKind.REFUSED, OutcomeKind.MAPPING_FAILED, OutcomeKind.NOT_SENT})


@dataclass(frozen=True, slots=True)
class Sent:
    """What went out; `body` is None where it was the message's own body, unchanged. Headers are redacted."""

    method: str
    url: str
    headers: list[list[str]]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Received:
    """What came back. Headers are redacted."""

    status_code: int
    headers: list[list[str]]
    body: bytes
    truncated: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What the source is told of the destination's answer: bytes of `content_type`, after the reply mapping."""

    status_code: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt. `error` is {"type", "title", "detail"} (and "errors") for the source, None on success."""

    kind: OutcomeKind
    started_at: datetime
    duration_ms: float = 0.0
    detail: str = ""
    sent: Sent | None = None
    received: Received | None = None
    reply: Reply | None = None
    error: dict[str, Any] | None = field(default=None)
    retry_after: float | None = None
    mapping_version_id: int | None = None
    reply_mapping_version_id: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: a final `status`, or None and seconds until the next attempt; `blocks` its lane."""

    status: Status | None
    delay_seconds: float = 0.0
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The part of a route that decides what a failure means."""

    retry: RetryPolicy
    on_failure: str
    on_unknown: str = OnUnknown.RETRY


def judge(
    outcome: Outcome,
    policy: Policy,
    *,
    attempts: int,
    pattern: str,
    retryable: bool,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Verdict:
    """Contract, section 6. `attempts` counts this one; `retryable` is false while a synchronous caller is to be told.

    A synchronous message never blocks its lane, unless its caller has been told "accepted" in the meantime: from
    then on it is an asynchronous one.
    """
    if outcome.kind == OutcomeKind.SUCCEEDED:
        return Verdict(Status.SUCCEEDED)
    if pattern == Pattern.SYNC and not retryable:
        return Verdict(Status.FAILED)
    blocks = policy.on_failure == OnFailure.BLOCK
    stops = outcome.kind == OutcomeKind.UNKNOWN and policy.on_unknown == OnUnknown.STOP
    if outcome.kind in PERMANENT or stops:
        return Verdict(Status.DEAD, blocks=True) if blocks else Verdict(Status.FAILED)
    if outcome.kind == OutcomeKind.CRASHED:
        return Verdict(Status.DEAD, blocks=blocks)
    delay = retries.delay_before_next(policy.retry, attempts, retry_after=outcome.retry_after, uniform=uniform)
    if delay is None:
        return Verdict(Status.DEAD, blocks=blocks)
    return Verdict(None, delay_seconds=delay)
