"""Transport: what goes out, what comes back, and from which addresses; told by a real server on loopback."""

import gzip
import socket
import time

import pytest

from connectors.transport import MAX_RESPONSE_BYTES, Kind, Transport
from tests.connectors.calls import BODY, LOOPBACK, TOLERANCE, failure, post, server_by_hand
from tests.destination import Answer, Destination


@pytest.fixture(scope="module")
def transport():
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination():
    with Destination() as server:
        yield server


# What goes out


def test_request_arrives_as_it_was_given(transport, destination):
    headers = (("Content-Type", "application/json"), ("X-Tenant", "Zürich"))

    transport.send(post(destination.url("/orders?a=1&b=%20"), method="PUT", headers=headers))

    [received] = destination.requests
    assert (received.method, received.target, received.body) == ("PUT", "/orders?a=1&b=%20", BODY)
    assert received.header("content-type") == "application/json"
    assert received.header("x-tenant") == "Zürich"
    assert received.header("host") == f"127.0.0.1:{destination.port}"
    assert received.header("content-length") == str(len(BODY))


def test_recorded_headers_are_those_that_arrive(transport, destination):
    request = post(destination.url(), headers=(("x-a", "1"), ("user-agent", "ours")))

    transport.send(request)

    framing = {"host", "content-length"}
    arrived = {(name.lower(), value) for name, value in destination.requests[0].headers if name.lower() not in framing}
    assert {(name.lower(), value) for name, value in request.sent_headers()} == arrived


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("POST", b"", "0"),
        ("POST", None, "0"),  # a POST without a body says so, RFC 9110 8.6
        ("GET", None, ""),
        ("DELETE", None, ""),
        ("DELETE", b"x", "1"),
    ],
)
def test_body_is_framed_by_its_length(transport, destination, method, body, length):
    transport.send(post(destination.url(), method=method, body=body))

    [received] = destination.requests
    assert received.header("content-length") == length
    assert received.header("transfer-encoding") == ""
    assert received.body == (body or b"")


def test_no_secret_is_in_a_repr():
    request = post("http://127.0.0.1/?code=s3cr3t", headers=(("Authorization", "s3cr3t"),), body=b"s3cr3t")

    assert "s3cr3t" not in repr(request)


def test_environment_has_no_say(transport, destination, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    response = transport.send(post(destination.url()))

    assert response.status_code == 200
    assert destination.requests[0].header("authorization") == ""


def test_cookies_are_not_kept(transport, destination):
    destination.answers("/", Answer(200, headers={"Set-Cookie": "session=1"}))

    transport.send(post(destination.url()))
    transport.send(post(destination.url()))

    assert [received.header("cookie") for received in destination.requests] == ["", ""]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/orders",
        "127.0.0.1/orders",
        "ftp://127.0.0.1/s3cr3t",
        "file:///etc/passwd",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/s3cr3t",
        "httpx://127.0.0.1/",  # requests takes all that begins with http
        "http:///orders",
        "http://user:s3cr3t@127.0.0.1/",
        "http://s3cr3t@127.0.0.1/",
        "http://127.0.0.1:99999/?key=s3cr3t",
        "http://127.0.0.1:s3cr3t/",
        "http://[::1/?key=s3cr3t",
        "http://*.example/?key=s3cr3t",
        "http://①②⑦.⓪.⓪.①/",  # IDNA 2008 does not make digits of it
    ],
)
def test_address_that_cannot_be_called_is_a_permanent_failure_that_does_not_repeat_it(transport, url):
    error, _ = failure(transport, post(url))

    assert (error.kind, error.permanent, error.sent) == (Kind.INVALID_REQUEST, True, False)
    assert "s3cr3t" not in error.detail


@pytest.mark.parametrize(
    "header",
    [
        ("X-Key", "s3cr3t\r\nX-Evil: 1"),
        ("X-Key", "s3cr3t\n"),
        ("X-Key", "s3cr3t\x00"),
        ("X-Key", "s3cr3t€"),
        ("X Key", "s3cr3t"),
        ("X-Key:", "s3cr3t"),
        ("Host", "s3cr3t.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ],
)
def test_header_that_cannot_be_sent_is_a_permanent_failure_without_its_value(transport, destination, header):
    error, _ = failure(transport, post(destination.url(), headers=(header,)))

    assert (error.kind, error.permanent, error.sent) == (Kind.INVALID_REQUEST, True, False)
    assert "s3cr3t" not in error.detail
    assert destination.connection_count == 0


def test_method_cannot_carry_another_request(transport, destination):
    error, _ = failure(transport, post(destination.url(), method="GET /admin HTTP/1.1\r\nX:"))

    assert error.kind == Kind.INVALID_REQUEST
    assert destination.connection_count == 0


# What comes back


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 410, 429, 500, 503, 599])
def test_answer_with_any_status_is_a_response(transport, destination, status):
    destination.answers("/", Answer(status, headers={"X-Answer": "yes", "Retry-After": "7"}))

    response = transport.send(post(destination.url()))

    assert response.status_code == status
    assert response.header("x-answer") == "yes"
    assert response.header("RETRY-AFTER") == "7"
    assert response.header("absent") == ""
    assert (response.body, response.truncated) == (b"", False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(transport, destination, status):
    destination.answers("/", Answer(status, headers={"Location": destination.url("/elsewhere")}))

    response = transport.send(post(destination.url()))

    assert response.status_code == status
    assert [received.path for received in destination.requests] == ["/"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "Grüße"),
        Answer(200, b"5\r\nGr\xc3\xbc\xc3\r\n2\r\n\x9fe\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}),
        Answer(200, gzip.compress("Grüße".encode()), {"Content-Encoding": "gzip"}),
        Answer(raw="HTTP/1.0 200 OK\r\n\r\nGrüße".encode()),  # ends where the connection does
        Answer(raw="HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGrüße".encode()),
    ],
)
def test_body_is_read_however_it_is_framed(transport, destination, answer):
    destination.answers("/", answer)

    response = transport.send(post(destination.url()))

    assert response.body.decode() == "Grüße"
    assert not response.truncated


@pytest.mark.parametrize(
    ("size", "truncated"),
    [
        (MAX_RESPONSE_BYTES - 1, False),
        (MAX_RESPONSE_BYTES, False),
        (MAX_RESPONSE_BYTES + 1, True),
        (3 * MAX_RESPONSE_BYTES, True),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_body_is_cut_at_the_limit_and_marked(transport, destination, size, truncated, encoding):
    body = b"x" * size
    destination.answers(
        "/", Answer(200, gzip.compress(body) if encoding == "gzip" else body, {"Content-Encoding": encoding})
    )

    response = transport.send(post(destination.url()))

    assert len(response.body) == min(size, MAX_RESPONSE_BYTES)
    assert response.truncated is truncated


@pytest.mark.parametrize("layers", [1, 2])
def test_compressed_bomb_ends_at_the_limit(transport, destination, layers):
    bomb = b"\0" * (200 * 1024 * 1024)
    for _ in range(layers):
        bomb = gzip.compress(bomb, 1)
    destination.answers("/", Answer(200, bomb, {"Content-Encoding": ", ".join(["gzip"] * layers)}))

    started = time.process_time()
    response = transport.send(post(destination.url()))

    assert (len(response.body), response.truncated) == (MAX_RESPONSE_BYTES, True)
    assert time.process_time() - started < 0.2  # all of it would take longer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.nothing(), Kind.CONNECTION_LOST),
        (Answer.nothing(reset=True), Kind.CONNECTION_LOST),
        (Answer.garbage(), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/1.1 abc Nonsense\r\n\r\n"), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/3.0 200 OK\r\n\r\n"), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/1.1 200 " + b"O" * 70_000), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), Kind.INVALID_RESPONSE),  # 100 allowed
        (Answer(200, "whole", cut_after=5), Kind.INVALID_RESPONSE),  # in the status line
        (Answer.garbage(b"HTTP/1.1 200 OK\r\n"), Kind.INVALID_RESPONSE),  # before the headers
        (Answer.garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 2"), Kind.INVALID_RESPONSE),  # within one
        (Answer.garbage(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), Kind.INVALID_RESPONSE),  # before their end
        (Answer.garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), Kind.INVALID_RESPONSE),
        (Answer.garbage(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Kind.INVALID_RESPONSE),
        (Answer(200, b"not gzip", {"Content-Encoding": "gzip"}), Kind.INVALID_RESPONSE),
    ],
)
def test_answer_that_breaks_off_or_is_not_http_is_a_passing_failure(transport, destination, answer, kind):
    destination.answers("/", answer)

    error, seconds = failure(transport, post(destination.url()))

    assert (error.kind, error.permanent, error.sent) == (kind, False, True)
    assert seconds < TOLERANCE
    assert len(destination.requests) == 1  # a fresh connection: no second try behind the caller's back


def test_early_refusal_of_a_large_body_is_read(transport):
    def refuse(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with server_by_hand(refuse) as address:
        response = transport.send(post(f"http://{address}/", body=b"x" * 8_000_000))

    assert response.status_code == 413
