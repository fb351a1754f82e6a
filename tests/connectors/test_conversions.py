"""What each type makes of a value: one line a case, with its reason where it is not plain."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.conversions import CONVERSIONS, ConversionFailed, shown
from connectors.formats import parse
from connectors.mapping import TYPES

D = Decimal


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "x", "x"),
        ("string", D("19.90"), "19.90"),  # the digits it came with
        ("string", 12345678901234567890123, "12345678901234567890123"),
        ("string", 2.5, "2.5"),
        ("string", True, "true"),
        ("string", False, "false"),
        ("integer", 12, 12),
        ("integer", "12", 12),
        ("integer", " -007 ", -7),
        ("integer", "12.0", 12),
        ("integer", D("12.0"), 12),
        ("integer", D("1.2E+3"), 1200),
        ("integer", 12.0, 12),
        ("integer", 10**400, 10**400),  # any size
        ("integer", D("1234567890123456789012345678901234567890.0"), 1234567890123456789012345678901234567890),
        ("number", 12, 12),
        ("number", "12", 12),
        ("number", "19.90", D("19.90")),
        ("number", D("19.90"), D("19.90")),
        ("number", "-1.5e3", D("-1.5E+3")),
        ("number", 0.1, 0.1),  # a float of an expression stays one
        ("decimal", 12, D(12)),
        ("decimal", "19.90", D("19.90")),
        ("decimal", "+.5", D("0.5")),
        ("decimal", D("19.90"), D("19.90")),
        ("decimal", 10**400, D(10**400)),  # integers have any size, as decimals too
        ("number", "1.79e308", D("1.79E+308")),  # just a double
        ("number", D("0E+400"), D("0E+400")),  # zero, however it is written
        ("decimal", 0.1, D("0.1")),  # its shortest form, not 0.1000000000000000055…
        ("boolean", True, True),
        ("boolean", "TRUE", True),
        ("boolean", "yes", True),
        ("boolean", "1", True),
        ("boolean", 1, True),
        ("boolean", D("1.0"), True),
        ("boolean", False, False),
        ("boolean", "No", False),
        ("boolean", "0", False),
        ("boolean", 0, False),
        ("date", "2026-11-23", "2026-11-23"),
        ("date", "20261123", "2026-11-23"),  # ISO 8601's basic form
        ("date", "2026-11-23T23:59:59-05:00", "2026-11-23"),  # the sender's day, not that of UTC
        ("date", "2026-11-23 08:16:54", "2026-11-23"),  # a day needs no offset
        ("datetime", "2026-11-23T08:16:54Z", "2026-11-23T08:16:54Z"),
        ("datetime", "2026-11-23t08:16:54z", "2026-11-23T08:16:54Z"),
        ("datetime", "2026-11-23T08:16:54+01:00", "2026-11-23T08:16:54+01:00"),
        ("datetime", "2026-11-23 08:16:54+0100", "2026-11-23T08:16:54+01:00"),
        ("datetime", "2026-11-23T08:16+01", "2026-11-23T08:16:00+01:00"),
        ("datetime", "2026-11-23T08:16:54.120456789Z", "2026-11-23T08:16:54.120456789Z"),  # every digit
        ("datetime", 1795421814, "2026-11-23T08:16:54Z"),  # seconds since 1970
        ("datetime", D("1795421814.0"), "2026-11-23T08:16:54Z"),
        ("datetime", 0, "1970-01-01T00:00:00Z"),
        ("datetime", -1, "1969-12-31T23:59:59Z"),
        ("datetime", -50_000_000_000, "0385-07-25T07:06:40Z"),  # RFC 3339 wants four digits
        ("json", '{"a": [1, 1.10]}', {"a": [1, D("1.10")]}),
        ("json", "null", None),
        ("json", {"a": 1}, {"a": 1}),  # a structure passes
        ("json", 5, 5),
    ],
)
def test_type_makes_of_a_value(kind, value, expected):
    result = CONVERSIONS[kind](value)

    assert result == expected
    assert type(result) is type(expected)
    assert str(result) == str(expected)  # 1.10 is not 1.1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", {"a": 1}),
        ("string", [1]),
        ("string", D("NaN")),
        ("string", float("inf")),
        ("integer", D("12.5")),
        ("integer", "12.5"),
        ("integer", 12.5),
        ("integer", True),  # a bool is not a number
        ("integer", ""),
        ("integer", "0x10"),
        ("integer", "1_000"),  # Python's spelling
        ("integer", "1,000"),  # somebody's spelling: it may be 1 as well
        ("integer", "١٢"),  # digits of another script
        ("integer", "9" * 4301),
        ("integer", "1e9999"),  # a short text for a number that fills the memory
        ("integer", [12]),
        ("number", True),
        ("number", "NaN"),
        ("number", "Infinity"),
        ("number", D("Infinity")),
        ("number", float("nan")),
        ("number", "9e308"),  # the exponent of a double, and not one
        ("number", "1e309"),  # beyond a double: receivers would read infinity
        ("number", "abc"),
        ("number", {}),
        ("decimal", False),
        ("decimal", D("-Infinity")),
        ("decimal", D("sNaN")),
        ("decimal", "12 EUR"),
        ("decimal", "."),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("boolean", D("NaN")),
        ("boolean", D("sNaN")),  # even a comparison raises
        ("boolean", ""),
        ("boolean", []),
        ("date", "23.11.2026"),
        ("date", "2026-02-30"),
        ("date", "2026-02-30T00:00:00Z"),
        ("date", ""),
        ("date", 20261123),  # a number is not a date: it might be seconds
        ("datetime", "2026-11-23T08:16:54"),  # no offset: any guess may be wrong
        ("datetime", "2026-11-23"),
        ("datetime", "2026-11-23T25:00:00Z"),
        ("datetime", "2026-11-23T24:00:00Z"),  # ISO 8601, but not RFC 3339
        ("datetime", "2026-11-23T08:16:54+99:00"),
        ("datetime", "2026-11-23T08:16:54+01:75"),  # Python takes it
        ("datetime", "1795421814"),
        ("datetime", 1795421814000),  # milliseconds
        ("datetime", -(10**30)),
        ("datetime", D("1795421814.5")),
        ("datetime", True),
        ("json", "{'a': 1}"),
        ("json", '{"a": 1, "a": 2}'),  # as strict as at the door
        ("json", "NaN"),
        ("json", ""),
        ("json", "\ud800"),
    ],
)
def test_type_refuses_a_value(kind, value):
    with pytest.raises(ConversionFailed) as caught:
        CONVERSIONS[kind](value)

    assert 0 < len(str(caught.value)) < 200


def test_types_are_those_of_the_contract():
    assert TYPES == ("string", "integer", "number", "decimal", "boolean", "date", "datetime", "json")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 100, "'" + "x" * 58 + "…"),
        (None, "null"),
        (True, "true"),
        (D("19.90"), "19.90"),
        ({"secret": 1}, "an object"),
        ([1], "a list"),
        (10**80, "a very long integer"),
    ],
)
def test_values_are_shown_short_and_in_the_words_of_json(value, expected):
    assert shown(value) == expected


def test_decimal_has_every_digit_of_an_integer_of_any_size():
    assert CONVERSIONS["decimal"](10**5000 + 1) == D(10**5000 + 1)  # longer than Python writes integers


def test_number_that_is_too_long_for_a_text_is_refused():
    with pytest.raises(ConversionFailed, match="very long integer"):
        CONVERSIONS["string"](10**5000)


@pytest.mark.parametrize("kind", ["integer", "number", "decimal", "string"])
@pytest.mark.parametrize("digits", ["9" * 4301, "-" + "9" * 100_000])
def test_integer_of_any_size_keeps_its_digits(kind, digits):
    assert str(CONVERSIONS[kind](parse(digits.encode()))) == digits


@pytest.mark.parametrize("kind", ["boolean", "date", "datetime"])
def test_long_integer_is_neither_a_time_nor_a_truth(kind):
    with pytest.raises(ConversionFailed):
        CONVERSIONS[kind](parse(b"9" * 4301))


@pytest.mark.parametrize("kind", ["integer", "number", "decimal", "string"])
@pytest.mark.parametrize("number", [D("1e4400"), D("1" * 4400 + ".5"), D("Infinity"), D("NaN")])
def test_number_that_is_no_integer_has_its_range(kind, number):
    with pytest.raises(ConversionFailed):
        CONVERSIONS[kind](number)


decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=D("-1e300"), max_value=D("1e300"))


@given(decimals)
def test_every_decimal_keeps_every_digit(number):
    assert str(CONVERSIONS["decimal"](number)) == str(number)
    assert str(CONVERSIONS["number"](number)) == str(number)
    assert CONVERSIONS["string"](number) == str(number)
    assert str(CONVERSIONS["decimal"](str(number))) == str(number)


@given(st.integers(-(10**60), 10**60))
def test_every_integer_is_exact_by_each_way(number):
    assert CONVERSIONS["integer"](number) == number
    assert CONVERSIONS["integer"](str(number)) == number
    assert CONVERSIONS["integer"](D(number)) == number
    assert CONVERSIONS["integer"](f"{number}.000") == number
    assert CONVERSIONS["string"](number) == str(number)


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_second_since_1970_is_a_time(moment):
    moment = moment.replace(microsecond=0)
    seconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())

    assert datetime.fromisoformat(CONVERSIONS["datetime"](seconds)) == moment
