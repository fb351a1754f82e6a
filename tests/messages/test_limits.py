"""Limits of an endpoint: over all processes no more calls than it allows, and whoever waits loses nothing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from connectors.catalogue import EndpointPlan, RoutePlan, catalogue
from connectors.models import Endpoint
from messages import lanes, limits, sparing
from messages.accepting import Taking
from messages.breaker import breaker
from messages.choices import Status
from messages.database import write
from messages.limits import START_SECONDS
from messages.models import Allowance, Attempt, Circuit, Lane, Message
from messages.pump import Pump
from tests import factories
from tests.destination import Answer, Destination, Received
from tests.messages.conftest import KEY, claim, configure_route, finish, push

pytestmark = pytest.mark.django_db(transaction=True)
OPTIONS: dict[str, Any] = {"probes": False, "lease_seconds": 30, "owner": "test", "policies": {}, "alone": True}


def limited(url: str = "http://127.0.0.1:9/orders", *, route: dict[str, Any] | None = None, **fields: Any) -> RoutePlan:
    """The route `orders`, whose endpoint has these limits."""
    configure_route(url, ordering_key="lane", **(route or {}))
    Endpoint.objects.update(**fields)
    plan = catalogue.by_slug("orders")
    assert plan is not None
    return plan


def begin(endpoint: EndpointPlan, *permits: str) -> int:
    """Makes as many of these calls as may be made; returns their number."""
    with write():
        room = limits.room(endpoint, len(permits))
        limits.grant(endpoint, permits[:room])
    return room


def later(seconds: float) -> None:
    """The same as if everything had happened so much earlier."""
    row = Allowance.objects.get()
    Allowance.objects.update(
        buckets=[[start - seconds, *rest] for start, *rest in row.buckets],
        permits={name: until - seconds for name, until in row.permits.items()},
        full_until=row.full_until and row.full_until - timedelta(seconds=seconds),
    )


def work(**options: Any) -> int:
    try:
        return Pump(threads=8, **options).run(budget_seconds=20, linger_seconds=0.5)
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


# --- permits ---------------------------------------------------------------------------------------------------------


def test_no_more_calls_are_out_than_are_allowed() -> None:
    endpoint = limited(max_concurrent=2).endpoint

    assert begin(endpoint, "a", "b", "c") == 2
    assert begin(endpoint, "c") == 0
    limits.give_back(endpoint, ["a"])
    assert begin(endpoint, "c", "d") == 1
    limits.give_back(endpoint, ["b", "c"])
    assert begin(endpoint, "e", "f", "g") == 2


def test_permit_of_a_process_that_died_counts_as_lost_after_its_call_must_have_ended() -> None:
    endpoint = limited(max_concurrent=1).endpoint
    begin(endpoint, "a")

    later(START_SECONDS + endpoint.timeout_seconds)
    assert begin(endpoint, "b") == 0
    later(limits.MARGIN_SECONDS)
    assert begin(endpoint, "b") == 1


@pytest.mark.parametrize(("per", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600)])
def test_no_more_calls_begin_in_a_period_than_are_allowed(per: str, seconds: float) -> None:
    endpoint = limited(rate_calls=3, rate_per=per).endpoint
    now = timezone.now()
    granted = begin(endpoint, "a", "b"), begin(endpoint, "c", "d")
    if timezone.now() - now > timedelta(seconds=seconds / 2):
        pytest.skip("the machine stood still")

    assert granted == (2, 1)
    assert begin(endpoint, "d") == 0
    later(seconds / 3)
    assert begin(endpoint, "d") == 0
    later(seconds)
    assert begin(endpoint, "d", "e", "f", "g") == 3


def test_endpoint_that_is_full_is_not_due_and_due_again_at_once_when_a_call_has_ended() -> None:
    plan = limited(max_concurrent=1)
    push(plan, "A")
    push(plan, "B")
    (taken,) = sparing.claim(plan.endpoint, 9, **OPTIONS)
    assert sparing.claim(plan.endpoint, 9, **OPTIONS) == []

    assert not lanes.any_due()
    limits.give_back(plan.endpoint, [taken.permit])
    assert lanes.any_due()
    (other,) = sparing.claim(plan.endpoint, 9, **OPTIONS)
    assert other.lane_id != taken.lane_id


def test_limits_that_are_taken_away_hold_nobody_for_long() -> None:
    plan = limited(rate_calls=1, rate_per="hour")
    push(plan, "A")
    begin(plan.endpoint, "a")
    assert sparing.claim(plan.endpoint, 9, **OPTIONS) == []

    Endpoint.objects.update(rate_calls=None)
    later(limits.LOOK_AGAIN_SECONDS)

    assert len(claim(plan)) == 1


def test_claim_by_the_dozen_leaves_limited_endpoints_out() -> None:
    plan = limited(max_concurrent=5)
    push(plan)

    assert claim(plan) == []
    assert sparing.waiting([plan.endpoint.id]) == {plan.endpoint.id}


def test_endpoint_without_limits_pays_nothing(django_assert_num_queries: Any) -> None:
    endpoint = limited().endpoint

    with django_assert_num_queries(0):
        assert limits.room(endpoint, 7) == 7
        assert sparing.waiting([]) == set()


# --- messages --------------------------------------------------------------------------------------------------------


def test_two_pumps_keep_the_limit_together_and_the_order(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.05))
    plan = limited(destination.url("/orders"), max_concurrent=2)
    for _ in range(3):
        for name in range(6):
            push(plan, f"L{name}")

    pumps = [threading.Thread(target=work) for _ in range(2)]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()

    arrived = destination.received("/orders")
    assert max(one.in_flight for one in arrived) == 2
    assert len(arrived) == Attempt.objects.count() == 18
    assert not Message.objects.exclude(status=Status.SUCCEEDED).exists()
    for name in range(6):
        numbers = [one.json()["number"] for one in arrived if one.json()["lane"] == f"L{name}"]
        assert numbers == sorted(numbers)
    assert Allowance.objects.get().permits == {}


def test_messages_over_the_rate_wait_uncounted(destination: Destination) -> None:
    plan = limited(destination.url("/orders"), rate_calls=3, rate_per="hour")
    for _ in range(5):
        push(plan)

    work()
    assert len(destination.received("/orders")) == 3
    waiting = Message.objects.open()
    assert [(one.status, one.attempts) for one in waiting] == [(Status.QUEUED, 0)] * 2
    assert Lane.objects.get().strikes == 0

    later(2 * 3600)
    work()
    numbers = [one.json()["number"] for one in destination.received("/orders")]
    assert numbers == sorted(numbers)
    assert len(numbers) == 5


def test_probe_keeps_to_the_limits(destination: Destination) -> None:
    plan = limited(destination.url("/orders"), max_concurrent=1)
    push(plan)
    factories.CircuitFactory(endpoint_id=plan.endpoint.id, ready=True)
    begin(plan.endpoint, "hangs")

    work()
    assert not destination.requests
    limits.give_back(plan.endpoint, ["hangs"])
    work()

    assert Circuit.objects.get().state == "closed"
    assert breaker.ready() == []


def test_call_that_could_not_begin_in_time_is_not_made(destination: Destination) -> None:
    """Its permit may have been given to somebody else by then."""
    plan = limited(destination.url("/orders"), max_concurrent=1)
    accepted = push(plan, pattern="sync", taking=Taking("web", 30))
    assert accepted.claim is not None
    assert accepted.work is not None
    accepted.claim.send_by = 0.0
    pump = Pump(threads=1, claims=False)
    thread = threading.Thread(target=pump.serve)
    thread.start()

    waiter = pump.take(accepted.claim, accepted.work, plan)
    pump.stop()
    thread.join()

    assert waiter.cancelled()
    assert not destination.requests
    assert Allowance.objects.get().permits == {}


def away_at_first(monkeypatch: pytest.MonkeyPatch, module: Any, verb: str) -> None:
    """The database does not answer the first call of it."""
    real, failures = getattr(module, verb), iter([OperationalError("away")])

    def sometimes(*arguments: Any, **options: Any) -> Any:
        if error := next(failures, None):
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(module, verb, sometimes)


def test_database_that_is_away_after_the_record_costs_no_permit(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = limited(destination.url("/orders"), max_concurrent=1)
    for name in "AB":
        push(plan, name)
    away_at_first(monkeypatch, limits, "give_back")

    work()

    assert len(destination.received("/orders")) == 2
    assert Allowance.objects.get().permits == {}


def test_database_that_is_away_when_a_lane_is_given_back_costs_no_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = limited(max_concurrent=1)
    accepted = push(plan, pattern="sync", taking=Taking("web", 30))
    assert accepted.claim is not None
    assert accepted.work is not None
    accepted.claim.send_by = 0.0
    away_at_first(monkeypatch, lanes, "release")
    pump = Pump(threads=1, claims=False)
    thread = threading.Thread(target=pump.serve)
    thread.start()

    pump.take(accepted.claim, accepted.work, plan)
    pump.stop()
    thread.join()

    assert Allowance.objects.get().permits == {}


# --- synchronous callers ---------------------------------------------------------------------------------------------


def sync() -> Any:
    headers = {"X-API-Key": KEY}
    return Client().post("/webhooks/orders/sync", '{"lane":"S"}', content_type="application/json", headers=headers)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_sync_call_has_a_permit_and_gives_it_back(destination: Destination) -> None:
    seen = []

    def look(_: Received) -> Answer:
        seen.append(len(Allowance.objects.get().permits))
        connection.close()
        return Answer(200)

    destination.answers("/orders", look)
    plan = limited(destination.url("/orders"), max_concurrent=1)

    assert [sync().status_code for _ in range(3)] == [200] * 3
    assert seen == [1, 1, 1]
    assert plan.endpoint.limits.max_concurrent == 1


def test_sync_call_waits_for_its_permit(destination: Destination, release: threading.Event) -> None:
    def hold(_: Received) -> Answer:
        release.wait(20)
        return Answer(200)

    destination.answers("/orders", hold, Answer(200))
    plan = limited(
        destination.url("/orders"), max_concurrent=1, timeout_seconds=20, route={"sync_deadline_seconds": 20}
    )
    push(plan, "A")
    worker = threading.Thread(target=work)
    worker.start()
    destination.wait_for(1, timeout=20)
    answers: list[Any] = []

    def call() -> None:
        answers.append(sync())
        connection.close()

    caller = threading.Thread(target=call)
    caller.start()
    while not Message.objects.filter(pattern="sync").exists():
        assert caller.is_alive()
    release.set()
    caller.join()
    worker.join()

    assert [one.status_code for one in answers] == [200]
    assert max(one.in_flight for one in destination.requests) == 1


def test_sync_call_without_a_permit_until_its_deadline_gets_504_and_goes_on() -> None:
    plan = limited(max_concurrent=1, route={"sync_deadline_seconds": 0.2})
    begin(plan.endpoint, "hangs")

    answer = sync()

    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-passed")
    limits.give_back(plan.endpoint, ["hangs"])
    assert lanes.any_due()


def test_lane_that_was_busy_takes_no_permit() -> None:
    plan = limited(max_concurrent=1)
    push(plan, "S")

    accepted = push(plan, "S", pattern="sync", taking=Taking("web", 30))

    assert accepted.claim is None
    assert Allowance.objects.get().permits == {}
    (taken,) = sparing.claim(plan.endpoint, 9, **OPTIONS)
    assert finish(plan, taken).verdict is not None
