"""How a mapping fails: every row that fails is named, with its item and its reason."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.mapping import FieldRow, MappingFailed, compile_rows
from tests.connectors.rows import LOOKUPS, failures, field_rows, mapped, payloads


def test_every_failing_row_is_named_with_its_item():
    payload = {
        "id": "x",
        "country": "Spain",
        "lines": [
            {"sku": "A", "price": 1, "taxes": [{"rate": 1}]},
            {"sku": "B", "price": "free", "taxes": [{"rate": 1}, {"rate": "high"}]},
            {"price": True, "taxes": []},
        ],
    }
    rows = (
        FieldRow("no", "id", "integer"),
        FieldRow("name", "customer.name", required=True),
        FieldRow("country", "country", lookup="countries"),
        FieldRow("items[].sku", "lines[].sku", required=True),
        FieldRow("items[].price", "lines[].price", "decimal"),
        FieldRow("items[].taxes[].rate", "lines[].taxes[].rate", "decimal"),
        FieldRow("good", "id"),
        FieldRow("sum", "=$sum(lines.price)"),
        FieldRow("tags", "lines[].sku", "integer"),
    )

    found = failures(payload, *rows)

    assert sorted(found) == sorted(
        [
            ("no", "id"),
            ("name", "customer.name"),
            ("country", "country"),
            ("items[2].sku", "lines[2].sku"),
            ("items[1].price", "lines[1].price"),
            ("items[2].price", "lines[2].price"),
            ("items[1].taxes[1].rate", "lines[1].taxes[1].rate"),
            ("sum", "=$sum(lines.price)"),
            ("tags", "lines[].sku"),
        ]
    )


@pytest.mark.parametrize(
    ("payload", "row", "words"),
    [
        ({}, FieldRow("t", "a", required=True), "required.* not there"),
        ({"a": None}, FieldRow("t", "a", required=True), "required.* null"),
        ({}, FieldRow("t[].c", "a[].b", required=True), "required.* list is not there"),
        ({"a": [{}]}, FieldRow("t[].u[].v", "a[].b[].c", required=True), "required.* list is not there"),
        ({"a": {"b": 1}}, FieldRow("t[].c", "a[].b"), "an object, where a list is expected"),
        ({"a": "Spain"}, FieldRow("t", "a", lookup="countries"), "countries has no entry 'Spain'"),
        ({"a": {}}, FieldRow("t", "a", lookup="countries"), "an object"),
        ({"a": "x"}, FieldRow("t", "a", "integer"), "'x' is not a number"),
        ({"a": [{"b": 1}, {"b": "x"}]}, FieldRow("t", "a[].b", "integer"), "Item 1: 'x'"),
        ({"a": [1]}, FieldRow("t", "a", "string"), "a list"),  # no []: the list itself
        ({}, FieldRow("t", lookup="countries", constant="Spain"), "countries has no entry 'Spain'"),
        ({}, FieldRow("t", "=1/0"), "not finite"),
        ({"a": Decimal("NaN")}, FieldRow("t", "a", "decimal"), "not finite"),
        ({}, FieldRow("t[].c", "=$error('no')", required=True), "no"),
    ],
)
def test_failure_says_why(payload, row, words):
    with pytest.raises(MappingFailed, match=words) as caught:
        mapped(payload, row)

    assert len(caught.value.errors) == 1


@pytest.mark.parametrize(
    ("payload", "row", "source"),
    [
        ({"a": {"x": 1}}, FieldRow("t[][]", "a[][]"), "a[][]"),
        ({"a": {"x": 1}}, FieldRow("t[].u[].v", "a[].b[].c", required=True), "a[].b[].c"),
        # the list of an expression is iterated, but nobody wrote a [] in its source
        ({}, FieldRow("t[].u[].v", "=$error('no')", required=True), "=$error('no')"),
    ],
)
def test_list_that_fails_is_named_once_and_not_again_by_the_lists_inside(payload, row, source):
    assert failures(payload, row) == [(row.target, source)]


def test_item_of_an_expressions_list_is_named_with_the_expression():
    row = FieldRow("t[].n", "=names", "integer")

    assert failures({"names": ["1", "x"]}, row) == [("t[1].n", "=names")]


def test_row_that_fails_often_is_named_and_counted():
    payload = {"a": [{"b": "x"}] * 1000}

    found = failures(payload, FieldRow("t[].b", "a[].b", "integer"), FieldRow("u", "c", required=True))

    assert found[0] == ("t[0].b", "a[0].b")
    assert found[-2:] == [("t[].b", "a[].b"), ("u", "c")]
    assert len(found) == 52


def test_repeated_row_is_named_once_for_each_item_and_not_without_items():
    rows = (FieldRow("t[].c", "a[]"), FieldRow("t[].x", "x", required=True))

    assert failures({"a": [1, 2]}, *rows) == [("t[0].x", "x"), ("t[1].x", "x")]
    assert mapped({"a": []}, *rows) == {"t": []}


def iterates_by_itself(row: FieldRow) -> bool:
    return row.source.count("[]") >= row.target.count("[]")


def named(mapper: Any, payload: Any) -> set[str]:
    """Targets of the rows that fail, without the numbers of the items."""
    try:
        mapper(payload)
    except MappingFailed as failure:
        return {re.sub(r"\[\d+\]", "[]", error.target) for error in failure.errors}
    return set()


rows_that_iterate = field_rows.filter(iterates_by_itself)
unnumbered = rows_that_iterate.filter(lambda row: not re.search(r"\d", row.target))


@settings(max_examples=300)
@given(st.lists(unnumbered, min_size=1, max_size=6, unique_by=lambda row: row.target), payloads)
def test_rows_that_fail_alone_are_all_named_in_company(rows, payload):
    alone = set().union(*(named(compile_rows([row], LOOKUPS), payload) for row in rows))

    assert named(compile_rows(rows, LOOKUPS), payload) == alone
