"""What lanes and their workers hand each other: places, claims, work, and what is to be recorded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors import formats
from messages.models import Message
from messages.outcomes import Outcome, Policy, Verdict


@dataclass(frozen=True, slots=True)
class Place:
    """Where `accept` put a message. `token` is set when the lane was idle and has been claimed in the same breath."""

    lane_id: int
    position: int
    token: int | None


@dataclass(slots=True)
class Claim:
    """A lane in a worker's hand. `deadline` is on `lease_clock`, read before the lease was written."""

    lane_id: int
    route_id: int
    token: int
    done_position: int
    deadline: float
    changes: int = 0
    """`Lane.changes` when its messages were last read."""
    probe: int | None = None
    """Its next message is the one call that an open circuit lets through, of this number."""
    permit: str = ""
    """Its right to one call, where the endpoint has limits."""
    send_by: float = math.inf
    """When its call has to begin, on `lease_clock`: its permit does not last."""
    suspect: bool = False
    """Its head may be what ends workers: nothing else runs beside it."""
    unsure: bool = False
    """Whoever had it before ended without a word: its head may have been sent."""


@dataclass(frozen=True, slots=True)
class Work:
    """A message as its deliverer needs it."""

    message_id: int
    correlation_id: UUID
    lane_id: int
    position: int
    pattern: str
    retryable: bool
    attempts: int
    body: bytes
    content_type: str
    idempotency_key: str | None
    headers: dict[str, str] = field(default_factory=dict)
    attempts_before_retry: int = 0
    """Those made when a person last retried it."""


@dataclass(slots=True)
class Finished:
    """An attempt to be recorded. `let_go`: give the lane back even if it has more work."""

    claim: Claim
    work: Work
    outcome: Outcome
    policy: Policy
    let_go: bool = False
    kept: bool = False
    """Set by `finish`: the lane is still the claimer's, and its next message may be sent."""
    fenced: bool = False
    """Set by `finish`: nothing was recorded, since the lane is not the claimer's any more."""
    verdict: Verdict | None = None
    """Set by `finish`: what became of the message."""
    changes: int = 0
    """Set by `finish`: `Lane.changes`; where it differs from the claim's, what was read ahead is out of date."""
    recorded_at: datetime | None = None
    """Set by `finish`: the time that it has written."""


WORK_COLUMNS = (
    "id", "correlation_id", "lane_id", "position", "pattern", "retryable", "attempts", "body", "content_type",
    "idempotency_key", "headers", "attempts_before_retry", "status",
)  # fmt: skip


def to_work(row: Sequence[Any]) -> tuple[Work, str]:
    """From a row of WORK_COLUMNS: the work, and the message's status."""
    pk, name, lane, position, pattern, retryable, attempts, body, content_type, key, headers, before, status = row
    work = Work(
        message_id=pk,
        correlation_id=name if isinstance(name, UUID) else UUID(name),  # SQLite has a text
        lane_id=lane,
        position=position,
        pattern=pattern,
        retryable=bool(retryable),
        attempts=attempts,
        body=bytes(body),
        content_type=content_type,
        idempotency_key=key,
        headers=formats.parse(headers.encode()) if headers else {},
        attempts_before_retry=before,
    )
    return work, status


def work_of(message: Message) -> Work:
    return Work(
        message_id=message.pk,
        correlation_id=message.correlation_id,
        lane_id=message.lane_id,
        position=message.position,
        pattern=message.pattern,
        retryable=message.retryable,
        attempts=message.attempts,
        body=bytes(message.body),
        content_type=message.content_type,
        idempotency_key=message.idempotency_key,
        headers=message.headers or {},
        attempts_before_retry=message.attempts_before_retry,
    )
