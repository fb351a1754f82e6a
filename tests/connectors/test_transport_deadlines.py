"""Transport: how long a call may take, from name look-up to the last byte."""

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors import transport as transport_module
from connectors.transport import Kind, Transport
from tests.connectors.calls import DEADLINE, LOOPBACK, TOLERANCE, failure, post, server_by_hand
from tests.destination import Answer, Destination


@pytest.fixture(scope="module")
def transport():
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination():
    with Destination() as server:
        yield server


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
    def continue_for_ever(connection):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with server_by_hand(continue_for_ever) as address:
        error, seconds = failure(transport, post(f"http://{address}/", deadline=DEADLINE))

    assert (error.kind, error.sent) == (Kind.TIMEOUT, True)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_destination_that_does_not_read_ends_at_the_deadline(transport):
    done = threading.Event()

    with server_by_hand(lambda connection: done.wait(10) and None) as address:
        error, seconds = failure(transport, post(f"http://{address}/", body=b"x" * 32_000_000, deadline=DEADLINE))
        done.set()

    assert (error.kind, error.sent) == (Kind.TIMEOUT, True)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_sending_may_take_longer_than_connecting_may(transport, monkeypatch):
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT_SECONDS", 0.2)
    size = 16_000_000

    def read_late(connection):
        time.sleep(0.5)
        with connection.makefile("rb") as stream:
            while stream.readline().strip():
                pass
            stream.read(size)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with server_by_hand(read_late) as address:
        response = transport.send(post(f"http://{address}/", body=b"x" * size))

    assert response.status_code == 200


def test_name_that_is_not_resolved_in_time_holds_up_no_other_name(transport, destination, monkeypatch):
    real, silent, asked = socket.getaddrinfo, threading.Event(), []

    def look_up(host, *args, **kwargs):
        asked.append(host)
        if host == "silent.test":
            silent.wait(10)
        return real("127.0.0.1" if host.endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with ThreadPoolExecutor(20) as threads:
        stuck = [threads.submit(failure, transport, post("http://silent.test/", deadline=DEADLINE)) for _ in range(20)]
        response = transport.send(post(destination.url(host="shop.test"), deadline=DEADLINE))
        failures = [future.result() for future in stuck]
    silent.set()

    assert response.status_code == 200
    assert {(error.kind, error.sent) for error, _ in failures} == {(Kind.TIMEOUT, False)}
    assert max(seconds for _, seconds in failures) < DEADLINE + TOLERANCE
    assert asked.count("silent.test") == 1  # all who ask for a name wait for one look-up
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "resolver")  # no exit waits for one


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
