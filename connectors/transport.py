"""The only door to the network: `Transport.send`.

Decided here and nowhere else: which addresses are called (resolved once, checked, and the checked one is connected
to), that redirects and proxies are not followed, how long a call may take from name look-up to the last byte, and
how much of an answer is read. Nothing in this module knows the database.
"""

import contextlib
import http.client
import ipaddress
import os
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict
from urllib3.util.ssl_match_hostname import CertificateError

from connectors.connections import Adapter, Call, Resolver, Watchdog, current
from connectors.headers import TOKEN, check_header
from connectors.networks import AllowedNetworks, refusal

CONNECT_TIMEOUT_SECONDS = 5.0  # for all of a name's addresses together, TLS included
MAX_RESPONSE_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
USUAL_HEADERS = (("User-Agent", "integration-platform"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"))


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
    AUTH_FAILED = "auth-failed"  # there is no proof of who we are, for now
    AUTH_REFUSED = "auth-refused"  # there is none, and there will be none before somebody acts


class TransportError(Exception):
    """A call without an answer. `permanent`: trying again cannot help. `sent`: the destination may have got it."""

    def __init__(self, kind: Kind, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.sent = sent
        self.permanent = kind in (Kind.ADDRESS_REFUSED, Kind.INVALID_REQUEST, Kind.AUTH_REFUSED)


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One call. `deadline_seconds` is for all of it, from name look-up to the last byte.

    `id` is the message's own name, the same at every attempt, for whoever signs it.
    """

    method: str
    url: str = field(repr=False)
    """May hold a key in its query, as headers may hold secrets."""
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)
    deadline_seconds: float
    id: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """In place of the usual one, for https."""

    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """All headers but those of the framing; redact them before they are kept."""
        return tuple({name.lower(): (name, value) for name, value in (*USUAL_HEADERS, *self.headers)}.values())

    def with_headers(self, *headers: tuple[str, str]) -> "OutboundRequest":
        """These replace what has their names."""
        return replace(self, headers=(*self.headers, *headers))


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
        call = Call(time.monotonic() + request.deadline_seconds)
        target, prepared = _prepare(request)
        addresses = self._addresses(target, call)
        self._watchdog.watch(call)
        current.call = call
        try:
            return self._first_to_connect(prepared, addresses, call)
        finally:
            call.finish()
            current.call = None

    def _start(self) -> None:
        """Threads and connections do not survive a fork."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._adapter = Adapter(self._pool_size)
                self._watchdog = Watchdog()
                self._resolver = Resolver()
                self._pid = os.getpid()

    def _addresses(self, target: "Target", call: "Call") -> list[str]:
        """The checked addresses that may be called; if none may, the call is refused."""
        allowed, reasons = [], []
        for address in self._resolve(target, call):
            reason = refusal(address, target.port, self._allowed)
            if reason is None:
                allowed.append(str(address))
            else:
                reasons.append(reason)
        if not allowed:
            raise TransportError(Kind.ADDRESS_REFUSED, f"The address is not allowed: {'; '.join(reasons)}.", sent=False)
        return allowed

    def _resolve(self, target: "Target", call: "Call") -> list[Any]:
        host = target.hostname
        # a zone (fe80::1%eth0) only chooses among link-local networks; without it the address can be judged
        with contextlib.suppress(ValueError):
            return [ipaddress.ip_address(host.partition("%")[0])]
        try:
            found = self._resolver.look_up(host, target.port, timeout=call.remaining())
        except FutureTimeoutError:
            raise TransportError(Kind.TIMEOUT, f"The name {host} was not resolved in time.", sent=False) from None
        except (OSError, ValueError):  # ValueError: not a name at all
            raise TransportError(Kind.NAME_NOT_RESOLVED, f"The name {host} cannot be resolved.", sent=False) from None
        return list(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in found))

    def _first_to_connect(
        self, prepared: requests.PreparedRequest, addresses: list[str], call: "Call"
    ) -> OutboundResponse:
        """A name may have addresses that nobody answers at (localhost by IPv6, say): they share the time to connect."""
        connect_until = time.monotonic() + min(CONNECT_TIMEOUT_SECONDS, call.remaining())
        for left in range(len(addresses), 0, -1):
            now = time.monotonic()
            call.connect_until = now + (connect_until - now) / left
            prepared.address = addresses[-left]  # type: ignore[attr-defined]
            try:
                return self._exchange(prepared, call)
            except TransportError as error:
                if left == 1 or error.kind is not Kind.CONNECT_FAILED:
                    raise
        raise AssertionError("there is at least one address")

    def _exchange(self, prepared: requests.PreparedRequest, call: "Call") -> OutboundResponse:
        """Again on a fresh connection where the server had closed a kept-alive one just before we used it.

        Only if its system has not taken a byte of the request (RFC 9112, section 9.3.1, wants to know that it was
        never worked on): nobody has seen it then, and one call stays one request to the destination.
        """
        try:
            return self._attempt(prepared, call)
        except _ClosedWhileIdle:
            call.begin_anew()
            return self._attempt(prepared, call)

    def _attempt(self, prepared: requests.PreparedRequest, call: "Call") -> OutboundResponse:
        connecting = max(call.connect_until - time.monotonic(), 0.001)
        timeout = (connecting, max(call.remaining(), 0.001))
        response = None
        try:
            response = self._adapter.send(prepared, stream=True, timeout=timeout, verify=True)
            answer = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if call.reused and call.untaken and _closed(error):
                raise _ClosedWhileIdle from None
            raise _explained(error, call) from None
        finally:
            if response is not None:
                response.close()
        if call.expired:  # a body without a length ends where the connection does, also when it was us who cut it
            raise _explained(TimeoutError(), call)
        return answer


class _ClosedWhileIdle(Exception):
    """A reused connection broke before anything of the request arrived."""


# with these the other side refuses our certificate, or that there is none (RFC 8446, section 6.2), in OpenSSL's words
CERTIFICATE_ALERTS = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED"}
    | {f"TLSV1_ALERT_{name}" for name in ("UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")}
    | {f"SSLV3_ALERT_{name}" for name in ("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "HANDSHAKE_FAILURE")}
    | {f"SSLV3_ALERT_CERTIFICATE_{name}" for name in ("REVOKED", "EXPIRED", "UNKNOWN")}
)
# what a connection raises that the other side has closed
CLOSED = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that can be called, as it is sent, and the value of its Host header."""

    url: str
    host_header: str
    hostname: str
    port: int


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target | None:
    """None where the URL cannot be called; the reason would repeat the URL, which may hold a secret."""
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(url, None)
        parts = urlsplit(prepared.url or "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # all that requests raises here is a ValueError, too
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return Target(prepared.url or "", parts.netloc, parts.hostname, port)


def _prepare(request: OutboundRequest) -> tuple[Target, requests.PreparedRequest]:
    """By hand: the sessions of `requests` add cookies, proxies and environment, none of which is wanted here."""
    target = target_of(request.url)
    if target is None:
        raise _invalid("Only http and https addresses without a user name can be called.")
    if not TOKEN.match(request.method):
        raise _invalid("This is not a method.")
    headers = CaseInsensitiveDict(request.sent_headers())
    for name, value in headers.items():
        if problem := check_header(name, value):
            raise _invalid(f"The header {name!r} cannot be sent: {problem}")
    headers["Host"] = target.host_header
    if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(request.body or b""))
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = target.url
    prepared.headers = headers
    prepared.body = request.body
    prepared.tls = request.tls  # type: ignore[attr-defined]
    return target, prepared


def _invalid(detail: str) -> TransportError:
    return TransportError(Kind.INVALID_REQUEST, detail, sent=False)


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


def _explained(error: Exception, call: Call) -> TransportError:
    """Which kind of failure this was, in words that hold no secret: never the library's own text."""
    sent = call.sent_at is not None
    if call.expired or call.remaining() <= 0.01:
        return TransportError(Kind.TIMEOUT, "The destination did not answer in time.", sent=sent)
    refused_by_tls = any(isinstance(cause, ssl.SSLError | CertificateError) for cause in _causes(error))
    if refused_by_tls and not call.answering and not _closed(error):
        # in TLS 1.3 the request goes out before the other side has judged our certificate; it reads none of it then
        sent = sent and (call.reused or not _refuses_certificate(error))
        return TransportError(Kind.TLS_FAILED, f"No secure connection: {_reason(error)}.", sent=sent)
    if not call.connected:
        return TransportError(Kind.CONNECT_FAILED, f"No connection to the destination: {_reason(error)}.", sent=False)
    if call.answering:
        return TransportError(Kind.INVALID_RESPONSE, "The answer broke off or is not HTTP.", sent=True)
    detail = "The destination closed the connection without an answer."
    if call.judges_late and not call.reused:
        detail += " It may want a client certificate, or another one."
    return TransportError(Kind.CONNECTION_LOST, detail, sent=sent)


def _refuses_certificate(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLError) and cause.reason in CERTIFICATE_ALERTS for cause in _causes(error))


def _closed(error: BaseException) -> bool:
    return any(isinstance(cause, CLOSED) for cause in _causes(error))


def _reason(error: BaseException) -> str:
    """The words of the operating system or of OpenSSL at the bottom of a chain of exceptions."""
    for cause in reversed(list(_causes(error))):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, CertificateError):
            return "the certificate is for another name"
        if isinstance(cause, TimeoutError | urllib3.exceptions.ConnectTimeoutError):
            return "it was not taken in time"
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.replace("_", " ").lower()
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "it failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it was made from; requests and urllib3 keep them in three different places."""
    cause: Any = error
    for _ in range(8):
        yield cause
        inside = (getattr(cause, "reason", None), cause.__cause__, *cause.args)
        cause = next((inner for inner in inside if isinstance(inner, BaseException)), None)
        if cause is None:
            return
