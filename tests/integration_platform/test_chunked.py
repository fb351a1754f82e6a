"""Chunked request bodies arrive whole and bounded, under both servers that the README names."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import python_server

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.processes
APPLICATION = """
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from integration_platform.chunked import with_chunked_bodies

settings.configure()


def echo(environ, start_response):
    body = WSGIRequest(environ).read(2000)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


application = with_chunked_bodies(echo, limit=1000)
"""
SERVERS = {
    "granian": ["-m", "granian", "--interface", "wsgi", "--port", "{port}", "echo:application"],
    "gunicorn": ["-m", "gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}", "echo:application"],
}


@pytest.fixture(scope="module", params=sorted(SERVERS))
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("wsgi")
    (folder / "echo.py").write_text(APPLICATION)
    with python_server(*SERVERS[request.param], folder=folder) as port:
        yield port


def exchange(port: int, body: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(10)
        connection.sendall(head + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_chunked_body_arrives_whole(port: int) -> None:
    answer = exchange(port, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nhello world")


def test_chunked_body_is_read_no_further_than_the_largest_one(port: int) -> None:
    answer = exchange(port, b"5dc\r\n" + b"x" * 1500 + b"\r\n0\r\n\r\n")

    assert answer.rpartition(b"\r\n\r\n")[2] == b"x" * 1001
