"""The rows that an attempt leaves behind: attempt, result, message. `lanes` calls it, in its transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F

from messages.choices import OPEN_STATUSES, OutcomeKind, Status
from messages.claims import Finished
from messages.database import insert
from messages.models import Attempt, Message, Result
from messages.outcomes import judge

REPLACED = "ON CONFLICT (message_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in ("status_code", "content_type", "body", "error", "created_at")
)


def judge_all(finished: Sequence[Finished]) -> None:
    """Says what becomes of each message (`verdict`). The lanes' locks are held."""
    retryable = _now_retryable(finished)
    for entry in finished:
        work = entry.work
        entry.verdict = judge(
            entry.outcome,
            entry.policy,
            attempts=work.attempts + 1 - work.attempts_before_retry,
            pattern=work.pattern,
            retryable=work.retryable or work.message_id in retryable,
        )


def write_rows(finished: Sequence[Finished], now: datetime) -> None:
    """Attempts, results and messages as they were judged; nothing is read."""
    insert([_attempt(entry) for entry in finished])
    results = [_result(entry, now) for entry in finished if entry.verdict and entry.verdict.status is not None]
    insert(results, on_conflict=REPLACED)
    _update_messages(finished, now)


def _now_retryable(finished: Sequence[Finished]) -> set[int]:
    """Of the synchronous messages that failed: those whose callers have been told "accepted" in the meantime."""
    asked = [
        entry.work.message_id
        for entry in finished
        if not entry.work.retryable and entry.outcome.kind != OutcomeKind.SUCCEEDED
    ]
    if not asked:
        return set()
    return set(Message.objects.filter(pk__in=asked, retryable=True).values_list("pk", flat=True))


def _update_messages(finished: Sequence[Finished], now: datetime) -> None:
    """One update for all messages that end alike."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for entry in finished:
        status = entry.verdict.status if entry.verdict else None
        versions = entry.outcome.mapping_version_id, entry.outcome.reply_mapping_version_id
        groups.setdefault((status, *versions), []).append(entry.work.message_id)
    for (status, version, reply_version), pks in groups.items():
        Message.objects.filter(pk__in=pks, status__in=OPEN_STATUSES).update(
            status=status or Status.RETRYING,
            completed_at=now if status else None,
            attempts=F("attempts") + 1,
            mapping_version_id=version,
            reply_mapping_version_id=reply_version,
        )


def _attempt(entry: Finished) -> Attempt:
    outcome, sent, received = entry.outcome, entry.outcome.sent, entry.outcome.received
    return Attempt(
        message_id=entry.work.message_id,
        number=entry.work.attempts + 1,
        token=entry.claim.token,
        outcome=outcome.kind,
        detail=_storable(outcome.detail),
        started_at=outcome.started_at,
        duration_ms=outcome.duration_ms,
        method=sent.method if sent else "",
        url=sent.url if sent else "",
        request_headers=sent.headers if sent else None,
        request_body=sent.body if sent else None,
        status_code=received.status_code if received else None,
        response_headers=received.headers if received else None,
        response_body=received.body if received else None,
        response_truncated=received.truncated if received else False,
    )


def _result(entry: Finished, now: datetime) -> Result:
    outcome, reply = entry.outcome, entry.outcome.reply
    return Result(
        message_id=entry.work.message_id,
        status_code=reply.status_code if reply else None,
        content_type=_storable(reply.content_type)[:255] if reply else "",
        body=reply.body if reply else None,
        error=outcome.error,
        created_at=now,
    )


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL in a text, and a destination may send one in a header."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
