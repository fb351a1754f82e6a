"""Transport: one call to a real server on loopback, which answers well, badly, slowly or not at all."""

import gzip
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors import transport as transport_module
from connectors.networks import AllowedNetworks
from connectors.transport import (
    MAX_RESPONSE_BYTES,
    ApiKeyAuth,
    BasicAuth,
    BearerAuth,
    Kind,
    NoAuth,
    OutboundRequest,
    Transport,
    TransportError,
)
from tests.destination import Answer, Destination

LOOPBACK = AllowedNetworks.parse("127.0.0.0/8,::1")
DEADLINE = 0.4
TOLERANCE = 1.0  # C3: a call ends at its deadline, give or take a second
BODY = b'{"order": 7}'


@pytest.fixture(scope="module")
def transport():
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination():
    with Destination() as server:
        yield server


@pytest.fixture
def names(monkeypatch):
    """Names that exist only here: a list of look-ups, each the list of addresses found; the last one repeats."""
    known, asked = {}, []
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["asked"] = asked
    return known


NO_AUTH = NoAuth()


def post(url, *, body=BODY, headers=(), deadline=5.0, method="POST", auth=NO_AUTH):
    return OutboundRequest(method=method, url=url, headers=headers, body=body, deadline_seconds=deadline, auth=auth)


def failure(transport, request):
    """The error of a call that must fail, and the seconds until it did."""
    started = time.monotonic()
    with pytest.raises(TransportError) as caught:
        transport.send(request)
    return caught.value, time.monotonic() - started


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
    request = post(destination.url(), headers=(("x-a", "1"), ("user-agent", "ours")), auth=BearerAuth("t"))

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


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (BearerAuth("s3cr3t"), "Authorization", "Bearer s3cr3t"),
        (BasicAuth("Aladdin", "open sesame"), "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617
        (BasicAuth("test", "123£"), "Authorization", "Basic dGVzdDoxMjPCow=="),  # its example for UTF-8
        (BasicAuth("", "a:b"), "Authorization", "Basic OmE6Yg=="),
        (ApiKeyAuth("X-Door", "s3cr3t"), "X-Door", "s3cr3t"),
    ],
)
def test_authentication_is_sent_and_wins_over_a_configured_header(transport, destination, auth, header, value):
    transport.send(post(destination.url(), headers=((header.lower(), "configured"),), auth=auth))

    sent = [arrived for name, arrived in destination.requests[0].headers if name.lower() == header.lower()]
    assert sent == [value]


@pytest.mark.parametrize("auth", [BearerAuth("s3cr3t"), BasicAuth("user", "s3cr3t"), ApiKeyAuth("X-Door", "s3cr3t")])
def test_no_secret_is_in_a_repr(auth):
    assert "s3cr3t" not in repr(auth)
    assert "s3cr3t" not in repr(post("http://127.0.0.1/", auth=auth))


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
        "http://@127.0.0.1/",
        "http://127.0.0.1:99999/?key=s3cr3t",
        "http://127.0.0.1:s3cr3t/",
        "http://[::1/?key=s3cr3t",
        "http://*.example/?key=s3cr3t",
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


def test_secret_that_cannot_be_sent_is_a_permanent_failure_without_it(transport, destination):
    error, _ = failure(transport, post(destination.url(), auth=BearerAuth("s3cr3t\n")))

    assert error.kind == Kind.INVALID_REQUEST
    assert "s3cr3t" not in error.detail


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_refuse_early, args=(listener,))
        answering.start()
        response = transport.send(post(f"http://127.0.0.1:{listener.getsockname()[1]}/", body=b"x" * 8_000_000))
        answering.join()

    assert response.status_code == 413


def _refuse_early(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass


# Which addresses are called


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",  # what inet_aton takes for 127.0.0.1
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0",
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "①②⑦.⓪.⓪.①",  # IDNA makes digits of it
    ],
)
def test_private_address_is_refused_in_every_spelling(destination, host):
    closed = Transport(allowed=AllowedNetworks())

    error, _ = failure(closed, post(f"http://{host}:{destination.port}/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.ADDRESS_REFUSED, True, False)
    assert destination.connection_count == 0


def test_listed_port_is_the_only_one_open(destination):
    narrow = Transport(allowed=AllowedNetworks.parse(f"127.0.0.1:{destination.port}"))

    assert narrow.send(post(destination.url())).status_code == 200
    assert failure(narrow, post("http://127.0.0.1/"))[0].kind == Kind.ADDRESS_REFUSED
    assert failure(narrow, post("https://127.0.0.1/"))[0].kind == Kind.ADDRESS_REFUSED


def test_metadata_is_refused_even_if_listed():
    open_ = Transport(allowed=AllowedNetworks.parse("0.0.0.0/0,::/0"))

    for host in ("169.254.169.254", "[fd00:ec2::254%251]", "[::ffff:169.254.169.254]"):
        assert failure(open_, post(f"http://{host}/latest/"))[0].kind == Kind.ADDRESS_REFUSED


def test_name_is_resolved_once_and_the_checked_address_is_connected_to(transport, destination, names):
    names["shop.test"] = [["127.0.0.1"]]

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200
    assert names["asked"] == ["shop.test"]
    assert destination.requests[0].header("host") == f"shop.test:{destination.port}"


def test_name_is_judged_again_at_every_attempt(transport, destination, names):
    names["shop.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    transport.send(post(destination.url(host="shop.test")))

    error, _ = failure(transport, post(destination.url(host="shop.test")))

    assert error.kind == Kind.ADDRESS_REFUSED  # although a connection to the first address is still open
    assert len(destination.requests) == 1


def test_only_allowed_addresses_of_a_name_are_called(transport, destination, names):
    names["shop.test"] = [["10.0.0.1", "169.254.169.254", "127.0.0.1"]]

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200


def test_next_address_is_tried_where_nobody_answers_at_the_first(transport, destination, names):
    names["shop.test"] = [["127.0.0.2", "127.0.0.1"]]  # nobody listens at 127.0.0.2

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200
    assert len(destination.requests) == 1


def test_next_address_is_not_tried_once_the_request_went_out(transport, destination, names):
    names["shop.test"] = [["127.0.0.1", "127.0.0.2"]]
    destination.answers("/", Answer.nothing())

    error, _ = failure(transport, post(destination.url(host="shop.test")))

    assert error.kind == Kind.CONNECTION_LOST
    assert len(destination.requests) == 1


def test_name_that_does_not_exist_is_a_passing_failure(transport, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    error, _ = failure(transport, post("http://shop.test/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.NAME_NOT_RESOLVED, False, False)


def test_port_where_nobody_listens_is_a_passing_failure(transport):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        error, seconds = failure(transport, post(f"http://127.0.0.1:{unused.getsockname()[1]}/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.CONNECT_FAILED, False, False)
    assert "refused" in error.detail
    assert seconds < TOLERANCE


# How long it may take


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, delay_seconds=30),
        Answer(200, "x" * 500, drip_head_seconds=0.1),  # status line and headers
        Answer(200, "x" * 500, drip_body_seconds=0.1),
        Answer(200, "x" * 500, {"Connection": "close"}, drip_body_seconds=0.1),
        Answer(200, "x" * 500, {"Transfer-Encoding": "none"}, drip_body_seconds=0.1),  # no length: EOF is no end
        Answer(200, "1\r\nx\r\n" * 500, {"Transfer-Encoding": "chunked"}, drip_body_seconds=0.1),
        Answer(200, gzip.compress(bytes(range(256)) * 9), {"Content-Encoding": "gzip"}, drip_body_seconds=0.1),
    ],
)
def test_slow_answer_ends_at_the_deadline(transport, destination, answer):
    destination.answers("/", answer)

    error, seconds = failure(transport, post(destination.url(), deadline=DEADLINE))

    assert (error.kind, error.permanent, error.sent) == (Kind.TIMEOUT, False, True)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_endless_interim_answers_end_at_the_deadline(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_continue_for_ever, args=(listener,))
        answering.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        error, seconds = failure(transport, post(url, deadline=DEADLINE))
        answering.join()

    assert error.kind == Kind.TIMEOUT
    assert seconds < DEADLINE + TOLERANCE


def _continue_for_ever(listener):
    connection, _ = listener.accept()
    with connection:
        try:
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:
            pass


def test_destination_that_does_not_read_ends_at_the_deadline(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        error, seconds = failure(transport, post(url, body=b"x" * 32_000_000, deadline=DEADLINE))

    assert (error.kind, error.sent) == (Kind.TIMEOUT, True)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_slow_reader_may_take_longer_than_connecting_may(transport, monkeypatch):
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reading = threading.Thread(target=_read_late, args=(listener, 0.5))
        reading.start()
        response = transport.send(post(f"http://127.0.0.1:{listener.getsockname()[1]}/", body=b"x" * 8_000_000))
        reading.join()

    assert response.status_code == 200


def _read_late(listener, seconds):
    connection, _ = listener.accept()
    with connection:
        time.sleep(seconds)
        received = 0
        while received < 8_000_000:
            received += len(connection.recv(1 << 20))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_name_that_is_not_resolved_in_time_holds_up_no_other_name(transport, destination, monkeypatch):
    real, silent = socket.getaddrinfo, threading.Event()

    def look_up(host, *args, **kwargs):
        if host == "silent.test":
            silent.wait(10)
        return real("127.0.0.1" if host.endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with ThreadPoolExecutor(20) as threads:
        stuck = [threads.submit(failure, transport, post("http://silent.test/", deadline=DEADLINE)) for _ in range(20)]
        response = transport.send(post(destination.url(host="shop.test"), deadline=DEADLINE))
        failures = [future.result() for future in stuck]
    resolvers = [thread for thread in threading.enumerate() if thread.name == "resolver"]
    silent.set()

    assert response.status_code == 200
    assert {(error.kind, error.sent) for error, _ in failures} == {(Kind.TIMEOUT, False)}
    assert max(seconds for _, seconds in failures) < DEADLINE + TOLERANCE
    assert len(resolvers) == 1  # all who ask for a name wait for one look-up
    assert resolvers[0].daemon  # and the end of the process does not


@pytest.mark.parametrize(
    ("deadline", "kind", "expected"),
    [
        (10.0, Kind.CONNECT_FAILED, 0.3),  # the limit for connecting
        (0.2, Kind.TIMEOUT, 0.2),  # the deadline comes first
    ],
)
def test_connection_that_is_not_taken_ends_in_time(transport, monkeypatch, deadline, kind, expected):
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT_SECONDS", 0.3)
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):  # they fill the backlog: further connections are not answered
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        error, seconds = failure(transport, post(f"http://127.0.0.1:{listener.getsockname()[1]}/", deadline=deadline))

    assert (error.kind, error.permanent, error.sent) == (kind, False, False)
    assert expected - 0.05 <= seconds < expected + TOLERANCE


def test_connecting_is_limited_to_five_seconds():
    assert transport_module.CONNECT_TIMEOUT_SECONDS <= 5.0


@pytest.mark.parametrize("deadline", [0.0, -1.0])
def test_deadline_in_the_past_sends_nothing(transport, destination, deadline):
    error, _ = failure(transport, post(destination.url(), deadline=deadline))

    assert (error.kind, error.sent) == (Kind.TIMEOUT, False)
    assert destination.requests == []


def test_deadline_of_a_finished_call_cuts_nobody_else(transport, destination):
    destination.answers("/slow", Answer(200, "slow", delay_seconds=3 * DEADLINE))
    transport.send(post(destination.url("/quick"), deadline=DEADLINE))

    response = transport.send(post(destination.url("/slow")))

    assert response.body == b"slow"
    assert destination.connection_count == 1  # the same one, beyond the first call's deadline


def test_thread_is_of_use_again_after_a_deadline(transport, destination):
    destination.answers("/slow", Answer(200, delay_seconds=30))
    failure(transport, post(destination.url("/slow"), deadline=0.1))

    response = transport.send(post(destination.url("/quick")))

    assert response.status_code == 200


# Connections


def test_connection_is_kept_and_used_again(transport, destination):
    destination.answers(
        "/", Answer(200, "short"), Answer(404, {"error": "none"}), Answer(204), Answer(500, "x" * 99_999)
    )

    for _ in range(5):
        transport.send(post(destination.url()))

    assert destination.connection_count == 1


def test_connection_of_a_truncated_answer_is_not_used_again(transport, destination):
    destination.answers("/", Answer(200, b"x" * 2 * MAX_RESPONSE_BYTES), Answer(200, "next"))
    transport.send(post(destination.url()))

    response = transport.send(post(destination.url()))

    assert response.body == b"next"
    assert destination.connection_count == 2


def test_threads_share_the_transport_and_mix_nothing_up(transport, destination):
    destination.answers("/echo", lambda request: Answer(200, request.body))
    bodies = [f"message {number}".encode() for number in range(400)]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda body: transport.send(post(destination.url("/echo"), body=body)), bodies))

    assert [answer.body for answer in answers] == bodies
    assert destination.connection_count <= 16


def test_connection_that_the_destination_closed_while_idle_is_invisible(transport, destination):
    transport.send(post(destination.url()))
    destination.drop_connections()

    for _ in range(3):
        assert transport.send(post(destination.url())).status_code == 200
    assert len(destination.requests) == 4


@pytest.mark.parametrize("reset", [False, True])
def test_kept_connection_that_breaks_as_it_is_used_is_replaced_once(transport, destination, reset):
    destination.answers("/", Answer(200), Answer.nothing(reset=reset), Answer(201))
    transport.send(post(destination.url()))

    response = transport.send(post(destination.url()))

    assert response.status_code == 201
    assert [received.connection for received in destination.requests] == [1, 1, 2]


def test_replacement_is_a_fresh_connection_though_others_are_kept(transport, destination):
    together = threading.Barrier(3)
    destination.answers("/together", lambda _: Answer(200, str(together.wait(5))))  # three at the same time
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(transport.send, [post(destination.url("/together"))] * 3))
    destination.answers("/", lambda request: Answer.nothing() if request.connection <= 3 else Answer(201))

    response = transport.send(post(destination.url()))

    assert response.status_code == 201
    assert len(destination.received("/")) == 2


def test_destination_that_closes_again_and_again_is_not_called_for_ever(transport, destination):
    destination.answers("/", Answer(200), Answer.nothing())
    transport.send(post(destination.url()))

    error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (Kind.CONNECTION_LOST, True)
    assert len(destination.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "whole", cut_after=10),  # an answer had begun
        Answer.garbage(),
        Answer(200, "whole", {"Content-Length": "9"}, close=True),
    ],
)
def test_request_that_was_being_answered_is_not_sent_again(transport, destination, answer):
    destination.answers("/", Answer(200), answer, Answer(201))
    transport.send(post(destination.url()))

    error, _ = failure(transport, post(destination.url()))

    assert error.kind == Kind.INVALID_RESPONSE
    assert len(destination.requests) == 2


def test_request_that_was_worked_on_is_not_sent_again(transport, destination, monkeypatch):
    monkeypatch.setattr(transport_module, "STALE_SECONDS", 0.05)
    slow_crash = Answer(raw=b"", delay_seconds=0.2)
    destination.answers("/", Answer(200), slow_crash, Answer(201))
    transport.send(post(destination.url()))

    error, _ = failure(transport, post(destination.url()))

    assert error.kind == Kind.CONNECTION_LOST
    assert len(destination.requests) == 2


FORK = """
import os, sys
from connectors.networks import AllowedNetworks
from connectors.transport import OutboundRequest, Transport

transport = Transport(allowed=AllowedNetworks.parse("127.0.0.1"))
request = OutboundRequest("POST", sys.argv[1], (), b"x", 5.0)
transport.send(request)
child = os.fork()
transport.send(request)
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_forked_process_makes_its_own_connections(destination):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, destination.url()], timeout=30, check=False)

    assert done.returncode == 0
    assert sorted(received.connection for received in destination.requests) == [1, 1, 2]
