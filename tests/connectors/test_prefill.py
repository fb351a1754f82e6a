"""A payload to begin with: the route takes it, and its mapping can read it."""

from typing import Any

import pytest

from connectors import formats
from connectors.admin.prefill import example_body
from connectors.configuration import apply_configuration
from connectors.mapping import compile_definition
from connectors.models import LookupTable, MappingVersion, Route
from connectors.schemas import compile_schema
from integration_platform.management.commands.start import DEMO_FILE
from tests.factories import RouteFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("slug", ["demo-orders", "demo-stock"])
def test_example_of_the_demo_passes_its_schema_and_its_mapping(slug: str) -> None:
    apply_configuration(DEMO_FILE.read_text(), environ={"DEMO_DESTINATION": "http://127.0.0.1:9"})
    route = Route.objects.get(slug=slug)
    version = MappingVersion.objects.get(mapping=route.mapping)
    tables = {table.slug: table.entries for table in LookupTable.objects.all()}

    example = formats.parse(example_body(route).encode())

    assert route.schema is None or not compile_schema(route.schema).errors(example)
    assert compile_definition(version.definition, tables)(example)


@pytest.mark.parametrize(
    ("fields", "example"),
    [
        # nothing is known
        ({}, {}),
        # keys are looked for in the payload, an expression by itself
        ({"idempotency_key": "order.id", "ordering_key": "=$uppercase(x)"}, {"order": {"id": "4711"}}),
        ({"search_keys": {"sku": "items[].sku"}}, {"items": [{"sku": "4711"}]}),
        ({"search_keys": {"third": "items[2]"}}, {"items": [None, None, "4711"]}),
        ({"search_keys": {"far": "items[999999]"}}, {}),
        # what the schema says stays, and what it says nothing about is filled
        ({"schema": {"properties": {"id": {"const": 7}}}, "idempotency_key": "id"}, {"id": 7}),
        ({"schema": {"required": ["a"]}, "idempotency_key": "a.id"}, {"a": {"id": "4711"}}),
        # a key that the schema forbids does not come in
        ({"schema": {"additionalProperties": False, "properties": {"n": {}}}, "idempotency_key": "x"}, {"n": "text"}),
        # a schema that nothing was found for
        ({"schema": {"type": "string", "pattern": "^[0-9]{7}$"}}, {}),
        # a payload that is no object
        ({"schema": {"type": "array", "items": {"const": 1}}, "idempotency_key": "id"}, [1]),
    ],
)  # fmt: skip
def test_example_is_made_of_schema_and_keys(fields: dict[str, Any], example: Any) -> None:
    route = RouteFactory(**fields)

    assert formats.parse(example_body(route).encode()) == example
