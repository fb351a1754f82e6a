"""The connections of the transport: each call's deadline, the sockets that it cuts, and the addresses of names.

Nothing here decides what is called or what a failure means; `transport.py` does.
"""

import contextlib
import errno
import heapq
import http.client
import logging
import os
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import requests
from requests import adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

# it writes whole addresses into its lines, and an address may hold a key or a person's data
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

IDLE_SECONDS = 3.0  # so long a connection is kept for the next call; common servers close theirs after five
TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)  # where the system has it
BYTES_ACKED = struct.Struct("@Q")  # tcpi_bytes_acked of Linux's struct tcp_info, since 4.1
BYTES_ACKED_OFFSET = 120


@dataclass(slots=True)
class Call:
    """A call on its way, as the watchdog and the connection see it."""

    deadline: float
    connect_until: float = 0.0
    fresh: bool = False  # it must not use a kept-alive connection
    reused: bool = False  # it uses one
    connected: bool = False
    sent_at: float | None = None  # when the first byte may have gone out
    untaken: bool = False  # the connection broke before the other system had acknowledged a byte
    answering: bool = False  # the first byte of an answer came
    judges_late: bool = False  # by TLS 1.3, where our certificate is judged after the request may have gone out
    expired: bool = False  # the deadline passed before the end
    _sock: socket.socket | None = None
    _acked: int | None = None  # by the other system before this request
    _finished: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    def use(self, sock: socket.socket, *, reused: bool) -> None:
        """From now on the deadline cuts `sock`. Raises TimeoutError if it has passed."""
        with self._lock:
            self._sock, self.reused, self.connected = sock, reused, True
            self.judges_late = isinstance(sock, ssl.SSLSocket) and sock.version() == "TLSv1.3"
            self._acked = acknowledged(sock)
            if self.expired or self.remaining() <= 0:
                raise TimeoutError
        self.sent_at = time.monotonic()

    def begin_anew(self) -> None:
        """On a fresh connection, since nothing of the request has arrived by the kept-alive one: nothing was sent."""
        with self._lock:
            self.fresh, self._sock, self.sent_at = True, None, None
            self.reused = self.connected = self.untaken = False

    def broke(self) -> None:
        """To be called while the socket is still open."""
        with self._lock:
            if self._sock is not None and not self.expired and not self.answering:
                self.untaken = self._acked is not None and acknowledged(self._sock) == self._acked

    def finish(self) -> None:
        """From now on the deadline cuts nothing: the connection may belong to another call in a moment."""
        with self._lock:
            self._finished, self._sock = True, None

    @property
    def finished(self) -> bool:
        return self._finished

    def expire(self) -> None:
        """Wakes the thread that reads or writes. Below TLS, since an SSLSocket must not be touched by two threads."""
        with self._lock:
            if self._finished:
                return
            self.expired = True
            if self._sock is not None:
                with contextlib.suppress(OSError):  # it may have been closed just now
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def acknowledged(sock: socket.socket) -> int | None:
    """Bytes that the system at the other end has taken in the life of the connection; None where it cannot be known."""
    if TCP_INFO is None:
        return None
    with contextlib.suppress(OSError, struct.error):
        info = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, BYTES_ACKED_OFFSET + BYTES_ACKED.size)
        return int(BYTES_ACKED.unpack_from(info, BYTES_ACKED_OFFSET)[0])
    return None


class Current(threading.local):
    call: Call | None = None


current = Current()


class Watchdog:
    """Ends calls at their deadline: socket time-outs hold for one read each, and a server may drip for ever."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Call]] = []
        self._condition = threading.Condition()
        threading.Thread(target=self._run, name="transport-watchdog", daemon=True).start()

    def watch(self, call: Call) -> None:
        with self._condition:
            heapq.heappush(self._heap, (call.deadline, id(call), call))
            if self._heap[0][2] is call:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._heap and (self._heap[0][2].finished or self._heap[0][0] <= time.monotonic()):
                    heapq.heappop(self._heap)[2].expire()
                self._condition.wait(self._heap[0][0] - time.monotonic() if self._heap else None)


class Resolver:
    """Looks names up, each in a thread that all who ask for it meanwhile wait for.

    getaddrinfo has no time-out: a name whose servers are silent must hold up neither other names nor the end of the
    process. So there are as many threads as names were ever looked up at the same time, and they are daemons.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[str]]] = {}
        self._jobs: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._idle = 0

    def look_up(self, host: str, port: int, *, timeout: float) -> list[str]:
        """Addresses in the system's order. Raises OSError, ValueError, concurrent.futures.TimeoutError."""
        with self._lock:
            future = self._running.get((host, port))
            if future is None:
                if self._idle:
                    self._idle -= 1
                else:
                    threading.Thread(target=self._work, name="resolver", daemon=True).start()
                future = self._running[host, port] = Future()
                self._jobs.put((host, port))
        return future.result(timeout)

    def _work(self) -> None:
        while True:
            host, port = self._jobs.get()
            outcome = _addresses_of(host, port)
            with self._lock:
                future = self._running.pop((host, port))
                self._idle += 1
            if isinstance(outcome, list):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)


def _addresses_of(host: str, port: int) -> list[str] | OSError | ValueError:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, ValueError) as error:  # ValueError: not a name at all
        return error


class _Head:
    """Reads the head for http.client, which takes one that breaks off for a whole one."""

    def __init__(self, fp: Any) -> None:
        self._fp = fp
        self.whole = True

    def readline(self, limit: int = -1) -> bytes:
        line = b""
        try:
            line = self._fp.readline(limit)
        finally:
            if current.call is not None:
                current.call.answering |= bool(line)
                if not line:
                    current.call.broke()
        self.whole = line.endswith(b"\n")
        return line

    def close(self) -> None:
        self._fp.close()


class _Response(http.client.HTTPResponse):
    fp: Any

    def begin(self) -> None:
        fp = self.fp
        self.fp = head = _Head(fp)
        try:
            super().begin()
        finally:
            if self.fp is not None:  # None: closed
                self.fp = fp
        # urllib3 refuses lengths that differ, too, but without closing the answer
        lengths = {length.strip() for line in self.headers.get_all("Content-Length", []) for length in line.split(",")}
        if not head.whole or len(lengths) > 1:
            raise http.client.IncompleteRead(b"")


class _Watched:
    """Tells the call of this thread which socket it uses, and keeps the time for connecting."""

    response_class = _Response
    sock: Any
    timeout: Any
    used: bool = False
    kept_since: float = 0.0

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        if current.call is not None:  # what TCP has left of the time is for TLS
            sock.settimeout(max(current.call.connect_until - time.monotonic(), 0.001))
        return sock

    def connect(self) -> None:
        self.used = False
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        if current.call is not None:
            current.call.use(self.sock, reused=self.used)
            self.timeout = max(current.call.remaining(), 0.001)  # to send it all; until here it was that of connecting
        self.used = True
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except OSError as error:
            if current.call is not None:
                current.call.broke()
            if isinstance(error, ssl.SSLEOFError):
                # what a plain connection raises: urllib3 reads what the other side said before it closed, be it an
                # early answer, or by TLS 1.3 that it refuses our certificate
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
            raise


class _HTTPConnection(_Watched, HTTPConnection):  # type: ignore[misc]
    pass


class _HTTPSConnection(_Watched, HTTPSConnection):  # type: ignore[misc]
    pass


class _Pool:
    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        fresh = current.call is not None and current.call.fresh
        if fresh or time.monotonic() - connection.kept_since > IDLE_SECONDS:
            connection.close()  # it connects again when it is used
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.kept_since = time.monotonic()
            if current.call is not None:
                current.call.finish()
        super()._put_conn(conn)  # type: ignore[misc]


class _HTTPPool(_Pool, HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class Adapter(adapters.HTTPAdapter):
    """Connects to the checked address, while certificate and SNI are those of the name in the URL."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_connections=256, pool_maxsize=pool_size)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """For all connections: left to itself, urllib3 reads all authorities anew for each, 25 to 50 ms of CPU."""
        context = create_urllib3_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(adapters.DEFAULT_CA_BUNDLE_PATH)
        return context

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        attributes: Any = super().build_connection_pool_key_attributes(request, verify, cert)
        host_params, pool_kwargs = attributes
        if host_params["scheme"] == "https":
            pool_kwargs.update(assert_hostname=host_params["host"], server_hostname=host_params["host"])
            pool_kwargs["ssl_context"] = request.tls or self._context
        address = request.address
        host_params["host"] = f"[{address}]" if ":" in address else address
        return host_params, pool_kwargs

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """There are no proxies."""
        host_params, pool_kwargs = self.build_connection_pool_key_attributes(request, verify, cert)
        return self.poolmanager.connection_from_host(**host_params, pool_kwargs=pool_kwargs)

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(request.path_url)

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """What is read of it: no cookies are kept, and nobody asks for text."""
        response = requests.Response()
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing is added to a context: it knows whom it trusts."""
