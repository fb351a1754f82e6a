import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError
from django.utils import timezone

from connectors.catalogue import catalogue
from connectors.models import Endpoint, Route
from messages import delivery, lanes, sparing, steering
from messages import pump as pump_module
from messages.accepting import Taking
from messages.beats import STOP, VARIABLE
from messages.choices import Hold, OutcomeKind, Status
from messages.database import lease_clock
from messages.models import Attempt, Lane, Message, Result
from messages.pump import QUANTUM_MESSAGES, Pump
from tests.destination import Answer, Destination, Received
from tests.messages.conftest import Running, claim, configure_route, expire, finish, push

pytestmark = pytest.mark.django_db(transaction=True)
QUICK = {"max_attempts": 3, "first_delay_seconds": 0.05, "factor": 1}


def work(budget: float = 10.0, linger: float = 0.3, **options: Any) -> int:
    return Pump(threads=8, **options).run(budget_seconds=budget, linger_seconds=linger)


def numbers(requests: list[Received], lane: str) -> list[int]:
    return [request.json()["number"] for request in requests if request.json()["lane"] == lane]


def test_messages_of_each_lane_arrive_one_at_a_time_in_order(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(QUANTUM_MESSAGES + 5):
        for name in "ABC":
            push(plan, name)

    done = work()

    requests = destination.received("/orders")
    assert done == len(requests) == 3 * (QUANTUM_MESSAGES + 5)
    for name in "ABC":
        assert numbers(requests, name) == sorted(numbers(requests, name))
    assert not Message.objects.open().exists()
    assert not Lane.objects.exclude(due_at=None, lease_until=None).exists()


def test_lanes_are_worked_side_by_side(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.3))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for number in range(6):
        push(plan, f"L{number}")

    work(linger=0.01)

    assert max(request.in_flight for request in destination.received("/orders")) >= 4


def test_failing_head_is_tried_again_before_what_is_behind_it(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane", retry=QUICK)
    first = push(plan).message
    push(plan)
    destination.answers("/orders", Answer(503), Answer(429), Answer(201))

    work()

    arrived = [request.json()["number"] for request in destination.received("/orders")]
    assert arrived == [arrived[0]] * 3 + [arrived[3]]
    first.refresh_from_db()
    assert (first.status, first.attempts) == (Status.SUCCEEDED, 3)
    assert len({request.header("Idempotency-Key") for request in destination.received("/orders")[:3]}) == 1


def test_retry_after_is_waited_for(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), retry={**QUICK, "max_delay_seconds": 60})
    push(plan)
    destination.answers("/orders", Answer(503, headers={"Retry-After": "30"}))

    work()

    assert (Lane.objects.get().due_at - timezone.now()).total_seconds() > 20


def test_attempts_show_what_was_sent_and_what_came_back(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), on_failure="skip")
    push(plan)
    destination.answers("/orders", Answer(404, {"error": "unknown"}, headers={"Set-Cookie": "session=secret"}))

    work()

    attempt = Attempt.objects.get()
    assert (attempt.status_code, attempt.method, attempt.url) == (404, "POST", destination.url("/orders"))
    assert bytes(attempt.response_body or b"") == b'{"error": "unknown"}'
    assert ["Set-Cookie", "[redacted]"] in attempt.response_headers
    assert Result.objects.get().error["type"] == "/problems/destination-refused"


def test_dead_head_leaves_the_rest_of_its_lane_queued(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    push(plan)
    push(plan)
    destination.answers("/orders", Answer(422))

    work()

    assert sorted(Message.objects.values_list("status", flat=True)) == [Status.DEAD, Status.QUEUED]
    assert Lane.objects.get().hold == Hold.BLOCKED
    assert len(destination.requests) == 1


def test_message_without_an_answer_stops_for_a_person_where_its_route_says_so(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane", retry=QUICK, on_unknown="stop")
    push(plan)
    push(plan)
    destination.answers("/orders", Answer.nothing())

    work()

    assert sorted(Message.objects.values_list("status", flat=True)) == [Status.DEAD, Status.QUEUED]
    assert Lane.objects.get().hold == Hold.BLOCKED
    assert len(destination.requests) == 1


@pytest.mark.parametrize("before", [0, 1], ids=["its first", "a later one"])
def test_message_in_the_hand_of_a_worker_that_died_stops_where_its_route_says_so(
    destination: Destination, before: int
) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane", on_unknown="stop")
    messages = [push(plan).message for _ in range(before + 2)]
    (taken,) = claim(plan)
    for _ in range(before):
        taken.done_position += finish(plan, taken).kept
    in_hand = messages[before]
    expire()

    work()

    attempt, lane = Attempt.objects.get(message=in_hand), Lane.objects.get()
    assert (attempt.outcome, attempt.method) == (OutcomeKind.UNKNOWN, "")
    assert attempt.detail.startswith("The worker that had it in hand ended")
    assert list(Message.objects.filter(pk__gte=in_hand.pk).order_by("pk").values_list("status", flat=True)) == [
        "dead",
        "queued",
    ]
    assert (lane.hold, destination.requests) == (Hold.BLOCKED, [])

    steering.retry(in_hand.pk)
    work()

    assert len(destination.requests) == 2
    assert not Message.objects.exclude(status=Status.SUCCEEDED).exists()


def test_message_in_the_hand_of_a_worker_that_died_is_sent_again_elsewhere(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    push(plan)
    claim(plan)
    expire()

    work()

    assert Message.objects.get().status == Status.SUCCEEDED
    assert len(destination.requests) == 1


def test_lane_that_goes_on_behind_a_message_that_stopped_is_sure_of_the_next(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane", on_unknown="stop", on_failure="skip")
    for _ in range(3):
        push(plan)
    claim(plan)
    expire()

    work()

    assert sorted(Message.objects.values_list("status", flat=True)) == ["failed", "succeeded", "succeeded"]
    assert len(destination.requests) == 2


def test_lane_that_was_given_back_unworked_is_as_unsure_as_before(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane", on_unknown="stop")
    push(plan)
    claim(plan)
    expire()
    for _ in range(3):
        lanes.release(claim(plan))

    work()

    assert Message.objects.get().status == Status.DEAD
    assert destination.requests == []


def test_refused_address_is_tried_once_and_says_which_setting_would_open_it() -> None:
    plan = configure_route("http://10.9.9.9/orders", ordering_key="lane", retry=QUICK)
    for _ in range(3):
        push(plan)

    work()

    attempt = Attempt.objects.get()
    assert attempt.outcome == OutcomeKind.NOT_SENT
    assert "10.9.9.9 is a private address that OUTBOUND_ALLOWED_NETWORKS does not list" in attempt.detail
    assert Lane.objects.get().hold == Hold.BLOCKED


def make_unreadable(settings: Any) -> None:
    """This process has lost the key that the endpoint's secret was encrypted with."""
    enter_secret("t")
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    catalogue.clear()


def enter_secret(token: str) -> None:
    endpoint = Endpoint.objects.get()
    endpoint.set_auth("bearer", {"token": token})
    endpoint.save()


def test_messages_of_an_endpoint_that_cannot_be_called_wait_whole_until_it_can(
    destination: Destination, settings: Any
) -> None:
    """The fault is ours: it must not use up what was accepted, be it on a route that blocks or one that goes on."""
    plan = configure_route(destination.url("/orders"), ordering_key="lane", on_failure="skip", retry=QUICK)
    for number in range(12):
        push(plan, f"L{number % 3}")
    make_unreadable(settings)

    assert work() == 0
    assert set(Message.objects.values_list("status", "attempts")) == {(Status.QUEUED, 0)}
    assert set(Lane.objects.values_list("strikes", flat=True)) == {0}

    enter_secret("anew")
    assert work() == 12
    assert {request.header("Authorization") for request in destination.requests} == {"Bearer anew"}


def test_pump_that_runs_sees_that_an_endpoint_can_be_called_again(destination: Destination, settings: Any) -> None:
    push(configure_route(destination.url("/orders")))
    make_unreadable(settings)

    with Running(linger_seconds=5) as running:
        time.sleep(0.5)  # it has looked
        enter_secret("anew")
        destination.wait_for(1)
        running.wait(seconds=20)

    assert Message.objects.get().status == Status.SUCCEEDED


def test_lanes_in_hand_of_an_endpoint_that_cannot_be_called_are_given_back(
    destination: Destination, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fault came to light between looking and claiming."""
    push(configure_route(destination.url("/orders")))
    make_unreadable(settings)
    monkeypatch.setattr(type(catalogue), "remembered", lambda _: SimpleNamespace(unusable={}, by_id={}))

    assert work(budget=0.3) == 0

    assert destination.requests == []
    assert not Attempt.objects.exists()


def test_thread_is_free_again_at_the_deadline(destination: Destination) -> None:
    """A server that drips would hold the only thread for 25 seconds."""
    destination.answers("/orders", Answer(200, "x" * 500, drip_body_seconds=0.05), Answer(200))
    plan = configure_route(destination.url("/orders"), ordering_key="lane", retry={"max_attempts": 1})
    Endpoint.objects.update(timeout_seconds=0.5)
    for name in "AB":
        push(plan, name)

    Pump(threads=1).run(budget_seconds=10, linger_seconds=0.3)

    first, second = destination.received("/orders")
    assert 0.4 < second.received_at - first.received_at < 5


def test_unforeseen_error_of_an_attempt_is_an_outcome(
    destination: Destination, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = configure_route(destination.url("/orders"), retry={"max_attempts": 1})
    push(plan)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(delivery, "attempt", broken)
    work()

    assert Message.objects.get().status == Status.DEAD
    assert "ZeroDivisionError" in caplog.text


def test_database_that_is_away_for_a_moment_costs_no_outcome(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = configure_route(destination.url("/orders"))
    push(plan)
    finish, failures = lanes.finish, iter([OperationalError("away"), OperationalError("away")])

    def sometimes(*arguments: Any, **options: Any) -> None:
        error = next(failures, None)
        if error is not None:
            raise error
        finish(*arguments, **options)

    monkeypatch.setattr(lanes, "finish", sometimes)
    work()

    assert Message.objects.get().status == Status.SUCCEEDED
    assert len(destination.requests) == 1


def test_outcome_that_cannot_be_recorded_does_not_take_others_along(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.1))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    bad = push(plan, "bad").message
    good = push(plan, "good").message
    finish = lanes.finish

    def picky(finished: list[lanes.Finished], **options: Any) -> None:
        if any(entry.work.message_id == bad.pk for entry in finished):
            raise ValueError("unwritable")
        finish(finished, **options)

    monkeypatch.setattr(lanes, "finish", picky)
    work(linger=0.05)

    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.status, bad.status) == (Status.SUCCEEDED, Status.QUEUED)


def test_worker_whose_lease_is_nearly_over_does_not_send(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"))
    accepted = push(plan, pattern="sync", taking=Taking("web", 30))
    assert accepted.claim is not None
    assert accepted.work is not None
    accepted.claim.deadline = lease_clock() + 1
    pump = Pump(threads=1, claims=False)
    waiter = pump.take(accepted.claim, accepted.work, plan)

    pump._step(0.2)
    pump._step(1)

    assert waiter.cancelled()
    assert destination.requests == []
    assert Lane.objects.get().lease_until is None


def test_worker_whose_machine_slept_beyond_its_lease_does_not_send(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = configure_route(destination.url("/orders"))
    accepted = push(plan, pattern="sync", taking=Taking("web", 30))
    assert accepted.claim is not None
    assert accepted.work is not None
    pump = Pump(threads=1, claims=False)

    monkeypatch.setattr(pump_module, "lease_clock", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + 30)
    waiter = pump.take(accepted.claim, accepted.work, plan)
    pump._step(5)

    assert waiter.cancelled()
    assert destination.requests == []


def test_stopped_pump_finishes_what_is_in_hand_and_releases_the_rest(destination: Destination) -> None:
    started = threading.Event()

    def slowly(_: Received) -> Answer:
        started.set()
        return Answer(200, delay_seconds=0.2)

    destination.answers("/orders", slowly)
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(3):
        push(plan)
    with Running(threads=2, linger_seconds=0) as running:
        assert started.wait(5)
        running.pump.stop()
        running.wait(seconds=5)

    assert Lane.objects.get().lease_until is None
    assert Lane.objects.get().done_position == len(destination.requests) == 1


def test_pump_stops_when_its_supervisor_is_about_to(
    destination: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / STOP).touch()
    plan = configure_route(destination.url("/orders"))
    push(plan)

    done = work()

    assert done == 0
    assert lanes.any_due()


def test_busy_lane_lets_others_have_a_turn(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(QUANTUM_MESSAGES * 3):
        push(plan, "busy")
    push(plan, "idle")

    Pump(threads=1, max_lanes=1).run(budget_seconds=10, linger_seconds=0.1)

    order = [request.json()["lane"] for request in destination.received("/orders")]
    assert order.index("idle") <= QUANTUM_MESSAGES


def test_commit_whose_confirmation_got_lost_moves_its_lane_on_once(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(4):
        push(plan)
    finish, failures = lanes.finish, iter([OperationalError("the connection broke")])

    def committed_in_silence(*arguments: Any, **options: Any) -> None:
        finish(*arguments, **options)
        error = next(failures, None)
        if error is not None:
            raise error

    monkeypatch.setattr(lanes, "finish", committed_in_silence)
    done = work()

    lane = Lane.objects.get()
    assert (lane.done_position, lane.last_position, done) == (4, 4, 4)
    assert len(destination.requests) == Attempt.objects.count() == 4


def test_database_that_goes_away_between_single_records_costs_and_doubles_nothing(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=5)

    def all_at_once(_: Received) -> Answer:
        together.wait()
        return Answer(200, delay_seconds=0.1)

    destination.answers("/orders", all_at_once, all_at_once, all_at_once, Answer(200))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for name in ("first", "first", "bad", "last"):
        push(plan, name)
    bad = Lane.objects.get(key="bad").pk
    finish, failures = lanes.finish, iter([OperationalError("away")])

    def picky(finished: list[lanes.Finished], **options: Any) -> None:
        if len(finished) > 1:
            raise ValueError("one of them is unwritable")
        if finished[0].claim.lane_id == bad:
            raise next(failures, ValueError("unwritable"))
        finish(finished, **options)

    monkeypatch.setattr(lanes, "finish", picky)
    work(linger=0.05)

    done = dict(Lane.objects.values_list("key", "done_position"))
    assert done == {"first": 2, "bad": 0, "last": 1}
    assert len(destination.requests) == 4
    assert Attempt.objects.count() == 3


def test_route_that_is_younger_than_the_last_look_is_worked(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is configured and used between the pump's look at the configuration and its claim."""
    plan = configure_route(destination.url("/orders"))
    push(plan)
    looks = iter([{}])  # the first one finds nothing yet
    known = catalogue.by_id()
    monkeypatch.setattr(catalogue, "by_id", lambda: next(looks, known))

    assert work() == 1


def test_sync_caller_is_not_forgotten_when_its_lane_cannot_be_given_back(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = configure_route(destination.url("/orders"))
    accepted = push(plan, pattern="sync", taking=Taking("web", 30))
    assert accepted.claim is not None
    assert accepted.work is not None
    accepted.claim.deadline = lease_clock() + 1
    pump = Pump(threads=1, claims=False)
    waiter = pump.take(accepted.claim, accepted.work, plan)

    def away(_: object) -> None:
        raise OperationalError("away")

    def step_twice() -> None:  # the hand arrives, then what became of it; or both at once
        for _ in range(2):
            pump._step(1)

    monkeypatch.setattr(lanes, "release", away)
    with pytest.raises(OperationalError):
        step_twice()

    assert waiter.cancelled()


def test_reply_that_no_database_can_hold_as_it_is_delivers_once(destination: Destination) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/pl\x00ain\r\nX-A: \x00\r\nContent-Length: 2\r\n\r\nok"
    destination.answers("/orders", Answer.garbage(answer))
    push(configure_route(destination.url("/orders")))

    work()

    assert Message.objects.get().is_final
    assert len(destination.requests) == Attempt.objects.count() == 1


def test_message_that_is_cancelled_after_it_was_read_ahead_is_not_sent(destination: Destination) -> None:
    """Its worker is busy with another one meanwhile; what is behind it follows as if it had not been there."""
    destination.answers("/orders", Answer(200, delay_seconds=0.05))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    messages = [push(plan).message for _ in range(20)]

    with Running(linger_seconds=0.3) as running:
        while len(destination.received("/orders")) < 6:  # one is read at first, then four, then the rest
            time.sleep(0.01)

        cancelled = [steering.cancel(message.pk, reason="r", now=timezone.now()) for message in messages[14:16]]
        running.wait(seconds=20)

    assert cancelled == [True, True]
    arrived = [request.json()["number"] for request in destination.received("/orders")]
    assert len(arrived) == 18
    assert arrived == sorted(arrived)
    assert Message.objects.filter(status=Status.SUCCEEDED).count() == 18
    assert Lane.objects.filter(done_position=20, due_at=None, lease_until=None).exists()


def test_lane_that_nobody_waits_beside_stays_with_its_worker(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(QUANTUM_MESSAGES * 2):
        push(plan)

    work()

    assert Lane.objects.get().token == 1
    assert Message.objects.filter(status=Status.SUCCEEDED).count() == QUANTUM_MESSAGES * 2


@pytest.mark.parametrize("paused", [Endpoint, Route])
def test_pause_stops_lanes_that_are_in_hand(destination: Destination, paused: type[Endpoint] | type[Route]) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.05))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for _ in range(100):
        push(plan)
    with Running(threads=2, linger_seconds=0) as running:
        destination.wait_for(3, timeout=10)

        paused.objects.update(paused=True)
        running.wait(seconds=10)

    lane = Lane.objects.get()
    assert (lane.lease_until, lane.strikes, lane.hold) == (None, 0, Hold.NONE)
    assert 3 <= lane.done_position == len(destination.requests) < 100
    paused.objects.update(paused=False)
    destination.answers("/orders", Answer(200))
    work(linger=0.05)
    assert numbers(destination.received("/orders"), "A") == sorted(numbers(destination.received("/orders"), "A"))
    assert Lane.objects.get().depth == 0


def test_new_mapping_holds_for_what_a_worker_has_not_sent_yet(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.05))
    address, ordering = destination.url("/orders"), {"ordering_key": "lane"}
    plan = configure_route(address, **ordering)
    for _ in range(60):
        push(plan)
    with Running(threads=2, linger_seconds=0) as running:
        destination.wait_for(3, timeout=10)

        mapping = {"slug": "short", "fields": [{"target": "short", "source": "number"}]}
        configure_route(address, **ordering, mapping="short", mapping_definition=mapping)
        running.wait(seconds=20)

    bodies = [request.json() for request in destination.received("/orders")]
    assert "lane" in bodies[0]
    assert set(bodies[-1]) == {"short"}
    assert Lane.objects.get().token == 1


def test_lanes_that_were_claimed_are_worked_although_the_next_claim_fails(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    for name in "ABC":
        push(plan, name)
    failures = iter([OperationalError("canceling statement due to lock timeout")])

    def busy(*_: Any, **__: Any) -> set[int]:
        error = next(failures, None)
        if error is not None:
            raise error
        return set()

    monkeypatch.setattr(sparing, "waiting", busy)

    assert work() == 3
    assert {lane.token for lane in Lane.objects.all()} == {1}


def test_nothing_is_claimed_beside_a_lane_that_has_to_run_alone(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.3))
    plan = configure_route(destination.url("/orders"), ordering_key="lane")
    push(plan, "suspect")
    Lane.objects.update(strikes=lanes.SUSPECT_STRIKES)
    with Running(threads=4, linger_seconds=0) as running:
        destination.wait_for(1, timeout=10)

        for name in "XYZ":
            push(plan, name)
        running.wait(seconds=10)

    first, *others = destination.received("/orders")
    assert first.json()["lane"] == "suspect"
    assert len(others) == 3
    assert min(request.received_at for request in others) >= first.received_at + 0.3


def test_panic_of_an_extension_is_an_outcome(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        pass

    def panics(*_: object) -> None:
        raise Panic("index out of bounds")

    plan = configure_route(destination.url("/orders"))
    message = push(plan).message
    monkeypatch.setattr(delivery, "attempt", panics)

    work(budget=2)

    message.refresh_from_db()
    assert Attempt.objects.count() == 1
    assert (message.status, Lane.objects.get().lease_until) == (Status.RETRYING, None)
