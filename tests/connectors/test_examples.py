from decimal import Decimal
from typing import Any

import pytest

from connectors.examples import MAX_PARTS, example_of
from connectors.paths import MISSING
from connectors.schemas import compile_schema


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        (True, "text"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "exclusiveMinimum": 10}, 11),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "number", "multipleOf": 0.5}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "email"}, "ada@example.com"),
        ({"enum": ["paid", "open"]}, "paid"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "DE"}, "DE"),
        ({"type": "string", "examples": ["4711", "4712"]}, "4711"),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [1, 1]),
        ({"type": "array", "maxItems": 0}, []),
        ({"properties": {"id": {"type": "integer"}, "note": {}}}, {"id": 1, "note": "text"}),
        ({"required": ["id"]}, {"id": "text"}),
        (
            {"type": "object", "properties": {"price": {"$ref": "#/$defs/money"}}, "$defs": {"money": {"minimum": 0}}},
            {"price": 0},
        ),
        ({"properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "id": {"type": "integer"}}}, None),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]}, {"a": 1}),
        (
            {
                "properties": {"customer": {"required": ["name"], "properties": {"id": {"type": "integer"}}}},
                "allOf": [
                    {
                        "required": ["customer"],
                        "properties": {"customer": {"properties": {"id": {"type": ["string", "number"]}}}},
                    }
                ],
            },
            {"customer": {"id": 1, "name": "text"}},
        ),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        # what cannot be made is not told wrong
        ({"type": "string", "pattern": "^[0-9]{5}$"}, MISSING),
        (False, MISSING),
        ({"not": {}}, MISSING),
        ({"$ref": "#/$defs/away"}, MISSING),
        ({"$ref": "#/own", "own": {"oneOf": []}}, MISSING),
        # a quotient of more digits than decimals are reckoned with; a step of none
        ({"type": "number", "minimum": Decimal("1e40"), "multipleOf": Decimal("0.01")}, MISSING),
        ({"type": "number", "maximum": Decimal("-1e40")}, MISSING),
        ({"$ref": "#/own", "own": {"minimum": 5, "multipleOf": 0}}, MISSING),
        ({"properties": {"far": {"minimum": Decimal("1e40")}, "near": {"minimum": 3}}}, {"near": 3}),
    ],
)
def test_example_fits_its_schema(schema: Any, example: Any) -> None:
    made = example_of(schema)

    assert made == example or (example is None and not compile_schema(schema).errors(made))


def test_schema_that_refers_to_itself_ends_where_it_would_begin_again() -> None:
    node = {"properties": {"id": {"type": "integer"}, "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#"}}}
    tree = {"$ref": "#/$defs/node", "$defs": {"node": node}}

    assert example_of(tree) == {"id": 1}


def test_schema_of_many_references_does_not_grow_with_a_power() -> None:
    wide = {
        f"level{level}": {"properties": {f"p{number}": {"$ref": f"#/$defs/level{level + 1}"} for number in range(40)}}
        for level in range(4)
    }

    made = example_of({"$ref": "#/$defs/level0", "$defs": {**wide, "level4": {"type": "integer"}}})

    assert 0 < _parts_of(made) <= MAX_PARTS


def _parts_of(value: Any) -> int:
    return 1 + sum(map(_parts_of, value.values())) if isinstance(value, dict) else 1
