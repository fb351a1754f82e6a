"""What an attempt leaves behind: verdict, attempt, result, message, and how far its lane is. `lanes.finish` calls it.

PostgreSQL does all of it in one statement, which takes the lanes' row locks, looks whether they are still their
claimers', and commits itself: a round trip for any number of outcomes. SQLite, which answers within the process, has
one statement for each table. All are constant texts: to put them together anew took longer than to execute them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connection, connections

from connectors import formats
from messages.choices import OPEN_STATUSES, Hold, OutcomeKind, Status
from messages.claims import Finished
from messages.database import clock_reading, compact, execute_in_server, json_ids, storable, write, write_alone
from messages.models import Lane, Message, Result
from messages.outcomes import judge

ATTEMPT = {
    "message_id": "bigint",
    "number": "integer",
    "token": "bigint",
    "outcome": "text",
    "detail": "text",
    "started_at": "timestamptz",
    "duration_ms": "float8",
    "method": "text",
    "url": "text",
    "request_headers": "text",
    "request_body": "bytea",
    "status_code": "smallint",
    "response_headers": "text",
    "response_body": "bytea",
    "response_truncated": "boolean",
}
RESULT = {
    "message_id": "bigint",
    "status_code": "smallint",
    "content_type": "text",
    "body": "bytea",
    "error": "text",
    "created_at": "timestamptz",
}
OF_RESULT = {name: f"result_{name}" for name in ("status_code", "content_type", "body", "error")}
"""What a result calls otherwise than the row that is handed to PostgreSQL."""
ROW = {
    "index": "integer",
    "lane_id": "bigint",
    "position": "bigint",
    "status": "text",
    "delay": "float8",
    "blocks": "boolean",
    "let_go": "boolean",
    "mapping_version_id": "bigint",
    "reply_mapping_version_id": "bigint",
    **ATTEMPT,
    **{OF_RESULT[name]: kind for name, kind in RESULT.items() if name in OF_RESULT},
}
BODIES = tuple(name for name, kind in ROW.items() if kind == "bytea")
OPEN = ", ".join(f"'{status.value}'" for status in OPEN_STATUSES)


class Held(NamedTuple):
    """A locked lane, as far as recording needs it."""

    id: int
    token: int
    leased: bool
    hold: str
    last_position: int
    done_position: int
    changes: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one lane. `at_head`: it stood right before the message, so the attempt was recorded."""

    holds: bool
    at_head: bool
    kept: bool
    changes: int


def record(finished: Sequence[Finished], *, now: datetime, trusted: bool = False) -> list[Moved]:
    """Records the attempts whose lanes are still their claimers', and whose messages are still heads; nothing else.

    Says for each entry what became of its lane, and writes its verdict. `trusted`: the caller holds the locks of the
    lanes, and these are their heads, whoever had claimed them.
    """
    if not finished:
        return []
    if connection.vendor != "postgresql":
        with write():
            return _step_by_step(finished, now=now, trusted=trusted)
    if all(_is_sure(entry) for entry in finished):
        _judge_all(finished, retryable=())
        with write_alone():
            return _at_once(finished, now=now, trusted=trusted)
    with write():
        list(Lane.objects.locked({entry.claim.lane_id for entry in finished}))
        _judge_all(finished, retryable=_now_retryable(finished))
        return _at_once(finished, now=now, trusted=trusted)


def show(message: Message, entry: Finished) -> None:
    """Makes `message` what a look at the database would find, now that `entry` has been recorded and has ended it."""
    if entry.verdict is None or entry.verdict.status is None:
        return
    message.status, message.completed_at = entry.verdict.status, entry.recorded_at
    message.attempts = entry.work.attempts + 1
    status_code, content_type, body = _reply(entry)
    message.result = Result(status_code=status_code, content_type=content_type, body=body, error=entry.outcome.error)


def _is_sure(entry: Finished) -> bool:
    """Whether nobody can change what an outcome means: a synchronous caller may have been told "accepted" meanwhile."""
    return entry.work.retryable or entry.outcome.kind == OutcomeKind.SUCCEEDED


def _judge_all(finished: Iterable[Finished], *, retryable: Iterable[int]) -> None:
    """Says what becomes of each message (`verdict`)."""
    for entry in finished:
        work = entry.work
        entry.verdict = judge(
            entry.outcome,
            entry.policy,
            attempts=work.attempts + 1 - work.attempts_before_retry,
            pattern=work.pattern,
            retryable=work.retryable or work.message_id in retryable,
        )


def _now_retryable(finished: Sequence[Finished]) -> set[int]:
    """Of the synchronous messages that failed: those whose callers have been told "accepted". The lanes are locked."""
    asked = [entry.work.message_id for entry in finished if not _is_sure(entry)]
    if not asked:
        return set()
    return set(Message.objects.filter(pk__in=asked, retryable=True).values_list("pk", flat=True))


# PostgreSQL


def _at_once(finished: Sequence[Finished], *, now: datetime, trusted: bool) -> list[Moved]:
    rows = [dict(zip(ROW, _row(index, entry), strict=True)) for index, entry in enumerate(finished)]
    values: dict[str, Any] = {name: [row.pop(name) for row in rows] for name in BODIES}
    for row in rows:
        row["started_at"] = row["started_at"].isoformat()
    lane_ids = sorted({row["lane_id"] for row in rows})
    values |= {"rows": formats.dump(rows).decode(), "lane_ids": lane_ids, "now": now, "trusted": trusted}
    return [Moved(*told) for told in execute_in_server(_whole(), values)]


@lru_cache(maxsize=1)
def _whole() -> str:
    """Everything sees the database as it was when the statement began, but for rows that were locked after that.

    Those are taken as they are under the lock: PostgreSQL looks at them again, in `held` and in each UPDATE. `|| ''`
    keeps it from finding a message by its status: after an outage, thousands wait that have the same.
    """
    columns = ", ".join(f"{name} {kind}" for name, kind in ROW.items() if name not in BODIES)
    bodies = ", ".join(f"(%({name})b::bytea[])[index + 1] AS {name}" for name in BODIES)
    of_result = ", ".join(f"mine.{OF_RESULT[name]}" for name in OF_RESULT)
    kept = f"(mine.status IS NOT NULL AND NOT mine.blocks AND NOT mine.let_go AND {_HAS_MORE})"
    return compact(f"""
        WITH entry AS (
            SELECT *, {bodies} FROM json_to_recordset(%(rows)s) AS entry({columns})
        ), held AS (
            SELECT id, token, lease_until IS NOT NULL AS leased, done_position, changes
            FROM messaging_lane WHERE id = ANY(%(lane_ids)s::bigint[]) ORDER BY id FOR UPDATE
        ), told AS (
            SELECT entry.index, %(trusted)s OR (held.token = entry.token AND held.leased) AS holds,
                   %(trusted)s OR held.done_position + 1 = entry.position AS at_head, held.changes
            FROM entry JOIN held ON held.id = entry.lane_id
        ), mine AS (
            SELECT entry.* FROM entry JOIN told USING (index) WHERE told.holds AND told.at_head
        ), attempt AS (
            INSERT INTO messaging_attempt ({", ".join(ATTEMPT)})
            SELECT {", ".join(f"mine.{name}" for name in ATTEMPT)} FROM mine
        ), result AS (
            INSERT INTO messaging_result (message_id, {", ".join(OF_RESULT)}, created_at)
            SELECT mine.message_id, {of_result}, %(now)s FROM mine WHERE mine.status IS NOT NULL
            {_REPLACED}
        ), message AS (
            UPDATE messaging_message AS message SET
                status = COALESCE(mine.status, '{Status.RETRYING.value}'),
                completed_at = CASE WHEN mine.status IS NOT NULL THEN %(now)s::timestamptz END,
                attempts = message.attempts + 1,
                mapping_version_id = mine.mapping_version_id,
                reply_mapping_version_id = mine.reply_mapping_version_id
            FROM mine WHERE message.id = mine.message_id AND (message.status || '') IN ({OPEN})
        ), lane AS (
            UPDATE messaging_lane AS lane SET
                done_position = lane.done_position + CASE WHEN mine.status IS NULL OR mine.blocks THEN 0 ELSE 1 END,
                due_at = CASE
                    WHEN mine.status IS NULL THEN statement_timestamp() + mine.delay * interval '1 second'
                    WHEN {kept} THEN lane.due_at
                    WHEN NOT mine.blocks AND {_HAS_MORE} THEN statement_timestamp()
                END,
                hold = CASE WHEN mine.blocks AND lane.hold = '' THEN '{Hold.BLOCKED.value}' ELSE lane.hold END,
                lease_until = CASE WHEN {kept} THEN lane.lease_until END,
                owner = CASE WHEN {kept} THEN lane.owner ELSE '' END,
                strikes = CASE WHEN {kept} THEN 1 ELSE 0 END
            FROM mine WHERE lane.id = mine.lane_id
            RETURNING mine.index, lane.lease_until IS NOT NULL AS kept
        )
        SELECT told.holds, told.at_head, COALESCE(lane.kept, false), told.changes
        FROM told LEFT JOIN lane USING (index) ORDER BY told.index
    """)  # noqa: S608 - the pieces are constants of this module


_HAS_MORE = "lane.hold = '' AND lane.last_position > mine.position"
_REPLACED = "ON CONFLICT (message_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in (*OF_RESULT, "created_at")
)


# SQLite


def _step_by_step(finished: Sequence[Finished], *, now: datetime, trusted: bool) -> list[Moved]:
    """In a write transaction: nobody else writes."""
    lanes = _held(entry.claim.lane_id for entry in finished)
    told, mine = [], []
    for entry in finished:
        lane = lanes[entry.claim.lane_id]
        holds = trusted or (lane.token == entry.claim.token and lane.leased)
        at_head = trusted or lane.done_position + 1 == entry.work.position
        told.append((holds, at_head, lane))
        if holds and at_head:
            mine.append(entry)
    _judge_all(mine, retryable=_now_retryable(mine))
    _insert_attempts(mine)
    _insert_results(mine, now)
    _update_messages(mine, now)
    kept = _move_lanes(mine, lanes)
    return [Moved(holds, at_head, holds and at_head and lane.id in kept, lane.changes) for holds, at_head, lane in told]


def _held(lane_ids: Iterable[int]) -> dict[int, Held]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, token, lease_until IS NOT NULL, hold, last_position, done_position, changes"
            " FROM messaging_lane WHERE id IN (SELECT value FROM json_each(%s))",
            [json_ids(lane_ids)],
        )
        return {row[0]: Held(*row) for row in cursor.fetchall()}


def _insert_attempts(mine: Sequence[Finished]) -> None:
    adapted = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value
    date = tuple(ATTEMPT).index("started_at")
    rows = [(*row[:date], adapted(row[date]), *row[date + 1 :]) for row in map(_attempt, mine)]
    _many(f"INSERT INTO messaging_attempt ({', '.join(ATTEMPT)}) VALUES ({_places(ATTEMPT)})", rows)  # noqa: S608


def _insert_results(mine: Sequence[Finished], now: datetime) -> None:
    present = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value(now)
    rows = [(one.work.message_id, *_result(one), present) for one in mine if one.verdict and one.verdict.status]
    _many(
        f"INSERT INTO messaging_result ({', '.join(RESULT)}) VALUES ({_places(RESULT)}) {_REPLACED}",  # noqa: S608
        rows,
    )


def _update_messages(mine: Sequence[Finished], now: datetime) -> None:
    present = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value(now)
    rows = []
    for entry in mine:
        status = entry.verdict.status if entry.verdict else None
        versions = entry.outcome.mapping_version_id, entry.outcome.reply_mapping_version_id
        rows.append((status or Status.RETRYING, present if status else None, *versions, entry.work.message_id))
    _many(
        f"""
        UPDATE messaging_message SET status = %s, completed_at = %s, attempts = attempts + 1, mapping_version_id = %s,
            reply_mapping_version_id = %s
        WHERE id = %s AND status IN ({OPEN})
        """,  # noqa: S608 - a constant
        [(str(status), *rest) for status, *rest in rows],
    )


def _move_lanes(mine: Sequence[Finished], lanes: dict[int, Held]) -> set[int]:
    """Those that are still the claimers'; the others are free, due if they have work that may go."""
    adapted, present = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value, clock_reading()
    keep, free = [], []
    for entry in mine:
        lane, verdict = lanes[entry.claim.lane_id], entry.verdict
        if verdict is None:
            continue
        stays = verdict.status is None or verdict.blocks
        hold = lane.hold or (Hold.BLOCKED.value if verdict.blocks else Hold.NONE.value)
        has_more = not lane.hold and lane.last_position > entry.work.position
        due = None
        if verdict.status is None:
            # a paused lane, too: it is not due while it is held, and resuming it does not forget the back-off
            due = adapted(present + timedelta(seconds=verdict.delay_seconds))
        elif not verdict.blocks and has_more:
            if not entry.let_go:
                keep.append((lane.id,))
                continue
            due = adapted(present)
        free.append((0 if stays else 1, due, hold, lane.id))
    _many("UPDATE messaging_lane SET done_position = done_position + 1, strikes = 1 WHERE id = %s", keep)
    _many(
        "UPDATE messaging_lane SET done_position = done_position + %s, due_at = %s, hold = %s, lease_until = NULL,"
        " owner = '', strikes = 0 WHERE id = %s",
        free,
    )
    return {pk for (pk,) in keep}


def _many(sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _places(columns: dict[str, str]) -> str:
    return ", ".join(["%s"] * len(columns))


# rows


def _row(index: int, entry: Finished) -> tuple[Any, ...]:
    """In the order of ROW."""
    verdict, outcome = entry.verdict, entry.outcome
    status = None if verdict is None or verdict.status is None else verdict.status.value
    return (
        index,
        entry.claim.lane_id,
        entry.work.position,
        status,
        verdict.delay_seconds if verdict else 0.0,
        verdict is not None and verdict.blocks,
        entry.let_go,
        outcome.mapping_version_id,
        outcome.reply_mapping_version_id,
        *_attempt(entry),
        *_result(entry),
    )


def _attempt(entry: Finished) -> tuple[Any, ...]:
    """In the order of ATTEMPT."""
    outcome, sent, received = entry.outcome, entry.outcome.sent, entry.outcome.received
    return (
        entry.work.message_id,
        entry.work.attempts + 1,
        entry.claim.token,
        str(outcome.kind),
        storable(outcome.detail),
        outcome.started_at,
        outcome.duration_ms,
        sent.method if sent else "",
        storable(sent.url) if sent else "",
        _json(sent.headers) if sent else None,
        sent.body if sent else None,
        received.status_code if received else None,
        _json(received.headers) if received else None,
        received.body if received else None,
        received.truncated if received else False,
    )


def _result(entry: Finished) -> tuple[Any, ...]:
    """In the order of OF_RESULT."""
    return (*_reply(entry), _json(entry.outcome.error))


def _reply(entry: Finished) -> tuple[int | None, str, bytes | None]:
    reply = entry.outcome.reply
    return (reply.status_code, storable(reply.content_type)[:255], reply.body) if reply else (None, "", None)


def _json(value: Any) -> str | None:
    return None if value is None else formats.dump(value).decode()
