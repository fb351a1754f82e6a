"""A WSGI application as granian serves it: threads work, and never wait for a caller nor for a destination.

Under WSGI a thread reads the body and waits for the answer, so senders who stop halfway hold a thread each, and so do
callers of a destination that hangs. Here one event loop waits for all of them, which costs memory only. That is
bounded: `arrivals` for bodies on their way, BODY_SECONDS for each, MAX_WAITING and MAX_WAITING_BYTES for callers.
"""

import asyncio
import io
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope

from connectors import formats
from integration_platform.arrivals import Allowance, Allowing, Arrival, Room, Rooms
from messages.addresses import network_of
from messages.bodies import REFUSED, UNREAD, WANTED
from messages.problems import CONTENT_TYPE, Problem
from messages.request_ids import HEADER, usable
from messages.waiting import ARRIVED, ROOM, WAITED, WAITING, Waiting

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = tuple[int, list[tuple[str, str]], bytes]

MAX_WAITING = 8192  # callers of a process who wait for the end of a message, fewer than it has connections …
MAX_WAITING_BYTES = 256 * 1024 * 1024  # … and what they have sent
NOT_HTTP = {"content-type", "content-length", "transfer-encoding"}  # environ knows the first two by other names
SEPARATORS = {"cookie": "; "}
LIVE = "/health/live"
WEBHOOKS = "/webhooks/"
ALIVE = b'{"status": "ok"}'


class Door:
    """An RSGI application around a WSGI one, which runs in `threads` threads and finds each body whole.

    A body that is announced larger than its allowance is not read; of a chunked one only so much that this is known,
    and the application is told a length that is larger than any limit. What is refused here, as a problem document:
    408 for a body that takes longer than `seconds`, 400 for one that breaks off, 503 where there is no room for it.
    """

    def __init__(self, application: Wsgi, *, threads: int, allowing: Allowing, seconds: float) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, "web")
        self._allowing = allowing
        self._seconds = seconds
        self._rooms = Rooms()
        self._waiting = Room(MAX_WAITING)
        self._waiting_bytes = Room(MAX_WAITING_BYTES)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.proto != "http":
            protocol.close(404)  # type: ignore[attr-defined] # a websocket's
        elif _asks_whether_alive(scope):
            headers = [("Content-Type", formats.JSON), (HEADER, usable(scope.headers.get("x-request-id") or ""))]
            protocol.response_bytes(200, headers, ALIVE)
        else:
            try:
                answer = await self._answered(environ_of(scope), protocol)
            except Problem as problem:
                answer = answer_of(problem, usable(scope.headers.get("x-request-id") or ""))
            protocol.response_bytes(*answer)

    async def _answered(self, environ: Environ, protocol: HTTPProtocol) -> Answer:
        try:
            answer, called, size = await self._with_body(environ, protocol, self._allowing(environ))
            if called.get(WANTED):  # what was known here of the configuration is out of date; the call has seen to that
                answer, called, size = await self._with_body(environ, protocol, self._allowing(environ))
        except Problem as problem:
            if problem.status >= 500 or not environ["PATH_INFO"].startswith(WEBHOOKS):
                raise
            answer, _ = await self._in_a_thread({**environ, REFUSED: problem, "wsgi.input": io.BytesIO()})
            return answer
        waiting: Waiting | None = called.get(WAITING)
        return answer if waiting is None else await self._later(environ, waiting, answer, size)

    async def _with_body(
        self, environ: Environ, protocol: HTTPProtocol, allowed: Allowance
    ) -> tuple[Answer, Environ, int]:
        """The application's answer, the environ that it has left, and the size of the body that it got."""
        announced = environ.get("CONTENT_LENGTH", "")
        is_chunked = "platform.chunked" in environ
        with self._rooms.arrival(environ, known=allowed.known) as arrival:
            body = b""
            seen: Environ = {}
            if is_chunked and allowed.limit:
                body = await self._collect(protocol, arrival, None, allowed.limit)
                if len(body) > allowed.limit:  # nobody may take its beginning for the whole, whatever limit he knows
                    body = b""
                    environ = {name: value for name, value in environ.items() if name != "platform.chunked"}
                    seen |= {"CONTENT_LENGTH": str(settings.MAX_BODY_BYTES + 1), UNREAD: True}
                else:
                    seen["CONTENT_LENGTH"] = str(len(body))
            elif announced.isdecimal() and 0 < int(announced) <= allowed.limit:
                body = await self._collect(protocol, arrival, int(announced), allowed.limit)
            elif is_chunked or announced not in ("", "0"):
                seen[UNREAD] = True
            seen |= {"wsgi.input": io.BytesIO(body), ARRIVED: time.monotonic()}
            seen[ROOM] = self._takes_to_wait(environ, len(body))
            answer, called = await self._in_a_thread({**environ, **seen})
            return answer, called, len(body)

    def _takes_to_wait(self, environ: Environ, size: int) -> bool:
        share = network_of(environ)
        return self._waiting.has(share, 1) and self._waiting_bytes.has(share, size)

    async def _later(self, environ: Environ, waiting: Waiting, first: Answer, size: int) -> Answer:
        """Waits without a thread; then the application says what came of it."""
        share = network_of(environ)
        end = asyncio.wrap_future(waiting.end)
        self._waiting.add(share, 1)
        self._waiting_bytes.add(share, size)
        try:
            await asyncio.wait([end], timeout=max(0.0, waiting.deadline - time.monotonic()))
        finally:
            end.cancel()
            self._waiting.give_back(share, 1)
            self._waiting_bytes.give_back(share, size)
        (status, headers, body), _ = await self._in_a_thread({**environ, WAITED: waiting, "wsgi.input": io.BytesIO()})
        told = {name.lower() for name, _ in headers}
        return status, [*headers, *(line for line in first[1] if line[0].lower() not in told)], body

    async def _collect(self, protocol: HTTPProtocol, arrival: Arrival, announced: int | None, limit: int) -> bytes:
        """`announced` is None for a chunked body."""
        pieces: list[bytes] = []
        ends = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in protocol:
                    ends += not piece
                    pieces.append(piece)
                    arrival.grow(len(piece))
                    if arrival.size > limit:
                        break
        except TimeoutError:
            raise Problem("request-timeout", f"The body did not arrive within {self._seconds:g} s.") from None
        except ProtocolClosed:
            ends = 2
        # granian ends each body with one empty piece, and puts another one in the place of what cannot be read
        if ends > 1 or (announced is not None and arrival.size < announced):
            raise Problem("malformed-body", "The body broke off before its end.")
        return b"".join(pieces)

    async def _in_a_thread(self, environ: Environ) -> tuple[Answer, Environ]:
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, environ)
        return answer, environ

    def _call(self, environ: Environ) -> Answer:
        """In a thread: all that a request does with the database happens in one."""
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            started.append((int(status[:3]), headers))

        answer = self._application(environ, start_response)
        try:
            body = b"".join(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        return (*started[-1], body)


def _asks_whether_alive(scope: Scope) -> bool:
    """Answered by the loop itself, however busy the threads are; whatever is unusual about it goes to Django."""
    if scope.path.removesuffix("/") != LIVE or scope.method not in ("GET", "HEAD"):
        return False
    domain, _ = split_domain_port(scope.headers.get("host") or scope.authority or "")
    return validate_host(domain, settings.ALLOWED_HOSTS)


def environ_of(scope: Scope) -> Environ:
    """The WSGI environ, but for its body. `platform.chunked` says that a body without a length comes.

    Names with an underscore are dropped: they would pass for those with a hyphen (`X_Forwarded_For`). What granian
    cannot hand over, since it holds letters beyond ASCII, is there and empty, so that nobody takes it for not sent.
    Raises the 400 problem where Content-Type was sent twice.
    """
    server, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    lines = scope.headers.items()
    unreadable = set(scope.headers.keys()).difference(name for name, _ in lines)
    for name, value in [*lines, *((name, "") for name in unreadable)]:
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if name == "transfer-encoding":
            environ["platform.chunked"] = True
        elif name == "content-type" and key in environ:
            raise Problem("malformed-header", "Content-Type was sent twice.")
        elif name in NOT_HTTP:
            environ[key] = value
        elif f"HTTP_{key}" in environ:
            environ[f"HTTP_{key}"] += SEPARATORS.get(name, ",") + value
        else:
            environ[f"HTTP_{key}"] = value
    if scope.authority and "HTTP_HOST" not in environ:  # HTTP/2 has it instead
        environ["HTTP_HOST"] = scope.authority
    return environ


def answer_of(problem: Problem, request_id: str) -> Answer:
    body = formats.dump(problem.document())
    return problem.status, [("Content-Type", CONTENT_TYPE), (HEADER, request_id), *problem.headers.items()], body
