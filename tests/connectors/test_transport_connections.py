"""Transport: connections are kept, shared by threads, replaced when they went stale, and never inherited by a fork."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from connectors import connections
from connectors.transport import MAX_RESPONSE_BYTES, Kind, Transport
from tests.connectors.calls import LOOPBACK, failure, post
from tests.destination import Answer, Destination


@pytest.fixture(scope="module")
def transport():
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination():
    with Destination() as server:
        yield server


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


def test_connection_that_was_idle_for_long_is_not_trusted(transport, destination, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    transport.send(post(destination.url()))
    time.sleep(0.1)

    transport.send(post(destination.url()))

    assert [received.connection for received in destination.requests] == [1, 2]


@pytest.fixture
def unseen(monkeypatch):
    """As if the destination closed its connections after we looked: between the look and the first byte."""
    monkeypatch.setattr(urllib3.connectionpool, "is_connection_dropped", lambda connection: False)


def test_connection_that_was_closed_just_before_its_use_is_replaced(transport, destination, unseen):
    transport.send(post(destination.url()))
    destination.drop_connections()

    response = transport.send(post(destination.url()))

    assert response.status_code == 200
    assert [received.connection for received in destination.requests] == [1, 2]


def test_replacement_is_a_fresh_connection_though_others_are_kept(transport, destination, unseen):
    together = threading.Barrier(3)
    destination.answers("/together", lambda _: Answer(200, str(together.wait(5))))  # three at the same time
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(transport.send, [post(destination.url("/together"))] * 3))
    destination.drop_connections()

    for _ in range(3):
        assert transport.send(post(destination.url())).status_code == 200
    assert len(destination.received("/")) == 3


def test_destination_that_closed_and_is_gone_has_got_nothing(transport, unseen):
    with Destination() as gone:
        transport.send(post(gone.url()))

    error, _ = failure(transport, post(gone.url()))

    assert (error.kind, error.sent) == (Kind.CONNECT_FAILED, False)


def test_large_body_survives_a_connection_that_was_closed_just_before_its_use(transport, destination, unseen):
    transport.send(post(destination.url()))
    destination.drop_connections()
    body = bytes(range(256)) * 40_000

    transport.send(post(destination.url(), body=body))

    assert [len(received.body) for received in destination.requests[1:]] == [len(body)]


def test_nothing_is_sent_again_where_it_cannot_be_known_what_arrived(transport, destination, unseen, monkeypatch):
    monkeypatch.setattr(connections, "TCP_INFO", None)
    transport.send(post(destination.url()))
    destination.drop_connections()

    error, _ = failure(transport, post(destination.url()))

    assert error.kind == Kind.CONNECTION_LOST
    assert len(destination.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.nothing(), Kind.CONNECTION_LOST),  # taken, perhaps worked on: only the retry policy may repeat it
        (Answer.nothing(reset=True), Kind.CONNECTION_LOST),
        (Answer(raw=b"", delay_seconds=0.2), Kind.CONNECTION_LOST),
        (Answer(200, "whole", cut_after=10), Kind.INVALID_RESPONSE),  # an answer had begun
        (Answer.garbage(), Kind.INVALID_RESPONSE),
        (Answer(200, "whole", {"Content-Length": "9"}, close=True), Kind.INVALID_RESPONSE),
    ],
)
def test_request_that_arrived_on_a_kept_connection_is_not_sent_again(transport, destination, answer, kind):
    destination.answers("/", Answer(200), answer, Answer(201))
    transport.send(post(destination.url()))

    error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (kind, True)
    assert [received.connection for received in destination.requests] == [1, 1]


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
