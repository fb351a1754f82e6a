import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import lanes, steering
from messages.accepting import Taking
from messages.choices import Hold, OutcomeKind, Status
from messages.claims import Finished
from messages.database import Prepared
from messages.models import Attempt, Lane, Message, Result
from messages.pump import policy_of
from messages.tasks import watch_lanes
from tests import factories
from tests.messages.conftest import LEASE, claim, configure_route, expire, finish, head, lane, outcome, push


def test_positions_of_a_lane_are_dense(plan: RoutePlan) -> None:
    placed = [push(plan, name).message for name in "ABABA"]

    assert [(message.lane.key, message.position) for message in placed] == [
        ("A", 1),
        ("B", 1),
        ("A", 2),
        ("B", 2),
        ("A", 3),
    ]
    assert lane("A").depth == 3


def test_refused_acceptance_takes_no_position(plan: RoutePlan) -> None:
    push(plan)

    def accept_and_fail() -> None:
        with transaction.atomic():
            push(plan)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        accept_and_fail()

    assert push(plan).message.position == 2


@pytest.mark.django_db(transaction=True)
def test_positions_stay_dense_under_concurrent_acceptance() -> None:
    plan = configure_route(ordering_key="lane")

    def push_some(_: int) -> None:
        for _ in range(15):
            push(plan)
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(push_some, range(6)))

    positions = Message.objects.order_by("pk").values_list("position", flat=True)
    assert sorted(positions) == list(range(1, 91))
    assert lane().last_position == 90


def test_claim_takes_what_is_due_and_raises_the_token(plan: RoutePlan) -> None:
    push(plan, "A")
    push(plan, "B")

    taken = claim(plan)

    assert {one.token for one in taken} == {1}
    assert len(taken) == 2
    assert lane("A").lease_until > timezone.now() + timedelta(seconds=LEASE - 5)
    assert not lanes.any_due()


def test_lane_is_never_in_two_hands(plan: RoutePlan) -> None:
    push(plan)

    first, second = claim(plan), claim(plan)

    assert len(first) == 1
    assert second == []


@pytest.mark.django_db(transaction=True)
def test_concurrent_claimers_share_nothing() -> None:
    plan = configure_route(ordering_key="lane")
    for number in range(20):
        push(plan, f"L{number}")
    barrier = threading.Barrier(4)

    def claim_some(_: int) -> list[int]:
        barrier.wait()
        taken = [one.lane_id for _ in range(5) for one in claim(plan, 3)]
        connection.close()
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [lane_id for found in pool.map(claim_some, range(4)) for lane_id in found]

    assert len(taken) == len(set(taken)) == 20


def test_success_moves_the_lane_on_and_leaves_evidence(plan: RoutePlan) -> None:
    message = push(plan).message
    (taken,) = claim(plan)

    entry = finish(plan, taken)

    message.refresh_from_db()
    assert not entry.kept
    assert (message.status, message.attempts) == (Status.SUCCEEDED, 1)
    assert message.completed_at is not None
    assert Attempt.objects.get().outcome == OutcomeKind.SUCCEEDED
    assert bytes(Result.objects.get().body or b"") == b'{"ok":true}'
    assert (lane().done_position, lane().due_at, lane().lease_until) == (1, None, None)


def test_lane_with_more_work_is_kept(plan: RoutePlan) -> None:
    push(plan)
    push(plan)
    (taken,) = claim(plan)

    entry = finish(plan, taken)

    assert entry.kept
    assert lane().lease_until is not None
    assert lane().done_position == 1


def test_lane_with_more_work_that_is_let_go_is_due_at_once(plan: RoutePlan) -> None:
    push(plan)
    push(plan)
    (taken,) = claim(plan)

    entry = finish(plan, taken, let_go=True)

    assert not entry.kept
    assert [one.done_position for one in claim(plan)] == [1]


def test_stale_token_records_nothing(plan: RoutePlan) -> None:
    push(plan)
    (stale,) = claim(plan)
    expire()
    (fresh,) = claim(plan)

    late = finish(plan, stale)
    timely = finish(plan, fresh)

    assert late.fenced
    assert not timely.fenced
    assert fresh.token == stale.token + 1
    assert Attempt.objects.count() == 1
    assert lane().done_position == 1


def test_passing_failure_backs_off_and_the_head_stays_the_head(plan: RoutePlan) -> None:
    first = push(plan).message
    push(plan)
    (taken,) = claim(plan)

    finish(plan, taken, OutcomeKind.FAILED)

    first.refresh_from_db()
    assert (first.status, first.attempts) == (Status.RETRYING, 1)
    assert timezone.now() + timedelta(seconds=40) < lane().due_at < timezone.now() + timedelta(seconds=80)
    assert lane().done_position == 0
    assert claim(plan) == []


def test_message_accepted_while_backing_off_does_not_hurry_its_lane(plan: RoutePlan) -> None:
    push(plan)
    finish(plan, claim(plan)[0], OutcomeKind.FAILED)
    due = lane().due_at

    push(plan)

    assert lane().due_at == due


def fail_until_dead(plan: RoutePlan) -> None:
    for _ in range(plan.retry.max_attempts):
        Lane.objects.update(due_at=timezone.now())
        finish(plan, claim(plan)[0], OutcomeKind.FAILED)


def test_used_up_attempts_block_the_lane(plan: RoutePlan) -> None:
    first = push(plan).message
    second = push(plan).message

    fail_until_dead(plan)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.attempts) == (Status.DEAD, 3)
    assert second.status == Status.QUEUED
    assert (lane().hold, lane().due_at, lane().done_position) == (Hold.BLOCKED, None, 0)


def test_blocked_lane_accepts_and_is_not_worked(plan: RoutePlan) -> None:
    push(plan)
    fail_until_dead(plan)

    later = push(plan).message

    assert later.status == Status.QUEUED
    assert claim(plan) == []
    assert watch_lanes() == 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (OutcomeKind.REFUSED, Status.FAILED),  # permanent
        (OutcomeKind.MAPPING_FAILED, Status.FAILED),  # permanent
    ],
)
def test_skipping_route_goes_on_behind_a_permanent_failure(db: None, kind: OutcomeKind, status: Status) -> None:
    plan = configure_route(ordering_key="lane", on_failure="skip")
    first = push(plan).message
    push(plan)

    entry = finish(plan, claim(plan)[0], kind)

    first.refresh_from_db()
    assert first.status == status
    assert entry.kept
    assert lane().done_position == 1


def test_used_up_attempts_on_a_skipping_route_are_dead_and_the_lane_goes_on(db: None) -> None:
    plan = configure_route(ordering_key="lane", on_failure="skip", retry={"max_attempts": 1})
    first = push(plan).message
    push(plan)

    finish(plan, claim(plan)[0], OutcomeKind.FAILED)

    first.refresh_from_db()
    assert first.status == Status.DEAD
    assert lane().hold == Hold.NONE
    assert lane().done_position == 1


def test_failed_sync_message_ends_and_never_blocks(plan: RoutePlan) -> None:
    first = push(plan, pattern="sync", taking=Taking("web", LEASE))
    assert first.claim is not None

    entry = finish(plan, first.claim, OutcomeKind.FAILED)

    first.message.refresh_from_db()
    assert entry.verdict is not None
    assert first.message.status == Status.FAILED
    assert (lane().hold, lane().done_position) == (Hold.NONE, 1)


def test_sync_message_whose_caller_was_told_accepted_is_retried(plan: RoutePlan) -> None:
    first = push(plan, pattern="sync", taking=Taking("web", LEASE))
    assert first.claim is not None
    work = head(first.claim)

    won = steering.make_retryable(first.message)
    entry = lanes.Finished(first.claim, work, outcome(OutcomeKind.FAILED), policy_of(plan))
    lanes.finish([entry], now=timezone.now())
    first.message.refresh_from_db()

    assert won
    assert first.message.status == Status.RETRYING


def test_final_message_cannot_be_made_retryable(plan: RoutePlan) -> None:
    first = push(plan, pattern="sync", taking=Taking("web", LEASE))
    assert first.claim is not None
    finish(plan, first.claim, OutcomeKind.FAILED)

    assert not steering.make_retryable(first.message)


def test_sync_takes_an_idle_lane_at_once_and_no_other(plan: RoutePlan) -> None:
    idle = push(plan, "A", pattern="sync", taking=Taking("web", LEASE))
    busy = push(plan, "A", pattern="sync", taking=Taking("web", LEASE))
    push(plan, "B")
    behind = push(plan, "B", pattern="sync", taking=Taking("web", LEASE))

    assert idle.claim is not None
    assert busy.claim is None
    assert behind.claim is None
    assert [one.lane_id for one in claim(plan)] == [lane("B").pk]


def test_sync_takes_a_lane_again_when_it_is_idle_again(plan: RoutePlan) -> None:
    first = push(plan, pattern="sync", taking=Taking("web", LEASE))
    assert first.claim is not None
    finish(plan, first.claim)

    second = push(plan, pattern="sync", taking=Taking("web", LEASE))

    assert second.claim is not None
    assert second.claim.token == first.claim.token + 1


def test_dead_web_process_leaves_its_lane_to_the_queue(plan: RoutePlan) -> None:
    push(plan, pattern="sync", taking=Taking("web", LEASE))
    expire()

    (taken,) = claim(plan)

    assert taken.token == 2


def test_paused_lane_finishes_what_is_in_hand_and_stops(plan: RoutePlan) -> None:
    push(plan)
    push(plan)
    (taken,) = claim(plan)
    Lane.objects.update(hold=Hold.PAUSED)

    entry = finish(plan, taken)

    assert not entry.kept
    assert lane().done_position == 1
    assert claim(plan) == []


@pytest.mark.parametrize("paused", ["route", "endpoint"])
def test_paused_route_or_endpoint_holds_its_lanes(plan: RoutePlan, paused: str) -> None:
    push(plan)
    route = lane().route
    target = route if paused == "route" else route.endpoint
    target.paused = True
    target.save()

    held = claim(plan)
    target.paused = False
    target.save()

    assert held == []
    assert len(claim(plan)) == 1


def test_released_lane_is_due_again_and_has_no_strike(plan: RoutePlan) -> None:
    push(plan)
    taken = claim(plan)

    lanes.release(taken)

    assert lane().strikes == 0
    assert len(claim(plan)) == 1


def test_lane_that_was_taken_over_is_not_released(plan: RoutePlan) -> None:
    push(plan)
    stale = claim(plan)
    expire()
    claim(plan)

    lanes.release(stale)

    assert claim(plan) == []


def test_renewal_prolongs_only_what_is_still_mine(plan: RoutePlan) -> None:
    push(plan, "A")
    push(plan, "B")
    taken = claim(plan)
    Lane.objects.filter(key="B").update(token=99)
    expire("A")

    mine = lanes.renew(taken, lease_seconds=LEASE)

    assert mine == {lane("A").pk}
    assert lane("A").lease_until > timezone.now()


def test_suspect_lane_runs_alone(plan: RoutePlan) -> None:
    push(plan, "A")
    push(plan, "B")
    Lane.objects.filter(key="A").update(strikes=lanes.SUSPECT_STRIKES)

    with_others = claim(plan, alone=False)
    by_itself = claim(plan, alone=True)

    assert [one.lane_id for one in with_others] == [lane("B").pk]
    assert [one.lane_id for one in by_itself] == [lane("A").pk]


def test_suspect_lane_of_an_endpoint_that_is_spared_keeps_no_other_waiting(plan: RoutePlan) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    suspect = factories.LaneFactory(strikes=lanes.SUSPECT_STRIKES, due_at=long_ago)
    push(plan, "B")
    spared = {suspect.route.endpoint_id}

    taken = lanes.claim(9, lease_seconds=LEASE, owner="", policies={}, alone=True, without=spared)

    assert [one.lane_id for one in taken] == [lane("B").pk]
    assert (lanes.suspect_waits(), lanes.suspect_waits(spared)) == (True, False)


def test_message_that_kills_its_workers_ends_as_crashed(plan: RoutePlan) -> None:
    message = push(plan).message
    for _ in range(lanes.MAX_STRIKES):
        claim(plan)
        expire()

    assert claim(plan) == []

    message.refresh_from_db()
    assert message.status == Status.DEAD
    assert Attempt.objects.get().outcome == OutcomeKind.CRASHED
    assert lane().hold == Hold.BLOCKED
    assert "in a row" in Result.objects.get().error["detail"]


@pytest.mark.django_db(transaction=True)
def test_message_accepted_while_its_lane_is_finished_is_never_forgotten() -> None:
    plan = configure_route(ordering_key="lane")
    for _ in range(25):
        push(plan)
        (taken,) = claim(plan)
        work = head(taken)
        entry = lanes.Finished(taken, work, outcome(), policy_of(plan), let_go=True)

        def accept_one() -> None:
            push(plan)
            connection.close()

        thread = threading.Thread(target=accept_one)
        thread.start()
        lanes.finish([entry], now=timezone.now())
        thread.join()

        assert lane().due_at is not None
        (taken,) = claim(plan)
        finish(plan, taken)
        assert lane().depth == 0


def test_group_of_lanes_is_recorded_in_one_go(plan: RoutePlan) -> None:
    for name in "ABC":
        push(plan, name)
    taken = {one.lane_id: one for one in claim(plan)}
    kinds = {"A": OutcomeKind.SUCCEEDED, "B": OutcomeKind.FAILED, "C": OutcomeKind.REFUSED}
    group = []
    for name, kind in kinds.items():
        mine = taken[lane(name).pk]
        group.append(lanes.Finished(mine, head(mine), outcome(kind), policy_of(plan)))

    lanes.finish(group, now=timezone.now())

    statuses = {message.lane.key: message.status for message in Message.objects.all()}
    assert statuses == {"A": Status.SUCCEEDED, "B": Status.RETRYING, "C": Status.DEAD}


def test_retrying_message_that_succeeds_replaces_no_evidence(plan: RoutePlan) -> None:
    push(plan)
    finish(plan, claim(plan)[0], OutcomeKind.FAILED)
    Lane.objects.update(due_at=timezone.now())

    finish(plan, claim(plan)[0])

    assert list(Attempt.objects.order_by("number").values_list("number", "outcome")) == [
        (1, "failed"),
        (2, "succeeded"),
    ]
    assert Message.objects.get().attempts == 2


def test_lane_that_sleeps_over_its_work_is_woken_and_reported(
    plan: RoutePlan, caplog: pytest.LogCaptureFixture
) -> None:
    push(plan)
    Lane.objects.update(due_at=None)

    woken = watch_lanes()

    assert woken == 1
    assert "had work but no due time" in caplog.text
    assert len(claim(plan)) == 1


def plan_of(prepared: Prepared, *arguments: Any) -> str:
    with connection.cursor() as cursor:
        text, values = prepared.sql(*arguments)
        cursor.execute(f"EXPLAIN QUERY PLAN {text}", values)
        return " · ".join(row[-1] for row in cursor.fetchall())


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="this planner knows no statistics and takes what it is offered"
)
def test_looks_go_by_what_is_due_however_many_lanes_are_idle(plan: RoutePlan) -> None:
    push(plan)

    assert "lane_route_due" in plan_of(lanes._due_routes, frozenset())
    assert "lane_route_due" in plan_of(lanes._due_routes, frozenset({7}))
    assert "lane_due" in plan_of(lanes._to_claim, frozenset())
    assert "lane_due" in plan_of(lanes._suspects, frozenset())


def test_clock_of_a_prepared_look_goes_on(plan: RoutePlan) -> None:
    push(plan)
    Lane.objects.update(due_at=timezone.now() + timedelta(seconds=0.4), strikes=lanes.SUSPECT_STRIKES)
    assert not lanes.any_due()

    time.sleep(0.5)

    assert lanes.any_due()
    assert not lanes.suspect_waits()  # it has patience
    Lane.objects.update(due_at=timezone.now() - lanes.SUSPECT_PATIENCE)
    assert lanes.suspect_waits()


def test_claim_takes_the_longest_due_lanes_of_other_endpoints(plan: RoutePlan) -> None:
    for name in "ABC":
        push(plan, name)
    for minutes, name in enumerate("BCA"):
        Lane.objects.filter(key=name).update(due_at=timezone.now() - timedelta(minutes=10 - minutes))
    policies = {plan.id: policy_of(plan)}
    options: dict[str, Any] = {"lease_seconds": LEASE, "owner": "test", "policies": policies, "alone": False}

    assert lanes.claim(2, without={plan.endpoint.id}, **options) == []
    taken = lanes.claim(2, without=set(), **options)

    assert [Lane.objects.get(pk=one.lane_id).key for one in taken] == ["B", "C"]
    assert [(one.route_id, one.token, one.done_position) for one in taken] == [(plan.id, 1, 0)] * 2


def test_group_is_recorded_each_for_itself(plan: RoutePlan) -> None:
    """Success, passing failure, refusal, what somebody else has taken meanwhile, and what was recorded before."""
    for name in "ABCDE":
        push(plan, name)
        push(plan, name)
    taken = {Lane.objects.get(pk=one.lane_id).key: one for one in claim(plan)}
    kinds = {
        "A": OutcomeKind.SUCCEEDED,
        "B": OutcomeKind.FAILED,
        "C": OutcomeKind.REFUSED,
        "D": OutcomeKind.SUCCEEDED,
        "E": OutcomeKind.SUCCEEDED,
    }
    entries = {
        name: Finished(taken[name], head(taken[name]), outcome(kind), policy_of(plan)) for name, kind in kinds.items()
    }
    lanes.finish([entries["E"]], now=timezone.now())
    Lane.objects.filter(key="D").update(token=F("token") + 1)

    lanes.finish(list(entries.values()), now=timezone.now())

    assert {name: (entry.kept, entry.fenced) for name, entry in entries.items()} == {
        "A": (True, False),
        "B": (False, False),
        "C": (False, False),
        "D": (False, True),
        "E": (True, False),
    }
    assert [lane(name).done_position for name in "ABCDE"] == [1, 0, 0, 0, 1]
    assert [lane(name).lease_until is not None for name in "ABCDE"] == [True, False, False, True, True]
    assert (lane("B").hold, lane("C").hold) == (Hold.NONE, Hold.BLOCKED)
    assert lane("B").due_at > timezone.now() + timedelta(seconds=30)
    heads = {message.lane.key: message.status for message in Message.objects.filter(position=1).select_related("lane")}
    assert heads == {
        "A": Status.SUCCEEDED,
        "B": Status.RETRYING,
        "C": Status.DEAD,
        "D": Status.QUEUED,
        "E": Status.SUCCEEDED,
    }
    assert sorted(Attempt.objects.values_list("message__lane__key", flat=True)) == ["A", "B", "C", "E"]
    assert sorted(Result.objects.values_list("message__lane__key", flat=True)) == ["A", "C", "E"]
