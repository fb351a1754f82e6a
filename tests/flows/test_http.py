"""HTTP as the real server speaks it: methods, problem documents for every error, conditional and repeated headers."""

import http.client
import json
import socket

import pytest

from tests.flows.conftest import KEY, WEB_THREADS, Platform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
READ_ONLY = "GET, HEAD, OPTIONS"
OWN_KEY = ("X-API-Key", KEY)
JSON = ("Content-Type", "application/json")


def ask(
    platform: Platform, method: str, path: str, *headers: tuple[str, str], body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request whose header lines are sent as they are given: several of one name, or a Host of one's own."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=any(name == "Host" for name, _ in headers))
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def final_result(platform: Platform) -> str:
    """The address of a result that does not change any more."""
    found = platform.result(platform.push("/webhooks/default-sync/async", {"id": 1}))
    assert found["status"] == "succeeded"
    return f"/results/{found['correlation_id']}"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/webhooks/orders", "POST, OPTIONS"),
        ("/webhooks/orders/sync/", "POST, OPTIONS"),
        ("/webhooks/there-is-no-such-route", "POST, OPTIONS"),  # nobody learns from it which routes there are
        ("/results/0198f2", READ_ONLY),
        ("/health/live", READ_ONLY),
        ("/health/ready", READ_ONLY),
        ("/metrics", READ_ONLY),
        ("/openapi.json", READ_ONLY),
    ],
)
def test_options_names_the_methods_to_anybody(platform: Platform, path: str, allowed: str) -> None:
    status, headers, body = ask(platform, "OPTIONS", path)

    assert (status, body) == (204, b"")
    assert set(headers["Allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/webhooks/orders", "POST, OPTIONS"),
        ("PUT", "/webhooks/orders/async", "POST, OPTIONS"),
        ("PROPFIND", "/webhooks/orders", "POST, OPTIONS"),
        ("DELETE", "/results/0198f2", READ_ONLY),
        ("POST", "/health/live", READ_ONLY),
        ("DELETE", "/health/ready", READ_ONLY),
        ("PATCH", "/metrics", READ_ONLY),
    ],
)
def test_wrong_method_is_a_405_problem(platform: Platform, method: str, path: str, allowed: str) -> None:
    status, headers, body = ask(platform, method, path, OWN_KEY)

    assert (status, headers["Content-Type"]) == (405, "application/problem+json")
    assert json.loads(body)["type"] == "/problems/method-not-allowed"
    assert set(headers["Allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "slug"),
    [
        ("GET", "/", (), b"", 404, "not-found"),
        ("POST", "/nowhere", (JSON,), b"{}", 404, "not-found"),
        ("GET", "/static/nothing.css", (), b"", 404, "not-found"),
        ("GET", "/results/%00", (OWN_KEY,), b"", 404, "not-found"),
        ("GET", "/webhooks/%ff%fe", (), b"", 404, "not-found"),
        ("GET", "/health/live", (("Host", "evil.example"),), b"", 400, "malformed-request"),
        ("POST", "/webhooks/orders", (("Host", "a b"), OWN_KEY), b"{}", 400, "malformed-request"),
        ("POST", "/webhooks/orders", (OWN_KEY, ("Idempotency-Key", "")), b"{}", 400, "malformed-header"),
        ("POST", "/webhooks/orders", (OWN_KEY, JSON), b"{", 400, "malformed-body"),
        ("POST", "/webhooks/orders", (JSON,), b"{}", 401, "authentication-failed"),
        ("POST", "/webhooks/orders", (OWN_KEY, JSON), b" " * 1_048_577, 413, "body-too-large"),
        ("POST", "/webhooks/orders", (OWN_KEY, ("Content-Type", "image/png")), b"{}", 415, "unsupported-media-type"),
        ("POST", "/webhooks/orders", (OWN_KEY, ("Content-Encoding", "gzip")), b"{}", 415, "unsupported-media-type"),
    ],
)
def test_every_error_is_a_problem_document(
    platform: Platform,
    method: str,
    path: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    status: int,
    slug: str,
) -> None:
    answered, told, document = ask(platform, method, path, *headers, body=body)

    assert answered == status, document
    assert told["Content-Type"] == "application/problem+json"
    problem = json.loads(document)
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["title"]
    assert problem["detail"]


def test_head_is_get_without_the_body(platform: Platform) -> None:
    path = final_result(platform)

    got, headers, body = ask(platform, "GET", path, OWN_KEY)
    headed, head_headers, nothing = ask(platform, "HEAD", path, OWN_KEY)

    assert (got, headed) == (200, 200)
    assert (body != b"", nothing) == (True, b"")
    assert head_headers["ETag"] == headers["ETag"]
    assert head_headers["Content-Length"] == headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    ("known", "status"), [("{}", 304), ("W/{}", 304), ('"other", {}', 304), ("*", 304), ('"other"', 200), ("", 200)]
)
def test_unchanged_result_is_a_304(platform: Platform, known: str, status: int) -> None:
    path = final_result(platform)
    etag = ask(platform, "GET", path, OWN_KEY)[1]["ETag"]

    answered, headers, body = ask(platform, "GET", path, OWN_KEY, ("If-None-Match", known.format(etag)))

    assert (answered, headers["ETag"]) == (status, etag)
    assert (body == b"") == (status == 304)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["respond-async"], 202),
        (["RESPOND-ASYNC"], 202),
        (["wait=5", "respond-async"], 202),  # two lines of one header
        (["wait=5,, respond-async;x=1 ,"], 202),
        (['unknown="respond-async, really"'], 200),  # a comma in a quoted string separates nothing
        (["respond-async" * 500], 200),
        (['=;,=="\\'], 200),
        ([], 200),
    ],
)
def test_prefer_is_read_in_every_way_it_is_written(platform: Platform, lines: list[str], status: int) -> None:
    headers = [("Prefer", line) for line in lines]

    answered, _, body = ask(platform, "POST", "/webhooks/default-sync", OWN_KEY, JSON, *headers, body=b'{"id": 1}')

    assert answered == status, body


POST = b"POST /webhooks/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
OWN = b"X-API-Key: %s\r\n" % KEY.encode()


@pytest.mark.parametrize(
    "half",
    [
        POST % b"orders" + b"X-API",
        POST % b"orders" + b"Content-Length: 100\r\n\r\n{",
        POST % b"plain" + OWN + b"Content-Length: 100\r\n\r\n{",
        POST % b"plain" + OWN + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
    ids=["headers", "body of a stranger", "body of a known sender", "chunked body of a known sender"],
)
def test_requests_that_stop_halfway_do_not_stop_others(platform: Platform, half: bytes) -> None:
    stalled = [socket.create_connection(("127.0.0.1", platform.port), 10) for _ in range(5 * WEB_THREADS)]
    try:
        for connection in stalled:
            connection.sendall(half)

        status, _, _ = ask(platform, "POST", "/webhooks/default-sync", OWN_KEY, JSON, body=b'{"id": 1}')
    finally:
        for connection in stalled:
            connection.close()

    assert status == 200
