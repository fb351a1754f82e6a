"""Bodies are collected before a thread takes a request, under the real server."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
LIMIT = 1000
SECONDS = 2.0
HELLO = b"hello, world"
# one thread, so that a request which held it would stop all others
APPLICATION = """
import json
from integration_platform import rsgi

rsgi.MAX_COLLECTED = 3500


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    return [json.dumps({"body": body.decode(), "environ": seen}).encode()]


application = rsgi.Collecting(echo, threads=1, limit=1000, seconds=2.0)
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("rsgi")
    (folder / "echo.py").write_text(APPLICATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--port", str(number), "echo:application"]
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "DEBUG": "1", "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "integration_platform.settings",
    }  # fmt: skip
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", number), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.05)
        yield number
    finally:
        server.terminate()
        server.wait(15)


class Caller:
    """One connection that sends what it is told to, piece by piece."""

    def __init__(self, port: int, *pieces: bytes, path: bytes = b"/") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(20)
        self.send(b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % path, *pieces)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their small names, body."""
        received = b""
        while piece := self._socket.recv(65536):
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


def test_larger_chunked_body_is_read_only_so_far_that_it_is_known_to_be_larger(port: int) -> None:
    status, _, body = Caller(port, chunked(*[b"x" * 500] * 6)).answer()

    assert status == 200
    assert LIMIT < len(json.loads(body)["body"]) < 3000


def test_all_bodies_together_have_a_limit(port: int) -> None:
    stalled = [Caller(port, with_length(b"x" * 900, 1000)) for _ in range(3)]
    try:
        time.sleep(0.5)
        status, headers, body = Caller(port, with_length(b"x" * 1000)).answer()
    finally:
        for caller in stalled:
            caller.close()
    time.sleep(0.5)

    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(body)["type"] == "/problems/unavailable"
    assert Caller(port, with_length(b"x" * 1000)).answer()[0] == 200  # what was reserved is free again


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
