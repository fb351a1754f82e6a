"""CSV."""

import csv as library
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import MalformedBody, UnknownFormat, read
from connectors.formats.csv import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, parse

ABSENT = {"header": "absent"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("id,name\n1,Ann\n2,Bob\n", [{"id": "1", "name": "Ann"}, {"id": "2", "name": "Bob"}]),
        ("id,name\r\n1,Ann", [{"id": "1", "name": "Ann"}]),
        ("id,name\r1,Ann\r", [{"id": "1", "name": "Ann"}]),
        ("id,name\n", []),
        ("\n\nid\n\n1\n\n", [{"id": "1"}]),
        ("id,name,\n1,Ann,\n", [{"id": "1", "name": "Ann", "": ""}]),
        ("id\n007\n", [{"id": "007"}]),
        (" id ,b\n 1 ,\n", [{" id ": " 1 ", "b": ""}]),
        ('a,b\n"x,""y""\nz",2\n', [{"a": 'x,"y"\nz', "b": "2"}]),
        # the delimiter is the one that is most frequent in the first line, outside quotes
        ("a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        ("a\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
        ("a|b\n1|2\n", [{"a": "1", "b": "2"}]),
        ('"a;\n;",b\n1,2\n', [{"a;\n;": "1", "b": "2"}]),
        ("a\n1;2\n", [{"a": "1;2"}]),
    ],
)
def test_rows(text, rows):
    assert parse(text.encode()) == rows


@pytest.mark.parametrize(
    ("body", "content_type", "rows"),
    [
        (b"a,b\n1,2", "text/csv", [{"a": "1", "b": "2"}]),
        (b"a,b\n1,2", "text/csv; header=absent", [["a", "b"], ["1", "2"]]),
        (b"a,b\n1", "text/csv; header=absent", [["a", "b"], ["1"]]),
        (b"a,b\n1,2", 'text/csv; header="Present"', [{"a": "1", "b": "2"}]),
        (b"a;b,c\n1;2", 'text/csv; delimiter=";"', [{"a": "1", "b,c": "2"}]),
        (b"a\tb,c,d\n1\t2", "text/csv; delimiter=tab", [{"a": "1", "b,c,d": "2"}]),
        (b"a\tb,c,d\n1\t2", "text/tab-separated-values", [{"a": "1", "b,c,d": "2"}]),
        ("a\né".encode("latin-1"), "text/csv; charset=iso-8859-1", [{"a": "é"}]),
        ("a\né".encode("utf-8-sig"), "text/csv", [{"a": "é"}]),
        ("a\né".encode("utf-16"), "text/csv; charset=utf-8", [{"a": "é"}]),
    ],
)
def test_parameters_of_the_media_type(body, content_type, rows):
    assert read(body, content_type) == rows


@pytest.mark.parametrize("parameter", ["header=maybe", "delimiter=ab", 'delimiter="\\""', 'delimiter=" "'])
def test_parameters_that_mean_nothing_are_refused(parameter):
    with pytest.raises(UnknownFormat):
        read(b"a", f"text/csv; {parameter}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"a,b\n1\n", "1 cells where the first line has 2 .line 2"),
        (b"a,b\n1,2,3\n", "3 cells"),
        (b"a,a\n1,2\n", "'a' occurs twice"),
        (b'a\n"x', "unexpected end"),
        (b'a\n"x"y\n', "expected after"),
        (b"a\n\xff", "not UTF-8"),
        (b"," * (MAX_CELLS + 1), "cells"),
        (b"a\n" + b"\n" * MAX_ROWS, "rows"),
        (b"a\r" + b"\r" * MAX_ROWS, "rows"),
        (b",".join(b"%d" % number for number in range(MAX_COLUMNS + 1)), "columns"),
    ],
)
def test_what_is_no_csv_is_refused(body, reason):
    with pytest.raises(MalformedBody, match=reason):
        parse(body)


def test_a_cell_may_be_as_long_as_a_body():
    assert parse(b"a\n" + b"x" * 500_000) == [{"a": "x" * 500_000}]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"))


@given(st.lists(st.lists(CELLS, min_size=2), min_size=1), st.sampled_from([",", ";", "\t", "|", ":"]))
def test_what_another_writer_writes_is_read_as_it_was(rows, delimiter):
    written = io.StringIO(newline="")
    library.writer(written, delimiter=delimiter, quoting=library.QUOTE_ALL).writerows(rows)

    assert parse(written.getvalue().encode(), "", {**ABSENT, "delimiter": delimiter}) == rows


@given(
    st.binary() | st.text('a1,;\t|"\r\n\0é').map(str.encode),
    st.sampled_from(["", "utf-16", "cp1252"]),
    st.sampled_from([{}, ABSENT, {"delimiter": "x"}, {"delimiter": "é"}]),
)
def test_only_declared_errors(body, charset, parameters):
    try:
        value = parse(body, charset, parameters)
    except MalformedBody:
        return
    assert isinstance(value, list)
