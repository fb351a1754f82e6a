"""Mappings: rows and expressions, from a payload to what the destination gets."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.mapping import COUNTRIES, ROWS, by_hand, order
from connectors import formats
from connectors.mapping import (
    FieldRow,
    InvalidMapping,
    MappingFailed,
    compile_definition,
    compile_expression_mapping,
    compile_rows,
)
from tests.connectors.rows import LOOKUPS, mapped

D = Decimal


def test_contract_example():
    rows = (
        FieldRow("orderNo", "id", "string", required=True),
        FieldRow("lines[].sku", "line_items[].sku"),
        FieldRow("lines[].price", "line_items[].price", "decimal"),
        FieldRow("country", "shipping.country", lookup="countries", default="XX"),
        FieldRow("total", "=$sum(line_items.(price * quantity))"),
    )
    payload = formats.parse(
        b'{"id": 123456789012345678901, "shipping": {"country": "Germany"},'
        b' "line_items": [{"sku": "A", "price": 19.90, "quantity": 2}, {"sku": "B", "price": 5, "quantity": 1}]}'
    )

    result = mapped(payload, *rows)

    assert formats.dump(result) == (
        b'{"orderNo":"123456789012345678901","lines":[{"sku":"A","price":19.90},{"sku":"B","price":5}],'
        b'"country":"DE","total":44.8}'
    )


@pytest.mark.parametrize(
    ("payload", "row", "expected"),
    [
        # absent, null, default, required
        ({"a": 1}, FieldRow("t", "a"), {"t": 1}),
        ({}, FieldRow("t", "a"), {}),
        ({"a": None}, FieldRow("t", "a"), {"t": None}),
        ({"a": None}, FieldRow("t", "a", "integer"), {"t": None}),
        ({}, FieldRow("t", "a", default=5), {"t": 5}),
        ({"a": None}, FieldRow("t", "a", default=5), {"t": 5}),
        ({"a": 0}, FieldRow("t", "a", default=5), {"t": 0}),  # false values are there
        ({"a": ""}, FieldRow("t", "a", required=True), {"t": ""}),
        ({"a": False}, FieldRow("t", "a", required=True), {"t": False}),
        ({}, FieldRow("t", "a", required=True, default=5), {"t": 5}),  # where there is a default, nothing is missing
        ({}, FieldRow("t", "a", default=None), {"t": None}),  # null may be one
        ({"a": 1}, FieldRow("t", "a.b"), {}),  # a name of what is no object
        ({"a": {"b": None}}, FieldRow("t", "a.b.c"), {}),
        # type of default and constant
        ({}, FieldRow("t", "a", "string", default=5), {"t": "5"}),
        ({}, FieldRow("t", constant=5), {"t": 5}),
        ({}, FieldRow("t", "", "decimal", constant="1.50"), {"t": D("1.50")}),
        ({}, FieldRow("t", constant=None), {"t": None}),
        ({}, FieldRow("t", constant=False), {"t": False}),
        ({}, FieldRow("t", lookup="countries", constant="France"), {"t": "FR"}),
        # lookup
        ({"a": "France"}, FieldRow("t", "a", lookup="countries"), {"t": "FR"}),
        ({"a": 7}, FieldRow("t", "a", lookup="countries"), {"t": "SEVEN"}),  # the value's text is the key
        ({"a": True}, FieldRow("t", "a", lookup="countries"), {"t": "YES"}),
        ({"a": D("1.10")}, FieldRow("t", "a", lookup="countries"), {"t": "PRICE"}),
        ({"a": "n"}, FieldRow("t", "a", "integer", lookup="countries"), {"t": 5}),  # the type is that of the answer
        ({"a": "void"}, FieldRow("t", "a", "integer", lookup="countries"), {"t": None}),
        ({"a": "Spain"}, FieldRow("t", "a", lookup="countries", default="XX"), {"t": "XX"}),
        ({}, FieldRow("t", "a", lookup="countries", default="XX"), {"t": "XX"}),  # a default is not looked up
        ({}, FieldRow("t", "a", lookup="countries"), {}),
        ({"a": None}, FieldRow("t", "a", lookup="countries"), {"t": None}),
        # places
        ({"a": 1}, FieldRow("x.y.z", "a"), {"x": {"y": {"z": 1}}}),
        ({}, FieldRow("x.y.z", "a"), {}),  # no empty objects
        ({"a": 1}, FieldRow("x[1].y", "a"), {"x": [None, {"y": 1}]}),
        ({}, FieldRow("x[1].y", "a"), {}),
        ({"a": [5, 6]}, FieldRow("t", "a[1]"), {"t": 6}),
        ({"a": [5, 6]}, FieldRow("t", "a[2]"), {}),
        ({"a": {"b": 1}}, FieldRow("t", "$"), {"t": {"a": {"b": 1}}}),
        ({"a": [1, 2]}, FieldRow("t", "a"), {"t": [1, 2]}),  # a list is a value like any other
        # lists
        ({"a": [{"b": 1}, {"b": 2}]}, FieldRow("t[].c", "a[].b"), {"t": [{"c": 1}, {"c": 2}]}),
        ({"a": [{"b": 1}, {}]}, FieldRow("t[].c", "a[].b"), {"t": [{"c": 1}, {}]}),  # items keep their places
        ({"a": [{"b": 1}, {}]}, FieldRow("t[].c.d", "a[].b"), {"t": [{"c": {"d": 1}}, {}]}),
        ({"a": [1, 2]}, FieldRow("t[]", "a[]", "string"), {"t": ["1", "2"]}),
        ({"a": [1, None]}, FieldRow("t[]", "a[]"), {"t": [1, None]}),
        (
            {"a": [{"b": 1}, {}, {"b": None}]},
            FieldRow("t[]", "a[].b"),
            {"t": [1, None]},
        ),  # values that are not there go
        ({"a": []}, FieldRow("t[].c", "a[].b", required=True), {"t": []}),  # an empty list stays one
        ({"a": []}, FieldRow("t[]", "a[]"), {"t": []}),
        ({}, FieldRow("t[].c", "a[].b"), {}),
        ({"a": None}, FieldRow("t[].c", "a[].b"), {}),
        ({}, FieldRow("t[].c", "a[].b", default=1), {}),  # a default makes no items
        ({"a": [{"b": [1]}, {"b": [2, 3]}]}, FieldRow("t[][]", "a[].b[]"), {"t": [[1], [2, 3]]}),
        ({"a": [{"b": [1]}, {}]}, FieldRow("t[].u[].v", "a[].b[]"), {"t": [{"u": [{"v": 1}]}, {}]}),
        ({"a": [{"b": [{}, {"c": 1}]}]}, FieldRow("t[].u[]", "a[].b[].c"), {"t": [{"u": [1]}]}),
        (
            {"a": [{"b": []}, {"b": [{"c": 1}]}]},
            FieldRow("t[].u[].v", "a[].b[].c"),
            {"t": [{"u": []}, {"u": [{"v": 1}]}]},
        ),
        # more [] in the source than in the target: a list as the value
        ({"a": [{"b": 1}, {"b": 2}, {}]}, FieldRow("t", "a[].b"), {"t": [1, 2]}),
        ({"a": [{"b": 1}]}, FieldRow("t", "a[].b", "string"), {"t": ["1"]}),
        ({"a": [{"b": None}]}, FieldRow("t", "a[].b", "string", default="x"), {"t": [None]}),
        ({"a": [{"b": "France"}]}, FieldRow("t", "a[].b", lookup="countries"), {"t": ["FR"]}),
        ({}, FieldRow("t", "a[].b", "string", default=[1]), {"t": ["1"]}),
        ({"a": []}, FieldRow("t", "a[].b", required=True), {"t": []}),
        ({"a": [{"b": [1, 2]}, {"b": [3]}]}, FieldRow("t[].u", "a[].b[]"), {"t": [{"u": [1, 2]}, {"u": [3]}]}),
        # fewer [] in the source than in the target: it repeats, and makes one item where no other row iterates
        ({"a": 1}, FieldRow("t[].c", "a"), {"t": [{"c": 1}]}),
        ({}, FieldRow("t[].c", "a"), {"t": [{}]}),
        ({"a": 1}, FieldRow("t[]", "a"), {"t": [1]}),
        ({}, FieldRow("t[]", "a"), {"t": []}),
        ({}, FieldRow("t[].c", constant=1), {"t": [{"c": 1}]}),
        ({"a": [{"b": 1}, {"b": 2}]}, FieldRow("t[].u[].c", "a[].b"), {"t": [{"u": [{"c": 1}]}, {"u": [{"c": 2}]}]}),
        # the whole payload, or the whole result, is a list
        ([{"b": 1}, {"b": 2}], FieldRow("t[].c", "[].b"), {"t": [{"c": 1}, {"c": 2}]}),
        ({"a": [{"b": 1}]}, FieldRow("[].c", "a[].b"), [{"c": 1}]),
        ({}, FieldRow("[].c", "a[].b"), []),
        ([{"b": 1}, {"b": 2}], FieldRow("t", "[1].b"), {"t": 2}),
        # expressions
        ({"a": 2}, FieldRow("t", "=a * 2"), {"t": 4}),
        ({"a": 0.5}, FieldRow("t", "=a / 5", "decimal"), {"t": D("0.1")}),
        ({}, FieldRow("t", "=a", default=1), {"t": 1}),
        ({}, FieldRow("t", "=null"), {"t": None}),
        ({"a": [1, 2]}, FieldRow("t", "=a", "json"), {"t": [1, 2]}),
        ({"a": [{"b": 1}, {"b": 2}]}, FieldRow("t[].c", "=a.(b * 2)"), {"t": [{"c": 2}, {"c": 4}]}),
        ({"a": [{"b": 1}]}, FieldRow("t[].c", "=a.(b * 2)"), {"t": [{"c": 2}]}),  # JSONata's sequence of one
        ({}, FieldRow("t[].c", "=a.b"), {}),
        ({"a": []}, FieldRow("t[].c", "=a"), {"t": []}),
        ({"a": [1, 2]}, FieldRow("t[].u[].c", "=a"), {"t": [{"u": [{"c": 1}]}, {"u": [{"c": 2}]}]}),  # the outermost []
    ],
)
def test_row_makes(payload, row, expected):
    result = mapped(payload, row)

    assert result == expected
    assert repr(result) == repr(expected)  # also the digits, and true is not 1


def test_rows_of_one_list_share_its_items():
    payload = {"currency": "EUR", "a": [{"b": 1, "d": [{"e": 1}, {"e": 2}]}, {"b": 2, "d": []}]}
    rows = (
        FieldRow("t[].b", "a[].b"),
        FieldRow("t[].d[].e", "a[].d[].e"),
        FieldRow("t[].d[].b", "a[].b"),  # from the item around
        FieldRow("t[].d[].currency", "currency"),  # from the payload
        FieldRow("t[].d[].kind", constant="x"),
        FieldRow("t[].currency", "currency"),
    )

    result = mapped(payload, *rows)

    inner = {"b": 1, "currency": "EUR", "kind": "x"}
    assert result == {
        "t": [
            {"b": 1, "d": [{"e": 1, **inner}, {"e": 2, **inner}], "currency": "EUR"},
            {"b": 2, "d": [], "currency": "EUR"},
        ]
    }


def test_rows_with_different_lists_are_merged_by_index():
    payload = {"skus": ["A", "B", "C"], "prices": [1, 2], "note": "n"}
    rows = (
        FieldRow("t[].sku", "skus[]"),
        FieldRow("t[].price", "prices[]"),
        FieldRow("t[].rebate", "rebates[]"),  # not there at all
        FieldRow("t[].tax", "prices[]", default=0),
        FieldRow("t[].note", "note"),
        FieldRow("t[].double", "=prices.($ * 2)"),
        FieldRow("t[].first", "=prices[0]"),  # no list: repeats
    )

    result = mapped(payload, *rows)

    assert result == {
        "t": [
            {"sku": "A", "price": 1, "tax": 1, "note": "n", "double": 2, "first": 1},
            {"sku": "B", "price": 2, "tax": 2, "note": "n", "double": 4, "first": 1},
            {"sku": "C", "tax": 0, "note": "n", "first": 1},
        ]
    }


def test_keys_come_in_the_order_of_the_rows():
    rows = (
        FieldRow("b", "x"),
        FieldRow("a.z", "x"),
        FieldRow("c[].y", "l[]"),
        FieldRow("a.b", "x"),
        FieldRow("c[].a", "x"),
    )

    result = mapped({"l": [1], "x": 2}, *rows)

    assert formats.dump(result) == b'{"b":2,"a":{"z":2,"b":2},"c":[{"y":1,"a":2}]}'


def test_payload_is_not_changed():
    payload = order()

    compile_rows(ROWS, {"countries": COUNTRIES})(payload)

    assert payload == order()


def test_rows_and_the_hand_written_mapping_agree_to_the_digit():
    result = compile_rows(ROWS, {"countries": COUNTRIES})(order())

    assert formats.dump(result) == formats.dump(by_hand(order()))


# --- what cannot be compiled --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (FieldRow("", "a"), "target"),
        (FieldRow("a..b", "a"), "target"),
        (FieldRow("$", "a"), "target"),
        (FieldRow("t[1000]", "a"), "target"),  # would make 1000 places
        (FieldRow("t", "a["), "source"),
        (FieldRow("t", "=a +"), "source"),
        (FieldRow("t", "="), "source"),
        (FieldRow("t"), "source"),  # neither source nor constant
        (FieldRow("t", "a", constant=1), "constant"),  # both
        (FieldRow("t", "a", "text"), "type"),
        (FieldRow("t", "a", lookup="nothing"), "lookup"),
        (FieldRow("t", "a", "integer", default="x"), "default"),
        (FieldRow("t", "", "integer", constant="x"), "constant"),
    ],
)
def test_bad_row_is_refused_with_its_field(row, field):
    with pytest.raises(InvalidMapping) as caught:
        compile_rows([FieldRow("good", "a"), row], LOOKUPS)

    (fault,) = caught.value.faults
    assert (fault.index, fault.field) == (1, field)
    assert fault.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("t", "t"),
        ("t.a", "t.a"),
        ("t", "t.a"),  # a value and an object
        ("t.a", "t"),
        ("t", "t[]"),  # a value and a list
        ("t.a", "t[].a"),
        ("t[].a", "t[0].a"),  # two kinds of lists
        ("t[].a", "t[]"),
        ("t[0]", "t[0].a"),
        ("`t`", "t"),  # the same in other words
        ("$.t", "t"),
        ("a", "[].a"),  # the whole result is an object and a list
    ],
)
def test_targets_that_exclude_each_other_are_refused(first, second):
    with pytest.raises(InvalidMapping) as caught:
        compile_rows([FieldRow(first, "a"), FieldRow(second, "b")], LOOKUPS)

    assert [(fault.index, fault.field) for fault in caught.value.faults] == [(1, "target")]


def test_every_bad_row_is_named_in_the_order_of_the_rows():
    rows = [FieldRow("t", "a"), FieldRow("t", "b"), FieldRow("u", "=("), FieldRow("", "", "text"), FieldRow("v", "a")]

    with pytest.raises(InvalidMapping) as caught:
        compile_rows(rows, LOOKUPS)

    assert [(fault.index, fault.field) for fault in caught.value.faults] == [
        (1, "target"),
        (2, "source"),
        (3, "target"),
        (3, "source"),
        (3, "type"),
    ]
    assert "row 2, target" in str(caught.value)


def test_mapping_without_rows_is_refused():
    with pytest.raises(InvalidMapping):
        compile_rows([], {})


# --- expressions and definitions ------------------------------------------------------------------------------------


def test_whole_expression_mapping():
    mapper = compile_expression_mapping('{"invoice": body.invoice_no}')

    assert mapper({"status_code": 201, "headers": {}, "body": {"invoice_no": "INV-7"}}) == {"invoice": "INV-7"}


@pytest.mark.parametrize(("text", "words"), [("nothing", "no value"), ("1/0", "not finite"), ("$error('x')", "x")])
def test_whole_expression_that_fails_is_a_mapping_failure(text, words):
    with pytest.raises(MappingFailed, match=words) as caught:
        compile_expression_mapping(text)({})

    assert [(error.target, error.source) for error in caught.value.errors] == [("", "=")]


def test_whole_expression_that_is_none_is_refused():
    with pytest.raises(InvalidMapping) as caught:
        compile_expression_mapping("{")

    assert [(fault.index, fault.field) for fault in caught.value.faults] == [(0, "expression")]


def test_stored_definitions():
    rows = {
        "fields": [
            {"target": "a", "source": "x", "type": "string", "required": True},
            {"target": "b", "source": "y", "default": None},
            {"target": "c", "constant": [1]},
            {"target": "d", "source": "z", "lookup": "countries"},
        ]
    }

    assert compile_definition(rows, LOOKUPS)({"x": 1, "z": "France"}) == {"a": "1", "b": None, "c": [1], "d": "FR"}
    assert compile_definition({"expression": "x + 1"}, {})({"x": 1}) == 2


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({}, "fields"),
        ({"fields": [{"target": "a", "source": "b"}], "expression": "a"}, "fields"),
        ({"fields": [{"target": "a", "source": "b", "sauce": 1}]}, "sauce"),
        ({"fields": [{"source": "b"}]}, "target"),
        ({"fields": []}, "target"),
    ],
)
def test_stored_definition_that_is_none_is_refused(definition, field):
    with pytest.raises(InvalidMapping) as caught:
        compile_definition(definition, {})

    assert [fault.field for fault in caught.value.faults] == [field]


# --- properties ---------------------------------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(-(10**40), 10**40),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=D("-1e300"), max_value=D("1e300")),
)


@given(st.lists(numbers))
def test_rows_keep_every_digit_of_every_number(values):
    payload = {"plain": values, "items": [{"n": value} for value in values]}
    rows = (
        FieldRow("plain", "plain"),
        FieldRow("items[].as_it_is", "items[].n"),
        FieldRow("items[].number", "items[].n", "number"),
        FieldRow("items[].text", "items[].n", "string"),
        FieldRow("spread", "items[].n", "number"),
    )

    result = mapped(payload, *rows)

    digits = [str(value) for value in values]
    assert [str(value) for value in result["plain"]] == digits
    assert [str(item["as_it_is"]) for item in result["items"]] == digits
    assert [str(item["number"]) for item in result["items"]] == digits
    assert [item["text"] for item in result["items"]] == digits
    assert [str(value) for value in result["spread"]] == digits
