"""What the event loop does, so that no thread has to wait: under the real server."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import python_server

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
SECONDS = 2.0
HELLO = b"hello, world"
# one thread, so that a request which held it would stop all others
APPLICATION = """
import json
import threading
import time
from concurrent.futures import Future

import django

django.setup()
from integration_platform import arrivals, door
from messages.bodies import REFUSED, UNREAD, WANTED
from messages.waiting import ARRIVED, ROOM, WAITED, WAITING, Waiting

arrivals.SMALL_BYTES = 100
arrivals.SMALL_ROOM_FOR_OTHERS = arrivals.ROOM_FOR_OTHERS = 6000
door.MAX_WAITING = 20
LATE = {"/late", "/webhooks/late"}
first_looks = set()


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    waited, path = environ.get(WAITED), environ["PATH_INFO"]
    if path.startswith("/wait/") and waited is None and environ[ROOM]:
        end, (seconds, deadline) = Future(), map(float, path[6:].split("/"))
        threading.Timer(seconds, lambda: end.set_running_or_notify_cancel() and end.set_result(None)).start()
        environ[WAITING] = Waiting(end, environ[ARRIVED] + deadline)
    if path in LATE and environ.get(UNREAD):
        environ[WANTED] = True
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Calls", "1" if waited is None else "2"),
                              *([("X-First", "yes")] if waited is None else [])])
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    waiting = None if waited is None else waited.ended
    refused = environ[REFUSED].slug if REFUSED in environ else None
    told = {"body": body.decode(), "environ": seen, "ended": waiting, "room": environ.get(ROOM), "refused": refused}
    return [json.dumps(told).encode()]


def allowing(environ):
    path = environ["PATH_INFO"]
    if path in LATE - first_looks:
        first_looks.add(path)
        return arrivals.NOTHING
    return arrivals.NOTHING if path == "/nowhere" else arrivals.Allowance(1000, path == "/known")


application = door.Door(echo, threads=1, allowing=allowing, seconds=2.0)
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("rsgi")
    (folder / "echo.py").write_text(APPLICATION)
    environment = {"DEBUG": "1", "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "integration_platform.settings"}
    granian = ("-m", "granian", "--interface", "rsgi", "--port", "{port}", "echo:application")
    with python_server(*granian, folder=folder, environment=environment) as port:
        yield port


class Caller:
    """One connection that sends what it is told to, piece by piece."""

    def __init__(self, port: int, *pieces: bytes, path: bytes = b"/", first: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(20)
        self.send(first or b"POST %s HTTP/1.1\r\nHost: x\r\n" % path, b"Connection: close\r\n", *pieces)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def end(self) -> None:
        """No more will be sent; the answer can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bytes:
        """What comes next, or nothing at the end."""
        return self._socket.recv(65536)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their small names, body."""
        received = b""
        while piece := self.receive():
            received += piece
        self._socket.close()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    def close(self) -> None:
        self._socket.close()


def with_length(body: bytes, count: int | None = None) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body) if count is None else count, body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(x), x) for x in chunks) + end


@pytest.mark.parametrize("sent", [with_length(HELLO), chunked(HELLO[:5], HELLO[5:])], ids=["length", "chunked"])
def test_body_arrives_whole(port: int, sent: bytes) -> None:
    status, _, body = Caller(port, sent).answer()

    seen = json.loads(body)
    assert (status, seen["body"]) == (200, HELLO.decode())
    assert seen["environ"]["CONTENT_LENGTH"] == str(len(HELLO))
    assert "HTTP_TRANSFER_ENCODING" not in seen["environ"]


def test_half_requests_hold_no_thread(port: int) -> None:
    stalled = [Caller(port, with_length(b"x", 100)) for _ in range(20)]
    try:
        status, _, _ = Caller(port, with_length(HELLO)).answer()
    finally:
        for caller in stalled:
            caller.close()

    assert status == 200


@pytest.mark.parametrize("half", [with_length(b"x", 100), chunked(b"x", end=b"")], ids=["length", "chunked"])
def test_body_that_takes_too_long_is_a_408(port: int, half: bytes) -> None:
    began = time.monotonic()

    status, headers, body = Caller(port, half).answer()

    assert (status, headers["content-type"]) == (408, "application/problem+json")
    assert json.loads(body)["type"] == "/problems/request-timeout"
    assert time.monotonic() - began >= SECONDS * 0.9


def test_broken_chunk_is_never_taken_for_the_end(port: int) -> None:
    sent = chunked(HELLO, end=b"zz\r\n\r\n")

    status, _, _ = Caller(port, sent).answer()

    assert status == 400


def test_larger_body_is_announced_to_the_application_and_not_read(port: int) -> None:
    status, _, body = Caller(port, with_length(b"x" * 1200)).answer()

    seen = json.loads(body)
    assert (status, seen["body"], seen["environ"]["CONTENT_LENGTH"]) == (200, "", "1200")


def test_larger_chunked_body_is_never_taken_for_whole(port: int) -> None:
    status, _, body = Caller(port, chunked(*[b"x" * 500] * 6)).answer()

    seen = json.loads(body)
    assert (status, seen["body"]) == (200, "")
    assert int(seen["environ"]["CONTENT_LENGTH"]) > 32 * 1024 * 1024


def test_bodies_of_one_address_have_a_limit_together(port: int) -> None:
    stalled = [Caller(port, with_length(b"x" * 900, 1000)) for _ in range(3)]
    try:
        time.sleep(0.5)
        status, headers, body = Caller(port, with_length(b"x" * 1000)).answer()
        small = Caller(port, with_length(b"x" * 100)).answer()[0]
        known = Caller(port, with_length(b"x" * 1000), path=b"/known").answer()[0]
    finally:
        for caller in stalled:
            caller.close()
    time.sleep(0.5)

    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(body)["type"] == "/problems/unavailable"
    assert (small, known) == (200, 200)
    assert Caller(port, with_length(b"x" * 1000)).answer()[0] == 200  # what was reserved is free again


@pytest.mark.parametrize("half", [with_length(b"x", 100), chunked(b"x", end=b"")], ids=["length", "chunked"])
def test_body_without_an_allowance_is_not_waited_for(port: int, half: bytes) -> None:
    began = time.monotonic()

    status, _, body = Caller(port, half, path=b"/nowhere").answer()

    assert (status, json.loads(body)["body"]) == (200, "")
    assert time.monotonic() - began < SECONDS


def test_body_that_the_application_asks_for_is_read_after_all(port: int) -> None:
    status, _, body = Caller(port, with_length(HELLO), path=b"/late").answer()

    assert (status, json.loads(body)["body"]) == (200, HELLO.decode())


def test_late_body_that_breaks_off_is_for_the_application_to_refuse(port: int) -> None:
    caller = Caller(port, with_length(b"x", 100), path=b"/webhooks/late")
    caller.end()

    status, _, body = caller.answer()

    assert (status, json.loads(body)["refused"]) == (200, "malformed-body")


def test_waiting_requests_hold_no_thread(port: int) -> None:
    waiting = [Caller(port, with_length(HELLO), path=b"/wait/3/9") for _ in range(8)]
    began = time.monotonic()

    status = Caller(port, with_length(HELLO)).answer()[0]
    took = time.monotonic() - began
    answers = [caller.answer() for caller in waiting]

    assert (status, took < 3) == (200, True)
    assert [(status, json.loads(body)["ended"]) for status, _, body in answers] == [(200, True)] * 8
    assert time.monotonic() - began < 12  # and not 24: one after the other


def test_waiting_request_is_answered_at_its_deadline(port: int) -> None:
    began = time.monotonic()

    _, headers, body = Caller(port, with_length(HELLO), path=b"/wait/9/0.5").answer()

    assert json.loads(body)["ended"] is False
    assert 0.5 <= time.monotonic() - began < 6
    assert (headers["x-calls"], headers["x-first"]) == ("2", "yes")  # what the first part has to tell is told, too


def test_waiting_requests_have_a_limit(port: int) -> None:
    waiting = [Caller(port, with_length(HELLO), path=b"/wait/3/9") for _ in range(10)]
    time.sleep(0.5)

    refused = json.loads(Caller(port, with_length(HELLO), path=b"/wait/1/9").answer()[2])
    answers = [json.loads(caller.answer()[2])["ended"] for caller in waiting]

    assert (refused["room"], refused["ended"]) == (False, None)
    assert answers == [True] * 10


def test_liveness_is_told_while_every_thread_works(port: int) -> None:
    """By the loop: the application behind it does not know this address."""
    answers = [ask(port, b"%s /health/live HTTP/1.1\r\nHost: %s\r\n" % asked) for asked in LIVENESS]

    assert [(status, body) for status, _, body in answers[:2]] == [(200, b'{"status": "ok"}'), (200, b"")]
    assert json.loads(answers[2][2])["environ"]["PATH_INFO"] == "/health/live"  # a foreign host is Django's to refuse


LIVENESS = [(b"GET", b"localhost"), (b"HEAD", b"127.0.0.1:80"), (b"GET", b"evil.example")]


def ask(port: int, head: bytes) -> tuple[int, dict[str, str], bytes]:
    caller = Caller(port, first=head)
    caller.send(b"\r\n")
    return caller.answer()


def test_header_beyond_ascii_is_there_and_empty(port: int) -> None:
    """granian leaves it out; taken for not sent, an idempotency key would make two messages of a repeat."""
    lines = "Idempotency-Key: größe\r\nX-Fine: yes\r\n".encode()

    environ = json.loads(Caller(port, lines, with_length(HELLO)).answer()[2])["environ"]

    assert (environ["HTTP_IDEMPOTENCY_KEY"], environ["HTTP_X_FINE"]) == ("", "yes")


def test_content_type_sent_twice_is_a_400(port: int) -> None:
    lines = b"Content-Type: application/json\r\nContent-Type: text/csv\r\n"

    status, _, body = Caller(port, lines, with_length(HELLO)).answer()

    assert (status, json.loads(body)["type"]) == (400, "/problems/malformed-header")


@pytest.mark.parametrize(("path", "told"), [(b"/nowhere", b"HTTP/1.1 200 OK"), (b"/", b"HTTP/1.1 100 Continue")])
def test_body_is_called_for_only_where_it_is_read(port: int, path: bytes, told: bytes) -> None:
    caller = Caller(port, b"Expect: 100-continue\r\n", with_length(b"", 10), path=path)

    first = caller.receive()
    caller.close()

    assert first.split(b"\r\n")[0] == told


def test_environ_is_what_wsgi_says(port: int) -> None:
    lines = b"X-Two: 1\r\nX-Two: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_Forwarded_For: evil\r\nContent-Type: a/b\r\n"
    _, _, body = Caller(port, lines, with_length(b""), path=b"/gr%C3%BCn/a%2Fb?x=%20&y").answer()

    seen = json.loads(body)["environ"]
    expected = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/grün/a/b".encode().decode("latin-1"),
        "QUERY_STRING": "x=%20&y",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "x",
        "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "CONTENT_TYPE": "a/b",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not [name for name in seen if "FORWARDED" in name]
