"""`/openapi.json` is a valid OpenAPI 3.1 document and says of each route what is true of it."""

import json
from typing import Any

import jsonschema_rs
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openapi_spec_validator import OpenAPIV31SpecValidator

from connectors.models import Application, Credential
from tests.factories import CredentialFactory
from tests.messages.conftest import KEY, configure_route, push

pytestmark = pytest.mark.django_db(transaction=True)
TREE = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "children": {"items": {"$ref": "#"}}, "price": {"$ref": "#/$defs/money"}},
    "$defs": {"money": {"type": "number", "multipleOf": 0.01, "examples": [{"$ref": "#/a-name"}]}},
}


def described() -> dict[str, Any]:
    answer = Client().get("/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    document: dict[str, Any] = json.loads(answer.content)
    OpenAPIV31SpecValidator(document).validate()
    return document


def test_nothing_configured_is_a_valid_document() -> None:
    assert set(described()["paths"]) == {
        "/results/{correlation_id}",
        "/problems/{slug}",
        "/health/live",
        "/health/ready",
    }


@pytest.mark.parametrize(
    ("settings", "answers"),
    [
        ({"patterns": ["async"]}, {"/webhooks/orders": "202", "/webhooks/orders/async": "202"}),
        ({"patterns": ["sync"]}, {"/webhooks/orders": "200", "/webhooks/orders/sync": "200"}),
        (
            {"patterns": ["sync", "async"]},
            {"/webhooks/orders": "200 202", "/webhooks/orders/sync": "200", "/webhooks/orders/async": "202"},
        ),
        (
            {"patterns": ["sync"], "on_deadline": "accept"},
            {"/webhooks/orders": "200 202", "/webhooks/orders/sync": "200 202"},
        ),
    ],
)
def test_each_pattern_has_its_address_and_its_answers(settings: Any, answers: dict[str, str]) -> None:
    configure_route(**settings)

    paths = described()["paths"]

    told = {
        path: " ".join(status for status in sorted(item["post"]["responses"]) if status.startswith("2"))
        for path, item in paths.items()
        if path.startswith("/webhooks")
    }
    assert told == answers


def test_disabled_route_is_not_told() -> None:
    configure_route(enabled=False)

    assert "/webhooks/orders" not in described()["paths"]


def test_schema_keeps_its_meaning_where_it_stands_in_the_document() -> None:
    configure_route(schema=TREE)

    document = described()

    body = document["paths"]["/webhooks/orders"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.Draft202012Validator({**body, "components": document["components"]})
    assert validator.is_valid({"id": 1, "price": 19.90, "children": [{"id": 2}]})
    assert not validator.is_valid({"id": 1, "children": [{"price": 1}]})
    assert not validator.is_valid({"id": 1, "price": 0.001})
    money = document["components"]["schemas"]["route.orders"]["$defs"]["money"]
    assert money["examples"] == [{"$ref": "#/a-name"}]


def test_security_is_that_of_the_applications_credentials() -> None:
    configure_route()
    shop = Application.objects.get(slug="shop")
    for scheme, header in (("github", ""), ("hmac", "X-Own"), ("stripe", "")):
        row = Credential(application=shop, name=scheme, scheme=scheme, header=header, enabled=scheme != "stripe")
        row.set_secret("a-secret-that-nobody-is-told")
        row.save()

    document = described()

    schemes = document["components"]["securitySchemes"]
    asked = document["paths"]["/webhooks/orders"]["post"]["security"]
    assert asked == [{"basic": []}, {"github": []}, {"hmac.x-own": []}, {"bearer": []}, {"api_key": []}]
    assert schemes["github"]["name"] == "X-Hub-Signature-256"
    assert schemes["hmac.x-own"]["name"] == "X-Own"
    assert not any(secret in json.dumps(document) for secret in (KEY, "nobody-is-told", "pass:word"))


def test_unchanged_document_is_a_304() -> None:
    configure_route()
    first = Client().get("/openapi.json")

    again = Client().get("/openapi.json", headers={"If-None-Match": first["ETag"]})
    configure_route(enabled=False)
    changed = Client().get("/openapi.json", headers={"If-None-Match": first["ETag"]})

    assert (again.status_code, again.content, changed.status_code) == (304, b"", 200)


@pytest.mark.parametrize(
    ("scheme", "options", "headers"),
    [
        ("standard_webhooks", {}, ["webhook-signature", "webhook-timestamp", "webhook-id"]),
        ("slack", {}, ["X-Slack-Signature", "X-Slack-Request-Timestamp"]),
        ("hmac", {"timestamp_header": "X-Time"}, ["X-Signature", "X-Time"]),
        ("stripe", {}, ["Stripe-Signature"]),
    ],
)
def test_signature_is_described_with_all_that_it_needs(scheme: str, options: Any, headers: list[str]) -> None:
    configure_route()
    shop = Application.objects.get(slug="shop")
    shop.credentials.all().delete()
    CredentialFactory(application=shop, scheme=scheme, secret="the-secret", secret_hash="", **options)

    document = described()

    (together,) = document["paths"]["/webhooks/orders"]["post"]["security"]
    assert [document["components"]["securitySchemes"][name]["name"] for name in together] == headers


def body_of(document: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = document["paths"]["/webhooks/orders"]["post"]["requestBody"]["content"]
    return content


def test_key_that_orders_messages_is_required() -> None:
    configure_route(ordering_key="customer.id", schema={"type": "object", "properties": {"customer": {}}})

    document = described()

    schema = body_of(document)["application/json"]["schema"]
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    assert validator.is_valid({"customer": {"id": 7}})
    assert [validator.is_valid(value) for value in ({}, {"customer": {}}, {"customer": {"id": ""}}, [])] == [False] * 4
    assert body_of(document)["application/json"]["example"] == {"customer": {"id": "text"}}


OBJECTS = ["application/cloudevents+json", "application/json", "application/x-www-form-urlencoded", "application/xml"]


@pytest.mark.parametrize(
    ("settings", "media_types"),
    [
        ({}, [*OBJECTS, "text/csv"]),
        ({"schema": {"type": "object"}}, OBJECTS),
        ({"schema": {"type": "array"}}, ["application/json", "text/csv"]),
        ({"schema": {"type": ["array", "object"]}}, [*OBJECTS, "text/csv"]),
        ({"ordering_key": "customer.id"}, OBJECTS),  # rows have no such name
        ({"ordering_key": "[0].id"}, [*OBJECTS, "text/csv"]),
        ({"schema": {"properties": {"id": {"type": "integer"}}}}, [*OBJECTS[1:], "text/csv"]),  # an event's is a text
    ],
)
def test_media_types_are_those_whose_values_can_fit(settings: Any, media_types: list[str]) -> None:
    configure_route(**settings)

    assert sorted(body_of(described())) == media_types


def test_example_is_made_from_the_schema_alone() -> None:
    plan = configure_route(schema={"type": "object", "properties": {"number": {"type": "integer"}}})
    push(plan, lane="canary")

    assert "canary" not in json.dumps(described())
    assert body_of(described())["application/json"]["example"] == {"number": 1}


def test_document_is_made_once_for_each_state_of_the_configuration() -> None:
    configure_route()
    first = described()

    with CaptureQueriesContext(connection) as asked:
        again = described()
    Application.objects.get(slug="shop").credentials.filter(scheme="basic").update(enabled=False)

    assert (again, len(asked)) == (first, 1)
    assert {"basic": []} in first["paths"]["/webhooks/orders"]["post"]["security"]
    assert {"basic": []} not in described()["paths"]["/webhooks/orders"]["post"]["security"]


def test_schema_of_numbers_beyond_reckoning_has_no_example() -> None:
    configure_route(schema={"type": "number", "minimum": 10**40, "multipleOf": 0.01})

    assert "example" not in body_of(described())["application/json"]


def test_each_answer_names_its_headers_and_problems() -> None:
    configure_route(patterns=["sync"])

    answers = described()["paths"]["/webhooks/orders/sync"]["post"]["responses"]

    assert all("X-Request-ID" in answer["headers"] for answer in answers.values())
    assert {"X-Correlation-ID", "Preference-Applied", "RateLimit"} <= set(answers["200"]["headers"])
    assert {"400", "401", "404", "405", "408", "409", "410", "413", "415", "422", "429", "502", "503", "504"} <= set(
        answers
    )
    assert set(answers["503"]["content"]["application/problem+json"]["examples"]) == {
        *("unavailable", "paused", "lane-blocked", "circuit-open"),
    }
