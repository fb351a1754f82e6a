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

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet
from django.utils import timezone

from connectors.choices import OnFailure
from connectors.retries import RetryPolicy
from messages.choices import OPEN_STATUSES, Hold, OutcomeKind, Status
from messages.claims import WORK_COLUMNS, Claim, Finished, Work, to_work
from messages.database import Prepared, clock, clock_reading, execute_in_server, lease_clock, write, write_alone
from messages.models import Lane, Message
from messages.models.lane import routes_with_due_lanes
from messages.outcomes import Outcome, Policy
from messages.recording import record

SUSPECT_STRIKES = 2  # workers that ended with its head in hand, after which a lane runs alone
SUSPECT_PATIENCE = timedelta(seconds=5)  # how long it waits for a worker that has nothing else to do
MAX_STRIKES = 5  # … and after which its head is taken for what kills the workers
MOVING_ON = Policy(RetryPolicy(1, 0, 1, 0), OnFailure.SKIP)
ANY_COUNT = 999_999_937  # stands for the number of lanes in the text, which is made once for all numbers


def any_due(without: Collection[int] = ()) -> bool:
    """A plain read: an idle platform takes no write lock. `without` names endpoints that do not matter."""
    return bool(_due_routes.rows(frozenset(without)))


def suspect_waits(without: Collection[int] = ()) -> bool:
    """Whether a lane that has to run alone waits in vain, since every worker has something else in hand."""
    return bool(_suspects.rows(frozenset(without)))


def overdue_suspect(now: Any) -> dict[str, Any]:
    """The conditions of a lane that has to run alone, and has been waiting too long for a worker that has no other."""
    return {"strikes__gte": SUSPECT_STRIKES, "due_at__lte": now - SUSPECT_PATIENCE}


_due_routes = Prepared(lambda now, without: routes_with_due_lanes(now, without=without).values("pk")[:1])
_suspects = Prepared(
    lambda now, without: (
        Lane.objects.due(now).without_endpoints(without).filter(**overdue_suspect(now)).values("pk")[:1]
    )
)
_to_claim = Prepared(
    lambda now, without: (
        free(Lane.objects.flowing(now).without_endpoints(without))
        .filter(strikes__lt=SUSPECT_STRIKES)
        .values("pk")[:ANY_COUNT]
    )
)


def claim(
    count: int,
    *,
    lease_seconds: float,
    owner: str,
    policies: Mapping[int, Policy],
    alone: bool,
    without: Collection[int] = (),
) -> list[Claim]:
    """Takes up to `count` due lanes, none of the endpoints `without`; the longest due first.

    `alone` says that the caller holds none: only then it may get a suspect one. A suspect one that has been waiting too
    long comes first then. Ask `any_due` first.
    """
    if alone and suspect_waits(without):
        # none may be found: one of an endpoint that is spared is not for us, and must not keep the others waiting
        found = _claim_suspect(lease_seconds=lease_seconds, owner=owner, policies=policies, without=without)
        if found:
            return found
    claims = _claim_flowing(count, lease_seconds=lease_seconds, owner=owner, without=without)
    if claims or not alone:
        return claims
    return _claim_suspect(lease_seconds=lease_seconds, owner=owner, policies=policies, without=without)


def _claim_flowing(count: int, *, lease_seconds: float, owner: str, without: Collection[int]) -> list[Claim]:
    """One statement that picks the lanes, locks and leases them."""
    before = lease_clock()
    picked, values = _to_claim.sql(frozenset(without))
    picked = picked.replace(f"LIMIT {ANY_COUNT}", f"LIMIT {count}")
    changes = "token = lane.token + 1, strikes = lane.strikes + 1, owner = %s"
    told = ("due_at", "id", "route_id", "token", "done_position", "changes", "strikes")
    if connection.vendor == "postgresql":
        until: Any = lease_seconds
        sql = f"""
            WITH picked(id) AS MATERIALIZED ({picked})
            UPDATE messaging_lane AS lane
            SET lease_until = statement_timestamp() + %s * interval '1 second', {changes}
            FROM picked WHERE lane.id = picked.id RETURNING {", ".join(f"lane.{name}" for name in told)}
        """  # noqa: S608 - a queryset's own text, and constants
        values = [*values, until, owner]
    else:
        until = connection.ops.adapt_datetimefield_value(timezone.now() + timedelta(seconds=lease_seconds))
        sql = f"""
            UPDATE messaging_lane AS lane SET lease_until = %s, {changes} WHERE id IN ({picked})
            RETURNING {", ".join(told)}
        """  # noqa: S608 - a queryset's own text, and constants
        values = [until, owner, *values]
    with write_alone(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows = sorted(cursor.fetchall())
    deadline = before + lease_seconds
    return [
        Claim(pk, route, token, done, deadline, changes, unsure=strikes > 1)
        for _, pk, route, token, done, changes, strikes in rows
    ]


def _claim_suspect(
    *, lease_seconds: float, owner: str, policies: Mapping[int, Policy], without: Collection[int]
) -> list[Claim]:
    """One lane that has to run alone; one whose head took too many workers down is moved past it instead."""
    before = lease_clock()
    with write():
        due = free(Lane.objects.flowing(clock()).without_endpoints(without)).filter(strikes__gte=SUSPECT_STRIKES)
        found = list(due.filter(**overdue_suspect(clock()))[:1]) or list(due[:1])
        if found and found[0].strikes >= MAX_STRIKES:
            declare_crashed(found[0], policies)
            return []
        return lease(found, lease_seconds=lease_seconds, owner=owner, before=before) if found else []


def free(due: QuerySet[Lane]) -> QuerySet[Lane]:
    """Locked, without those that somebody else is about to take; the longest due first."""
    return due.select_for_update(skip_locked=True, of=("self",)).order_by("due_at")


def lease(lanes: Sequence[Lane], *, lease_seconds: float, owner: str, before: float) -> list[Claim]:
    """Gives locked lanes to `owner`; `before` is when the caller began, on `lease_clock`."""
    Lane.objects.filter(pk__in=[lane.pk for lane in lanes]).update(
        lease_until=clock() + timedelta(seconds=lease_seconds),
        token=F("token") + 1,
        strikes=F("strikes") + 1,
        owner=owner,
    )
    until = before + lease_seconds
    return [
        Claim(
            lane.pk,
            lane.route_id,
            lane.token + 1,
            lane.done_position,
            until,
            lane.changes,
            suspect=lane.strikes >= SUSPECT_STRIKES,
            unsure=lane.strikes > 0,
        )
        for lane in lanes
    ]


def read_ahead(claims: Sequence[Claim], count: int) -> dict[int, list[Work]]:
    """The next messages of several claims by lane, in order, with one query; a cancelled one ends the list.

    A lane whose list is empty is to be released, which passes its cancelled head over. Explicit position ranges: a join
    on `done_position` made PostgreSQL read a lane's whole history.
    """
    found: dict[int, list[Work]] = {one.lane_id: [] for one in claims}
    expected = {one.lane_id: one.done_position + 1 for one in claims}
    if not claims:
        return found
    if connection.vendor == "postgresql":
        rows = execute_in_server(
            _AHEAD_ON_POSTGRESQL, {"lanes": list(expected), "heads": list(expected.values()), "count": count}
        )
    else:
        with connection.cursor() as cursor:
            cursor.execute(_AHEAD_ON_SQLITE, [json.dumps(list(expected.items())), count])
            rows = cursor.fetchall()
    for row in rows:
        work, status = to_work(row)
        if work.position == expected[work.lane_id] and status in OPEN_STATUSES:
            found[work.lane_id].append(work)
            expected[work.lane_id] += 1
    return found


_AHEAD_COLUMNS = ", ".join(f"message.{name}" for name in WORK_COLUMNS)
_AHEAD_ON_POSTGRESQL = f"""
    SELECT {_AHEAD_COLUMNS} FROM unnest(%(lanes)s::bigint[], %(heads)s::bigint[]) AS wanted(lane_id, head)
    CROSS JOIN LATERAL (
        SELECT * FROM messaging_message AS message
        WHERE message.lane_id = wanted.lane_id AND message.position >= wanted.head
        AND message.position < wanted.head + %(count)s
    ) AS message ORDER BY message.lane_id, message.position
"""  # noqa: S608 - constants
_AHEAD_ON_SQLITE = f"""
    SELECT {_AHEAD_COLUMNS} FROM json_each(%s) AS wanted CROSS JOIN messaging_message AS message
    ON message.lane_id = json_extract(wanted.value, '$[0]')
    AND message.position >= json_extract(wanted.value, '$[1]')
    AND message.position < json_extract(wanted.value, '$[1]') + %s
    ORDER BY message.lane_id, message.position
"""  # noqa: S608 - constants


def renew(claims: Sequence[Claim], *, lease_seconds: float) -> set[int]:
    """Prolongs the leases that are still the claimers'; returns their lanes and moves their deadlines."""
    before = lease_clock()
    with write():
        rows = {lane.pk: lane for lane in Lane.objects.locked(one.lane_id for one in claims)}
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
        rows = {lane.pk: lane for lane in Lane.objects.locked(one.lane_id for one in claims)}
        mine = [rows[one.lane_id] for one in claims if _holds(one, rows.get(one.lane_id))]
        idle = [lane.pk for lane in mine if not lane.depth]
        Lane.objects.filter(pk__in=idle).update(due_at=None, **FREE)
        for lane in mine:
            if lane.depth:
                move_on(lane)


def move_on(lane: Lane) -> None:
    """Frees a locked lane in front of its next message that was not cancelled; due at once unless it is held.

    `hold` and `token` are written as `lane` has them. That a head may have been sent by whoever had it before is not
    forgotten: a strike stays.
    """
    waiting = Message.objects.filter(lane=lane.pk, position__gt=lane.done_position).exclude(status=Status.CANCELLED)
    head = waiting.order_by("position").values_list("position", flat=True).first()
    done = lane.last_position if head is None else head - 1
    due = head is not None and lane.hold == Hold.NONE
    unsure = done == lane.done_position and lane.strikes > 1
    free = {**FREE, "strikes": int(unsure)}
    Lane.objects.filter(pk=lane.pk).update(
        done_position=done, due_at=clock() if due else None, hold=lane.hold, token=lane.token, **free
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
    for entry, moved in zip(finished, record(finished, now=now), strict=True):
        entry.changes, entry.fenced, entry.recorded_at = moved.changes, not moved.holds, now
        if moved.holds and moved.at_head:
            entry.kept = moved.kept
        else:  # recorded before: a lane that is still leased went on to its next message then
            entry.kept, entry.verdict = moved.holds, None


def declare_crashed(lane: Lane, policies: Mapping[int, Policy]) -> None:
    """The head took a worker down MAX_STRIKES times in a row: it ends here, and support staff see why."""
    held = Claim(lane.pk, lane.route_id, lane.token, lane.done_position, 0.0)
    heads = read_ahead([held], 1)[lane.pk]
    if not heads:
        move_on(lane)
        return
    now = clock_reading()
    detail = f"Its worker ended {lane.strikes} times in a row while it had this message in hand."
    error = {"type": "/problems/destination-failed", "title": "The message could not be processed", "detail": detail}
    outcome = Outcome(OutcomeKind.CRASHED, now, detail=detail, error=error)
    policy = policies.get(lane.route_id, MOVING_ON)
    finished = [Finished(held, heads[0], outcome, policy, let_go=True)]
    record(finished, now=now, trusted=True)
