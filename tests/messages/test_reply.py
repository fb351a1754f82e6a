import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.http import HttpResponse

from connectors import formats
from connectors.catalogue import RoutePlan, catalogue
from messages import lanes, reply, steering
from messages.accepting import Taking
from messages.choices import OutcomeKind, Status
from messages.claims import Finished
from messages.intake import Accepted, Incoming
from messages.models import Message
from messages.pump import policy_of
from messages.serializers import result_document
from tests.destination import Answer, Destination
from tests.factories import LaneFactory, MessageFactory, ResultFactory, RouteFactory
from tests.messages.conftest import LEASE, claim, configure_route, finish, outcome, push

pytestmark = pytest.mark.django_db


def answer(message: Message) -> HttpResponse:
    loaded = reply.load(message.correlation_id)
    plan = catalogue.by_slug(message.route.slug)
    assert loaded is not None
    assert plan is not None
    return reply.answer(loaded, plan)


@pytest.mark.parametrize(
    ("traits", "status", "slug", "destination_status"),
    [
        ({"failed": True}, 502, "destination-refused", 422),
        ({"dead": True}, 502, "destination-refused", 422),
        ({"failed": True, "told": None}, 502, "destination-failed", None),  # nobody said why
        ({"cancelled": True}, 409, "cancelled", None),
        ({"purged": True}, 410, "gone", None),
        ({"purged": True, "status": Status.FAILED}, 410, "gone", None),
    ],
)
def test_answer_for_what_was_not_delivered(
    traits: dict[str, Any], status: int, slug: str, destination_status: int | None
) -> None:
    message = MessageFactory(sync=True, **traits)

    answered = answer(message)

    document = formats.parse(answered.content)
    assert (answered.status_code, answered["Content-Type"]) == (status, "application/problem+json")
    assert document["type"] == f"/problems/{slug}"
    assert document["correlation_id"] == str(message.correlation_id)
    assert document.get("destination_status") == destination_status


def test_answer_for_a_mapping_that_failed_names_the_rows() -> None:
    message = MessageFactory(sync=True, failed=True, told=None)
    ResultFactory(message=message, mapping_failed=True)

    document = formats.parse(answer(message).content)

    assert (document["status"], document["type"]) == (422, "/problems/mapping-failed")
    assert document["errors"] == [{"target": "no", "source": "id", "message": "It is missing."}]
    assert "destination_status" not in document


def test_answer_for_a_delivery_is_the_result_document() -> None:
    message = MessageFactory(sync=True, succeeded=True)

    answered = answer(message)

    assert (answered.status_code, answered["Content-Type"]) == (200, "application/json")
    assert formats.parse(answered.content)["correlation_id"] == str(message.correlation_id)


@pytest.mark.parametrize(
    ("status", "kind", "body", "content_type"),
    [
        (201, "application/json", b'{"total":19.90}', "application/json"),
        (202, "text/xml; charset=utf-16", b"\xff\xfe<\0", "text/xml; charset=utf-16"),
        (204, "", b"", "application/octet-stream"),
    ],
)
def test_body_reply_is_what_the_destination_said(status: int, kind: str, body: bytes, content_type: str) -> None:
    message = MessageFactory(sync=True, succeeded=True, told=None, lane=LaneFactory(route=RouteFactory(reply="body")))
    ResultFactory(message=message, status_code=status, content_type=kind, body=body)

    answered = answer(message)

    assert (answered.status_code, answered.content, answered["Content-Type"]) == (status, body, content_type)


def test_body_reply_of_a_confirmation_that_could_not_be_mapped_says_that_it_was_confirmed() -> None:
    message = MessageFactory(sync=True, succeeded=True, told=None, lane=LaneFactory(route=RouteFactory(reply="body")))
    ResultFactory(message=message, error={"detail": "The destination confirmed, but …", "errors": [{"target": "a"}]})

    document = formats.parse(answer(message).content)

    assert (document["status"], document["destination_status"]) == (422, 201)
    assert document["errors"] == [{"target": "a"}]
    assert document["detail"].startswith("The destination confirmed")


def test_loading_for_an_answer_is_one_query_without_the_body(django_assert_num_queries: Any) -> None:
    message = MessageFactory(succeeded=True)

    with django_assert_num_queries(1):
        found = reply.load(message.correlation_id)
        assert found is not None
        assert (found.lane.key, found.result.status_code, found.route.slug) != (None, None, None)

    assert found.get_deferred_fields() == {"body", "headers"}


def test_unknown_message_is_none() -> None:
    assert reply.load(uuid4()) is None


def test_wait_ends_at_its_deadline() -> None:
    message = MessageFactory()
    begun = time.monotonic()

    found = reply.wait_until_final(message.correlation_id, deadline=begun + 0.2)

    assert found is None
    assert 0.2 <= time.monotonic() - begun < 5


def test_wait_for_what_is_final_already_does_not_wait() -> None:
    message = MessageFactory(succeeded=True)

    found = reply.wait_until_final(message.correlation_id, deadline=time.monotonic() - 1)

    assert found == message


@pytest.mark.django_db(transaction=True)
def test_wait_sees_the_end_that_another_worker_records() -> None:
    plan = configure_route()
    message = push(plan).message
    (taken,) = claim(plan)

    def record() -> None:
        time.sleep(0.1)
        finish(plan, taken)
        connection.close()

    worker = threading.Thread(target=record)
    worker.start()
    found = reply.wait_until_final(message.correlation_id, deadline=time.monotonic() + 10)
    worker.join()

    assert found is not None
    assert found.status == Status.SUCCEEDED


class FakePump:
    """Takes a lane and answers with a future of the test's own."""

    def __init__(self, waiter: "Future[Finished]") -> None:
        self.waiter = waiter

    def get(self) -> "FakePump":
        return self

    def take(self, *_: object) -> "Future[Finished]":
        return self.waiter


@pytest.fixture
def taken(plan: RoutePlan) -> Accepted:
    return push(plan, pattern="sync", taking=Taking("web", LEASE))


def recorded(plan: RoutePlan, taken: Accepted, kind: OutcomeKind) -> Finished:
    assert taken.claim is not None
    assert taken.work is not None
    entry = Finished(taken.claim, taken.work, outcome(kind), policy_of(plan))
    lanes.finish([entry], now=taken.message.received_at)
    return entry


@pytest.mark.parametrize("fate", ["recorded", "fenced", "cancelled"])
def test_sync_caller_gets_the_end_whatever_became_of_its_pump(
    plan: RoutePlan, taken: Accepted, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """Fenced or given up here, another worker brings the message to its end."""
    waiter: Future[Finished] = Future()
    entry = recorded(plan, taken, OutcomeKind.SUCCEEDED)
    entry.fenced = fate == "fenced"
    ends = {"recorded": lambda: waiter.set_result(entry), "fenced": lambda: waiter.set_result(entry)}
    ends.get(fate, waiter.cancel)()
    monkeypatch.setattr(reply, "web_pump", FakePump(waiter))

    found = reply.wait_for(taken, plan, deadline=time.monotonic() + 5)

    assert found is not None
    assert found.status == Status.SUCCEEDED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fate", ["recorded", "fenced", "cancelled"])
def test_end_comes_without_a_thread_whatever_became_of_the_pump(monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    plan = configure_route()
    taken = push(plan, pattern="sync", taking=Taking("web", LEASE))
    waiter: Future[Finished] = Future()
    monkeypatch.setattr(reply, "web_pump", FakePump(waiter))

    end = reply.end_of(taken, plan)
    entry = recorded(plan, taken, OutcomeKind.SUCCEEDED)
    entry.fenced = fate == "fenced"
    ends = {"recorded": lambda: waiter.set_result(entry), "fenced": lambda: waiter.set_result(entry)}
    ends.get(fate, waiter.cancel)()

    assert end.result(timeout=5) is None


@pytest.mark.django_db(transaction=True)
def test_end_of_a_message_that_waits_for_its_turn_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = configure_route()
    message = push(plan)
    (taken,) = claim(plan)

    end = reply.end_of(message, plan)
    with pytest.raises(FutureTimeoutError):
        end.result(timeout=0.3)
    finish(plan, taken)

    assert end.result(timeout=5) is None


def test_sync_caller_whose_message_is_tried_again_waits_on_until_the_deadline(
    plan: RoutePlan, taken: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering.make_retryable(taken.message)
    waiter: Future[Finished] = Future()
    waiter.set_result(recorded(plan, taken, OutcomeKind.FAILED))
    monkeypatch.setattr(reply, "web_pump", FakePump(waiter))

    assert reply.wait_for(taken, plan, deadline=time.monotonic() + 0.1) is None


def test_sync_caller_whose_destination_is_silent_waits_until_the_deadline(
    plan: RoutePlan, taken: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "web_pump", FakePump(Future()))
    begun = time.monotonic()

    found = reply.wait_for(taken, plan, deadline=begun + 0.1)

    assert found is None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("traits", "seconds"), [({"succeeded": True}, 30), ({}, 0)])
def test_long_poll_that_has_nothing_to_wait_for_ends_at_once(traits: dict[str, bool], seconds: float) -> None:
    message = MessageFactory(**traits)
    begun = time.monotonic()

    reply.long_poll(message, seconds=seconds)

    assert time.monotonic() - begun < 5


def test_long_poll_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(reply, "_long_polls", places)
    message = MessageFactory()

    reply.long_poll(message, seconds=0.05)

    assert places.acquire(blocking=False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "answered",
    [
        Answer(201, {"invoice": "INV-7"}),
        Answer(200, b"\xff\xfe", headers={"Content-Type": "application/octet-stream"}),
        Answer(422, {"error": "no"}),
        Answer(503),
        Answer.nothing(),
    ],
)
def test_what_its_caller_is_told_of_a_message_is_what_the_database_says(
    destination: Destination, answered: Answer
) -> None:
    destination.answers("/orders", answered)
    plan = configure_route(destination.url("/orders"), patterns=["sync"])
    accepted = reply.accept(plan, Incoming("sync", b'{"id": 1}', "application/json", {}, None))

    told = reply.wait_for(accepted, plan, deadline=time.monotonic() + 10)

    assert told is accepted.message
    known = reply.load(told.correlation_id)
    assert known is not None
    assert result_document(told, "orders", told.status) == result_document(known, "orders", known.status)
    assert reply.answer(told, plan).content == reply.answer(known, plan).content
