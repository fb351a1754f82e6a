"""Readers: a path, or an expression behind `=`."""

from decimal import Decimal

import pytest

from connectors.expressions import ExpressionFailed, InvalidExpression
from connectors.paths import MISSING, PathError
from connectors.readers import compile_reader

PAYLOAD = {"id": 12345678901234567890, "customer": {"id": "C-1"}, "lines": [{"price": Decimal("1.50")}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("customer.id", "C-1"),
        ("id", 12345678901234567890),  # a path keeps every digit
        ("lines[].price", [Decimal("1.50")]),
        ("customer.name", MISSING),
        ("=customer.id & '/' & $string($count(lines))", "C-1/1"),
        ("= customer.id", "C-1"),
        ("=customer.name", MISSING),
    ],
)
def test_reader_reads(text, expected):
    assert compile_reader(text)(PAYLOAD) == expected


def test_what_is_neither_a_path_nor_an_expression_is_refused():
    with pytest.raises(PathError):
        compile_reader("customer..id")
    with pytest.raises(InvalidExpression):
        compile_reader("=customer.(")
    with pytest.raises(InvalidExpression):
        compile_reader("=")


def test_failing_expression_fails_when_it_reads():
    reader = compile_reader("=$number(customer.id)")

    with pytest.raises(ExpressionFailed):
        reader(PAYLOAD)
