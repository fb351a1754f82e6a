"""Forms."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import MalformedBody, UnwritableValue, read
from connectors.formats.form import MAX_FIELDS, dump, parse


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"a=1", {"a": "1"}),
        (b"a=1\r\n", {"a": "1"}),  # what a careless sender leaves
        (b"b=1&a=2", {"b": "1", "a": "2"}),
        (b"a=1&a=2&b=x&a=3", {"a": ["1", "2", "3"], "b": "x"}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"=x", {"": "x"}),
        (b"&&a=1&", {"a": "1"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a+b=c+d%2B", {"a b": "c d+"}),
        (b"items%5B0%5D%5Bsku%5D=x", {"items[0][sku]": "x"}),
        (b"a=%E2%82%AC%3D%26%25", {"a": "€=&%"}),
        (b"a=%e2%82%ac", {"a": "€"}),
        (b"a=%0D%0A%00", {"a": "\r\n\0"}),
        ("a=é".encode(), {"a": "é"}),
        (b"a=1;b=2", {"a": "1;b=2"}),  # a semicolon separates nothing
        (b"a=\n%41", {"a": "\nA"}),
        (b"a= \t%41 \t", {"a": " \tA \t"}),
        (b"a=_%41", {"a": "_A"}),
    ],
)
def test_fields(body, value):
    assert parse(body) == value


def test_charset_applies_to_what_is_escaped():
    assert read(b"a=%80", "application/x-www-form-urlencoded; charset=windows-1252") == {"a": "€"}


def test_named_fields_are_lists_even_where_there_is_one():
    assert parse(b"a=1&b=2&c=3&c=4", "", ["a", "c", "d"]) == {"a": ["1"], "b": "2", "c": ["3", "4"]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"a=%", "hexadecimal"),
        (b"a=%4", "hexadecimal"),
        (b"a=%zz", "hexadecimal"),
        (b"%u20AC=1", "hexadecimal"),
        (b"a=%FF", "not UTF-8"),
        (b"a=\xff", "not UTF-8"),
        (b"a=%ED%A0%80", "not UTF-8"),  # half a surrogate pair
        (b"&" * MAX_FIELDS, "fields"),
    ],
)
def test_what_is_no_form_is_refused(body, reason):
    with pytest.raises(MalformedBody, match=reason):
        parse(body)


@given(st.binary() | st.text("a=&%41+;é").map(str.encode), st.sampled_from(["", "utf-16", "cp1252", "iso-2022-jp"]))
def test_only_declared_errors(body, charset):
    try:
        value = parse(body, charset)
    except MalformedBody:
        return
    assert isinstance(value, dict)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXTS.filter(bool), TEXTS | st.lists(TEXTS, min_size=2)))
def test_what_is_written_is_read_again(value):
    assert parse(dump(value)) == value


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({}, b""),
        ({"a b": "c&d=é\n"}, b"a+b=c%26d%3D%C3%A9%0A"),
        ({"a": [1, "2", None], "b": []}, b"a=1&a=2&a="),
        ({"a": True, "b": Decimal("19.90"), "c": 10**30}, b"a=true&b=19.90&c=1" + b"0" * 30),
    ],
)
def test_written_forms(value, body):
    assert dump(value) == body


@pytest.mark.parametrize(
    "value", [None, [], "a=1", {"a": {}}, {"a": [[1]]}, {"a": [{}]}, {"a": "\ud800"}, {"a": float("nan")}, {"a": b""}]
)
def test_what_a_form_cannot_say_is_refused(value):
    with pytest.raises(UnwritableValue):
        dump(value)
