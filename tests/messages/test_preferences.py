import time

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from messages.preferences import Preferences, idempotency_key, preferences, wait_seconds
from messages.problems import Problem


def request(query: str = "", **headers: str) -> HttpRequest:
    return RequestFactory().get(f"/{query}", headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", Preferences()),
        ("respond-async", Preferences(respond_async=True)),
        ("Respond-Async", Preferences(respond_async=True)),  # names have no case
        ("wait=5", Preferences(wait=5.0)),
        ('wait="5"', Preferences(wait=5.0)),
        ("wait=0.25", Preferences(wait=0.25)),
        ("respond-async, wait=10", Preferences(respond_async=True, wait=10.0)),
        ("wait = 10 ; strict", Preferences(wait=10.0)),  # parameters are for others
        ("wait=1, wait=9", Preferences(wait=1.0)),  # the first counts
        ("handling=lenient", Preferences()),  # what is not understood is ignored …
        ("wait=soon", Preferences()),
        ("wait=-1", Preferences()),
        ("wait=1e9", Preferences()),
        ("wait=nan", Preferences()),
        ("wait=٣", Preferences()),  # … digits of other scripts, too
        ("wait", Preferences()),
        (",,;=,", Preferences()),
        # a quoted string is one value, whatever it holds
        ('foo="a, respond-async"', Preferences()),
        ('foo="a, respond-async", wait=3', Preferences(wait=3.0)),
        ('foo="say \\", respond-async, \\""', Preferences()),
        ('respond-async; x="a, wait=9", wait=3', Preferences(respond_async=True, wait=3.0)),
        ('foo=";", respond-async', Preferences(respond_async=True)),
        ('"respond-async"', Preferences()),  # a name is never quoted
        ('foo="a, respond-async', Preferences()),  # a quote that is never closed takes the rest with it
    ],
)
def test_preferences(prefer: str, expected: Preferences) -> None:
    assert preferences(request(Prefer=prefer)) == expected


@pytest.mark.parametrize(
    ("wishes", "waits", "later", "applied"),
    [
        (Preferences(), True, True, ""),
        (Preferences(respond_async=True), False, True, "respond-async"),
        (Preferences(respond_async=True), True, False, ""),
        (Preferences(wait=2.5), True, False, "wait=2.5"),
        (Preferences(wait=10), True, False, "wait=10"),
        (Preferences(wait=999_999_999), True, False, "wait=999999999"),
        (Preferences(wait=2), False, False, ""),
        (Preferences(respond_async=True, wait=2), True, True, "respond-async, wait=2"),
    ],
)
def test_what_was_honoured_is_told(wishes: Preferences, waits: bool, later: bool, applied: str) -> None:
    assert wishes.applied(waits=waits, later=later) == applied


@pytest.mark.parametrize("part", ['"', '\\"', 'a="', "a=,", 'a="\\', "a ;"], ids=repr)
def test_no_preference_is_read_slowly(part: str) -> None:
    http = request(Prefer=part * (1024 * 1024 // len(part)))
    start = time.thread_time()

    preferences(http)

    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("k-1", "k-1"),  # bare
        ('"k-1"', "k-1"),  # quoted, as a structured field
        (' "k 1" ', "k 1"),
        (r'"a\"b\\c"', r'a"b\c'),
        ("urn:order/4711?x=1", "urn:order/4711?x=1"),
        ("order 4711", "order 4711"),
        ('"a, b;c"', "a, b;c"),  # within quotes they separate nothing
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
    ],
)
def test_idempotency_key(header: str, key: str) -> None:
    assert idempotency_key(request(Idempotency_Key=header)) == key


def test_request_without_the_header_has_no_key() -> None:
    assert idempotency_key(request()) is None


@pytest.mark.parametrize(
    "header",
    [
        *("", "  ", '""', "x" * 256, f'"{"x" * 256}"', "a\tb", "a\x00b", "a\x7fb"),
        *("schlüssel", '"schlüssel"', "\u0663"),  # servers do not agree on letters beyond ASCII
        *('"a", "b"', '"a","a"', "a, b", "a,b"),  # a list, as two lines are
        *('"a1";x=1', "a1;x=1", "a1; x"),  # parameters
        *('"', '"a', 'a"', 'a"b', '"a"b"', '"a\\"', r'"a\b"'),
    ],
)
def test_unusable_idempotency_key_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        idempotency_key(request(Idempotency_Key=header))

    assert (caught.value.slug, caught.value.status) == ("malformed-header", 400)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 0), ("?wait=0", 0), ("?wait=2.5", 2.5), ("?wait=30", 30), ("?wait=31", 30), ("?wait=999999999", 30)],
)
def test_wait_is_at_most_the_maximum(query: str, seconds: float) -> None:
    assert wait_seconds(request(query), maximum=30) == seconds


@pytest.mark.parametrize("query", ["?wait=", "?wait=soon", "?wait=-1", "?wait=inf", "?wait=1e3", "?wait=1_0"])
def test_wait_that_is_no_number_is_refused(query: str) -> None:
    with pytest.raises(Problem) as caught:
        wait_seconds(request(query), maximum=30)

    assert caught.value.slug == "malformed-request"
