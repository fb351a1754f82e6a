"""`/openapi.json` is a valid OpenAPI 3.1 document and says of each route what is true of it."""

import json
from typing import Any

import jsonschema_rs
import pytest
from django.test import Client
from openapi_spec_validator import OpenAPIV31SpecValidator

from connectors.models import Application, Credential
from tests.messages.conftest import KEY, configure_route

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
    assert set(described()["paths"]) == {"/results/{correlation_id}", "/health/live", "/health/ready"}


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
    asked = [name for one in document["paths"]["/webhooks/orders"]["post"]["security"] for name in one]
    assert set(asked) == {"bearer", "api_key", "basic", "github", "hmac.x-own"}
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
