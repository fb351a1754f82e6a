"""Nobody waits because somebody else has much to do."""

import time

import pytest
from django.db import connection
from django.utils import timezone

from connectors.catalogue import RoutePlan, catalogue
from messages import lanes
from messages.choices import Status
from messages.lanes import MAX_STRIKES, SUSPECT_PATIENCE, SUSPECT_STRIKES
from messages.models import Lane, Message
from tests.destination import Answer, Destination
from tests.factories import EndpointFactory
from tests.messages.conftest import Running, claim, configure_route, push

pytestmark = pytest.mark.django_db(transaction=True)
MANY = 100_000
NUMBERS = {
    "postgresql": "SELECT generate_series(2, %s) AS n",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < %s) SELECT n FROM c",
}
RANDOM_ID = {"postgresql": "gen_random_uuid()", "sqlite": "lower(hex(randomblob(16)))"}


def fill(lane: Lane) -> None:
    """Makes a lane with one message one with MANY."""
    fields = [field.column for field in Message._meta.concrete_fields if not field.primary_key]
    own = {"correlation_id": RANDOM_ID[connection.vendor], "position": "n.n", "body": "m.body"}
    values = ", ".join(own.get(name, f"m.{name}") for name in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO messaging_message ({', '.join(fields)}) SELECT {values} "
            f"FROM messaging_message m CROSS JOIN ({NUMBERS[connection.vendor]}) n WHERE m.lane_id = %s",
            [MANY, lane.pk],
        )
    Lane.objects.filter(pk=lane.pk).update(last_position=MANY)


def wait_until_done(message: Message, *, seconds: float) -> float:
    begin = time.monotonic()
    while Message.objects.get(pk=message.pk).status != Status.SUCCEEDED:
        assert time.monotonic() - begin < seconds
        time.sleep(0.02)
    return time.monotonic() - begin


def test_lane_of_many_messages_does_not_delay_a_message_on_an_idle_one(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    fill(push(plan, "busy").message.lane)
    with Running():
        destination.wait_for(50, timeout=20)

        for number in range(5):
            wait_until_done(push(plan, f"idle {number}").message, seconds=5)

    assert Lane.objects.get(key="busy").depth > MANY / 2


def suspect_lane(plan: RoutePlan, strikes: int) -> Message:
    """A lane whose head has taken workers down."""
    message = push(plan, "suspect").message
    Lane.objects.filter(key="suspect").update(strikes=strikes, due_at=timezone.now() - 2 * SUSPECT_PATIENCE)
    return message


def test_suspect_lane_gets_its_turn_while_others_are_busy(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.02))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for key in ("busy 1", "busy 2"):
        for _ in range(400):
            push(plan, key)
    with Running():
        destination.wait_for(10, timeout=20)
        suspect = suspect_lane(plan, SUSPECT_STRIKES)

        wait_until_done(suspect, seconds=10)

        (request,) = [one for one in destination.received("/orders") if one.json()["lane"] == "suspect"]
        assert request.in_flight == 1  # it ran alone
        assert Lane.objects.get(key="busy 1").depth > 0  # and did not wait for the others to come to their end


def test_suspect_lane_waits_for_its_patience_before_others_make_room() -> None:
    plan = configure_route(ordering_key="lane")
    suspect_lane(plan, SUSPECT_STRIKES)
    assert lanes.suspect_waits()

    Lane.objects.update(due_at=timezone.now())

    assert not lanes.suspect_waits()


def test_overdue_suspect_that_killed_too_many_ends_although_others_wait() -> None:
    plan = configure_route(ordering_key="lane")
    push(plan, "other")
    suspect = suspect_lane(plan, MAX_STRIKES)

    taken = claim(plan)

    suspect.refresh_from_db()
    assert suspect.status == Status.DEAD
    assert [one.lane_id for one in taken] == [Lane.objects.get(key="other").pk]


@pytest.mark.parametrize("busy", ["orders", "narrow"])
def test_suspect_lane_of_an_endpoint_that_has_limits_gets_its_turn_while_others_are_busy(
    destination: Destination, busy: str
) -> None:
    """Whether the others are its neighbours, or lanes of an endpoint without limits."""
    destination.answers("/orders", Answer(200, delay_seconds=0.02))
    configure_route(destination.url("/orders"), ordering_key="lane")
    EndpointFactory(slug="narrow", url=destination.url("/orders"), max_concurrent=4)
    configure_route(destination.url("/orders"), slug="narrow", endpoint="narrow", ordering_key="lane")
    routes = {plan.slug: plan for plan in catalogue.by_id().values()}
    for key in ("busy 1", "busy 2"):
        for _ in range(400):
            push(routes[busy], key)
    with Running():
        destination.wait_for(10, timeout=20)
        suspect = suspect_lane(routes["narrow"], SUSPECT_STRIKES)

        wait_until_done(suspect, seconds=30)

        (request,) = [one for one in destination.received("/orders") if one.json()["lane"] == "suspect"]
        assert request.in_flight == 1
        assert Lane.objects.get(key="busy 1").depth > 0
