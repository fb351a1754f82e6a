"""The pump of a web process: synchronous calls go on whatever became of it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from typing import Any

import pytest
from django.db import OperationalError, connection

from connectors.catalogue import RoutePlan
from messages import lanes
from messages.accepting import Taking
from messages.models import Message
from messages.pump import Pump
from messages.web_pump import WebPump
from tests.destination import Answer, Destination
from tests.messages.conftest import LEASE, configure_route, push

pytestmark = pytest.mark.django_db(transaction=True)
RENEWED_EVERY_SECONDS = 1.0


@pytest.fixture
def web() -> Iterator[WebPump]:
    own = WebPump(lambda: Pump(threads=4, claims=False, lease_seconds=3 * RENEWED_EVERY_SECONDS))
    yield own
    own.close(seconds=10)


def take(pump: Pump, plan: RoutePlan, lane: str) -> Any:
    accepted = push(plan, lane, pattern="sync", taking=Taking("web", LEASE))
    assert accepted.claim is not None
    assert accepted.work is not None
    return pump.take(accepted.claim, accepted.work, plan)


def wait_for_its_end(pump: Pump) -> None:
    end = time.monotonic() + 10
    while not pump.is_over:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_web_pump_that_fails_excuses_its_callers_and_is_replaced(
    web: WebPump, destination: Destination, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=2.0), Answer(200))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    first = web.get()
    with monkeypatch.context() as broken:
        broken.setattr(lanes, "renew", lambda *_, **__: 1 / 0)
        waiter = take(first, plan, "A")
        with pytest.raises(CancelledError):
            waiter.result(timeout=10)
    wait_for_its_end(first)

    recorded = take(web.get(), plan, "B").result(timeout=10)

    assert recorded.verdict is not None
    assert "ZeroDivisionError" in caplog.text


def test_caller_who_comes_as_it_fails_does_not_wait_in_vain(
    web: WebPump, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He was given the pump just before."""
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    pump = web.get()
    monkeypatch.setattr(pump, "_step", lambda _: 1 / 0)
    pump._inbox.put(None)
    wait_for_its_end(pump)

    assert take(pump, plan, "A").cancelled()


def test_caller_who_was_excused_hinders_nobody_when_his_message_is_recorded_after_all(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first outcome cannot be written, then the database goes away, and then the first one can be written."""
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    pump = Pump(threads=4, claims=False)
    waiters = [take(pump, plan, name) for name in "AB"]
    while pump._inbox.qsize() < 4:  # both hands, and what became of them
        time.sleep(0.01)
    finish = lanes.finish
    errors = iter([ValueError("both"), ValueError("the first"), OperationalError("away")])

    def failing(finished: list[lanes.Finished], **options: Any) -> None:
        if (error := next(errors, None)) is not None:
            raise error
        finish(finished, **options)

    monkeypatch.setattr(lanes, "finish", failing)
    thread = threading.Thread(target=lambda: (pump.serve(), connection.close()))
    thread.start()

    wait(waiters, timeout=10)
    pump.stop()
    thread.join(10)

    assert sorted(waiter.cancelled() for waiter in waiters) == [False, True]
    assert not Message.objects.open().exists()
