"""CloudEvents in both modes: what makes one, what repeats one, and what of it the destination sees."""

import json
from typing import Any

import pytest
from django.test import Client

from connectors.catalogue import catalogue
from connectors.models import Application
from messages.models import Message
from tests.destination import Destination
from tests.messages.conftest import KEY, configure_route

pytestmark = pytest.mark.django_db(transaction=True)
EVENT = {"specversion": "1.0", "id": "A-1", "source": "/shop/orders", "type": "order.paid", "data": {"no": 7}}
HEADERS = {"ce-specversion": "1.0", "ce-id": "A-1", "ce-source": "/shop/orders", "ce-type": "order.paid"}
STRUCTURED = "application/cloudevents+json; charset=utf-8"


def push(body: Any, content_type: str = "application/json", path: str = "/webhooks/orders", **headers: str) -> Any:
    named = {"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Client().post(path, json.dumps(body), content_type=content_type, headers=named)


def test_structured_event_is_read_by_schema_mapping_and_keys(destination: Destination) -> None:
    rows = [{"target": "number", "source": "data.no"}, {"target": "kind", "source": "type"}]
    configure_route(
        destination.url("/orders"),
        schema={"required": ["data"], "properties": {"data": {"required": ["no"]}}},
        mapping_definition={"slug": "m", "fields": rows},
        mapping="m",
    )

    answer = push(EVENT, STRUCTURED, "/webhooks/orders/sync")

    assert answer.status_code == 200, answer.content
    assert destination.received("/orders")[0].json() == {"number": 7, "kind": "order.paid"}
    assert push({**EVENT, "id": "A-2", "data": {}}, STRUCTURED).status_code == 422


def test_binary_event_goes_on_as_the_event_that_it_is(destination: Destination) -> None:
    configure_route(destination.url("/orders"), schema={"required": ["no"]})

    answer = push({"no": 7}, path="/webhooks/orders/sync", **HEADERS, ce_subject="caf%C3%A9")

    assert answer.status_code == 200, answer.content
    (arrived,) = destination.received("/orders")
    assert arrived.json() == {"no": 7}
    assert {name: arrived.header(name) for name in HEADERS} == HEADERS
    assert arrived.header("ce-subject") == "caf%C3%A9"


def test_attributes_of_a_body_that_was_mapped_stay_here(destination: Destination) -> None:
    mapping = {"slug": "m", "fields": [{"target": "n", "source": "no"}]}
    configure_route(destination.url("/orders"), mapping_definition=mapping, mapping="m")

    push({"no": 7}, path="/webhooks/orders/sync", **HEADERS)

    assert destination.received("/orders")[0].header("ce-id") == ""
    assert Message.objects.get().headers == HEADERS


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("body", EVENT), ("body", EVENT)),
        (("headers", HEADERS), ("headers", {**HEADERS, "ce-id": '"A-1"'})),  # quoted
        (("headers", HEADERS), ("headers", {**HEADERS, "ce-id": "%41-1"})),  # percent-encoded
    ],
)
def test_source_and_id_tell_a_repeat(first: Any, second: Any) -> None:
    configure_route(idempotency_key="other")

    def send(mode: str, event: Any) -> Any:
        return push(event, STRUCTURED) if mode == "body" else push({"no": 7}, **event)

    answers = [send(*first), send(*second)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Message.objects.get().idempotency_key == "/shop/orders A-1"


def test_same_id_of_another_source_is_another_event() -> None:
    configure_route()

    push(EVENT, STRUCTURED)
    push({**EVENT, "source": "/other"}, STRUCTURED)

    assert Message.objects.count() == 2


def test_header_comes_before_the_event_and_the_event_before_the_routes_path() -> None:
    configure_route(idempotency_key="type")

    push(EVENT, STRUCTURED, Idempotency_Key="mine")
    push(EVENT, STRUCTURED)
    push({"type": "plain"})

    keys = Message.objects.order_by("pk").values_list("idempotency_key", flat=True)
    assert list(keys) == ["mine", "/shop/orders A-1", "plain"]


def test_long_names_are_still_told_apart() -> None:
    configure_route()

    for end in "ab":
        push({**EVENT, "id": "x" * 1500 + end}, STRUCTURED)

    assert Message.objects.count() == 2


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 7, "a\0b"])
def test_structured_event_without_what_every_event_has_is_a_400(name: str, value: Any) -> None:
    configure_route()
    event = {**EVENT, name: value} if value is not None else {key: EVENT[key] for key in EVENT if key != name}

    answer = push(event, STRUCTURED)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-body")
    assert name in answer.json()["detail"]


@pytest.mark.parametrize("name", list(HEADERS))
@pytest.mark.parametrize("value", [None, "", "%00"])
def test_binary_event_without_what_every_event_has_is_a_400(name: str, value: str | None) -> None:
    configure_route()
    headers = {**HEADERS, name: value} if value is not None else {key: HEADERS[key] for key in HEADERS if key != name}

    answer = push({}, **headers)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-header")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([EVENT], 400),
        ({**EVENT, "specversion": "0.3"}, 400),
        ({**EVENT, "data_base64": "AA=="}, 400),
        ({**EVENT, "source": "a b"}, 400),  # source "a b" with id "c" would pass for source "a" with id "b c"
        ({**EVENT, "source": "a\u2003b"}, 400),
        ({key: EVENT[key] for key in EVENT if key != "data"}, 202),  # an event needs no data
        ({**EVENT, "ownextension": "x"}, 202),
    ],
)
def test_shape_of_a_structured_event(body: Any, status: int) -> None:
    configure_route()

    assert push(body, STRUCTURED).status_code == status


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/cloudevents-batch+json", "Batches"),
        ("application/cloudevents+xml", "accepted as"),
        ("application/cloudevents", "accepted as"),
    ],
)
def test_batches_and_other_encodings_are_a_415(content_type: str, said: str) -> None:
    configure_route()

    answer = push([EVENT], content_type)

    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert said in answer.json()["detail"]


def test_binary_event_needs_no_data_either(destination: Destination) -> None:
    configure_route(destination.url("/orders"))

    answer = Client().post("/webhooks/orders/sync", b"", "", headers={"X-API-Key": KEY, **HEADERS})

    assert answer.status_code == 200, answer.content
    (arrived,) = destination.received("/orders")
    assert (arrived.body, arrived.header("ce-id")) == (b"", "A-1")


def test_mapping_sees_null_where_an_event_has_no_data(destination: Destination) -> None:
    rows = [{"target": "kind", "constant": "paid"}, {"target": "number", "source": "no", "default": 0}]
    mapping = {"slug": "m", "fields": rows}
    configure_route(destination.url("/orders"), mapping_definition=mapping, mapping="m")

    Client().post("/webhooks/orders/sync", b"", "", headers={"X-API-Key": KEY, **HEADERS})

    assert destination.received("/orders")[0].json() == {"kind": "paid", "number": 0}


def test_empty_body_that_is_no_event_is_still_no_json() -> None:
    configure_route()

    assert Client().post("/webhooks/orders", b"", "", headers={"X-API-Key": KEY}).status_code == 400


@pytest.mark.parametrize(("key", "rate"), [(KEY, "120"), ("wrong", "*"), ("", "*")])
def test_handshake_agrees_with_any_origin_and_tells_a_sender_its_rate(key: str, rate: str) -> None:
    configure_route()
    Application.objects.filter(slug="shop").update(requests_per_minute=120)
    catalogue.clear()
    asked = {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "600"}

    answers = [
        Client().options(path, headers={"X-API-Key": key, **asked}) for path in ("/webhooks/orders", "/webhooks/none")
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer["WebHook-Allowed-Origin"] for answer in answers] == ["eventemitter.example.com"] * 2
    assert [answer["WebHook-Allowed-Rate"] for answer in answers] == [rate, "*"]
    assert "POST" in answers[0]["Allow"]


@pytest.mark.parametrize("origin", ["", "a b", "<script>", "x" * 300])
def test_strange_origin_gets_no_agreement(origin: str) -> None:
    configure_route()

    answer = Client().options("/webhooks/orders", headers={"WebHook-Request-Origin": origin})

    assert (answer.status_code, "WebHook-Allowed-Origin" in answer) == (204, False)
