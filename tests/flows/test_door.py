"""The door on the real server: formats besides JSON, CloudEvents, traces, long polls, limits, a change of secrets."""

import threading
import time
from typing import Any

import pytest
import requests

from tests.destination import Answer, Destination
from tests.flows.conftest import KEY, Platform, free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
CONFIGURATION = """
version: 1
applications:
  - slug: shop
    credentials:
      - {name: main, scheme: api_key, secret: "${SHOP_KEY}"}
  - slug: limited
    requests_per_minute: 2
    credentials:
      - {name: main, scheme: api_key, secret: limited-key}
  - slug: erp
    endpoints:
      - {slug: door, url: DESTINATION/door, timeout_seconds: 5}
      - {slug: late, url: DESTINATION/late, timeout_seconds: 5}
      - {slug: elsewhere, url: DESTINATION/elsewhere, timeout_seconds: 5}
mappings:
  - {slug: as-it-is, expression: '{"got": $}'}
routes:
  - slug: values
    source: shop
    endpoint: door
    patterns: [sync, async]
    ordering: none
    mapping: as-it-is
    force_list: [line]
  - slug: unchanged
    source: shop
    endpoint: door
    patterns: [async, sync]
    ordering: none
  - {slug: late, source: shop, endpoint: late, patterns: [sync, async], ordering: none}
  - {slug: limited, source: limited, endpoint: elsewhere, ordering: none}
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
EVENT = {"specversion": "1.0", "id": "A-1", "source": "/shop/orders", "type": "order.paid", "data": {"no": 7}}


@pytest.fixture(scope="module")
def door(own_platform: Platform, destination: Destination) -> Platform:
    own_platform.apply(CONFIGURATION.replace("DESTINATION", destination.url("").rstrip("/")))
    return own_platform


def arrived(destination: Destination, already: int) -> Any:
    """What came to the destination behind the first `already` requests."""
    return destination.wait_for(already + 1, path="/door")[already]


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        (
            "application/xml",
            b"<?xml version='1.0' encoding='ISO-8859-1'?><order no='7'><name>J\xf8rgen</name><line>TEA</line></order>",
            {"order": {"@no": "7", "name": "Jørgen", "line": ["TEA"]}},
        ),
        ("application/x-www-form-urlencoded", b"id=4711&name=J%C3%B8rgen&tag=a&tag=b", None),
        ("text/csv; charset=windows-1252", b"sku;name\r\nTEA-1;Caf\xe9\r\n", [{"sku": "TEA-1", "name": "Café"}]),
        ("text/tab-separated-values", b"sku\tname\nTEA-1\ta;b\n", [{"sku": "TEA-1", "name": "a;b"}]),
        ("application/vnd.shop+json", b'{"price": 19.90}', {"price": 19.90}),
    ],
    ids=["xml", "form", "csv", "tsv", "+json"],
)
def test_format_becomes_the_value_that_a_mapping_reads(
    door: Platform, destination: Destination, content_type: str, body: bytes, value: Any
) -> None:
    already = len(destination.received("/door"))

    answer = door.push("/webhooks/values", body, Content_Type=content_type)

    assert answer.status_code == 200, answer.text
    expected = value or {"id": "4711", "name": "Jørgen", "tag": ["a", "b"]}
    assert arrived(destination, already).json() == {"got": expected}


def test_structured_event_is_told_from_its_repeat(door: Platform, destination: Destination) -> None:
    already = len(destination.received("/door"))
    kind = "application/cloudevents+json; charset=utf-8"

    first, second = (
        door.http.post(f"{door.base}/webhooks/values", json=EVENT, headers={"Content-Type": kind}, timeout=30)
        for _ in range(2)
    )

    assert (first.status_code, second.headers["Idempotency-Replayed"]) == (200, "true")
    assert first.json()["correlation_id"] == second.json()["correlation_id"]
    assert arrived(destination, already).json() == {"got": EVENT}
    assert len(destination.received("/door")) == already + 1


def test_binary_event_goes_on_with_its_attributes(door: Platform, destination: Destination) -> None:
    already = len(destination.received("/door"))
    attributes = {f"ce-{name}": value for name, value in EVENT.items() if name != "data"} | {"ce-id": "B-1"}

    answer = door.http.post(f"{door.base}/webhooks/unchanged/sync", json={"no": 7}, headers=attributes, timeout=30)
    bare = {**attributes, "ce-id": "B-2"}
    without_data = door.http.post(f"{door.base}/webhooks/unchanged/sync", headers=bare, timeout=30)

    assert (answer.status_code, without_data.status_code) == (200, 200), answer.text + without_data.text
    event = arrived(destination, already)
    assert (event.json(), event.header("ce-id"), event.header("ce-type")) == ({"no": 7}, "B-1", "order.paid")
    assert arrived(destination, already + 1).body == b""


def test_sender_of_events_shakes_hands(door: Platform) -> None:
    asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120", "X-API-Key": "limited-key"}

    answer = requests.options(f"{door.base}/webhooks/limited", headers=asked, timeout=10)

    assert answer.status_code == 200
    told = {name: answer.headers[f"WebHook-Allowed-{name}"] for name in ("Origin", "Rate")}
    assert told == {"Origin": "events.example.com", "Rate": "2"}


def test_trace_goes_on(door: Platform, destination: Destination) -> None:
    already = len(destination.received("/door"))
    sent = f"00-{TRACE}-b7ad6b7169203331-01"

    door.push("/webhooks/unchanged/sync", {"id": 1}, traceparent=sent, tracestate="vendor=1")

    received = arrived(destination, already)
    version, trace, span, flags = received.header("traceparent").split("-")
    assert (version, trace, flags, received.header("tracestate")) == ("00", TRACE, "01", "vendor=1")
    assert span != "b7ad6b7169203331"


def test_long_poll_ends_with_the_message(door: Platform, destination: Destination) -> None:
    destination.answers("/late", Answer(201, {"invoice": 7}, delay_seconds=1.5))
    accepted = door.push("/webhooks/late/async", {"id": 2})
    url = accepted.json()["result_url"]
    start = time.monotonic()

    at_once = door.http.get(url, timeout=30)
    result = door.http.get(f"{url}?wait=20", timeout=30)

    assert (at_once.json()["status"] in ("queued", "processing"), at_once.headers["Retry-After"]) == (True, "1")
    assert (result.json()["status"], result.json()["response"]["body"]) == ("succeeded", {"invoice": 7})
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("path", "prefer", "status", "applied"),
    [
        ("/webhooks/late", "respond-async, wait=0.2", 202, "respond-async, wait=0.2"),
        ("/webhooks/late", "respond-async, wait=6", 200, "wait=6"),
        ("/webhooks/late/sync", "respond-async, wait=0.2", 504, "wait=0.2"),
        ("/webhooks/late/sync", "wait=6", 200, "wait=6"),
        ("/webhooks/late/async", "respond-async", 202, "respond-async"),
    ],
)
def test_wishes_are_honoured_and_told(
    door: Platform, destination: Destination, path: str, prefer: str, status: int, applied: str
) -> None:
    destination.answers("/late", Answer(201, {"invoice": 7}, delay_seconds=1.5))

    answer = door.push(path, {"id": 3}, Prefer=prefer)

    assert (answer.status_code, answer.headers["Preference-Applied"]) == (status, applied)
    assert answer.headers["X-Correlation-ID"] in answer.text
    assert answer.headers["X-Request-ID"]


def test_answers_of_the_server_itself_have_a_name_too(door: Platform) -> None:
    twice = {"Content-Type": "application/json", "X-Request-ID": "case-18"}

    live = requests.get(f"{door.base}/health/live", headers=twice, timeout=10)

    assert (live.status_code, live.headers["X-Request-ID"]) == (200, "case-18")


def test_limit_of_an_application_holds_over_two_web_processes(door: Platform) -> None:
    port = free_port()
    door.run("-m", "granian", "--interface", "rsgi", "--port", str(port), "integration_platform.rsgi:application")
    bases = (door.base, f"http://127.0.0.1:{port}")
    end = time.monotonic() + 30
    while not is_live(bases[1]):
        assert time.monotonic() < end, door.log()
        time.sleep(0.1)

    answers = [
        requests.post(f"{bases[turn % 2]}/webhooks/limited", json={}, headers={"X-API-Key": "limited-key"}, timeout=30)
        for turn in range(6)
    ]

    assert [answer.status_code for answer in answers] == [202] * 2 + [429] * 4
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers[:2]] == [
        f'"requests";r={left}' for left in (1, 0)
    ]
    assert all(1 <= int(answer.headers["Retry-After"]) <= 30 for answer in answers[2:])


def is_live(base: str) -> bool:
    try:
        return requests.get(f"{base}/health/live", timeout=5).ok
    except requests.ConnectionError:
        return False


ROTATED = """
version: 1
applications:
  - slug: rotating
    credentials:
      - {name: main, scheme: api_key, %s}
routes:
  - {slug: rotating, source: rotating, endpoint: elsewhere, ordering: none}
"""


def test_secret_is_replaced_without_a_gap(door: Platform) -> None:
    """A sender goes on with its old key while the new one is brought in, and nothing of it is refused."""
    door.apply(ROTATED % "secret: the-old-key")
    statuses: list[int] = []
    done = threading.Event()

    def push(key: str) -> int:
        url = f"{door.base}/webhooks/rotating"
        return requests.post(url, json={}, headers={"X-API-Key": key}, timeout=30).status_code

    def go_on() -> None:
        while not done.is_set():
            statuses.append(push("the-old-key"))

    sender = threading.Thread(target=go_on)
    sender.start()
    try:
        door.apply(ROTATED % "secret: the-new-key, previous_secret: the-old-key")
        changed_over = [push("the-new-key") for _ in range(3)]
    finally:
        done.set()
        sender.join()
    door.apply(ROTATED % "secret: the-new-key, previous_secret: the-old-key, previous_until: 2026-01-01T00:00:00Z")

    assert len(statuses) > 3
    assert set(statuses) == {202}
    assert changed_over == [202] * 3
    assert (push("the-old-key"), push("the-new-key")) == (401, 202)


def test_name_of_a_refused_request_is_found_by_support(door: Platform) -> None:
    answer = requests.post(
        f"{door.base}/webhooks/ordres", json={}, headers={"X-API-Key": KEY, "X-Request-ID": "case-17"}, timeout=10
    )
    found = "Rejection.objects.filter(request_id='case-17').values_list('target', flat=True)"

    assert (answer.status_code, answer.headers["X-Request-ID"]) == (404, "case-17")
    assert "['POST /webhooks/ordres']" in door.manage(
        "shell", "-v", "0", "-c", f"from messages.models import Rejection; print([*{found}])"
    )
