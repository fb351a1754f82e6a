"""Counts of closed minutes: each message once when it came and once when it ended, whatever happens to the counting."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from connectors.models import Route
from messages import counting
from messages.choices import Status
from messages.counting import Tally
from messages.models import HourlyCount, Message
from tests import factories

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def came(route: Route, minutes: float, *, status: str = Status.QUEUED, took: float = 0.2) -> Message:
    """A message received so many minutes after noon; final ones end `took` seconds later."""
    received = at(minutes)
    ends = received + timedelta(seconds=took) if status != Status.QUEUED else None
    message: Message = factories.MessageFactory(
        lane=factories.LaneFactory(route=route),
        correlation_id=UUID(int=(int(received.timestamp() * 1000) << 80) + Message.objects.count()),
        received_at=received,
        completed_at=ends,
        status=status,
    )
    return message


def counts() -> list[tuple[int, int, int, int]]:
    rows = HourlyCount.objects.order_by("hour").values_list("hour", "received", "succeeded", "failed")
    return [(hour.hour, *numbers) for hour, *numbers in rows if any(numbers)]


@pytest.fixture
def route() -> Route:
    return factories.RouteFactory()


def test_messages_count_in_the_hour_of_their_receipt_and_of_their_end(route: Route) -> None:
    came(route, -1, status=Status.SUCCEEDED, took=120)  # before noon, and ends after it
    came(route, 5, status=Status.SUCCEEDED)
    came(route, 6, status=Status.FAILED)
    came(route, 7, status=Status.DEAD)
    came(route, 8, status=Status.CANCELLED)
    came(route, 9)

    counting.count_closed(at(30))

    assert counts() == [(11, 1, 0, 0), (12, 5, 2, 2)]


def test_minute_is_counted_when_it_is_over_and_not_before(route: Route) -> None:
    came(route, 10.5)

    counting.count_closed(at(11.9))
    assert counts() == []
    counting.count_closed(at(12))
    assert counts() == [(12, 1, 0, 0)]


def test_counting_again_counts_nothing_twice(route: Route) -> None:
    came(route, 1, status=Status.SUCCEEDED)
    counting.count_closed(at(5))

    assert counting.count_closed(at(5)) == 0
    came(route, 6, status=Status.SUCCEEDED)
    counting.count_closed(at(10))

    assert counts() == [(12, 2, 2, 0)]


def test_two_who_count_the_same_minutes_count_them_once(route: Route) -> None:
    came(route, 1, status=Status.SUCCEEDED)
    counting.count_closed(at(5))
    start = HourlyCount.objects.get(hour=NOON).counted_until
    came(route, 6)

    counting._count(route.pk, start, at(8))
    counting._count(route.pk, start, at(8))

    assert counts() == [(12, 2, 1, 0)]


def test_routes_are_counted_apart_and_a_new_one_from_a_day_back(route: Route) -> None:
    other = factories.RouteFactory()
    came(route, -23 * 60)
    came(other, -26 * 60)
    came(other, 1)

    counting.count_closed(at(10))

    assert {(row.route_id, row.received) for row in HourlyCount.objects.filter(received__gt=0)} == {
        (route.pk, 1),
        (other.pk, 1),
    }


def test_retried_message_ends_twice(route: Route) -> None:
    message = came(route, 1, status=Status.FAILED)
    counting.count_closed(at(5))
    Message.objects.filter(pk=message.pk).update(status=Status.SUCCEEDED, completed_at=at(7))

    counting.count_closed(at(10))

    assert counts() == [(12, 1, 1, 1)]


def test_old_counts_are_removed(route: Route) -> None:
    HourlyCount.objects.create(route=route, hour=NOON - timedelta(days=91), counted_until=NOON - timedelta(days=91))
    HourlyCount.objects.create(route=route, hour=NOON, counted_until=NOON)

    counting.count_closed(at(10))

    assert HourlyCount.objects.order_by("hour").first().hour == NOON  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ([], 0.95, None),
        ([0.005], 0.95, 0.0095),  # within the first bucket
        ([0.02] * 95 + [20.0] * 5, 0.95, 0.025),  # the 95th is the last of its bucket
        ([0.02] * 90 + [20.0] * 10, 0.95, 20.0),  # half of the bucket from 10 to 30 s
        ([200_000.0], 0.95, 86400.0),  # above the highest bound
    ],
)
def test_percentile_is_read_from_the_buckets(seconds: list[float], share: float, expected: float | None) -> None:
    tally = Tally()
    for one in seconds:
        tally.end(Status.SUCCEEDED, timedelta(seconds=one))

    assert tally.percentile(share) == pytest.approx(expected) if expected else tally.percentile(share) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="on PostgreSQL the plan of a small table is a scan")
def test_messages_are_counted_by_index(route: Route) -> None:
    came(route, 1, status=Status.SUCCEEDED)
    with CaptureQueriesContext(connection) as asked:
        counting.received(route.pk, at(0), at(5)).count()
        list(counting.ended([route.pk], at(0), at(5)))

    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            assert not [row[-1] for row in cursor.fetchall() if row[-1].startswith("SCAN")], query["sql"]


def test_what_ended_lately_is_found_on_any_number_of_routes(route: Route) -> None:
    came(route, 1, status=Status.SUCCEEDED)

    tally = counting.ended_since(at(0), [route.pk, *range(10_000, 12_000)], until=at(30))

    assert tally.succeeded == 1
