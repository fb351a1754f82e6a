from collections.abc import Callable
from datetime import timedelta

import pytest

from connectors.catalogue import RoutePlan
from connectors.models import Endpoint, Route
from messages import lanes, steering, watch
from messages.claims import Claim
from messages.database import clock_reading
from messages.models import Lane
from tests.messages.conftest import LEASE, claim, finish, push


def lane(plan: RoutePlan, key: str, *, due_seconds_ago: int, strikes: int = 0) -> Lane:
    """A lane with one message."""
    pk = push(plan, key).message.lane_id
    due_at = clock_reading() - timedelta(seconds=due_seconds_ago)
    Lane.objects.filter(pk=pk).update(due_at=due_at, strikes=strikes)
    return Lane.objects.get(pk=pk)


def test_lane_is_overdue_a_minute_after_nobody_took_it(plan: RoutePlan) -> None:
    late = lane(plan, "A", due_seconds_ago=61)
    lane(plan, "B", due_seconds_ago=50)
    lane(plan, "C", due_seconds_ago=-600)  # backing off

    assert list(watch.overdue()) == [late]


def test_lane_in_hand_is_not_overdue(plan: RoutePlan) -> None:
    lane(plan, "A", due_seconds_ago=61)
    claim(plan)

    assert not watch.overdue().exists()


def test_lane_whose_worker_died_is_overdue_a_minute_after_its_lease(plan: RoutePlan) -> None:
    abandoned = lane(plan, "A", due_seconds_ago=300)
    claim(plan)
    Lane.objects.update(lease_until=clock_reading() - timedelta(seconds=30))
    assert not watch.overdue().exists()

    Lane.objects.update(lease_until=clock_reading() - timedelta(seconds=61))

    assert list(watch.overdue()) == [abandoned]


def test_what_a_person_has_paused_is_not_overdue(plan: RoutePlan) -> None:
    steering.hold(lane(plan, "A", due_seconds_ago=300).pk)
    lane(plan, "B", due_seconds_ago=300)
    Route.objects.update(paused=True)

    assert not watch.overdue().exists()


def test_lane_whose_messages_cannot_be_sent_is_not_overdue_and_is_told_of(
    plan: RoutePlan, caplog: pytest.LogCaptureFixture
) -> None:
    """There are workers enough; the endpoint has to be put right."""
    lane(plan, "A", due_seconds_ago=300)
    Endpoint.objects.update(auth_scheme="bearer")  # and no token

    watch.complain()

    assert not watch.overdue().exists()
    (record,) = caplog.records
    assert record.message.startswith(
        "1 lanes wait, since their messages cannot be sent: The endpoint erp-orders cannot"
    )


def test_lane_is_suspect_until_it_makes_progress(plan: RoutePlan) -> None:
    suspect = lane(plan, "A", due_seconds_ago=10, strikes=2)
    lane(plan, "B", due_seconds_ago=10, strikes=1)
    assert list(watch.suspects()) == [suspect]

    Lane.objects.filter(pk=suspect.pk).update(strikes=0)

    assert not watch.suspects().exists()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the watch takes for its monotonic clock."""
    watch._held.clear()
    now = [1000.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def test_lane_that_is_held_without_progress_is_told_of(
    plan: RoutePlan, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Its worker renews, but the thread that sends for it hangs."""
    lane(plan, "A", due_seconds_ago=5)
    (taken,) = claim(plan)
    watch.complain()
    assert caplog.messages == []

    clock[0] += watch.HELD_AFTER_SECONDS
    lanes.renew([taken], lease_seconds=LEASE)
    watch.complain()

    assert caplog.messages == [
        f"1 lanes are held by test without progress for minutes: {Lane.objects.get()} (1 strikes)"
    ]


@pytest.mark.parametrize("change", ["progress", "another claim", "released meanwhile"])
def test_lane_whose_work_goes_on_is_not_held(plan: RoutePlan, clock: list[float], change: str) -> None:
    for _ in range(2):
        lane(plan, "A", due_seconds_ago=5)
    (taken,) = claim(plan)
    watch.held()
    clock[0] += watch.HELD_AFTER_SECONDS - 1

    CHANGES[change](plan, taken)
    watch.held()
    clock[0] += 2

    assert not watch.held().exists()


def give_back_and_take(plan: RoutePlan, taken: Claim) -> None:
    lanes.release([taken])
    claim(plan)


def lose_and_take(plan: RoutePlan, taken: Claim) -> None:
    Lane.objects.update(lease_until=clock_reading() - timedelta(seconds=1))
    claim(plan)


CHANGES: dict[str, Callable[[RoutePlan, Claim], object]] = {
    "progress": finish,
    "another claim": lose_and_take,
    "released meanwhile": give_back_and_take,
}


def test_watch_names_what_it_complains_about(plan: RoutePlan, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        lane(plan, f"late-{number}", due_seconds_ago=300 - number)
    lane(plan, "killer", due_seconds_ago=10, strikes=4)

    watch.complain()

    late, suspect = caplog.messages
    assert late.startswith("7 lanes are due and nobody takes them, the oldest since 30")
    assert "late-0, " in late
    assert late.endswith("late-4, …")
    assert suspect.startswith("1 lanes are taken again and again without progress: ")
    assert suspect.endswith("killer (4 strikes)")


def test_watch_says_nothing_about_healthy_lanes(plan: RoutePlan, caplog: pytest.LogCaptureFixture) -> None:
    lane(plan, "A", due_seconds_ago=5)

    watch.complain()

    assert caplog.messages == []
