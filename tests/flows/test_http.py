"""HTTP as the real server speaks it: methods, problem documents for every error, conditional and repeated headers."""

import contextlib
import hmac
import http.client
import json
import socket
import threading
import time

import pytest

from tests.destination import Answer, Destination
from tests.flows.conftest import KEY, ON_SQLITE, WEB_THREADS, Platform

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
            connection.putheader(name, value.encode())
        connection.putheader("Content-Length", str(len(body)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a body that is refused is not read
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


@ON_SQLITE
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


@ON_SQLITE
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
        ("POST", "/webhooks/orders", (OWN_KEY, ("Idempotency-Key", "größe")), b"{}", 400, "malformed-header"),
        ("POST", "/webhooks/orders", (OWN_KEY, JSON, ("Content-Type", "text/csv")), b"{}", 400, "malformed-header"),
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
        (["handling=lenient", "respond-async"], 202),  # two lines of one header
        (["handling=lenient,, respond-async;x=1 ,"], 202),
        (["wait=5", "respond-async"], 200),  # it waits first, and its result came in time
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


@ON_SQLITE
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


def test_body_that_breaks_off_leaves_a_rejection(platform: Platform) -> None:
    """On a route where no other test has used up how many are kept in a minute."""
    with socket.create_connection(("127.0.0.1", platform.port), 10) as connection:
        connection.sendall(POST % b"refusing" + OWN + b'User-Agent: cut-short\r\nContent-Length: 100\r\n\r\n{"id"')
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    look = "from messages.models import Rejection; print(*Rejection.objects.filter(user_agent='cut-short').values_list"
    kept = platform.manage("shell", "--no-imports", "-c", f"{look}('route__slug', 'reason', 'status_code', 'size'))")
    assert "('refusing', 'malformed-body', 400, 100)" in kept


LARGEST = 32 * 1024 * 1024


@ON_SQLITE
@pytest.mark.parametrize(
    ("head", "answered"),
    [
        (POST % b"large", {True}),  # strangers
        (POST % b"nowhere", {True}),
        (b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n", {True}),
        (POST % b"large" + b"X-API-Key: another\r\n", {True}),
        (POST % b"plain" + OWN, {True}),  # its limit is lower
        (
            POST % b"large" + b"X-Hub-Signature-256: sha256=00\r\n",
            {True, False},
        ),  # waited for: the body would tell, and there is room
    ],
    ids=["no key", "no route", "no address", "wrong key", "too large", "signature"],
)
def test_large_bodies_of_anybody_stop_no_sender(platform: Platform, head: bytes, answered: set[bool]) -> None:
    """Each connection sends all but the last byte of the largest body, or as much as it is let."""
    stalled = [Large(platform.port, head + b"Content-Length: %d\r\n\r\n" % LARGEST) for _ in range(8)]
    try:
        signature = hmac.new(b"secret-of-the-hub", b'{"id": 1}', "sha256").hexdigest()
        statuses = [
            ask(platform, "POST", "/webhooks/default-sync/async", *proof, JSON, body=body)[0]
            for proof, body in (
                ((OWN_KEY,), b'{"id": 1}'),
                ((OWN_KEY,), b'{"id": "%s"}' % (b"x" * 500_000)),
                ((("X-Hub-Signature-256", f"sha256={signature}"),), b'{"id": 1}'),
            )
        ]
        first_lines = [one.first_line() for one in stalled]
    finally:
        for one in stalled:
            one.close()

    assert statuses == [202, 202, 202]
    assert {bool(line) for line in first_lines} == answered


class Large:
    """A connection that sends all but the last byte of a body of LARGEST bytes, or what the server takes of it."""

    def __init__(self, port: int, head: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(2)
        self._socket.sendall(head)
        with contextlib.suppress(OSError):
            for _ in range(31):
                self._socket.sendall(b"x" * (1 << 20))
            self._socket.sendall(b"x" * ((1 << 20) - 1))

    def first_line(self) -> bytes:
        """Of its answer, if there is one."""
        self._socket.settimeout(0.2)
        try:
            return self._socket.recv(1000).partition(b"\r\n")[0]
        except OSError:
            return b""

    def close(self) -> None:
        self._socket.close()


@ON_SQLITE
def test_refusal_of_a_large_body_comes_before_the_body(platform: Platform) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=5)
    connection.putrequest("POST", "/webhooks/large")
    connection.putheader("Content-Length", str(LARGEST))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()

    answer = connection.getresponse()  # it would go on reading behind a "100 Continue", and time out
    connection.close()

    assert answer.status == 401


def test_largest_body_of_a_known_sender_is_taken(platform: Platform) -> None:
    body = b'{"id": "%s"}' % (b"x" * (LARGEST - 10))

    status, _, document = ask(platform, "POST", "/webhooks/large", OWN_KEY, JSON, body=body)

    assert (len(body), status) == (LARGEST, 202), document


def test_sync_callers_of_a_destination_that_hangs_stop_nobody(platform: Platform, destination: Destination) -> None:
    """Several times as many as there are threads; each is answered at its own deadline, and not when it is its turn."""
    released = threading.Event()
    destination.answers("/silent", lambda _: Answer(200 if released.wait(60) else 500))
    count, late, lock = 5 * WEB_THREADS, [], threading.Lock()

    def call() -> None:
        began = time.monotonic()
        status, _, body = ask(platform, "POST", "/webhooks/silent", OWN_KEY, JSON, body=b"{}")
        with lock:
            late.append((status, json.loads(body)["type"], time.monotonic() - began))

    callers = [threading.Thread(target=call) for _ in range(count)]
    try:
        for caller in callers:
            caller.start()
        destination.wait_for(2 * WEB_THREADS, timeout=20, path="/silent")
        asked = [
            quickest(platform, "GET", "/health/live"),
            quickest(platform, "GET", "/health/ready"),
            quickest(platform, "POST", "/webhooks/default-sync/async", OWN_KEY, JSON, body=b'{"id": 1}'),
            quickest(platform, "POST", "/webhooks/default-sync/sync", OWN_KEY, JSON, body=b'{"id": 1}'),
        ]
        for caller in callers:
            caller.join()
    finally:
        released.set()

    assert [status for status, _ in asked] == [200, 200, 202, 200]
    assert max(seconds for _, seconds in asked) < 3
    assert [one[:2] for one in late] == [(504, "/problems/deadline-passed")] * count
    assert 6 <= min(seconds for *_, seconds in late) <= max(seconds for *_, seconds in late) < 20


def timed(platform: Platform, *asked: object, **more: bytes) -> tuple[int, float]:
    """Status and seconds."""
    began = time.monotonic()
    status, _, _ = ask(platform, *asked, **more)  # type: ignore[arg-type]
    return status, time.monotonic() - began


def quickest(platform: Platform, *asked: object, **more: bytes) -> tuple[int, float]:
    """Of three: a busy machine may delay one of them, threads that are taken delay all until they are free."""
    return min((timed(platform, *asked, **more) for _ in range(3)), key=lambda one: one[1])


def test_long_polls_hold_no_thread(platform: Platform, destination: Destination) -> None:
    released = threading.Event()
    destination.answers("/hanging", lambda _: Answer(200 if released.wait(60) else 500))
    pushed = platform.push("/webhooks/hanging", {"lane": "polled"}).json()
    path, results, lock = f"/results/{pushed['correlation_id']}?wait=30", [], threading.Lock()

    def poll() -> None:
        document = json.loads(ask(platform, "GET", path, OWN_KEY)[2])
        with lock:
            results.append(document["status"])

    callers = [threading.Thread(target=poll) for _ in range(3 * WEB_THREADS)]
    try:
        for caller in callers:
            caller.start()
        time.sleep(1)
        status, seconds = quickest(platform, "POST", "/webhooks/default-sync/sync", OWN_KEY, JSON, body=b'{"id": 1}')
    finally:
        released.set()
    began = time.monotonic()
    for caller in callers:
        caller.join()

    assert (status, seconds < 5) == (200, True)
    assert results == ["succeeded"] * len(callers)
    assert time.monotonic() - began < 15
