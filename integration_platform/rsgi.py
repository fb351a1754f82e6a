"""The application as granian serves it: a request's body is collected before a thread takes the request.

Under WSGI a thread reads the body, so senders who stop halfway hold a thread each. Here one event loop waits for all of
them, and a request without its body costs memory only, which is bounded: MAX_COLLECTED for all together, BODY_SECONDS
for each.
"""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope

from connectors import formats
from integration_platform.wsgi import application as wsgi_application
from messages.problems import CONTENT_TYPE, RETRY_AFTER_UNREACHABLE, Problem

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = tuple[int, list[tuple[str, str]], bytes]

MAX_COLLECTED = 256 * 1024 * 1024
NOT_HTTP = {"content-type", "content-length", "transfer-encoding"}  # environ knows the first two by other names
SEPARATORS = {"cookie": "; "}


class Collecting:
    """An RSGI application around a WSGI one, which runs in `threads` threads and finds each body whole.

    A body that is announced larger than `limit` bytes is not read; of a chunked one, `limit` + 1 bytes are. What is
    refused here, as a problem document: 408 for a body that takes longer than `seconds`, 400 for one that breaks off,
    503 where the bodies being collected have MAX_COLLECTED bytes.
    """

    def __init__(self, application: Wsgi, *, threads: int, limit: int, seconds: float) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, "web")
        self._limit = limit
        self._seconds = seconds
        self._collected = 0  # bytes; touched by the event loop alone

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.proto != "http":
            protocol.close(404)  # type: ignore[attr-defined] # a websocket's
            return
        environ = environ_of(scope)
        announced = environ.get("CONTENT_LENGTH", "")
        reserved = [0]
        try:
            if environ.pop("platform.chunked", False):
                body = await self._collect(protocol, reserved, None)
                environ["CONTENT_LENGTH"] = str(len(body))
            elif announced.isdecimal() and 0 < int(announced) <= self._limit:
                body = await self._collect(protocol, reserved, int(announced))
            else:
                body = b""
            environ["wsgi.input"] = io.BytesIO(body)
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, environ)
        except Problem as problem:
            answer = answer_of(problem)
        finally:
            self._collected -= reserved[0]
        protocol.response_bytes(*answer)

    async def _collect(self, protocol: HTTPProtocol, reserved: list[int], announced: int | None) -> bytes:
        """`announced` is None for a chunked body. `reserved` says afterwards how much it added to what is collected."""
        pieces: list[bytes] = []
        ends = size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in protocol:
                    ends += not piece
                    size += len(piece)
                    pieces.append(piece)
                    self._reserve(len(piece), reserved)
                    if size > self._limit:
                        break
        except TimeoutError:
            raise Problem("request-timeout", f"The body did not arrive within {self._seconds:g} s.") from None
        except ProtocolClosed:
            ends = 2
        # granian ends each body with one empty piece, and puts another one in the place of what cannot be read
        if ends > 1 or (announced is not None and size < announced):
            raise Problem("malformed-body", "The body broke off before its end.")
        return b"".join(pieces)

    def _reserve(self, count: int, reserved: list[int]) -> None:
        if self._collected + count > MAX_COLLECTED:
            detail = "Too many bodies are arriving at once. Try again."
            raise Problem("unavailable", detail, headers={"Retry-After": RETRY_AFTER_UNREACHABLE})
        self._collected += count
        reserved[0] += count

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


def environ_of(scope: Scope) -> Environ:
    """The WSGI environ, but for its body. `platform.chunked` says that a body without a length comes.

    Names with an underscore are dropped: they would pass for those with a hyphen (`X_Forwarded_For`).
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
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if name == "transfer-encoding":
            environ["platform.chunked"] = True
        elif name in NOT_HTTP:
            environ[key] = value
        elif f"HTTP_{key}" in environ:
            environ[f"HTTP_{key}"] += SEPARATORS.get(name, ",") + value
        else:
            environ[f"HTTP_{key}"] = value
    if scope.authority and "HTTP_HOST" not in environ:  # HTTP/2 has it instead
        environ["HTTP_HOST"] = scope.authority
    return environ


def answer_of(problem: Problem) -> Answer:
    body = formats.dump(problem.document())
    return problem.status, [("Content-Type", CONTENT_TYPE), *problem.headers.items()], body


application = Collecting(
    wsgi_application, threads=settings.WEB_THREADS, limit=settings.MAX_BODY_BYTES, seconds=settings.BODY_SECONDS
)
