"""What holds for whatever a caller writes: Prefer, Idempotency-Key, ?wait, Content-Type, CloudEvents, and anything."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors import formats
from messages import cloud_events
from messages.cloud_events import STRUCTURED
from messages.exceptions import Refused
from messages.preferences import Preferences, idempotency_key, preferences, wait_seconds
from messages.problems import Problem
from tests.messages.conftest import KEY, configure_route

PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80)
"""What a header may hold under WSGI: bytes as Latin-1."""

QUICK = settings(max_examples=300)


def request(query: str = "", **headers: str) -> HttpRequest:
    return RequestFactory().get(f"/{query}", headers={name.replace("_", "-"): text for name, text in headers.items()})


def refusal(error: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any]) -> tuple[Any, Any]:
    """What `call` returns, and the error that it raised instead: one of them is None."""
    try:
        return call(), None
    except error as raised:
        return None, raised


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@QUICK
@given(HEADER)
def test_any_prefer_is_read_and_never_refused(text: str) -> None:
    found = preferences(request(Prefer=text))

    assert found.wait is None or 0 <= found.wait < 10**9


NAMES = st.sampled_from(["respond-async", "Respond-Async", "wait", "WAIT", "handling", "return", "foo"])
VALUES = st.one_of(st.none(), st.integers(0, 10**6).map(str), st.text(PRINTABLE, max_size=10).map(quoted))


@QUICK
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([",", ", ", " ,, ", ";x=1,", ';x=", wait=9",']))
def test_preferences_are_those_that_were_written(written: list[tuple[str, str | None]], comma: str) -> None:
    line = comma.join(name if value is None else f"{name}={value}" for name, value in written)

    found = preferences(request(Prefer=line))

    waits = [value or "" for name, value in written if name.lower() == "wait"]
    first = waits[0].strip('"') if waits else ""
    assert found.respond_async == any(name.lower() == "respond-async" for name, _ in written)
    assert found.wait == (float(first) if first.isdecimal() and len(first) < 10 else None)


@QUICK
@given(st.text(PRINTABLE, min_size=1, max_size=255))
def test_any_printable_key_arrives_as_it_was_quoted(key: str) -> None:
    assert idempotency_key(request(Idempotency_Key=quoted(key))) == key


@QUICK
@given(st.one_of(HEADER, st.text(st.sampled_from('ab",;\\ ='), max_size=12)))
@example('"a", "b"')
@example('"a";x=1')
def test_any_idempotency_key_is_one_key_or_refused(text: str) -> None:
    key, refused = refusal(Problem, lambda: idempotency_key(request(Idempotency_Key=text)))

    assert refused is None or (refused.slug, refused.status) == ("malformed-header", 400)
    assert refused or (0 < len(key) <= 255 and key.isascii() and key.isprintable())
    assert refused or idempotency_key(request(Idempotency_Key=quoted(key))) == key


@QUICK
@given(st.one_of(st.text(max_size=20), st.floats(0, 100).map(str), st.decimals(0, 100, places=3).map(str)))
def test_any_wait_is_seconds_or_refused(text: str) -> None:
    http = request(f"?{urlencode({'wait': text})}")

    seconds, refused = refusal(Problem, lambda: wait_seconds(http, maximum=30))

    assert 0 <= seconds <= 30 if refused is None else refused.slug == "malformed-request"


MEDIA_TYPES = st.one_of(
    HEADER,
    st.sampled_from([formats.JSON, formats.XML, formats.FORM, formats.CSV, formats.media.TSV, STRUCTURED]),
    st.tuples(
        st.sampled_from([formats.JSON, formats.XML, formats.FORM, formats.CSV, "application/x+json", "text/xml"]),
        st.text(st.sampled_from(';=" ,charset-utf8delimiterheaderabsent\\'), max_size=30),
    ).map(";".join),
)


@QUICK
@given(st.binary(max_size=60), MEDIA_TYPES)
def test_any_body_of_any_type_is_a_value_or_a_named_fault(body: bytes, content_type: str) -> None:
    value, fault = refusal((formats.MalformedBody, formats.UnknownFormat), lambda: formats.read(body, content_type))

    assert formats.dump(value) if fault is None else str(fault)


SOURCES = st.text(st.sampled_from("a/:b"), min_size=1, max_size=4)
IDS = st.text(st.sampled_from("a/:b "), min_size=1, max_size=4)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@QUICK
@given(st.tuples(SOURCES, IDS), st.tuples(SOURCES, IDS))
def test_events_that_differ_have_different_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    def key(source: str, own_id: str) -> str | None:
        return cloud_events.key_of(STRUCTURED, {}, {"specversion": "1.0", "type": "t", "source": source, "id": own_id})

    assert (key(*one) == key(*other)) == (one == other)


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", "\u2003"])
def test_source_with_white_space_is_refused(space: str) -> None:
    event = {"specversion": "1.0", "type": "t", "source": f"a{space}b", "id": "c"}

    with pytest.raises(Refused):
        cloud_events.key_of(STRUCTURED, {}, event)


@QUICK
@given(st.one_of(JUNK, st.dictionaries(st.sampled_from([*cloud_events.REQUIRED, "data"]), JUNK)))
def test_any_structured_event_has_a_key_or_is_refused(value: Any) -> None:
    key, refused = refusal(Refused, lambda: cloud_events.key_of(STRUCTURED, {}, value))

    assert key if refused is None else refused.slug == "malformed-body"


@QUICK
@given(st.dictionaries(st.sampled_from([f"ce-{name}" for name in (*cloud_events.REQUIRED, "data", "x y")]), HEADER))
def test_any_binary_event_has_a_key_is_none_or_is_refused(headers: dict[str, str]) -> None:
    key, refused = refusal(Refused, lambda: cloud_events.key_of(formats.JSON, headers, {}))

    assert refused is None or refused.slug == "malformed-header"
    assert refused or (key is None) == (not cloud_events.received(headers))


# --- the whole door ---------------------------------------------------------------------------------------------------

DECLARED = {"destination-failed", "circuit-open", "deadline-passed"}
"""What a route whose destination is away may answer; an `internal-error` is a bug, whoever wrote the request."""

PATHS = st.one_of(
    st.sampled_from(
        ["/webhooks/orders", "/webhooks/orders/", "/webhooks/orders/sync", "/webhooks/orders/async", "/results/1",
         "/results/01a2096f-52ea-7745-8e36-84cd270ec949", "/problems/gone", "/openapi.json", "/health/live"]
    ),
    st.text(max_size=12).map(lambda text: f"/webhooks/{quote(text, safe='')}"),
    st.text(max_size=12).map(lambda text: f"/results/{quote(text, safe='')}"),
)  # fmt: skip
SENT = st.dictionaries(
    st.sampled_from(
        ["Prefer", "Idempotency-Key", "X-Request-ID", "Authorization", "X-Signature", "Content-Encoding", "traceparent",
         "tracestate", "If-None-Match", "Accept", "User-Agent", "X-Forwarded-For", "WebHook-Request-Origin", "Origin",
         "X-Hub-Signature-256", "webhook-id", "webhook-signature", "Cookie", "Transfer-Encoding",
         *(f"ce-{name}" for name in cloud_events.REQUIRED)]
    ),
    HEADER,
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=80), JUNK.map(lambda value: json.dumps(value).encode()))
METHODS = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"])


@pytest.fixture
def route(transactional_db: None) -> None:
    configure_route(ordering="none", patterns=["async", "sync"])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(METHODS, PATHS, st.text(max_size=10), MEDIA_TYPES, BODIES, SENT, st.booleans())
def test_nobody_gets_an_internal_error_out_of_the_door(
    route: None,
    method: str,
    path: str,
    query: str,
    content_type: str,
    body: bytes,
    headers: dict[str, str],
    known: bool,
) -> None:
    sent = {**({"X-API-Key": KEY} if known else {}), **headers}

    answer = Client(raise_request_exception=True).generic(
        method, f"{path}?wait=0&{quote(query)}", body, content_type, headers=sent
    )

    assert answer["X-Request-ID"]
    refused = answer.status_code >= 400
    assert not refused or answer["Content-Type"] == "application/problem+json"
    problem = answer.json() if refused and answer.content else {"type": "/problems/gone", "status": answer.status_code}
    assert problem["status"] == answer.status_code
    assert answer.status_code < 500 or problem["type"].rpartition("/")[2] in DECLARED


def test_preferences_without_any_are_none() -> None:
    assert preferences(request()) == Preferences()
