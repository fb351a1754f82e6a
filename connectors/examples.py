"""Makes an example of a payload from its JSON Schema alone: no stored message is ever shown to outsiders."""

from typing import Any

from connectors.paths import MISSING
from connectors.schemas import InvalidSchema, compile_schema

MAX_DEPTH = 8
MAX_LENGTH = 200
MAX_PARTS = 5_000
"""So many parts of a schema are looked at for one example: references to references grow with a power."""

TEXTS = {
    "date": "2026-11-23",
    "date-time": "2026-11-23T08:16:54Z",
    "time": "08:16:54Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/orders/4711",
    "uuid": "0198f2d0-0000-7000-8000-000000000000",
}


def example_of(schema: Any) -> Any:
    """A value that fits `schema`, or MISSING where none was found. `schema` is one that `compile_schema` takes.

    The schema's own `examples`, `default`, `const` and `enum` come first; of objects every named property is shown.
    """
    value = _Making(schema).value_of(schema, 0)
    if value is MISSING:
        return MISSING
    try:
        return MISSING if compile_schema(schema).errors(value, 1) else value
    except InvalidSchema:
        return MISSING


class _Making:
    """One example on its way. A schema that refers to itself ends where it would begin again."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._followed: list[str] = []
        self._left = MAX_PARTS

    def value_of(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            return MISSING
        if schema is True or schema == {}:
            return "text"
        if not isinstance(schema, dict):
            return MISSING
        for values in (schema.get("examples"), schema.get("enum")):
            if isinstance(values, list) and values:
                return values[0]
        for name in ("const", "default"):
            if name in schema:
                return schema[name]
        if "$ref" in schema:
            return self._behind(schema["$ref"], depth)
        for name in ("oneOf", "anyOf"):
            if schema.get(name):
                return self.value_of({**_without(schema, name), **_dict(schema[name][0])}, depth + 1)
        if "allOf" in schema:
            return self.value_of(_merged([_without(schema, "allOf"), *schema["allOf"]]), depth + 1)
        return self._of_type(schema, depth)

    def _behind(self, reference: str, depth: int) -> Any:
        if reference in self._followed:
            return MISSING
        self._followed.append(reference)
        try:
            return self.value_of(_referred(reference, self._root), depth + 1)
        finally:
            self._followed.pop()

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kinds = schema.get("type")
        kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
        if kind is None:
            kind = next((kind for name, kind in IMPLIED.items() if name in schema), "string")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = _dict(schema.get("properties", {}))
        required = [name for name in schema.get("required", []) if isinstance(name, str)]
        made = {name: self.value_of(part, depth + 1) for name, part in properties.items()}
        made |= {name: "text" for name in required if name not in properties}
        return {name: value for name, value in made.items() if value is not MISSING}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        count = max(1, int(min(schema.get("minItems", 1), MAX_LENGTH))) if schema.get("maxItems") != 0 else 0
        first = schema.get("prefixItems", [])
        items = [*first, *[schema.get("items", True)] * max(0, count - len(first))]
        made = [self.value_of(item, depth + 1) for item in items]
        return [item for item in made if item is not MISSING]


IMPLIED = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


def _number(schema: dict[str, Any]) -> Any:
    try:
        return _multiple(schema)
    except ArithmeticError:  # a quotient of more digits than decimals are reckoned with; a step of zero
        return MISSING


def _multiple(schema: dict[str, Any]) -> Any:
    step = schema.get("multipleOf", 1)
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    if lowest is None:
        highest = schema.get("maximum", schema.get("exclusiveMaximum"))
        return step if highest is None or highest >= step else (highest // step) * step
    first = -(-lowest // step) * step
    return first + step if "exclusiveMinimum" in schema and first <= schema["exclusiveMinimum"] else first


def _text(schema: dict[str, Any]) -> str:
    text = TEXTS.get(schema.get("format", ""), "text")
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", MAX_LENGTH))
    return (text + "x" * max(0, min(shortest, MAX_LENGTH) - len(text)))[:longest]


def _referred(reference: Any, root: Any) -> Any:
    """What stands at a pointer into the same schema (`#/$defs/money`)."""
    found = root
    if not isinstance(reference, str) or not reference.startswith("#"):
        return MISSING
    for name in reference[1:].split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def _merged(schemas: list[Any]) -> dict[str, Any]:
    """One schema that asks for what all of them ask for, as far as a first value needs it."""
    merged: dict[str, Any] = {}
    for schema in map(_dict, schemas):
        properties = {**_dict(merged.get("properties"))}
        for name, part in _dict(schema.get("properties")).items():
            properties[name] = {"allOf": [properties[name], part]} if name in properties else part
        both = {
            "type": _common(merged.get("type"), schema.get("type")),
            "properties": properties,
            "required": [*merged.get("required", []), *schema.get("required", [])],
            "allOf": [*merged.get("allOf", []), *schema.get("allOf", [])],
        }
        merged |= {**schema, **{name: value for name, value in both.items() if value}}
    return merged


def _common(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one or other
    ones, others = (kinds if isinstance(kinds, list) else [kinds] for kinds in (one, other))
    both = [kind for kind in ones if kind in others or (kind == "integer" and "number" in others)]
    return both or [kind for kind in others if kind == "integer" and "number" in ones] or others


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
