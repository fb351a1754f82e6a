"""Schemas: what fits, where and why something does not, and what can never be done with one."""

import socket
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import parse
from connectors.paths import join_path
from connectors.schemas import MAX_ERRORS, MAX_MESSAGE, MAX_VALUES, InvalidSchema, SchemaError, compile_schema
from tests.payloads import all_payloads

SECRET = "Tr0ub4dor-and-3"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, {"anything": 1}),
        ({}, None),
        ({"type": "object", "required": ["id"]}, {"id": None}),
        ({"type": "number"}, Decimal("1.5")),
        # a number is an integer by its value, however it is written (2020-12 validation, 6.1.1)
        ({"type": "integer"}, Decimal("1.0")),
        ({"type": "integer"}, Decimal("1E+5")),
        ({"type": "integer"}, 10**400),
        ({"const": Decimal("19.90")}, Decimal("19.9")),
        ({"enum": [1, 2]}, Decimal("2.0")),
        # money: decimal steps, where doubles leave a rest
        ({"multipleOf": Decimal("0.01")}, Decimal("19.99")),
        ({"multipleOf": 0.01}, Decimal("19.99")),
        ({"multipleOf": Decimal("0.1")}, Decimal("1.1")),
        ({"multipleOf": Decimal("0.01")}, Decimal("4.35")),
        ({"multipleOf": Decimal("0.01")}, Decimal("12345678901234567890.01")),
        ({"multipleOf": 7}, 7 * 10**40),
        # numbers beside each other that are one double
        ({"maximum": 10**20}, 10**20),
        ({"enum": [10**30]}, 10**30),
        ({"exclusiveMinimum": 0}, Decimal("1E-400")),
        ({"uniqueItems": True}, [Decimal("0.1"), Decimal("0.10000000000000000001")]),
        # what 2020-12 brought
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1, 2]),
        ({"dependentRequired": {"card": ["name"]}}, {"name": 1}),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]}, {"a": 1}),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}, {}),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 1),
        ({"$id": "https://x.example/a", "$ref": "b", "$defs": {"b": {"$id": "b", "type": "integer"}}}, 1),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "object"}),
        ({"properties": {"next": {"$ref": "#"}}}, {"next": {"next": {}}}),
        ({"$ref": "#"}, 1),  # a circle without an end is no trap
        # formats are checked
        ({"format": "email"}, "ada@example.com"),
        ({"format": "date-time"}, "2026-11-23T08:16:54.120Z"),
        ({"format": "uuid"}, "0198f2a1-7c3e-7b12-8a44-5f6e7d8c9b0a"),
        ({"format": "unknown"}, "anything"),
        ({"minLength": 2, "maxLength": 2}, "a\0"),
        ({"maxLength": 1}, "😀"),  # characters, not bytes
        ({"pattern": r"^\p{Lu}"}, "Über"),
        ({"pattern": r"^(?!\s*$).+"}, "look-around"),
    ],
)
def test_values_that_fit_have_no_errors(schema, value):
    assert compile_schema(schema).errors(value) == ()


@pytest.mark.parametrize(
    ("schema", "value", "path", "message"),
    [
        (False, 1, "$", "Nothing is allowed here."),
        ({"type": "object"}, "text", "$", "object"),
        ({"required": ["id"]}, {}, "id", "This property is required."),
        ({"required": ["order id"]}, {}, "`order id`", "required"),
        ({"properties": {"a": {"required": ["b"]}}}, {"a": {}}, "a.b", "required"),
        ({"dependentRequired": {"card": ["name"]}}, {"card": 1}, "name", "required"),
        ({"type": "integer"}, Decimal("1.5"), "$", "integer"),
        ({"type": "integer"}, Decimal("1E-400"), "$", "integer"),
        ({"type": "string"}, Decimal("1.5"), "$", "string"),
        ({"multipleOf": Decimal("0.01")}, Decimal("19.995"), "$", "multiple of 0.01"),
        ({"multipleOf": 7}, 7 * 10**40 + 1, "$", "multiple of 7"),
        ({"maximum": 10**20}, 10**20 + 1, "$", "maximum of 100000000000000000000"),
        ({"maximum": 100}, Decimal("100.00000000000000000001"), "$", "maximum of 100"),
        ({"enum": [10**30]}, 10**30 + 1, "$", "not one of"),
        ({"const": Decimal("0.1")}, Decimal("0.10000000000000000001"), "$", "0.1 was expected"),
        ({"uniqueItems": True}, [Decimal("1.0"), 1], "$", "non-unique"),
        ({"format": "email"}, "ada", "$", "email"),
        ({"format": "date-time"}, "2026-02-30T00:00:00Z", "$", "date-time"),
        ({"minLength": 3}, "ab", "$", "3 characters"),
        ({"additionalProperties": False}, {"x": 1}, "$", "No other properties are allowed here."),
        ({"properties": {"a": True}, "additionalProperties": False}, {"b": 1}, "$", "'b'"),
        ({"properties": {"a": False}}, {"a": 1}, "a", "Nothing is allowed here."),
        # paths as section 7 of the contract writes them
        (
            {"properties": {"l": {"items": {"properties": {"p": {"type": "number"}}}}}},
            {"l": [{}, {"p": "x"}]},
            "l[1].p",
            "num",
        ),
        ({"items": {"items": {"type": "string"}}}, [[], ["a", 1]], "[1][1]", "string"),
        (
            {"properties": {"a b": {"properties": {"c`.d": {"type": "string"}}}}},
            {"a b": {"c`.d": 1}},
            "`a b`.`c``.d`",
            "str",
        ),
        # names of digits are names, and a name without letters is one
        ({"additionalProperties": {"type": "string"}}, {"0": 1}, "0", "string"),
        ({"additionalProperties": {"type": "string"}}, {"007": 1}, "007", "string"),
        ({"additionalProperties": {"type": "string"}}, {"+7": 1}, "`+7`", "string"),
        ({"additionalProperties": {"items": {"type": "string"}}}, {"0": ["a", 1]}, "0[1]", "string"),
        ({"additionalProperties": {"properties": {"b": False}}}, {"": {"b": 1}}, "``.b", "Nothing"),
        ({"additionalProperties": {"items": {"type": "string"}}}, {"": [1]}, "``[0]", "string"),
        ({"additionalProperties": {"type": "string"}}, {"a/b~c": 1}, "`a/b~c`", "string"),
    ],
)
def test_an_error_names_place_and_rule(schema, value, path, message):
    (error,) = compile_schema(schema).errors(value)

    assert error.path == path
    assert message in error.message


def test_required_names_every_missing_property_in_order():
    schema = compile_schema({"required": ["id", "lines"], "properties": {"lines": {"items": {"required": ["sku"]}}}})

    first = schema.errors({"lines": [{}, {"sku": 1}, {}]})
    again = schema.errors({"lines": [{}, {"sku": 1}, {}]})

    assert {error.path for error in first} == {"id", "lines[0].sku", "lines[2].sku"}
    assert first == again


def test_errors_are_limited():
    schema = compile_schema({"items": {"type": "string"}})

    found = schema.errors([1] * 100)

    assert [error.path for error in found] == [f"[{index}]" for index in range(MAX_ERRORS)]
    assert schema.errors([1] * 100, limit=2) == found[:2]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": ["integer", "null"]},
        {"const": "other"},
        {"enum": ["other"]},
        {"pattern": "^x$"},
        {"format": "email"},
        {"format": "date"},
        {"format": "ipv4"},
        {"maxLength": 1},
        {"minLength": 1000},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "integer"}, {"maxLength": 1}]},
        {"oneOf": [{"type": "string"}, {"minLength": 1}]},
        {"allOf": [{"maxLength": 1}]},
        {"if": {"type": "string"}, "then": {"maxLength": 1}},
        {"contentEncoding": "base64", "maxLength": 1},
        False,
        {"items": {"type": "integer"}, "minItems": 9, "type": "array"},
    ],
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"a": v, "b": [v]}, lambda v: [v, [v]]])
def test_messages_do_not_repeat_the_payload(schema, wrap):
    everywhere = {"allOf": [schema, {"additionalProperties": schema, "items": schema}]}

    found = compile_schema(everywhere).errors(wrap(SECRET)) + compile_schema(schema).errors(wrap(SECRET))

    assert found
    assert not [error for error in found if SECRET in error.message or SECRET in error.path]


def test_messages_are_short():
    schema = compile_schema({"const": {"long": "text" * 1000}, "enum": ["x" * 1000] * 5})

    found = schema.errors({"k" * 50: "v" * 100_000})

    assert len(found) == 2
    assert max(len(error.message) for error in found) <= MAX_MESSAGE


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("text", "$"),
        (None, "$"),
        ([], "$"),
        ({"type": "strin"}, "type"),
        ({"properties": {"a b": {"minLength": -1}}}, "properties.`a b`.minLength"),
        ({"properties": {"007": {"minLength": -1}}}, "properties.007.minLength"),
        ({"pattern": "("}, "pattern"),
        ({"patternProperties": {"(": {}}}, "patternProperties"),
        ({"properties": {"x": {"pattern": "a{99999999}"}}}, "properties.x.pattern"),  # would fill the memory
        ({"pattern": "((a{1000}){1000}){1000}"}, "pattern"),
        ({"multipleOf": 0}, "multipleOf"),
        ({"multipleOf": Decimal("-0.01")}, "multipleOf"),
        ({"required": "id"}, "required"),
        ({"minimum": Decimal("NaN")}, "minimum"),
        ({"maximum": 10**5000}, "maximum"),
        ({"$ref": 1}, "$ref"),
        ({"$ref": "http://[::1"}, "$ref"),
        ({"$id": 5}, "$id"),
        ({"$ref": "#/$defs/x"}, "$"),
        ({"$ref": "#anchor"}, "$"),
        ({"$dynamicRef": "#x"}, "$"),
        ({1: 2}, "$"),
        ({"const": "\ud800"}, "$"),
        ({"enum": {1, 2}}, "$"),
        ({"const": b"bytes"}, "$"),
        # other versions say other things by the same words
        ({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {}}, "$schema"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema"}, "$schema"),
        ({"$schema": 5}, "$schema"),
    ],
)
def test_a_schema_that_cannot_be_used_names_its_fault(schema, path):
    with pytest.raises(InvalidSchema) as caught:
        compile_schema(schema)

    assert caught.value.path.startswith(path)
    assert caught.value.message
    assert len(str(caught.value)) < MAX_MESSAGE + 100


def test_a_schema_without_a_floor_is_refused():
    schema: dict[str, Any] = {}
    for _ in range(10_000):
        schema = {"not": schema}

    with pytest.raises(InvalidSchema):
        compile_schema(schema)


@pytest.fixture
def knocks():
    """The address of a server on loopback, and the connections that it saw."""
    seen: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:  # closed below
                return
            seen.append(address)
            connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "URL/schema.json"},
        {"properties": {"a": {"$ref": "URL/schema.json#/x"}}},
        {"$dynamicRef": "URL/schema.json"},
        {"$id": "URL/root.json", "$ref": "other.json"},
        {"$schema": "URL/meta"},
        {"$schema": "URL/meta", "$ref": "#"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "other.json"},
    ],
)
def test_a_remote_reference_is_a_fault_and_never_a_request(schema, knocks):
    address, seen = knocks
    text = repr(schema).replace("URL", address)

    with pytest.raises(InvalidSchema):
        compile_schema(parse(text.replace("'", '"').encode()))

    time.sleep(0.02)  # a connection would be accepted by then
    assert seen == []


def test_an_inner_schema_of_an_unknown_version_is_never_fetched(knocks):
    address, seen = knocks
    inner = {"$id": "http://inner.example/", "$schema": f"{address}/meta", "type": "integer"}

    schema = compile_schema({"$defs": {"inner": inner}, "properties": {"a": {"$ref": "http://inner.example/"}}})

    time.sleep(0.02)
    assert [error.path for error in schema.errors({"a": "x"})] == ["a"]
    assert seen == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 100_000 + "!"),
        ("(x+x+)+y", "x" * 100_000),
        (r"^(\w+\s?)*$", "word " * 20_000 + "!"),
        # only with look-around and the like does the engine step back at all
        (r"(?:(?!x)(a|aa))+$", "a" * 1000 + "!"),
        (r"^(?:(a*)*)*\1$", "a" * 1000 + "!"),
    ],
)
def test_no_pattern_takes_long(pattern, text):
    schema = compile_schema({"items": {"pattern": pattern}})
    start = time.thread_time()

    found = schema.errors([text])

    assert [error.path for error in found] == ["[0]"]
    assert time.thread_time() - start < 0.5


def test_large_payloads_are_judged_quickly_by_their_first_fault():
    schema = compile_schema({"items": {"type": "string"}})
    value = [1] * 500_000
    start = time.thread_time()

    found = schema.errors(value)

    assert found == (SchemaError("[0]", 'the value is not of type "string"'),)
    assert time.thread_time() - start < 0.5


def test_up_to_five_thousand_values_all_faults_are_listed():
    schema = compile_schema({"items": {"type": "string"}})

    assert len(schema.errors([1] * (MAX_VALUES - 1))) == MAX_ERRORS
    assert len(schema.errors([1] * MAX_VALUES)) == 1  # the list itself is a value


@pytest.mark.parametrize("name", ["made_export", "made_keys", "made_numbers"])
def test_a_mebibyte_is_judged_quickly(name):
    value = parse(all_payloads()[name])
    schema = compile_schema({"additionalProperties": {"uniqueItems": True}, "uniqueItems": True, "minProperties": 1})
    start = time.thread_time()

    found = schema.errors(value)

    assert found == ()
    assert time.thread_time() - start < 0.5


def test_one_schema_serves_many_threads():
    schema = compile_schema({"items": {"multipleOf": Decimal("0.01")}})
    found: list[tuple[SchemaError, ...]] = []

    def judge() -> None:
        found.extend(schema.errors([Decimal("19.99"), Decimal("0.001")]) for _ in range(200))

    threads = [threading.Thread(target=judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1600
    assert {tuple(error.path for error in errors) for errors in found} == {("[1]",)}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["", "a", "7", "007", "b c", "~1"]), inner)
    ),
    max_leaves=12,
)
keywords = st.sampled_from(
    [
        *("type", "properties", "additionalProperties", "items", "prefixItems", "required", "enum", "const", "pattern"),
        *(
            "minimum",
            "multipleOf",
            "maxLength",
            "not",
            "anyOf",
            "$ref",
            "$defs",
            "$id",
            "$anchor",
            "format",
            "contains",
        ),
    ]
)


@given(st.dictionaries(keywords, json_values, max_size=4), json_values)
def test_any_object_compiles_or_is_a_fault_and_any_value_is_judged(schema, value):
    try:
        compiled = compile_schema(schema)
    except InvalidSchema as error:
        assert error.message  # noqa: PT017 - most schemas made by chance are faults
        return

    assert all(error.path and error.message for error in compiled.errors(value))


named = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "7", "-1", "b c", "~1", "a/b", "`"]), inner),
)


def places(value: Any, steps: tuple[str | int, ...] = ()) -> list[str]:
    """The path of everything in `value` that holds nothing."""
    if not isinstance(value, dict | list):
        return [join_path(steps)]
    members = value.items() if isinstance(value, dict) else enumerate(value)
    return [place for step, item in members for place in places(item, (*steps, step))]


@given(named)
def test_every_fault_has_its_own_place(value):
    schema = compile_schema(
        {"type": ["object", "array"], "additionalProperties": {"$ref": "#"}, "items": {"$ref": "#"}},
    )

    found = schema.errors(value, limit=1000)

    assert sorted(error.path for error in found) == sorted(places(value))
