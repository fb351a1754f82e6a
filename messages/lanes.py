"""The only code that writes lane rows.

Why nothing is lost, doubled or overtaken:

- `accept` takes the next position under the lane's row lock, in the transaction that inserts the message: positions
  are dense, and their order is the order of commit.
- `claim` gives a lane to one worker for a limited time and raises its token.
- `finish` records an attempt, its message, its result and the lane's progress in one transaction, and only if the
  token is still the claimer's. Whoever lost a lane records nothing.
- Whether a lane is empty is decided under its row lock, from `last_position`: a message accepted meanwhile is either
  seen here, or finds `due_at` empty and sets it itself. There is no wake-up that could get lost.
- The next message of a lane is sent only after the commit that finished the one before.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from connectors.choices import OnFailure
from connectors.retries import RetryPolicy
from messages.choices import OPEN_STATUSES, Hold, OutcomeKind, Status
from messages.database import clock, clock_reading, write
from messages.models import Attempt, Lane, Message, Result
from messages.outcomes import Outcome, Policy, Verdict, judge

SUSPECT_STRIKES = 2  # claims without progress after which a lane runs alone
MAX_STRIKES = 5  # … and after which its head is taken for what kills the workers
CANCELLING = Policy(RetryPolicy(1, 0, 1, 0), OnFailure.SKIP)


@dataclass(frozen=True, slots=True)
class Place:
    """Where `accept` put a message. `token` is set when the lane was idle and has been claimed in the same breath."""

    lane_id: int
    position: int
    hold: str
    token: int | None


@dataclass(slots=True)
class Claim:
    """A lane in a worker's hand. `deadline` is on the worker's monotonic clock, taken before the lease was written."""

    lane_id: int
    route_id: int
    token: int
    done_position: int
    deadline: float


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


def accept(route_id: int, key: str, *, lease_seconds: float | None = None, owner: str = "") -> Place:
    """Takes the next position of a lane, making the lane if it is new. Runs inside the caller's transaction.

    With `lease_seconds` the lane is claimed at once if it is idle: no message before this one, no hold.
    """
    postgresql = connection.vendor == "postgresql"
    takes = lease_seconds is not None
    values: dict[str, Any] = {
        "route": route_id,
        "key": key,
        "owner": owner if takes else "",
        "takes": takes,
        "one": int(takes),
    }
    if postgresql:
        values["lease"] = f"{lease_seconds or 0} seconds"
        now_sql, lease_sql = "statement_timestamp()", "statement_timestamp() + CAST(%(lease)s AS interval)"
    else:
        now = clock_reading()
        values["now"] = _stored(now)
        values["lease"] = _stored(now + timedelta(seconds=lease_seconds or 0))
        now_sql, lease_sql = "%(now)s", "%(lease)s"
    idle = "(%(takes)s AND lane.last_position = lane.done_position AND lane.hold = '')"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO messaging_lane AS lane
                (route_id, key, last_position, done_position, due_at, lease_until, token, strikes, owner, hold)
            VALUES (%(route)s, %(key)s, 1, 0, {now_sql}, CASE WHEN %(takes)s THEN {lease_sql} END,
                    %(one)s, %(one)s, %(owner)s, '')
            ON CONFLICT (route_id, key) DO UPDATE SET
                last_position = lane.last_position + 1,
                due_at = CASE WHEN lane.due_at IS NULL AND lane.hold = '' THEN excluded.due_at ELSE lane.due_at END,
                lease_until = CASE WHEN {idle} THEN excluded.lease_until ELSE lane.lease_until END,
                token = lane.token + CASE WHEN {idle} THEN 1 ELSE 0 END,
                strikes = CASE WHEN {idle} THEN 1 ELSE lane.strikes END,
                owner = CASE WHEN {idle} THEN excluded.owner ELSE lane.owner END
            RETURNING id, last_position, done_position, hold, token
            """,  # noqa: S608 - the pieces are constants of this function
            values,
        )
        lane_id, last, done, hold, token = cursor.fetchone()
    claimed = takes and last == done + 1 and hold == Hold.NONE
    return Place(lane_id, last, hold, token if claimed else None)


def _stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def any_due() -> bool:
    """A plain read: an idle platform takes no write lock."""
    return Lane.objects.due(clock()).exists()


def claim(count: int, *, lease_seconds: float, owner: str, policies: Mapping[int, Policy], alone: bool) -> list[Claim]:
    """Takes up to `count` due lanes. `alone` says that the caller holds none: only then it may get a suspect one.

    Ask `any_due` first.
    """
    before = time.monotonic()
    with write():
        due = Lane.objects.due(clock()).select_for_update(skip_locked=True, of=("self",)).order_by("due_at")
        lanes = list(due.filter(strikes__lt=SUSPECT_STRIKES)[:count])
        if not lanes and alone:
            lanes = list(due[:1])
            if lanes and lanes[0].strikes >= MAX_STRIKES:
                _declare_crashed(lanes[0], policies)
                return []
        if not lanes:
            return []
        Lane.objects.filter(pk__in=[lane.pk for lane in lanes]).update(
            lease_until=clock() + timedelta(seconds=lease_seconds),
            token=F("token") + 1,
            strikes=F("strikes") + 1,
            owner=owner,
        )
    return [Claim(lane.pk, lane.route_id, lane.token + 1, lane.done_position, before + lease_seconds) for lane in lanes]


def read_ahead(claims: Sequence[Claim], count: int) -> dict[int, list[Work]]:
    """The next messages of several claims by lane, in order, with one query.

    Explicit position ranges: a join on `done_position` made PostgreSQL read a lane's whole history.
    """
    condition = None
    for one in claims:
        first = one.done_position + 1
        span = Message.objects.filter(lane=one.lane_id, position__range=(first, first + count - 1))
        condition = span if condition is None else condition | span
    found: dict[int, list[Work]] = {one.lane_id: [] for one in claims}
    if condition is not None:
        for message in condition.only(*_WORK_FIELDS).order_by("lane_id", "position"):
            found[message.lane_id].append(to_work(message))
    return found


_WORK_FIELDS = (
    "id", "correlation_id", "lane_id", "position", "pattern", "retryable", "attempts", "body", "content_type",
    "idempotency_key", "headers", "status",
)  # fmt: skip


def to_work(message: Message) -> Work:
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
    )


def renew(claims: Sequence[Claim], *, lease_seconds: float) -> set[int]:
    """Prolongs the leases that are still the claimers'; returns their lanes and moves their deadlines."""
    before = time.monotonic()
    with write():
        tokens = {lane.pk: lane.token for lane in _locked(one.lane_id for one in claims)}
        mine = [one for one in claims if tokens.get(one.lane_id) == one.token]
        Lane.objects.filter(pk__in=[one.lane_id for one in mine]).update(
            lease_until=clock() + timedelta(seconds=lease_seconds)
        )
    for one in mine:
        one.deadline = before + lease_seconds
    return {one.lane_id for one in mine}


def release(claims: Sequence[Claim]) -> None:
    """Gives lanes back unworked; they are due at once if they have work."""
    with write():
        rows = {lane.pk: lane for lane in _locked(one.lane_id for one in claims)}
        mine = [rows[one.lane_id] for one in claims if one.lane_id in rows and rows[one.lane_id].token == one.token]
        busy = [lane.pk for lane in mine if lane.depth and lane.hold == Hold.NONE]
        Lane.objects.filter(pk__in=busy).update(due_at=clock(), **_FREE)
        Lane.objects.filter(pk__in=[lane.pk for lane in mine if lane.pk not in set(busy)]).update(due_at=None, **_FREE)


_FREE: dict[str, Any] = {"lease_until": None, "owner": "", "strikes": 0}


def finish(finished: Sequence[Finished], *, now: datetime) -> None:
    """Records attempts of many lanes in one transaction, fenced by their tokens; each entry is marked.

    May be called again with the same entries: where the database committed and the connection broke before it could say
    so, a second record would move the lane past a message that nobody has sent.
    """
    with write():
        rows = {lane.pk: lane for lane in _locked(entry.claim.lane_id for entry in finished)}
        mine = []
        for entry in finished:
            lane = rows[entry.claim.lane_id]
            entry.kept, entry.verdict = False, None  # what a transaction that was rolled back said is void
            entry.fenced = lane.token != entry.claim.token or lane.lease_until is None
            if entry.fenced:
                continue
            if lane.head_position == entry.work.position:
                mine.append(entry)
            else:  # recorded before; a lane that is still leased went on to its next message then
                entry.kept = True
        _record(mine, rows, now)


def make_retryable(message: Message) -> bool:
    """A synchronous caller is told "accepted": from now on the retry policy applies. False if it is final already.

    Takes the lane's lock first, as `finish` does: either the attempt's record sees the change, or this sees the record.
    """
    with write():
        list(_locked([message.lane_id]))
        return bool(Message.objects.open().filter(pk=message.pk).update(retryable=True))


def revive_head(lane_id: int) -> bool:
    """A blocked lane's dead head is queued again, at its place.

    False if the lane is not blocked any more, or if retention has removed the payload: nothing is left to be sent.
    """
    with write():
        lane = next(iter(_locked([lane_id])))
        head = Message.objects.filter(
            lane=lane_id, position=lane.head_position, status=Status.DEAD, purged_at__isnull=True
        )
        if lane.hold != Hold.BLOCKED or not head.update(status=Status.QUEUED, completed_at=None):
            return False
        Result.objects.filter(message__lane=lane_id, message__position=lane.head_position).delete()
        Lane.objects.filter(pk=lane_id).update(hold=Hold.NONE, due_at=clock(), **_FREE)
    return True


def cancel_head(lane_id: int, *, position: int, reason: str, now: datetime) -> bool:
    """The head is cancelled and its lane moves on. False if it is in a worker's hand, or if there is none.

    `position` is the head that somebody decided on: two people who skip the same one must not skip the next one, too.
    The token grows, so that a worker whose lease ran out long ago cannot record anything on top of it.
    """
    with write():
        lane = next(iter(_locked([lane_id])))
        if lane.head_position != position or Lane.objects.filter(pk=lane_id, lease_until__gt=clock()).exists():
            return False
        head = Message.objects.filter(lane=lane_id, position=position).only("pk", "status").first()
        cancellable = (*OPEN_STATUSES, Status.DEAD)
        if head is None or not Message.objects.filter(pk=head.pk, status__in=cancellable).update(
            status=Status.CANCELLED, completed_at=now
        ):
            return False
        error = {"type": "/problems/cancelled", "title": "The message was cancelled", "detail": reason}
        Result.objects.update_or_create(message=head, defaults={"error": error, "created_at": now})
        paused = lane.hold == Hold.PAUSED
        Lane.objects.filter(pk=lane_id).update(
            done_position=F("done_position") + 1,
            token=F("token") + 1,
            hold=lane.hold if paused else Hold.NONE,
            due_at=clock() if lane.depth > 1 and not paused else None,
            **_FREE,
        )
    return True


def hold(lane_id: int) -> bool:
    """Pauses a lane; a running lease is left alone. False if it stands still already."""
    return bool(Lane.objects.filter(pk=lane_id, hold=Hold.NONE).update(hold=Hold.PAUSED))


def unhold(lane_id: int) -> bool:
    """A paused lane is due again if it has work. False if it is not paused."""
    with write():
        lane = next(iter(_locked([lane_id])))
        if lane.hold != Hold.PAUSED:
            return False
        Lane.objects.filter(pk=lane_id).update(hold=Hold.NONE, due_at=clock() if lane.depth else None)
    return True


def _locked(lane_ids: Iterable[int]) -> Iterable[Lane]:
    """In the order of their keys: two transactions that lock several lanes cannot wait for each other."""
    return Lane.objects.select_for_update().filter(pk__in=sorted(lane_ids)).order_by("pk")


def _record(finished: Sequence[Finished], rows: Mapping[int, Lane], now: datetime) -> None:
    """Inside the transaction that holds the lanes' locks."""
    retryable = _now_retryable(finished)
    for entry in finished:
        work = entry.work
        entry.verdict = judge(
            entry.outcome,
            entry.policy,
            attempts=work.attempts + 1,
            pattern=work.pattern,
            retryable=work.retryable or work.message_id in retryable,
        )
    Attempt.objects.bulk_create([_attempt(entry) for entry in finished])
    Result.objects.bulk_create(
        [_result(entry, now) for entry in finished if entry.verdict and entry.verdict.status is not None],
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["status_code", "content_type", "body", "error", "created_at"],
    )
    _update_messages(finished, now)
    _update_lanes(finished, rows)


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


def _update_lanes(finished: Sequence[Finished], rows: Mapping[int, Lane]) -> None:
    keep, empty, more = [], [], []
    for entry in finished:
        lane, verdict = rows[entry.claim.lane_id], entry.verdict
        if verdict is None:
            continue
        if verdict.status is None:
            Lane.objects.filter(pk=lane.pk).update(
                due_at=None if lane.hold else clock() + timedelta(seconds=verdict.delay_seconds), **_FREE
            )
        elif verdict.blocks:
            Lane.objects.filter(pk=lane.pk).update(due_at=None, hold=Hold.BLOCKED, **_FREE)
        elif lane.hold or lane.last_position == entry.work.position:
            empty.append(lane.pk)
        elif entry.let_go:
            more.append(lane.pk)
        else:
            entry.kept = True
            keep.append(lane.pk)
    forward = {"done_position": F("done_position") + 1}
    if keep:
        Lane.objects.filter(pk__in=keep).update(strikes=0, **forward)
    if empty:
        Lane.objects.filter(pk__in=empty).update(due_at=None, **_FREE, **forward)
    if more:
        Lane.objects.filter(pk__in=more).update(due_at=clock(), **_FREE, **forward)


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


def _declare_crashed(lane: Lane, policies: Mapping[int, Policy]) -> None:
    """The head took a worker down MAX_STRIKES times in a row: it ends here, and support staff see why."""
    head = Message.objects.filter(lane=lane.pk, position=lane.head_position).only(*_WORK_FIELDS).first()
    if head is None:
        return
    now = clock_reading()
    detail = f"Its worker ended {lane.strikes} times in a row while it had this message in hand."
    error = {"type": "/problems/destination-failed", "title": "The message could not be processed", "detail": detail}
    outcome = Outcome(OutcomeKind.CRASHED, now, detail=detail, error=error)
    held = Claim(lane.pk, lane.route_id, lane.token, lane.done_position, 0.0)
    policy = policies.get(lane.route_id, CANCELLING)
    _record([Finished(held, to_work(head), outcome, policy, let_go=True)], {lane.pk: lane}, now)
