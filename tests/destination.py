"""A real destination application for tests: an HTTP/1.1 server on loopback that records and answers as told.

    with Destination() as destination:
        destination.answers("/orders", Answer(503), Answer(503), Answer(201, {"invoice": "INV-7"}))
        ...
        first, second, third = destination.wait_for(3, path="/orders")

The last answer of a path repeats for ever; a path that was told nothing answers 200 with `{"ok": true}`. In place of an
answer stands, where it depends on the request, a callable that takes the `Received` and returns an `Answer`.
"""

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Received:
    """One request, whole. `order` counts from 1; `connection` names the TCP connection that it came on."""

    order: int
    method: str
    target: str  # as it stood in the request line, query included
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: float  # time.monotonic() when the last byte was read
    connection: int
    in_flight: int  # requests of the same path without an answer yet, this one included

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def header(self, name: str) -> str:
        """The header's value, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. Where `Content-Length` or `Transfer-Encoding` is not among the headers the length is added."""

    status: int = 200
    body: Any = b""  # bytes and text go out as they are, anything else as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0  # before the first byte; ends early when the server stops
    drip_head_seconds: float = 0.0  # the pause before each byte of status line and headers
    drip_body_seconds: float = 0.0  # the pause before each byte of the body
    cut_after: int | None = None  # so many bytes of the whole answer, then the connection is closed
    reset: bool = False  # whatever closes the connection does it by a TCP reset
    close: bool = False  # the connection is closed behind the answer, and no header says so
    raw: bytes | None = None  # these bytes instead of an answer, then the connection is closed

    @classmethod
    def nothing(cls, *, reset: bool = False) -> "Answer":
        """The connection is closed without an answer."""
        return cls(raw=b"", reset=reset)

    @classmethod
    def garbage(cls, data: bytes = b"\x00\xffthis is not HTTP\r\n\r\n") -> "Answer":
        return cls(raw=data)

    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    def head(self) -> bytes:
        headers = {} if isinstance(self.body, bytes | str) else {"Content-Type": JSON}
        headers.update(self.headers)
        framed = {name.lower() for name in headers} & {"content-length", "transfer-encoding"}
        if not framed and self.status not in (204, 304):
            headers["Content-Length"] = str(len(self.payload()))
        known = self.status in HTTPStatus.__members__.values()
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase if known else 'Unknown'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


Told = Answer | Callable[[Received], Answer]
FALLBACK = Answer(200, {"ok": True})


class Destination:
    """The server, as a context manager. With `tls` (a server's context) it speaks https."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._in_flight: Counter[str] = Counter()
        self._told: defaultdict[str, deque[Told]] = defaultdict(deque)
        self._connections: dict[socket.socket, int] = {}
        self._connection_count = 0
        self._failures: list[BaseException] = []
        self.stopping = threading.Event()
        self._server = _Server(self, host)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="destination", daemon=True
        )
        self.host, self.port = host, int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Breaks off what is under way. Raises what a callable in place of an answer raised, so that its test fails."""
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self.drop_connections()
        self._server.server_close()
        if error is None and self._failures:
            raise self._failures[0]

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The address of `path`; `host` is another name of the loopback, such as localhost."""
        return f"{'https' if self._tls else 'http'}://{host or self.host}:{self.port}{path}"

    def answers(self, path: str, *told: Told) -> None:
        """From now on `path` answers with these in turn and repeats the last one. Without any: as if never told."""
        with self._changed:
            self._told[path] = deque(told)

    @property
    def requests(self) -> list[Received]:
        """All requests so far, in the order of their arrival."""
        with self._changed:
            return list(self._requests)

    def received(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    def wait_for(self, count: int, timeout: float = 5.0, *, path: str | None = None) -> list[Received]:
        """The requests (of `path`) as soon as there are `count`. Raises AssertionError after `timeout` seconds."""

        def found() -> list[Received]:
            return [request for request in self._requests if path in (None, request.path)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise AssertionError(f"{len(found())} requests of {count} arrived within {timeout} s: {found()}")
            return found()

    @property
    def connection_count(self) -> int:
        """TCP connections that were ever made to this server."""
        return self._connection_count

    def drop_connections(self) -> None:
        """Closes every open connection, as a destination does that restarts or tires of idle ones."""
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # it may be closed by now
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS: another thread reads there

    # what follows is called by the handlers

    def opened(self, connection: socket.socket) -> int:
        with self._changed:
            self._connection_count += 1
            self._connections[connection] = self._connection_count
            return self._connection_count

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.pop(connection, None)

    def record(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, connection: int
    ) -> Received:
        path = urlsplit(target).path
        with self._changed:
            self._in_flight[path] += 1
            request = Received(
                order=len(self._requests) + 1,
                method=method,
                target=target,
                headers=tuple(headers),
                body=body,
                received_at=time.monotonic(),
                connection=connection,
                in_flight=self._in_flight[path],
            )
            self._requests.append(request)
            self._changed.notify_all()
            return request

    def answered(self, request: Received) -> None:
        with self._changed:
            self._in_flight[request.path] -= 1

    def next_answer(self, request: Received) -> Answer:
        with self._changed:
            told = self._told[request.path]
            first: Told = FALLBACK if not told else told.popleft() if len(told) > 1 else told[0]
        return first(request) if callable(first) else first

    def secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def failed(self, error: BaseException) -> None:
        self._failures.append(error)


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = False  # so that server_close waits for them: no thread and no socket outlives the test
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, destination: Destination, host: str) -> None:
        self.destination = destination
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), BaseRequestHandler)  # unused: finish_request makes the handler

    def finish_request(self, request: Any, client_address: Any) -> None:
        """One connection, from handshake to end. Whoever breaks it off is part of the tests, not an error."""
        connection = self.destination.secured(request)
        number = self.destination.opened(connection)
        try:
            if isinstance(connection, ssl.SSLSocket):  # here, in its own thread: a slow handshake delays nobody else
                connection.do_handshake()
            _Handler(connection, client_address, self, number)
        except OSError:
            pass
        finally:
            self.destination.closed(connection)
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if (error := sys.exception()) is not None:
            self.destination.failed(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __init__(self, connection: socket.socket, client_address: Any, server: _Server, number: int) -> None:
        self.number = number
        super().__init__(connection, client_address, server)

    def handle_request(self) -> None:
        destination = self.server.destination
        body = self._body()
        request = destination.record(self.command, self.path, self.headers.items(), body, self.number)
        try:
            answer = destination.next_answer(request)
            destination.stopping.wait(answer.delay_seconds)
        finally:
            # before the answer goes out: its reader may send the next request as soon as it has the last byte
            destination.answered(request)
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request  # noqa: N815

    def _body(self) -> bytes:
        """Raises ConnectionError where the body breaks off: such a request was never received."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._exactly(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            chunks.append(self._exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError("the body broke off")
        return data

    def _send(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.payload()
        head, body = (answer.raw, b"") if answer.raw is not None else (answer.head(), body)
        if answer.cut_after is not None:
            head, body = head[: answer.cut_after], body[: max(0, answer.cut_after - len(head))]
        if answer.drip_head_seconds or answer.drip_body_seconds:
            self._drip(head, answer.drip_head_seconds)
            self._drip(body, answer.drip_body_seconds)
        else:
            self.wfile.write(head + body)
        connection_header = {name.lower(): value for name, value in answer.headers.items()}.get("connection", "")
        if answer.raw is not None or answer.cut_after is not None or answer.close or connection_header == "close":
            self._close(reset=answer.reset)

    def _drip(self, data: bytes, pause: float) -> None:
        for piece in (data[i : i + 1] for i in range(len(data))) if pause else [data]:
            if pause and self.server.destination.stopping.wait(pause):
                return
            self.wfile.write(piece)

    def _close(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Test output stays quiet."""
