"""The queue: claim, read ahead, renew, release, finish. Only this, `accepting` and `steering` write lane rows.

Why nothing is lost, doubled or overtaken:

- `accepting.accept` takes the next position under the lane's row lock, in the transaction that inserts the message:
  positions are dense, and their order is the order of commit.
- `claim` gives a lane to one worker for a limited time and raises its token.
- `finish` records an attempt, its message, its result and the lane's progress in one transaction, and only if the
  token is still the claimer's. Whoever lost a lane records nothing.
- Whether a lane is empty is decided under its row lock, from `last_position`: a message accepted meanwhile is either
  seen here, or finds `due_at` empty and sets it itself. There is no wake-up that could get lost.
- The next message of a lane is sent only after the commit that finished the one before.
- A message that a person cancels while it waits keeps its position and is passed over when its turn comes. A worker may
  have read it ahead: `changes` grows, `finish` tells, and what was read ahead is read again before anything is sent.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet

from connectors.choices import OnFailure
from connectors.retries import RetryPolicy
from messages.choices import OPEN_STATUSES, Hold, OutcomeKind, Status
from messages.claims import WORK_FIELDS, Claim, Finished, Work, to_work
from messages.database import clock, clock_reading, together, write
from messages.models import Lane, Message
from messages.outcomes import Outcome, Policy
from messages.recording import judge_all, write_rows

SUSPECT_STRIKES = 2  # claims without progress after which a lane runs alone
SUSPECT_PATIENCE = timedelta(seconds=5)  # how long it waits for a worker that has nothing else to do
MAX_STRIKES = 5  # … and after which its head is taken for what kills the workers
MOVING_ON = Policy(RetryPolicy(1, 0, 1, 0), OnFailure.SKIP)


def any_due(without: Collection[int] = ()) -> bool:
    """A plain read: an idle platform takes no write lock. `without` names endpoints that do not matter."""
    return Lane.objects.due(clock()).without_endpoints(without).exists()


def suspect_waits() -> bool:
    """Whether a lane that has to run alone waits in vain, since every worker has something else in hand."""
    return Lane.objects.due(clock()).filter(**_overdue_suspect()).exists()


def _overdue_suspect() -> dict[str, Any]:
    return {"strikes__gte": SUSPECT_STRIKES, "due_at__lte": clock() - SUSPECT_PATIENCE}


def claim(
    count: int,
    *,
    lease_seconds: float,
    owner: str,
    policies: Mapping[int, Policy],
    alone: bool,
    without: Collection[int] = (),
) -> list[Claim]:
    """Takes up to `count` due lanes, none of the endpoints `without`.

    `alone` says that the caller holds none: only then it may get a suspect one. A suspect one that has been waiting too
    long comes first then. Ask `any_due` first.
    """
    before = time.monotonic()
    with write():
        due = free(Lane.objects.flowing(clock()).without_endpoints(without))
        lanes = list(due.filter(**_overdue_suspect())[:1]) if alone else []
        if not lanes:
            lanes = list(due.filter(strikes__lt=SUSPECT_STRIKES)[:count])
        if not lanes and alone:
            lanes = list(due[:1])
        if lanes and lanes[0].strikes >= MAX_STRIKES:
            declare_crashed(lanes[0], policies)
            return []
        if not lanes:
            return []
        return lease(lanes, lease_seconds=lease_seconds, owner=owner, before=before)


def free(due: QuerySet[Lane]) -> QuerySet[Lane]:
    """Locked, without those that somebody else is about to take; the longest due first."""
    return due.select_for_update(skip_locked=True, of=("self",)).order_by("due_at")


def lease(lanes: Sequence[Lane], *, lease_seconds: float, owner: str, before: float) -> list[Claim]:
    """Gives locked lanes to `owner`; `before` is when the caller began, on its monotonic clock."""
    Lane.objects.filter(pk__in=[lane.pk for lane in lanes]).update(
        lease_until=clock() + timedelta(seconds=lease_seconds),
        token=F("token") + 1,
        strikes=F("strikes") + 1,
        owner=owner,
    )
    until = before + lease_seconds
    return [Claim(lane.pk, lane.route_id, lane.token + 1, lane.done_position, until, lane.changes) for lane in lanes]


def read_ahead(claims: Sequence[Claim], count: int) -> dict[int, list[Work]]:
    """The next messages of several claims by lane, in order, with one query; a cancelled one ends the list.

    A lane whose list is empty is to be released, which passes its cancelled head over. Explicit position ranges: a join
    on `done_position` made PostgreSQL read a lane's whole history.
    """
    condition = None
    for one in claims:
        first = one.done_position + 1
        span = Message.objects.filter(lane=one.lane_id, position__range=(first, first + count - 1))
        condition = span if condition is None else condition | span
    found: dict[int, list[Work]] = {one.lane_id: [] for one in claims}
    if condition is None:
        return found
    expected = {one.lane_id: one.done_position + 1 for one in claims}
    for message in condition.only(*WORK_FIELDS).order_by("lane_id", "position"):
        if message.position == expected[message.lane_id] and message.status in OPEN_STATUSES:
            found[message.lane_id].append(to_work(message))
            expected[message.lane_id] += 1
    return found


def renew(claims: Sequence[Claim], *, lease_seconds: float) -> set[int]:
    """Prolongs the leases that are still the claimers'; returns their lanes and moves their deadlines."""
    before = time.monotonic()
    with write():
        rows = {lane.pk: lane for lane in locked(one.lane_id for one in claims)}
        mine = [one for one in claims if _holds(one, rows.get(one.lane_id))]
        Lane.objects.filter(pk__in=[one.lane_id for one in mine]).update(
            lease_until=clock() + timedelta(seconds=lease_seconds)
        )
    for one in mine:
        one.deadline = before + lease_seconds
    return {one.lane_id for one in mine}


def release(claims: Sequence[Claim]) -> None:
    """Gives lanes back unworked, past heads that have been cancelled; they are due at once if they have work."""
    with write():
        rows = {lane.pk: lane for lane in locked(one.lane_id for one in claims)}
        mine = [rows[one.lane_id] for one in claims if _holds(one, rows.get(one.lane_id))]
        idle = [lane.pk for lane in mine if not lane.depth]
        Lane.objects.filter(pk__in=idle).update(due_at=None, **FREE)
        for lane in mine:
            if lane.depth:
                move_on(lane)


def move_on(lane: Lane) -> None:
    """Frees a locked lane in front of its next message that was not cancelled; due at once unless it is held.

    `hold` and `token` are written as `lane` has them.
    """
    waiting = Message.objects.filter(lane=lane.pk, position__gt=lane.done_position).exclude(status=Status.CANCELLED)
    head = waiting.order_by("position").values_list("position", flat=True).first()
    done = lane.last_position if head is None else head - 1
    due = head is not None and lane.hold == Hold.NONE
    Lane.objects.filter(pk=lane.pk).update(
        done_position=done, due_at=clock() if due else None, hold=lane.hold, token=lane.token, **FREE
    )


def _holds(claim: Claim, lane: Lane | None) -> bool:
    """Whether a locked lane is still the claimer's. Its token stays when it gives the lane back; the lease does not."""
    return lane is not None and lane.token == claim.token and lane.lease_until is not None


FREE: dict[str, Any] = {"lease_until": None, "owner": "", "strikes": 0}


def finish(finished: Sequence[Finished], *, now: datetime) -> None:
    """Records attempts of many lanes in one transaction, fenced by their tokens; each entry is marked.

    May be called again with the same entries: where the database committed and the connection broke before it could say
    so, a second record would move the lane past a message that nobody has sent.
    """
    with write():
        rows = {lane.pk: lane for lane in locked(entry.claim.lane_id for entry in finished)}
        mine = []
        for entry in finished:
            lane = rows[entry.claim.lane_id]
            entry.kept, entry.verdict = False, None  # what a transaction that was rolled back said is void
            entry.changes = lane.changes
            entry.fenced = not _holds(entry.claim, lane)
            if entry.fenced:
                continue
            if lane.head_position == entry.work.position:
                mine.append(entry)
            else:  # recorded before; a lane that is still leased went on to its next message then
                entry.kept = True
        _record(mine, rows, now)


def _record(finished: Sequence[Finished], rows: Mapping[int, Lane], now: datetime) -> None:
    judge_all(finished)
    with together():
        write_rows(finished, now)
        _update_lanes(finished, rows)


def locked(lane_ids: Iterable[int]) -> Iterable[Lane]:
    """In the order of their keys: two transactions that lock several lanes cannot wait for each other."""
    return Lane.objects.select_for_update().filter(pk__in=sorted(lane_ids)).order_by("pk")


def _update_lanes(finished: Sequence[Finished], rows: Mapping[int, Lane]) -> None:
    keep, empty, more = [], [], []
    for entry in finished:
        lane, verdict = rows[entry.claim.lane_id], entry.verdict
        if verdict is None:
            continue
        if verdict.status is None:
            # a paused lane, too: it is not due while it is held, and resuming it does not forget the back-off
            Lane.objects.filter(pk=lane.pk).update(due_at=clock() + timedelta(seconds=verdict.delay_seconds), **FREE)
        elif verdict.blocks:
            # a paused lane stays paused; its dead head blocks it once it is resumed
            Lane.objects.filter(pk=lane.pk).update(due_at=None, hold=lane.hold or Hold.BLOCKED, **FREE)
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
        Lane.objects.filter(pk__in=empty).update(due_at=None, **FREE, **forward)
    if more:
        Lane.objects.filter(pk__in=more).update(due_at=clock(), **FREE, **forward)


def declare_crashed(lane: Lane, policies: Mapping[int, Policy]) -> None:
    """The head took a worker down MAX_STRIKES times in a row: it ends here, and support staff see why."""
    head = Message.objects.open().filter(lane=lane.pk, position=lane.head_position).only(*WORK_FIELDS).first()
    if head is None:
        move_on(lane)
        return
    now = clock_reading()
    detail = f"Its worker ended {lane.strikes} times in a row while it had this message in hand."
    error = {"type": "/problems/destination-failed", "title": "The message could not be processed", "detail": detail}
    outcome = Outcome(OutcomeKind.CRASHED, now, detail=detail, error=error)
    held = Claim(lane.pk, lane.route_id, lane.token, lane.done_position, 0.0)
    policy = policies.get(lane.route_id, MOVING_ON)
    finished = [Finished(held, to_work(head), outcome, policy, let_go=True)]
    _record(finished, {lane.pk: lane}, now)
