"""`Prefer` at the door: what is honoured, and that it is said."""

import json
from typing import Any

import pytest
from django.test import Client

from messages import steering
from messages.models import Lane, Message
from messages.tasks import purge
from tests.destination import Answer, Destination
from tests.messages.conftest import KEY, configure_route, push

pytestmark = pytest.mark.django_db(transaction=True)
SLOW = Answer(201, {"invoice": 7}, delay_seconds=0.8)


def post(path: str = "/webhooks/orders", **headers: str) -> Any:
    named = {"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Client().post(path, json.dumps({"lane": "A"}), "application/json", headers=named)


@pytest.mark.parametrize(
    ("path", "prefer", "status", "applied"),
    [
        ("/webhooks/orders", "respond-async", 202, "respond-async"),
        ("/webhooks/orders/async", "wait=3", 202, None),
        ("/webhooks/orders/async", "respond-async", 202, "respond-async"),
        ("/webhooks/orders/sync", "wait=3", 200, "wait=3"),
        ("/webhooks/orders/sync", "respond-async, wait=3", 200, "wait=3"),
        ("/webhooks/orders", "respond-async, wait=3", 200, "wait=3"),  # it was there in time
        ("/webhooks/orders", "respond-async, wait=0", 202, "respond-async"),
        ("/webhooks/orders", "", 200, None),
    ],
)
def test_answer_says_which_preferences_it_honours(
    destination: Destination, path: str, prefer: str, status: int, applied: str | None
) -> None:
    configure_route(destination.url("/orders"), patterns=["sync", "async"])

    answer = post(path, Prefer=prefer)

    assert (answer.status_code, answer.get("Preference-Applied")) == (status, applied)


def test_answer_that_came_too_late_says_so_too(destination: Destination) -> None:
    destination.answers("/orders", SLOW)
    configure_route(destination.url("/orders"), patterns=["sync", "async"])

    answer = post("/webhooks/orders/sync", Prefer="wait=0.2")

    assert (answer.status_code, answer["Preference-Applied"]) == (504, "wait=0.2")


def test_who_waits_a_while_and_takes_a_202_then_gets_it(destination: Destination) -> None:
    destination.answers("/orders", SLOW)
    configure_route(destination.url("/orders"), patterns=["sync", "async"])

    answer = post(Prefer="respond-async, wait=0.2")
    repeated = post(Prefer="respond-async, wait=0.2", Idempotency_Key="k")

    assert (answer.status_code, answer["Preference-Applied"]) == (202, "respond-async, wait=0.2")
    assert answer["Location"].endswith(answer.json()["correlation_id"])
    assert repeated.status_code == 202
    assert Message.objects.earliest("pk").retryable


def test_repeat_of_what_is_still_processed_is_a_202_as_well(destination: Destination) -> None:
    destination.answers("/orders", SLOW)
    configure_route(destination.url("/orders"), patterns=["sync", "async"])

    first, second = (post(Prefer="respond-async, wait=0.1", Idempotency_Key="k") for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 202)
    assert second["Idempotency-Replayed"] == "true"
    assert second.json()["correlation_id"] == first.json()["correlation_id"]


def test_lane_that_stands_still_keeps_nobody_waiting(destination: Destination) -> None:
    plan = configure_route(destination.url("/orders"), patterns=["sync", "async"], ordering_key="lane")
    push(plan)
    steering.hold(Lane.objects.get().pk)

    answer = post(Prefer="respond-async, wait=20")

    assert (answer.status_code, answer["Preference-Applied"]) == (202, "respond-async, wait=20")
    assert Message.objects.latest("pk").pattern == "async"


def test_result_that_is_gone_still_says_whose_it_was(destination: Destination) -> None:
    configure_route(destination.url("/orders"), patterns=["sync"])
    known = post().json()["correlation_id"]
    purge(list(Message.objects.values_list("pk", flat=True)))

    answer = Client().get(f"/results/{known}", headers={"X-API-Key": KEY})

    assert (answer.status_code, answer["X-Correlation-ID"]) == (410, known)
