"""Trying out: a call of an endpoint, and a message on a route, over real HTTP."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from connectors.models import Endpoint, Route
from messages.models import Attempt, Message
from tests.destination import Destination
from tests.factories import AttemptFactory, LaneFactory, MessageFactory
from tests.messages.conftest import configure_route

SENT = {"body": '{"id": 4711, "price": 19.90}', "content_type": "application/json"}
RIGHTS = ("operate_message", "view_payload", "change_endpoint")


def person(*permissions: str) -> Client:
    user = User.objects.create_user("person", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def call_page() -> str:
    return reverse("admin:messaging_endpoint_test", args=[Endpoint.objects.get().pk])


def message_page() -> str:
    return reverse("admin:messaging_route_test", args=[Route.objects.get().pk])


def said() -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


@pytest.mark.django_db(transaction=True)
def test_call_shows_what_was_sent_without_secrets_and_what_came_back(destination: Destination) -> None:
    configure_route(destination.url())
    endpoint = Endpoint.objects.get()
    endpoint.set_auth("bearer", {"token": "canary-token"})
    endpoint.save()

    answer = person(*RIGHTS).post(call_page(), SENT)

    text = answer.content.decode()
    arrived = destination.requests[0]
    assert arrived.json() == {"id": 4711, "price": 19.9}
    assert arrived.header("Authorization") == "Bearer canary-token"
    assert "HTTP 20" in text
    assert "canary-token" not in text
    assert "[redacted]" in text
    assert said() == [f"Test call: POST {endpoint.url}"]
    assert not Attempt.objects.exists()


@pytest.mark.django_db
def test_call_without_an_answer_says_why() -> None:
    configure_route("http://127.0.0.1:9/")

    outcome = person(*RIGHTS).post(call_page(), SENT).context["outcome"]

    assert outcome["title"].startswith("No answer")
    assert outcome["text"]


@pytest.mark.django_db
@pytest.mark.parametrize("right", [(), ("view_endpoint", "view_route", "view_message"), ("operate_message",)])
def test_trying_out_is_for_those_who_may(right: tuple[str, ...]) -> None:
    configure_route()
    client = person(*right)

    assert client.post(call_page(), SENT).status_code == 403
    assert client.post(message_page(), {**SENT, "pattern": "async"}).status_code == 403
    assert not Message.objects.exists()
    assert said() == []


@pytest.mark.django_db
def test_looking_sends_nothing(destination: Destination) -> None:
    configure_route(destination.url())
    client = person(*RIGHTS, "view_route", "view_endpoint")

    for page in (call_page(), message_page()):
        assert client.get(page).status_code == 200
    assert client.get(f"/admin/connectors/endpoint/{Endpoint.objects.get().pk}/test/").url == call_page()  # type: ignore[attr-defined]
    assert client.get(f"/admin/connectors/route/{Route.objects.get().pk}/test/").url == message_page()  # type: ignore[attr-defined]

    assert destination.requests == []
    assert not Message.objects.exists()


@pytest.mark.django_db
def test_asynchronous_test_message_is_a_message_like_any_other() -> None:
    configure_route()

    answer = person(*RIGHTS).post(message_page(), {**SENT, "pattern": "async"})

    message = Message.objects.get()
    assert bytes(message.body) == SENT["body"].encode()
    assert message.status == "queued"
    assert answer.context["outcome"]["message"] == message
    assert said() == [f"Sent a test message: {message}"]


@pytest.mark.django_db(transaction=True)
def test_synchronous_test_message_shows_the_answer(destination: Destination) -> None:
    configure_route(destination.url())

    outcome = person(*RIGHTS).post(message_page(), {**SENT, "pattern": "sync"}).context["outcome"]

    assert outcome["title"] == "HTTP 200"
    assert "succeeded" in outcome["sides"][0]["body"]
    assert Message.objects.get().status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_who_configures_a_route_may_try_it_and_sees_no_payload(destination: Destination) -> None:
    """An integrator: the newest message's body is not for them, nor is what the destination answers."""
    configure_route(destination.url())
    MessageFactory(lane__route=Route.objects.get(), body=b'{"canary":1}')
    client = person("view_route", "change_route")

    form = client.get(message_page()).content.decode()
    answer = client.post(message_page(), {**SENT, "pattern": "sync"})

    assert "canary" not in form
    assert answer.context["outcome"]["title"] == "HTTP 200"
    assert answer.context["outcome"]["sides"] == []
    assert client.get(f"/admin/connectors/route/{Route.objects.get().pk}/test/").url == message_page()  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_body_of_a_recorded_message_is_offered_and_the_newest_that_went_well_is_taken() -> None:
    configure_route()
    lane = LaneFactory(route=Route.objects.get())
    first, second = (MessageFactory(lane=lane, succeeded=True, body=body) for body in (b'{"n":1.10}', b'{"n":2.20}'))
    MessageFactory(lane=lane, body=b'{"n":3}')
    client = person(*RIGHTS)

    newest = client.get(message_page()).context["form"].initial["body"]
    asked = client.get(message_page(), {"message": first.pk}).context["form"].initial["body"]

    assert newest == '{\n  "n": 2.20\n}'
    assert asked == '{\n  "n": 1.10\n}'
    assert second.pk > first.pk


@pytest.mark.django_db
def test_call_is_offered_the_bodies_that_were_sent() -> None:
    configure_route()
    lane = LaneFactory(route=Route.objects.get())
    AttemptFactory(message__lane=lane, message__succeeded=True, request_body=b'{"mapped":true}')

    form = person(*RIGHTS).get(call_page()).context["form"]

    assert form.initial["body"] == '{\n  "mapped": true\n}'


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("route", "sent", "field"),
    [
        ({"schema": {"required": ["no"]}}, {"pattern": "async"}, "body"),
        ({"max_body_bytes": 5}, {"pattern": "async"}, "body"),
        ({"enabled": False}, {"pattern": "async"}, "pattern"),
        ({"patterns": ["sync"]}, {"pattern": "async"}, "pattern"),
        ({}, {"pattern": "async", "body": "{"}, "body"),
        ({}, {"pattern": "async", "content_type": "text/plain\r\nX: y"}, "content_type"),
    ],
)
def test_what_the_door_refuses_is_refused_here_too(route: dict[str, Any], sent: dict[str, str], field: str) -> None:
    configure_route(**route)

    answer = person(*RIGHTS).post(message_page(), {**SENT, **sent})

    assert list(answer.context["form"].errors) == [field]
    assert not Message.objects.exists()
