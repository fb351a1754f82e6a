"""Every transition with an object that is out of date: the second caller loses, and nothing is recorded twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import lanes, steering
from messages.accepting import Taking
from messages.choices import Hold, OutcomeKind, Status
from messages.claims import Claim, Finished
from messages.models import Attempt, Lane, Message, Result
from messages.outcomes import Reply
from messages.pump import policy_of
from messages.tasks import purge
from tests.messages.conftest import LEASE, claim, configure_route, expire, finish, head, lane, outcome, push


def entry_of(plan: RoutePlan, taken: Claim, kind: OutcomeKind = OutcomeKind.SUCCEEDED, **options: Any) -> Finished:
    return Finished(taken, head(taken), outcome(kind), policy_of(plan), **options)


def record(*entries: Finished) -> None:
    lanes.finish(entries, now=timezone.now())


@pytest.mark.parametrize(
    ("behind", "kind", "let_go", "done", "kept"),
    [
        (1, OutcomeKind.SUCCEEDED, False, 1, True),  # the lane is still ours and goes on
        (1, OutcomeKind.SUCCEEDED, True, 1, False),
        (0, OutcomeKind.SUCCEEDED, False, 1, False),
        (1, OutcomeKind.FAILED, False, 0, False),  # it backs off
        (1, OutcomeKind.REFUSED, False, 0, False),  # it is blocked
    ],
)
def test_outcome_that_was_recorded_is_not_recorded_again(
    plan: RoutePlan, behind: int, kind: OutcomeKind, let_go: bool, done: int, kept: bool
) -> None:
    """The database committed, and its connection broke before it could say so: the pump tries again."""
    for _ in range(1 + behind):
        push(plan)
    (taken,) = claim(plan)
    entry = entry_of(plan, taken, kind, let_go=let_go)
    record(entry)
    state = Lane.objects.values().get()

    record(entry)

    assert (entry.kept, entry.fenced) == (kept, not kept)
    assert Lane.objects.values().get() == state
    assert lane().done_position == done
    assert Attempt.objects.count() == Message.objects.get(position=1).attempts == 1


def test_what_a_rolled_back_record_said_is_void(plan: RoutePlan) -> None:
    push(plan)
    push(plan)
    (taken,) = claim(plan)
    entry = entry_of(plan, taken)

    def record_and_break() -> None:
        with transaction.atomic():
            record(entry)
            raise OperationalError

    with pytest.raises(OperationalError):
        record_and_break()
    expire()
    claim(plan)
    record(entry)

    assert (entry.fenced, entry.kept, entry.verdict) == (True, False, None)
    assert not Attempt.objects.exists()


def test_fenced_entry_does_not_take_its_group_along(plan: RoutePlan) -> None:
    push(plan, "A")
    push(plan, "B")
    mine = {one.lane_id: one for one in claim(plan)}
    stale, good = (entry_of(plan, mine[lane(name).pk]) for name in "AB")
    Lane.objects.filter(key="A").update(token=9)

    record(stale, good)

    assert (stale.fenced, good.fenced) == (True, False)
    assert (lane("A").done_position, lane("B").done_position) == (0, 1)


def test_released_lane_is_not_released_again(plan: RoutePlan) -> None:
    push(plan)
    taken = claim(plan)
    lanes.release(taken)
    (fresh,) = claim(plan)

    lanes.release(taken)

    assert lane().token == fresh.token
    assert lane().lease_until > timezone.now()


def test_lane_that_backs_off_is_not_hurried_by_who_had_it(plan: RoutePlan) -> None:
    push(plan)
    (taken,) = claim(plan)
    finish(plan, taken, OutcomeKind.FAILED)
    state = Lane.objects.values().get()

    lanes.release([taken])

    assert Lane.objects.values().get() == state


def test_lane_that_was_given_back_is_not_renewed(plan: RoutePlan) -> None:
    push(plan)
    taken = claim(plan)
    lanes.release(taken)

    assert lanes.renew(taken, lease_seconds=LEASE) == set()
    assert lane().lease_until is None


def test_outcome_for_a_released_lane_is_not_recorded(plan: RoutePlan) -> None:
    push(plan)
    (taken,) = claim(plan)
    entry = entry_of(plan, taken)
    lanes.release([taken])

    record(entry)

    assert entry.fenced
    assert Message.objects.get().status == Status.QUEUED


def test_lane_that_was_finished_elsewhere_is_not_renewed(plan: RoutePlan) -> None:
    push(plan)
    (stale,) = claim(plan)
    expire()
    claim(plan)
    until = lane().lease_until

    assert lanes.renew([stale], lease_seconds=LEASE * 2) == set()
    assert lane().lease_until == until


def refuse_head(plan: RoutePlan) -> Message:
    """A dead head, and one message behind it."""
    message = push(plan).message
    push(plan)
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    return message


def first_of(lane_id: int) -> int:
    return Message.objects.get(lane=lane_id, position=1).pk


def cancel(lane_id: int) -> bool:
    return steering.cancel(first_of(lane_id), reason="r", now=timezone.now())


def revive_head(lane_id: int) -> bool:
    return steering.retry(first_of(lane_id)) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (revive_head, revive_head),
        (cancel, cancel),  # the message behind it is nobody's to skip
    ],
)
def test_dead_head_is_decided_on_once(
    plan: RoutePlan, first: Callable[[int], bool], second: Callable[[int], bool]
) -> None:
    message = refuse_head(plan)

    assert first(message.lane_id)
    assert not second(message.lane_id)


def test_blocked_lane_is_not_resumed_as_if_it_were_paused(plan: RoutePlan) -> None:
    message = refuse_head(plan)

    assert not steering.unhold(message.lane_id)
    assert lane().hold == Hold.BLOCKED


def test_blocked_lane_that_was_paused_is_blocked_again(plan: RoutePlan) -> None:
    message = refuse_head(plan)

    assert steering.hold(message.lane_id)
    assert lane().hold == Hold.PAUSED
    assert steering.unhold(message.lane_id)
    assert lane().hold == Hold.BLOCKED


def test_lane_is_paused_once_and_resumed_once(plan: RoutePlan) -> None:
    lane_id = push(plan).message.lane_id

    assert [steering.hold(lane_id), steering.hold(lane_id)] == [True, False]
    assert [steering.unhold(lane_id), steering.unhold(lane_id)] == [True, False]


def test_lane_without_work_has_nothing_to_cancel_or_revive(plan: RoutePlan) -> None:
    lane_id = push(plan).message.lane_id
    finish(plan, claim(plan)[0])

    assert not cancel(lane_id)
    assert not revive_head(lane_id)
    assert Message.objects.get().status == Status.SUCCEEDED


def test_dead_head_without_its_payload_is_not_sent_again(plan: RoutePlan) -> None:
    message = refuse_head(plan)
    purge([message.pk])

    assert not revive_head(message.lane_id)
    assert cancel(message.lane_id)
    assert [one.done_position for one in claim(plan)] == [1]


def test_dead_message_that_its_lane_has_left_behind_is_not_cancelled(db: None) -> None:
    plan = configure_route(ordering_key="lane", on_failure="skip", retry={"max_attempts": 1})
    dead = push(plan).message
    push(plan)
    finish(plan, claim(plan)[0], OutcomeKind.FAILED, let_go=True)

    assert not cancel(dead.lane_id)
    assert (Message.objects.get(pk=dead.pk).status, lane().done_position) == (Status.DEAD, 1)


def test_final_message_stays_what_it_is(plan: RoutePlan) -> None:
    accepted = push(plan, pattern="sync", taking=Taking("web", LEASE))
    assert accepted.claim is not None
    finish(plan, accepted.claim)

    assert not steering.make_retryable(accepted.message)
    assert not Message.objects.get().retryable


def test_text_of_a_hostile_destination_is_made_storable(plan: RoutePlan) -> None:
    push(plan)
    (taken,) = claim(plan)
    entry = entry_of(plan, taken)
    entry.outcome = outcome(detail="a\0b")
    hostile = Reply(200, "text/\0" + "x" * 300, b"\0")
    entry.outcome = type(entry.outcome)(
        OutcomeKind.SUCCEEDED, timezone.now(), detail="a\0b", reply=hostile, error={"detail": "\0"}
    )

    record(entry)

    result = Result.objects.get()
    assert (result.content_type[:6], len(result.content_type)) == ("text/\N{REPLACEMENT CHARACTER}", 255)
    assert bytes(result.body or b"") == b"\0"
    assert result.error == {"detail": "\0"}
    assert Attempt.objects.get().detail == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", [revive_head, cancel, steering.unhold])
def test_of_several_people_one_decides(verb: Callable[[int], bool]) -> None:
    plan = configure_route(ordering_key="lane")
    lane_id = refuse_head(plan).lane_id
    Lane.objects.filter(key="A").update(hold=Hold.PAUSED if verb is steering.unhold else Hold.BLOCKED)

    def decide(_: int) -> bool:
        won = verb(lane_id)
        connection.close()
        return won

    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(decide, range(4)))

    assert decisions.count(True) == 1


@pytest.mark.django_db(transaction=True)
def test_of_several_sync_callers_one_takes_the_idle_lane() -> None:
    plan = configure_route(ordering_key="lane")

    def call(_: int) -> tuple[int, bool]:
        accepted = push(plan, pattern="sync", taking=Taking("web", LEASE))
        connection.close()
        return accepted.message.position, accepted.claim is not None

    with ThreadPoolExecutor(6) as pool:
        calls = sorted(pool.map(call, range(6)))

    assert calls == [(1, True), *((position, False) for position in range(2, 7))]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one machine, and its clock")
def test_worker_whose_clock_is_fast_takes_nobodys_lane(plan: RoutePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    push(plan)
    claim(plan)
    true = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: true() + timedelta(hours=1))

    assert not lanes.any_due()
    assert claim(plan) == []
