"""Transport: connections are kept, shared by threads, replaced when they went stale, and never inherited by a fork."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors import transport as transport_module
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
    monkeypatch.setattr(transport_module, "IDLE_SECONDS", 0.05)
    transport.send(post(destination.url()))
    time.sleep(0.1)

    transport.send(post(destination.url()))

    assert [received.connection for received in destination.requests] == [1, 2]


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
