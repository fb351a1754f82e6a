"""The only door to the network: `Transport.send`.

Decided here and nowhere else: which addresses are called (resolved once, checked, and the checked one is connected
to), that redirects and proxies are not followed, how long a call may take from name look-up to the last byte, and
how much of an answer is read. Nothing in this module knows the database.
"""

import heapq
import ipaddress
import os
import socket
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connectors.headers import FORBIDDEN_IN_VALUE
from connectors.networks import AllowedNetworks, refusal

CONNECT_TIMEOUT_SECONDS = 5.0
MAX_RESPONSE_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
USER_AGENT = "integration-platform"


class Kind(StrEnum):
    """Why a call failed without an answer."""

    ADDRESS_REFUSED = "address-refused"  # the address may not be called
    INVALID_REQUEST = "invalid-request"  # the URL or a header cannot be sent
    NAME_NOT_RESOLVED = "name-not-resolved"
    CONNECT_FAILED = "connect-failed"
    TLS_FAILED = "tls-failed"
    TIMEOUT = "timeout"  # the deadline of the call passed
    CONNECTION_LOST = "connection-lost"  # it broke after the request went out
    INVALID_RESPONSE = "invalid-response"  # what came back is not HTTP


class TransportError(Exception):
    """A call without an answer. `permanent`: trying again cannot help. `sent`: the destination may have got it."""

    def __init__(self, kind: Kind, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.sent = sent
        self.permanent = kind in (Kind.ADDRESS_REFUSED, Kind.INVALID_REQUEST)


@dataclass(frozen=True, slots=True)
class NoAuth:
    def headers(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class BearerAuth:
    token: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """RFC 7617, with UTF-8."""

    username: str
    password: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {b64encode(f'{self.username}:{self.password}'.encode()).decode()}"}


@dataclass(frozen=True, slots=True)
class ApiKeyAuth:
    header: str
    key: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {self.header: self.key}


Auth = NoAuth | BearerAuth | BasicAuth | ApiKeyAuth


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One call. `deadline_seconds` is for all of it, from name look-up to the last byte."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    deadline_seconds: float
    auth: Auth = NoAuth()  # noqa: RUF009 - immutable

    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """All headers but those of the framing, auth included; redact them before they are kept."""
        named = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"})
        named.update(dict(self.headers))
        named.update(self.auth.headers())
        return tuple(named.items())


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """What came back; `body` is decoded, at most MAX_RESPONSE_BYTES, `truncated` says whether there was more."""

    status_code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Transport:
    """Sends requests from many threads over kept-alive connections. Made again by itself after a fork."""

    def __init__(self, *, allowed: AllowedNetworks, pool_size: int = 64) -> None:
        self._allowed = allowed
        self._pool_size = pool_size
        self._lock = threading.Lock()
        self._pid = 0

    def send(self, request: OutboundRequest) -> OutboundResponse:
        """Raises TransportError; an answer with any status is a response."""
        self._start()
        call = _Call(time.monotonic() + request.deadline_seconds)
        try:
            prepared = _prepare(request)
            address = self._address(urlsplit(prepared.url or ""), call)
        except requests.RequestException as error:
            raise TransportError(Kind.INVALID_REQUEST, f"The request cannot be sent: {error}", sent=False) from None
        prepared.address = address  # type: ignore[attr-defined]
        self._watchdog.watch(call)
        _current.call = call
        try:
            try:
                return self._exchange(prepared, call)
            except _ClosedWhileIdle:
                # the server closed a kept-alive connection just as we used it: nothing of an answer came, and the
                # destination knows repeats by their idempotency key, so one fresh connection is tried
                return self._exchange(prepared, call)
        finally:
            call.finished = True
            _current.call = None

    def _start(self) -> None:
        """Threads and connections do not survive a fork."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._adapter = _Adapter(self._pool_size)
                self._watchdog = _Watchdog()
                self._resolver = ThreadPoolExecutor(8, thread_name_prefix="resolver")
                self._pid = os.getpid()

    def _address(self, parts: Any, call: "_Call") -> str:
        """The checked address to connect to. The first one that may be called wins; if none may, the call is refused."""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        reasons = []
        for address in self._resolve(parts.hostname, port, call):
            reason = refusal(address, port, self._allowed)
            if reason is None:
                return str(address)
            reasons.append(reason)
        raise TransportError(Kind.ADDRESS_REFUSED, f"The address is not allowed: {'; '.join(reasons)}.", sent=False)

    def _resolve(self, host: str, port: int, call: "_Call") -> list[Any]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        look_up = self._resolver.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = look_up.result(timeout=call.remaining())
        except FutureTimeoutError:
            raise TransportError(Kind.TIMEOUT, f"The name {host} was not resolved in time.", sent=False) from None
        except (OSError, UnicodeError):
            raise TransportError(Kind.NAME_NOT_RESOLVED, f"The name {host} cannot be resolved.", sent=False) from None
        # a zone (fe80::1%eth0) is link-local and refused anyway; without it the address can be judged
        return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))

    def _exchange(self, prepared: requests.PreparedRequest, call: "_Call") -> OutboundResponse:
        remaining = max(call.remaining(), 0.001)
        timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), remaining)
        response = None
        try:
            response = self._adapter.send(prepared, stream=True, timeout=timeout, verify=True)
            call.answered = True
            return _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if call.stale and not call.answered and call.remaining() > 0:
                call.stale = False
                raise _ClosedWhileIdle from None
            raise _explained(error, call) from None
        finally:
            if response is not None:
                response.close()


class _ClosedWhileIdle(Exception):  # noqa: N818 - a signal between two functions here
    """A reused connection broke before anything came back."""


@dataclass(slots=True)
class _Call:
    """A call on its way, as the watchdog and the connection see it."""

    deadline: float
    sock: socket.socket | None = None
    connected: bool = False
    stale: bool = False  # it went out on a reused connection
    sent: bool = False
    answered: bool = False
    finished: bool = False

    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    def expire(self) -> None:
        """Wakes the thread that reads or writes. Below TLS, since an SSLSocket must not be touched by two threads."""
        sock = self.sock
        if sock is not None and not self.finished:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass


class _Current(threading.local):
    call: _Call | None = None


_current = _Current()


class _Watchdog:
    """Ends calls at their deadline: socket time-outs hold for one read each, and a server may drip for ever."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Call]] = []
        self._condition = threading.Condition()
        threading.Thread(target=self._run, name="transport-watchdog", daemon=True).start()

    def watch(self, call: _Call) -> None:
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


class _Watched:
    """Tells the call of this thread which socket it uses."""

    sock: Any

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _current.call is not None:
            _current.call.sock = sock
        return sock

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if _current.call is not None:
            _current.call.sock, _current.call.connected = self.sock, True

    def request(self, *args: Any, **kwargs: Any) -> None:
        call = _current.call
        if call is not None:
            call.stale = self.sock is not None
            call.sock = self.sock
            call.connected = self.sock is not None
            call.sent = call.sent or call.connected
        super().request(*args, **kwargs)  # type: ignore[misc]
        if call is not None:
            call.sent = True


class _HTTPConnection(_Watched, HTTPConnection):
    pass


class _HTTPSConnection(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    """Connects to the checked address, while certificate and SNI are those of the name in the URL."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_connections=256, pool_maxsize=pool_size)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host_params, pool_kwargs = super().build_connection_pool_key_attributes(request, verify, cert)
        if host_params["scheme"] == "https":
            pool_kwargs["assert_hostname"] = host_params["host"]
            pool_kwargs["server_hostname"] = host_params["host"]
        address = request.address
        host_params["host"] = f"[{address}]" if ":" in address else address
        return host_params, pool_kwargs


@lru_cache(maxsize=1024)
def _checked_url(url: str) -> tuple[str, str]:
    """The URL as it is sent, and its Host header. Raises requests.RequestException."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    parts = urlsplit(prepared.url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise requests.exceptions.InvalidURL("only http and https addresses without a user name can be called")
    return prepared.url or "", parts.netloc


def _prepare(request: OutboundRequest) -> requests.PreparedRequest:
    """By hand: the sessions of `requests` add cookies, proxies and environment, none of which is wanted here."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url, host = _checked_url(request.url)
    headers = CaseInsensitiveDict(request.sent_headers())
    for name, value in headers.items():
        if FORBIDDEN_IN_VALUE.search(value):
            raise requests.exceptions.InvalidHeader(f"the header {name} holds a control character")
    headers["Host"] = host
    if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(request.body or b""))
    prepared.headers = headers
    prepared.body = request.body
    return prepared


def _read(response: requests.Response) -> OutboundResponse:
    """Reads decoded bytes up to the limit: a compressed bomb ends there, too."""
    chunks, size = [], 0
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            break
    body = b"".join(chunks)
    return OutboundResponse(
        status_code=response.status_code,
        headers=tuple(response.raw.headers.items()),
        body=body[:MAX_RESPONSE_BYTES],
        truncated=size > MAX_RESPONSE_BYTES,
    )


def _explained(error: Exception, call: _Call) -> TransportError:
    """Which kind of failure this was, in words that hold no secret: never the library's own text."""
    if call.remaining() <= 0.01 or isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return TransportError(Kind.TIMEOUT, "The destination did not answer in time.", sent=call.sent)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return TransportError(Kind.TLS_FAILED, f"No secure connection: {_reason(error)}.", sent=call.sent)
    if isinstance(error, requests.ConnectTimeout):
        return TransportError(Kind.CONNECT_FAILED, "The destination did not take the connection in time.", sent=False)
    if isinstance(error, requests.exceptions.InvalidHeader | UnicodeError):
        return TransportError(Kind.INVALID_REQUEST, "The request has a header that cannot be sent.", sent=False)
    if not call.connected:
        return TransportError(Kind.CONNECT_FAILED, f"No connection to the destination: {_reason(error)}.", sent=False)
    if call.answered or _is_not_http(error):
        return TransportError(Kind.INVALID_RESPONSE, "The answer broke off or is not HTTP.", sent=True)
    return TransportError(Kind.CONNECTION_LOST, "The destination closed the connection without an answer.", sent=call.sent)


def _reason(error: BaseException) -> str:
    """The operating system's words at the bottom of a chain of exceptions."""
    cause: Any = error
    for _ in range(8):
        inner = getattr(cause, "reason", None) or cause.__cause__ or (cause.args[0] if cause.args else None)
        if not isinstance(inner, BaseException):
            break
        cause = inner
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause.__cause__ or cause).partition("object at")[0][:200]


def _is_not_http(error: BaseException) -> bool:
    return any(word in repr(error) for word in ("BadStatusLine", "LineTooLong", "HeaderParsing", "UnknownProtocol", "InvalidChunk"))
