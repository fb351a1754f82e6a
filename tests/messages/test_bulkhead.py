"""No endpoint takes what the others need: threads, lanes, and the time of a pump."""

import threading
from collections.abc import Iterator

import pytest
import yaml
from django.db import connection

from connectors.catalogue import RoutePlan, catalogue
from connectors.configuration import apply_configuration
from messages.bulkhead import SHARES, Bulkhead, full_endpoints, is_full
from messages.choices import Status
from messages.models import Lane, Message
from messages.pump import SLOW_SECONDS, Pump
from tests.destination import Answer, Destination, Received
from tests.messages.conftest import push
from tests.messages.test_fairness import wait_until_done

THREADS = 4
GIVE_UP = 30.0


@pytest.mark.parametrize(
    ("mine", "taken", "full"),
    [
        (0, 0, False),
        (3, 3, False),
        (4, 4, True),  # as many as it may have alone
        (3, 12, False),
        (3, 13, True),  # of 16 places no more than are left
        (2, 14, True),
        (0, 16, True),  # there is none
    ],
)
def test_share_of_an_endpoint(mine: int, taken: int, full: bool) -> None:
    assert is_full(mine, taken, most=THREADS) == full


@pytest.mark.parametrize(
    ("held", "full", "room"),
    [
        ([], set(), 4),
        ([1], set(), 3),
        ([1] * 4, {1}, 4),
        ([1] * 4 + [2], {1}, 3),
        ([1] * 4 + [2] * 4 + [3] * 4 + [4] * 2, {1, 2, 3, 4}, 2),
    ],
)
def test_places_that_may_be_given_out(held: list[int], full: set[int], room: int) -> None:
    assert full_endpoints(held, most=THREADS) == (full, room)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets everything that hangs go on, at the latest when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def bulkhead(release: threading.Event) -> Iterator[Bulkhead]:
    made = Bulkhead(THREADS, name="test")
    yield made
    release.set()
    made.shutdown()


def test_endpoint_that_hangs_takes_no_thread_from_another(bulkhead: Bulkhead, release: threading.Event) -> None:
    begun = threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        release.wait(GIVE_UP)

    for _ in range(100):
        bulkhead.submit(1, hang)
    for _ in range(THREADS):
        assert begun.acquire(timeout=GIVE_UP)
    together = threading.Barrier(THREADS)  # the other one has all its threads at the same time
    done = threading.Semaphore(0)
    for _ in range(THREADS):
        bulkhead.submit(2, lambda: (together.wait(GIVE_UP), done.release()))
    for _ in range(THREADS):
        assert done.acquire(timeout=GIVE_UP)

    assert not begun.acquire(blocking=False)  # and the first has no more than its share


def test_however_many_hang_the_next_one_goes(bulkhead: Bulkhead, release: threading.Event) -> None:
    for endpoint in range(50):
        for _ in range(THREADS):
            bulkhead.submit(endpoint, release.wait, GIVE_UP)
    release_one = threading.Event()
    bulkhead.submit(0, release_one.set)

    release.set()

    assert release_one.wait(GIVE_UP)


def test_calls_of_an_endpoint_begin_in_their_order(bulkhead: Bulkhead) -> None:
    begun: list[int] = []
    done = threading.Event()
    gate = threading.Event()
    for _ in range(THREADS):
        bulkhead.submit(1, gate.wait, GIVE_UP)
    for number in range(50):
        bulkhead.submit(1, begun.append, number)
    bulkhead.submit(1, done.set)
    assert begun == []

    gate.set()

    assert done.wait(GIVE_UP)
    assert sorted(begun) == list(range(50))


def test_call_that_raises_gives_its_thread_back(bulkhead: Bulkhead) -> None:
    done = threading.Event()
    for _ in range(SHARES * THREADS):
        bulkhead.submit(1, int, "no number")
    bulkhead.submit(1, done.set)

    assert done.wait(GIVE_UP)


# --- the pump --------------------------------------------------------------------------------------------------------


def routes(destination: Destination) -> tuple[RoutePlan, RoutePlan]:
    """One to an endpoint that hangs, one to an endpoint that is well."""
    endpoints = [
        {"slug": "hangs", "url": destination.url("/hangs"), "timeout_seconds": 60, "circuit": {"enabled": False}},
        {"slug": "well", "url": destination.url("/well"), "timeout_seconds": 60},
    ]
    document = {
        "version": 1,
        "applications": [{"slug": "shop"}, {"slug": "erp", "endpoints": endpoints}],
        "routes": [
            {"slug": one["slug"], "source": "shop", "endpoint": one["slug"], "ordering_key": "lane"}
            for one in endpoints
        ],
    }
    apply_configuration(yaml.safe_dump(document), environ={})
    plans = {plan.slug: plan for plan in catalogue.by_id().values()}
    return plans["hangs"], plans["well"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("budget", [60.0, 0.5])
def test_pump_goes_on_with_the_others_while_one_hangs(
    destination: Destination, release: threading.Event, budget: float
) -> None:
    """Also when its budget is spent: this process works nothing else until it ends."""

    def hang(_: Received) -> Answer:
        release.wait(GIVE_UP)
        return Answer(200)

    destination.answers("/hangs", hang)
    hanging, well = routes(destination)
    for number in range(40):
        push(hanging, f"H{number}")
    pump = Pump(threads=THREADS, max_lanes=2 * THREADS)

    def run() -> None:
        pump.run(budget_seconds=budget, linger_seconds=60)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        destination.wait_for(THREADS, timeout=GIVE_UP, path="/hangs")
        threading.Event().wait(2 * SLOW_SECONDS)  # beyond the shorter budget

        for number in range(20):
            wait_until_done(push(well, f"W{number}").message, seconds=GIVE_UP)

        assert len(destination.received("/hangs")) == THREADS
        assert Message.objects.filter(status=Status.SUCCEEDED).count() == 20
    finally:
        release.set()
        pump.stop()
        thread.join(GIVE_UP)
    assert not thread.is_alive()
    assert not Lane.objects.exclude(lease_until=None).exists()
