import threading
import time
from concurrent.futures import Future
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.test import Client

from messages import waiting
from messages.models import Message
from messages.waiting import ARRIVED, ROOM, WAITED, WAITING, Lookout, Waiting
from tests.destination import Answer, Destination
from tests.factories import MessageFactory
from tests.messages.conftest import KEY, claim, configure_route, finish, push

pytestmark = pytest.mark.django_db(transaction=True)


def test_all_who_wait_are_told_by_one_query_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = configure_route(ordering="none")
    messages = [push(plan).message for _ in range(50)]
    sizes = looks(monkeypatch)

    began = time.monotonic()
    ends = [waiting.lookout.end_of(message.correlation_id) for message in messages]
    time.sleep(0.5)
    seconds, count = time.monotonic() - began, len(sizes)
    for taken in claim(plan, 50):
        finish(plan, taken)

    assert [end.result(timeout=5) for end in ends] == [None] * 50
    assert count <= seconds / waiting.SPACING_SECONDS + 1  # however many wait; a query for each made several hundred


def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each look asks for."""
    sizes: list[int] = []
    real = waiting._final

    def counted(asked: Any) -> set[UUID]:
        listed = list(asked)
        sizes.append(len(listed))
        return real(listed)

    monkeypatch.setattr(waiting, "_final", counted)
    return sizes


def test_one_look_is_one_query(django_assert_num_queries: Any) -> None:
    final, open_one = MessageFactory(succeeded=True), MessageFactory()
    asked = [final.correlation_id, open_one.correlation_id, uuid4()] * 100

    with django_assert_num_queries(1):
        assert waiting._final(asked) == {final.correlation_id}


def test_who_waits_no_longer_is_forgotten_and_the_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LINGER_SECONDS", 0.05)
    lookout = Lookout()

    lookout.end_of(MessageFactory().correlation_id).cancel()

    thread = lookout._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()


def test_thread_that_ended_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LINGER_SECONDS", 0.01)
    lookout, message = Lookout(), MessageFactory(succeeded=True)

    for _ in range(3):
        assert lookout.end_of(message.correlation_id).result(timeout=5) is None
        time.sleep(0.1)


def test_database_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RETRY_SECONDS", 0.01)
    failures = iter([OperationalError("away"), OperationalError("away")])
    real = waiting._final

    def look(asked: Any) -> set[UUID]:
        for failure in failures:
            raise failure
        return real(asked)

    monkeypatch.setattr(waiting, "_final", look)

    assert waiting.lookout.end_of(MessageFactory(succeeded=True).correlation_id).result(timeout=5) is None


def test_end_that_nobody_waits_for_is_no_error() -> None:
    end: Future[None] = Future()
    end.cancel()

    waiting.conclude(end)

    assert not Waiting(end, 0).ended


def post(path: str, **environ: Any) -> Any:
    return Client().post(path, b"{}", content_type="application/json", headers={"X-API-Key": KEY}, **environ)


def left(answer: Any) -> Waiting:
    found: Waiting = answer.wsgi_request.META[WAITING]
    return found


def test_server_that_waits_is_left_with_the_wait_and_asks_for_the_answer(destination: Destination) -> None:
    left_alone = threading.Event()
    destination.answers("/orders", lambda _: Answer(201 if left_alone.wait(20) else 500))
    configure_route(destination.url("/orders"), sync_deadline_seconds=20)
    began = time.monotonic()

    wait = left(post("/webhooks/orders/sync", **{ROOM: True, ARRIVED: began - 1}))
    was_left_before_the_end = not wait.end.done()
    left_alone.set()
    wait.end.result(timeout=5)
    answer = post("/webhooks/orders/sync", **{WAITED: wait})

    assert was_left_before_the_end
    assert wait.deadline == pytest.approx(began + 19)  # counted from when the body was there
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer["X-Correlation-ID"] == answer.json()["correlation_id"]
    assert Message.objects.count() == 1


def test_wait_that_ended_at_its_deadline_is_a_504(destination: Destination) -> None:
    released = threading.Event()
    destination.answers("/orders", lambda _: Answer(200 if released.wait(10) else 500))
    configure_route(destination.url("/orders"))

    wait = left(post("/webhooks/orders/sync", **{ROOM: True}))
    wait.end.cancel()
    answer = post("/webhooks/orders/sync", **{WAITED: wait})
    released.set()

    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-passed")
    assert answer["X-Correlation-ID"] == answer.json()["correlation_id"]


def test_no_room_to_wait_is_a_503_and_no_message() -> None:
    configure_route()

    answer = post("/webhooks/orders/sync", **{ROOM: False})

    assert (answer.status_code, answer.json()["type"], answer["Retry-After"]) == (503, "/problems/unavailable", "2")
    assert not Message.objects.exists()


def test_long_poll_is_left_to_a_server_that_waits() -> None:
    plan = configure_route()
    path = f"/results/{push(plan).message.correlation_id}?wait=20"
    (taken,) = claim(plan)
    asked = {"headers": {"X-API-Key": KEY}}

    wait = left(Client().get(path, **asked, **{ROOM: True}))
    finish(plan, taken)
    wait.end.result(timeout=5)
    answer = Client().get(path, **asked, **{ROOM: True, WAITED: wait})

    assert answer.json()["status"] == "succeeded"
