"""Why messages wait, where people and their monitoring look."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connectors.admin.base import page_of
from connectors.catalogue import RoutePlan, catalogue
from connectors.models import Endpoint, Route
from messages import steering
from messages.choices import Standstill
from messages.models import Allowance, Circuit, Lane, Message
from messages.standing import standstill, waiting
from tests import factories
from tests.messages.conftest import configure_route, push

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan() -> RoutePlan:
    return configure_route(ordering_key="lane")


def open_circuit() -> None:
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)


def reach_limit() -> None:
    Endpoint.objects.update(max_concurrent=1)
    Allowance.objects.create(endpoint=Endpoint.objects.get(), full_until=timezone.now() + timedelta(seconds=60))


STANDING: list[tuple[Any, str, str]] = [
    (open_circuit, "circuit-open", "circuit open"),
    (reach_limit, "limit-reached", "limit reached"),
    (lambda: Endpoint.objects.update(paused=True), "endpoint-paused", "endpoint paused"),
    (lambda: Route.objects.update(paused=True), "route-paused", "route paused"),
    (lambda: Endpoint.objects.update(auth_scheme="bearer"), "unusable", "cannot be sent"),  # without a token
]


@pytest.mark.parametrize(("stop", "reason", "shown"), STANDING)
def test_backlog_is_counted_and_named_wherever_one_looks(
    plan: RoutePlan, admin_client: Client, stop: Any, reason: str, shown: str
) -> None:
    for number in range(6):
        push(plan, f"L{number % 3}")
    message = Message.objects.select_related("lane").latest("pk")
    stop()
    catalogue.unusable()  # this process has noticed

    (one,) = waiting()
    metrics = Client().get("/metrics").content.decode().splitlines()
    lanes = admin_client.get("/admin/messaging/lane/").content.decode()
    pages = [admin_client.get(page_of(row)).content.decode() for row in (message, message.lane)]

    assert (one.endpoint.slug, one.standing.kind, one.lanes, one.messages) == ("erp-orders", reason, 3, 6)
    assert f'platform_endpoint_waiting{{endpoint="erp-orders",reason="{reason}"}} 6' in metrics
    assert shown in lanes
    for page in pages:
        assert one.standing.detail in page
        assert page_of(one.standing.page) in page


def test_what_flows_or_has_come_to_its_end_stands_for_no_reason(plan: RoutePlan, admin_client: Client) -> None:
    message = push(plan).message
    circuit = factories.CircuitFactory(endpoint=Endpoint.objects.get())

    assert waiting() == []
    assert "The circuit of endpoint" not in admin_client.get(page_of(message)).content.decode()

    Circuit.objects.filter(pk=circuit.pk).update(state="open", retry_at=timezone.now() + timedelta(seconds=60))
    assert "The circuit of endpoint" in admin_client.get(page_of(message)).content.decode()
    steering.cancel(message.pk, reason="r", now=timezone.now())

    assert waiting() == []
    assert "The circuit of endpoint" not in admin_client.get(page_of(message)).content.decode()


def test_message_of_a_held_lane_says_so(plan: RoutePlan, admin_client: Client) -> None:
    message = push(plan).message
    steering.hold(message.lane_id)

    page = admin_client.get(page_of(message)).content.decode()

    assert "Somebody paused" in page
    assert waiting() == []  # it is counted among the held ones


def test_circuit_breaker_that_is_off_and_limits_that_are_gone_stop_nothing(plan: RoutePlan) -> None:
    push(plan)
    open_circuit()
    reach_limit()
    Endpoint.objects.update(circuit_enabled=False, max_concurrent=None)

    assert waiting() == []


def test_pause_is_named_before_what_ends_by_itself(plan: RoutePlan) -> None:
    push(plan)
    open_circuit()
    Endpoint.objects.update(paused=True)

    stands = standstill(Route.objects.get(), now=timezone.now())

    assert stands is not None
    assert stands.kind == Standstill.ENDPOINT_PAUSED


def test_asking_costs_the_same_however_much_waits(plan: RoutePlan, django_assert_max_num_queries: Any) -> None:
    open_circuit()
    for number in range(8):
        push(plan, f"L{number}")
    catalogue.unusable()

    with django_assert_max_num_queries(5):  # on PostgreSQL the clock is one of them
        assert waiting()[0].lanes == Lane.objects.count() == 8
