"""Circuits: a destination that fails is left alone for a while, and its messages wait without losing anything."""

import dataclasses
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from connectors.admin.base import page_of
from connectors.catalogue import EndpointPlan, RoutePlan, catalogue
from connectors.models import Endpoint
from connectors.protection import CircuitPolicy
from messages import breaker as breakers
from messages import circuits, lanes, operate, sparing
from messages.breaker import Breaker, breaker
from messages.choices import CircuitState, OutcomeKind, Status
from messages.exceptions import LaneUnavailable, NotPossible
from messages.models import Attempt, Circuit, Lane, Message
from messages.outcomes import Outcome, Received, Sent
from messages.pump import Pump
from tests import factories
from tests.destination import Answer, Destination
from tests.messages.conftest import KEY, claim, configure_route, push
from tests.messages.test_limits import away_at_first
from tests.messages.test_verbs_admin import client_with

pytestmark = pytest.mark.django_db(transaction=True)
RETRY = {"max_attempts": 8, "first_delay_seconds": 0.01, "factor": 1}
SENT = Sent("POST", "http://erp/orders", [], None)


def guarded(url: str = "http://127.0.0.1:9/orders", *, minimum_calls: int = 4, **route: Any) -> RoutePlan:
    """The route `orders`, whose endpoint's circuit opens after a few failures and stays open for long."""
    configure_route(url, ordering_key="lane", **{"retry": RETRY, **route})
    Endpoint.objects.update(circuit_minimum_calls=minimum_calls, circuit_open_seconds=600)
    plan = catalogue.by_slug("orders")
    assert plan is not None
    return plan


def called(kind: OutcomeKind) -> Outcome:
    return Outcome(kind, timezone.now(), detail="The destination answered 503.", sent=SENT)


def in_an_hour() -> Any:
    return timezone.now() + timedelta(hours=1)


def make_ready() -> None:
    """The time has come to try one call."""
    Circuit.objects.update(retry_at=timezone.now() - timedelta(seconds=1))
    breaker.look_again()


def work() -> int:
    return Pump(threads=8).run(budget_seconds=10, linger_seconds=0.3)


def sync(body: str = '{"lane":"S"}') -> Any:
    return Client().post("/webhooks/orders/sync", body, content_type="application/json", headers={"X-API-Key": KEY})


@pytest.fixture
def endpoint() -> EndpointPlan:
    return guarded().endpoint


def test_destination_that_breaks_off_opens_its_circuit(destination: Destination) -> None:
    """Whether the message arrived is unknown; that the destination is not well is known."""
    plan = guarded(destination.url("/orders"), minimum_calls=3, retry={**RETRY, "max_attempts": 9})
    destination.answers("/orders", Answer.nothing())
    push(plan)

    work()

    assert Circuit.objects.get().state == CircuitState.OPEN
    assert {attempt.outcome for attempt in Attempt.objects.all()} == {OutcomeKind.UNKNOWN}
    assert len(destination.requests) == 3


# --- transitions -----------------------------------------------------------------------------------------------------


def test_too_many_failures_open_it_once_and_say_so(endpoint: EndpointPlan, caplog: pytest.LogCaptureFixture) -> None:
    below = circuits.count(endpoint, [(0.0, 3, 3)], last_failure="The destination answered 503.")
    opened = circuits.count(endpoint, [(0.0, 3, 1)], last_failure="The destination answered 503.")
    again = circuits.count(endpoint, [(0.0, 9, 9)], last_failure="The destination answered 503.")

    assert (below, opened, again) == (False, True, False)
    row = Circuit.objects.get()
    assert row.state == CircuitState.OPEN
    assert row.reason == "4 of 6 calls failed within 60 s; the last one: The destination answered 503."
    assert [record.levelno for record in caplog.records if "opened" in record.message] == [logging.WARNING]


def test_failures_that_are_few_among_many_calls_do_not_open_it(endpoint: EndpointPlan) -> None:
    assert not circuits.count(endpoint, [(0.0, 100, 49)], last_failure="")
    assert circuits.count(endpoint, [(0.0, 2, 2)], last_failure="")


def test_one_caller_alone_gets_the_probe(endpoint: EndpointPlan) -> None:
    factories.CircuitFactory(endpoint_id=endpoint.id, ready=True)

    first, second = circuits.take_probe(endpoint), circuits.take_probe(endpoint)

    assert (first, second) == (1, None)
    assert Circuit.objects.get().state == CircuitState.HALF_OPEN


def test_probe_that_is_not_heard_of_is_made_again_and_its_outcome_comes_too_late(endpoint: EndpointPlan) -> None:
    factories.CircuitFactory(endpoint_id=endpoint.id, ready=True)
    lost = circuits.take_probe(endpoint)
    assert lost is not None
    make_ready()

    found = circuits.take_probe(endpoint)

    assert found == lost + 1
    assert not circuits.settle(endpoint, lost, healthy=True)
    assert circuits.settle(endpoint, found, healthy=True)
    assert not circuits.settle(endpoint, found, healthy=True)
    assert Circuit.objects.get().state == CircuitState.CLOSED


@pytest.mark.parametrize(
    ("healthy", "state", "waits"), [(True, "closed", None), (False, "open", True), (None, "open", False)]
)
def test_what_a_probe_says(endpoint: EndpointPlan, healthy: bool | None, state: str, waits: bool | None) -> None:
    factories.CircuitFactory(endpoint_id=endpoint.id, ready=True)
    probe = circuits.take_probe(endpoint)
    assert probe is not None

    circuits.settle(endpoint, probe, healthy=healthy, detail="again 503")

    row = Circuit.objects.get()
    assert row.state == state
    assert (None if row.retry_at is None else row.retry_at > timezone.now() + timedelta(seconds=60)) == waits


def test_closing_is_said_once(endpoint: EndpointPlan, caplog: pytest.LogCaptureFixture) -> None:
    circuit = factories.CircuitFactory(endpoint_id=endpoint.id, open=True)

    assert circuits.close(circuit)
    assert not circuits.close(circuit)

    assert [record.levelno for record in caplog.records if "closed" in record.message] == [logging.WARNING]


def test_what_failed_before_it_closed_does_not_open_it_again(endpoint: EndpointPlan) -> None:
    factories.CircuitFactory(endpoint_id=endpoint.id, since=timezone.now() - timedelta(seconds=5))

    assert not circuits.count(endpoint, [(20.0, 50, 50)], last_failure="")
    assert circuits.count(endpoint, [(1.0, 50, 50)], last_failure="")


def test_destination_that_says_when_to_come_back_is_left_alone_until_then(destination: Destination) -> None:
    """Longer than usual, when it opens and after a probe."""
    destination.answers("/orders", Answer(503, headers={"Retry-After": "3000"}))
    plan = guarded(destination.url("/orders"), retry={**RETRY, "max_delay_seconds": 0})
    for number in range(4):
        push(plan, f"L{number}")

    def waits() -> bool:
        work()
        left = (Circuit.objects.get().retry_at or timezone.now()) - timezone.now()
        return timedelta(seconds=2900) < left <= timedelta(seconds=3000)

    opened = waits()
    make_ready()
    stays_open = waits()

    assert (opened, stays_open) == (True, True)


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 30), (5, 30), (300, 300), (1e9, 3600)])
def test_how_long_it_stays_open(retry_after: float | None, seconds: float) -> None:
    assert CircuitPolicy(open_seconds=30).wait(retry_after) == seconds


# --- what a process counts -------------------------------------------------------------------------------------------


def test_processes_count_together(endpoint: EndpointPlan) -> None:
    """Each of them alone has too few failures."""
    one, other = Breaker(), Breaker()
    for process in (one, other):
        process.count(endpoint, called(OutcomeKind.FAILED))
        process.count(endpoint, called(OutcomeKind.FAILED))
    assert Circuit.objects.get().buckets

    for process in (one, other):
        process.look_again()
        process.count(endpoint, called(OutcomeKind.FAILED))

    assert Circuit.objects.get().state == CircuitState.OPEN
    for process in (one, other):
        process.look_again()
        assert process.stands(endpoint)


@pytest.mark.parametrize(
    ("kind", "opens"),
    [
        (OutcomeKind.FAILED, True),
        (OutcomeKind.REFUSED, False),  # it answered
        (OutcomeKind.SUCCEEDED, False),
        (OutcomeKind.NOT_SENT, False),  # an address that may not be called
        (OutcomeKind.MAPPING_FAILED, False),
    ],
)
def test_only_failures_of_the_destination_count(endpoint: EndpointPlan, kind: OutcomeKind, opens: bool) -> None:
    for _ in range(10):
        breaker.count(endpoint, called(kind))

    assert breaker.stands(endpoint) == opens


@pytest.mark.parametrize(
    ("status", "kind", "well"),
    [
        (404, OutcomeKind.FAILED, True),  # `passing: [404]`: it answered all the same, and other routes use it, too
        (503, OutcomeKind.REFUSED, False),  # `permanent: [5xx]`
        (503, OutcomeKind.SUCCEEDED, False),  # `success: [503]`
        (409, OutcomeKind.SUCCEEDED, True),
        (429, OutcomeKind.FAILED, False),
    ],
)
def test_status_says_the_same_of_the_destination_whatever_a_route_takes_it_for(
    status: int, kind: OutcomeKind, well: bool
) -> None:
    answered = dataclasses.replace(called(kind), received=Received(status, [], b"", False))

    assert breakers.verdict(answered) == well


def test_failure_of_ours_counts_for_nothing(endpoint: EndpointPlan) -> None:
    for _ in range(10):
        breaker.count(endpoint, Outcome(OutcomeKind.FAILED, timezone.now()))

    assert not Circuit.objects.exists()


def test_success_is_not_written(endpoint: EndpointPlan, django_assert_num_queries: Any) -> None:
    breaker.stands(endpoint)  # has looked

    with django_assert_num_queries(0):
        for _ in range(100):
            breaker.count(endpoint, called(OutcomeKind.SUCCEEDED))


def test_disabled_circuit_never_opens(endpoint: EndpointPlan) -> None:
    off = dataclasses.replace(endpoint, circuit=dataclasses.replace(endpoint.circuit, enabled=False))

    for _ in range(10):
        breaker.count(off, called(OutcomeKind.FAILED))

    assert not Circuit.objects.exists()


def test_counts_survive_a_database_that_is_away(endpoint: EndpointPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> bool:
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(breakers.circuits, "count", away)
        with pytest.raises(OperationalError):
            breaker.count(endpoint, called(OutcomeKind.FAILED))
    for _ in range(3):
        breaker.count(endpoint, called(OutcomeKind.FAILED))

    assert Circuit.objects.get().state == CircuitState.OPEN


# --- messages --------------------------------------------------------------------------------------------------------


def test_lanes_of_an_open_circuit_wait_uncounted_and_in_order(destination: Destination) -> None:
    destination.answers("/orders", Answer(503))
    plan = guarded(destination.url("/orders"))
    for number in range(12):
        push(plan, f"L{number % 6}")

    work()

    called_before = len(destination.received("/orders"))
    attempts = Attempt.objects.count()
    assert Circuit.objects.get().state == CircuitState.OPEN
    assert attempts == called_before < 30
    assert not lanes.any_due()
    assert set(Lane.objects.values_list("strikes", flat=True)) == {0}

    Lane.objects.update(due_at=timezone.now())
    work()
    assert (len(destination.received("/orders")), Attempt.objects.count()) == (called_before, attempts)

    destination.answers("/orders", Answer(200))
    make_ready()
    work()

    assert Circuit.objects.get().state == CircuitState.CLOSED
    assert not Message.objects.exclude(status=Status.SUCCEEDED).exists()
    for number in range(6):
        arrived = [
            one.json()["number"] for one in destination.received("/orders") if one.json()["lane"] == f"L{number}"
        ]
        assert arrived == sorted(arrived)


def test_one_call_alone_tries_an_open_circuit(destination: Destination) -> None:
    destination.answers("/orders", Answer(503))
    plan = guarded(destination.url("/orders"))
    for number in range(6):
        push(plan, f"L{number}")
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), ready=True)

    work()

    assert len(destination.received("/orders")) == 1
    assert Circuit.objects.get().state == CircuitState.OPEN
    assert Attempt.objects.count() == 1


def test_lane_in_hand_is_given_back_when_the_circuit_opens(destination: Destination) -> None:
    destination.answers("/orders", Answer(503))
    plan = guarded(destination.url("/orders"), on_failure="skip", retry={"max_attempts": 1})
    for _ in range(12):
        push(plan)

    work()

    assert len(destination.received("/orders")) == 4
    assert (Lane.objects.get().depth, Lane.objects.get().lease_until) == (8, None)


def test_only_the_lanes_of_that_endpoint_wait(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    factories.CircuitFactory(open=True)
    push(plan)

    assert work() == 1


def test_claim_takes_no_lane_of_an_open_circuit() -> None:
    plan = guarded()
    push(plan)
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), ready=True)

    assert claim(plan) == []
    options: dict[str, Any] = {"probes": True, "lease_seconds": 30, "policies": {}, "alone": True}
    (taken,) = sparing.claim(plan.endpoint, 9, owner="test", **options)
    assert taken.probe == 1
    assert sparing.claim(plan.endpoint, 9, owner="other", **options) == []


def test_database_that_is_away_after_the_record_costs_no_probe(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(guarded(destination.url("/orders")))
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), ready=True)
    away_at_first(monkeypatch, circuits, "settle")

    work()

    assert Message.objects.get().status == Status.SUCCEEDED
    assert Circuit.objects.get().state == CircuitState.CLOSED


# --- synchronous callers ---------------------------------------------------------------------------------------------


def test_sync_call_is_told_at_once_and_makes_no_message(destination: Destination) -> None:
    guarded(destination.url("/orders"))
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)

    answer = sync()

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/circuit-open")
    assert 1 <= int(answer["Retry-After"]) <= 30
    assert not Message.objects.exists()
    assert not destination.requests


def test_async_call_is_accepted_while_it_is_open() -> None:
    plan = guarded()
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)

    assert push(plan).message.pk


def test_repeat_of_a_sync_call_gets_its_answer_while_it_is_open(destination: Destination) -> None:
    guarded(destination.url("/orders"), idempotency_key="id")
    first = sync('{"lane":"S","id":"1"}')
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)
    breaker.look_again()

    again = sync('{"lane":"S","id":"1"}')

    assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (200, 200, "true")


@pytest.mark.parametrize(("status", "state"), [(200, "closed"), (400, "closed"), (500, "open")])
def test_sync_call_is_the_probe_when_the_time_has_come(destination: Destination, status: int, state: str) -> None:
    destination.answers("/orders", Answer(status))
    guarded(destination.url("/orders"))
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), ready=True)

    answer = sync()
    breakers_wait(state)

    assert answer.status_code == (200 if status == 200 else 502)
    assert len(destination.requests) == 1


def breakers_wait(state: str) -> None:
    """The caller has its answer a moment before the circuit has its own."""
    end = timezone.now() + timedelta(seconds=10)
    while Circuit.objects.get().state != state:
        assert timezone.now() < end


def test_probe_is_given_back_where_the_sync_call_makes_no_message() -> None:
    plan = guarded()
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), ready=True)

    assert sync("[").status_code == 400

    row = Circuit.objects.get()
    assert (row.state, row.probe) == (CircuitState.OPEN, 1)
    assert breaker.ready() == [plan.endpoint.id]
    assert breaker.admit(plan.endpoint) == 2
    with pytest.raises(LaneUnavailable):
        breaker.admit(plan.endpoint)


def test_callers_at_the_same_time_get_one_probe_together(endpoint: EndpointPlan) -> None:
    factories.CircuitFactory(endpoint_id=endpoint.id, ready=True)

    def take(barrier: threading.Barrier) -> int | None:
        barrier.wait()
        try:
            return circuits.take_probe(endpoint)
        finally:
            connection.close()

    for number in range(1, 9):
        make_ready()
        barrier = threading.Barrier(6)
        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(take, [barrier] * 6))
        assert [probe for probe in taken if probe is not None] == [number]


# --- people ----------------------------------------------------------------------------------------------------------


def test_person_closes_it_with_a_reason(admin_user: Any) -> None:
    plan = guarded()
    circuit = factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)
    push(plan)
    assert not lanes.any_due()

    operate.close_circuit(circuit, by=admin_user, reason="The ERP is back.")

    assert lanes.any_due()
    assert {entry.get_change_message() for entry in LogEntry.objects.all()} == {
        "Closed by hand. The ERP is back.",
        "Closed its circuit by hand. The ERP is back.",
    }
    with pytest.raises(NotPossible):
        operate.close_circuit(circuit, by=admin_user, reason="again")


def test_circuit_breaker_that_is_switched_off_while_it_is_open_lets_messages_go(
    destination: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    push(guarded(destination.url("/orders")))
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)
    assert work() == 0

    Endpoint.objects.update(circuit_enabled=False)

    assert lanes.any_due()
    assert work() == 1
    assert Circuit.objects.get().state == CircuitState.CLOSED
    assert [record.message for record in caplog.records if "circuit" in record.message] == [
        "The circuit of endpoint erp-orders closed: its circuit breaker was switched off."
    ]


def test_circuit_breaker_that_is_switched_off_while_it_is_open_lets_sync_calls_go(destination: Destination) -> None:
    destination.answers("/orders", Answer(503))
    guarded(destination.url("/orders"))
    factories.CircuitFactory(endpoint=Endpoint.objects.get(), open=True)
    Endpoint.objects.update(circuit_enabled=False)

    assert [sync().status_code for _ in range(2)] == [502] * 2

    assert Circuit.objects.get().state == CircuitState.CLOSED


def test_close_now_on_its_page() -> None:
    circuit = factories.CircuitFactory(open=True)
    address = f"{page_of(circuit).removesuffix('change/')}close_now/"
    form = {"_form_submitted": "on", "reason": "by hand"}

    assert client_with("view_circuit").post(address, form).status_code == 403
    operator = client_with("view_circuit", "operate_lane")
    assert "close_now" in operator.get(page_of(circuit)).content.decode()
    operator.get(address)
    assert Circuit.objects.get().state == CircuitState.OPEN
    lane = factories.LaneFactory(route__endpoint=circuit.endpoint, last_position=1, due_at=in_an_hour())
    operator.post(address, form)
    assert not lanes.any_due()
    Circuit.objects.update(state=CircuitState.OPEN, retry_at=in_an_hour())
    operator.post(address, {**form, "hurry": "on"})

    assert list(Lane.objects.due(timezone.now())) == [lane]
    assert Circuit.objects.get().state == CircuitState.CLOSED
    assert "Closed by hand. Lanes that backed off and are tried now: 1. by hand" in {
        entry.get_change_message() for entry in LogEntry.objects.all()
    }
    assert "close_now" not in operator.get(page_of(circuit)).content.decode()


@pytest.mark.parametrize(
    ("trait", "shown"), [({}, "calling"), ({"open": True}, "circuit open"), ({"half_open": True}, "circuit half-open")]
)
def test_endpoint_pages_show_its_state(admin_client: Client, trait: dict[str, bool], shown: str) -> None:
    circuit = factories.CircuitFactory(**trait)

    assert shown in admin_client.get("/admin/connectors/endpoint/").content.decode()
    page = admin_client.get(page_of(circuit.endpoint)).content.decode()
    assert page_of(circuit) in page
    assert circuit.reason in page


@pytest.mark.parametrize(("trait", "value"), [({}, 0), ({"half_open": True}, 1), ({"open": True}, 2)])
def test_metrics_show_it(client: Client, trait: dict[str, bool], value: int) -> None:
    circuit = factories.CircuitFactory(**trait)

    lines = client.get("/metrics").content.decode().splitlines()

    assert f'platform_circuit_state{{endpoint="{circuit.endpoint.slug}"}} {value}' in lines


def test_endpoint_with_a_circuit_can_be_deleted(admin_client: Client) -> None:
    circuit = factories.CircuitFactory()
    address = page_of(circuit.endpoint).replace("change", "delete")

    admin_client.post(address, {"post": "yes"})

    assert not Endpoint.objects.exists()
