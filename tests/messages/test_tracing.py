"""The tables of the W3C recommendation: what is a valid traceparent and tracestate, and how a trace goes on."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
ID = UUID("01a2096f-52c2-75ed-96a4-5f51ca76f90e")


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        (PARENT, "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"  {PARENT}\t", "01"),
        (f"00-{TRACE}-{SPAN}-ff", "01"),  # flags that 00 does not know are not passed on
        (f"cc-{TRACE}-{SPAN}-01", "01"),  # a later version, read as far as 00 knows
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-says", "01"),
    ],
)
def test_trace_goes_on_with_a_new_span(parent: str, flags: str) -> None:
    trace = tracing.trace_of(tracing.received({"TraceParent": parent}), ID)

    first, second = trace.next_span(), trace.next_span()

    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-{flags}", first["traceparent"])
    assert len({first["traceparent"][36:52], second["traceparent"][36:52], SPAN}) == 3


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "junk",
        PARENT.upper(),  # lower case only
        f"ff-{TRACE}-{SPAN}-01",  # the forbidden version
        f"00-{TRACE}-{SPAN}-01-more",  # 00 ends after its flags
        f"cc-{TRACE}-{SPAN}-01more",  # a later version goes on behind a dash
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"0-{TRACE}-{SPAN}-01",
        f"{PARENT},{PARENT}",  # two lines of it, joined
        f"{PARENT}\n",
        f"00-{TRACE.replace('0', '٠', 1)}-{SPAN}-01",
    ],
)
def test_invalid_traceparent_is_as_if_none_had_come(parent: str) -> None:
    assert tracing.received({"traceparent": parent, "tracestate": "a=1"}) == {}


def test_without_a_trace_all_attempts_are_in_one_that_begins_here() -> None:
    spans = [tracing.trace_of({}, ID).next_span() for _ in range(2)]

    assert all(set(span) == {"traceparent"} for span in spans)
    assert {span["traceparent"][3:35] for span in spans} == {ID.hex}
    assert spans[0] != spans[1]


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1 , \t b=2,,", "a=1,b=2"),  # empty members and white space around members are allowed
        ("tenant1@system=x y", "tenant1@system=x y"),
        ("1tenant@sys=1", "1tenant@sys=1"),
        ("1a=1", ""),  # only a tenant may begin with a digit
        ("A=1", ""),
        ("a=1,a=2", ""),  # every key once
        ("a=b=c", ""),
        ("a=", ""),
        ("a=é", ""),
        ("novalue", ""),
        (f"{'k' * 257}=1", ""),
        (f"a={'v' * 257}", ""),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        (f"a=1,b={'v' * 200},c={'v' * 120},d={'v' * 250}", f"a=1,b={'v' * 200},c={'v' * 120}"),  # long ones go first
        (",".join(f"k{n}={'v' * 100}" for n in range(6)), ",".join(f"k{n}={'v' * 100}" for n in range(4))),
    ],
)
def test_tracestate(sent: str, passed_on: str) -> None:
    kept = tracing.received({"traceparent": PARENT, "tracestate": sent})

    assert kept["traceparent"] == PARENT
    assert kept.get("tracestate", "") == passed_on
    assert tracing.trace_of(kept, ID).next_span().get("tracestate", "") == passed_on


@given(st.one_of(st.text(), st.text("0af-", max_size=60)), st.text())
def test_whatever_comes_is_never_an_error_and_what_goes_on_is_valid(parent: str, state: str) -> None:
    kept = tracing.received({"traceparent": parent, "tracestate": state})

    sent = tracing.trace_of(kept, ID).next_span()

    assert tracing.received(sent) == sent
