"""OAuth 2.0 client credentials (RFC 6749, section 4.4): a token is fetched, kept and renewed.

Written out, since it is one form and one JSON object, and the client libraries bring HTTP clients of their own: the
call for a token goes through the same transport as every call, under the same policy and the same deadline.
"""

import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from connectors import formats, retries
from connectors.auth.base import Auth, InvalidAuth, Parameter, Send
from connectors.auth.plain import basic
from connectors.headers import check_header
from connectors.transport import Kind, OutboundRequest, OutboundResponse, TransportError

USUAL_SECONDS = 300.0
"""How long a token is used whose server does not say how long it is good for."""
MARGIN_SECONDS = 60.0
"""So long before its end a token is renewed; of a short-lived one a fifth of its life."""
RESERVED = frozenset({"grant_type", "client_id", "client_secret", "scope", "audience"})
_ERROR = re.compile(r"[a-z_]{1,50}\Z")


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float
    """On the monotonic clock."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A token of one client of one token server, and how to get it."""

    identity: Hashable
    """The same after every change of the configuration, so that tokens outlive it."""
    fetch: "Callable[[float], _Token]"
    """Takes so many seconds at most. Raises TransportError."""


class _Tokens:
    """The tokens of this process. Threads that need the same one at the same time share one fetch, also its failure."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Neither a lock nor a fetch under way survives a fork."""
        self._lock = threading.Lock()
        self._held: dict[Any, _Token] = {}
        self._running: dict[Any, Future[_Token]] = {}

    def get(self, wanted: "_Wanted", *, deadline: float, not_this: str | None = None) -> str:
        """A token that is still good, and is not `not_this`. Raises TransportError.

        Whoever waited for a fetch that ended with the time of its own caller fetches anew: its time is not up.
        """
        while True:
            with self._lock:
                held = self._held.get(wanted.identity)
                if held is not None and held.value != not_this and time.monotonic() < held.renew_at:
                    return held.value
                running = self._running.get(wanted.identity)
                mine = running is None
                if running is None:
                    running = self._running[wanted.identity] = Future()
            if mine:
                self._fetch(wanted, running, deadline)
            try:
                return running.result(max(deadline - time.monotonic(), 0)).value
            except FutureTimeoutError:
                raise TransportError(Kind.TIMEOUT, "The token was not there in time.", sent=False) from None
            except TransportError as error:
                if mine or error.kind is not Kind.TIMEOUT or time.monotonic() >= deadline:
                    raise

    def _fetch(self, wanted: "_Wanted", running: "Future[_Token]", deadline: float) -> None:
        try:
            token = wanted.fetch(deadline - time.monotonic())
        except BaseException as error:  # noqa: BLE001 - whoever waits has to learn of it, whatever it is
            with self._lock:
                self._running.pop(wanted.identity, None)
            running.set_exception(error)
        else:
            with self._lock:
                self._running.pop(wanted.identity, None)
                self._held[wanted.identity] = token
            running.set_result(token)


tokens = _Tokens()
os.register_at_fork(after_in_child=tokens.forget)


class OAuth2Auth(Auth):
    """`Authorization: Bearer` with a token of a token server; after a 401 once more with a fresh one."""

    parameters = (
        Parameter("token_url", "Token URL", "Where tokens are fetched, e.g. https://login.example.com/oauth/token"),
        Parameter("client_id", "Client id"),
        Parameter("client_secret", "Client secret", secret=True),
        Parameter("scope", "Scope", "Words with spaces between them.", required=False),
        Parameter("audience", "Audience", "For servers that want one.", required=False),
        Parameter(
            "client_auth", "Client authentication", "How id and secret reach the token server.",
            default="basic", required=False, choices=(("basic", "HTTP Basic"), ("post", "In the body")),
        ),
        Parameter(
            "extra", "Extra parameters", 'Sent to the token server as well, e.g. {"resource": "orders"}',
            required=False, pairs=True,
        ),
        Parameter(
            "token_tls", "TLS to the token server",
            "Which calls for a token trust this endpoint's own authority alone, and show its client certificate.",
            default="same_host", required=False,
            choices=(
                ("same_host", "As this endpoint where the host is the same"),
                ("endpoint", "As this endpoint"),
                ("public", "The authorities that everybody knows"),
            ),
        ),
    )  # fmt: skip
    secret_headers = frozenset({"authorization"})

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._url, self._client = given["token_url"], (given["client_id"], given["client_secret"])
        if problem := _url_problem(self._url):
            raise InvalidAuth("token_url", problem)
        extra = given.get("extra") or {}
        if taken := sorted(RESERVED & set(extra)):
            raise InvalidAuth("extra", f"{taken[0]} has a field of its own.")
        named = {name: given[name] for name in ("scope", "audience") if given.get(name)}
        self._form = {"grant_type": "client_credentials", **named, **extra}
        self._in_body = given.get("client_auth") == "post"
        self._tls_of_tokens = given.get("token_tls") or "same_host"

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        return self._with_token(request, send, not_this=None)

    def renewed(self, request: OutboundRequest, refused: OutboundRequest, send: Send) -> OutboundRequest | None:
        _, sent = refused.headers[-1]  # `applied` put it there
        return self._with_token(request, send, not_this=sent.removeprefix("Bearer "))

    def proofs(self, sent: OutboundRequest) -> tuple[str, ...]:
        return (sent.headers[-1][1].removeprefix("Bearer "),)

    def _with_token(self, request: OutboundRequest, send: Send, *, not_this: str | None) -> OutboundRequest:
        started = time.monotonic()
        tls = self._tls(request)
        identity = (self._url, self._client, self._in_body, tuple(self._form.items()), tls)
        wanted = _Wanted(identity, lambda seconds: self._fetch(seconds, tls, send))
        token = tokens.get(wanted, deadline=started + request.deadline_seconds, not_this=not_this)
        left = request.deadline_seconds - (time.monotonic() - started)
        return replace(request.with_headers(("Authorization", f"Bearer {token}")), deadline_seconds=left)

    def _tls(self, request: OutboundRequest) -> ssl.SSLContext | None:
        """How to connect to the token server: a private authority would refuse a public one, so hosts are compared."""
        same_host = self._tls_of_tokens == "same_host" and _host(self._url) == _host(request.url)
        return request.tls if self._tls_of_tokens == "endpoint" or same_host else None

    def _fetch(self, seconds: float, tls: ssl.SSLContext | None, send: Send) -> _Token:
        """A fresh token from the server. Raises TransportError; nothing of the message has been sent then."""
        form, headers = dict(self._form), {"Accept": formats.JSON, "Content-Type": "application/x-www-form-urlencoded"}
        if self._in_body:
            form["client_id"], form["client_secret"] = self._client
        else:  # RFC 6749, section 2.3.1: encoded as in a form, then as HTTP Basic
            headers["Authorization"] = basic(*map(quote_plus, self._client))
        request = OutboundRequest(
            method="POST",
            url=self._url,
            headers=tuple(headers.items()),
            body=urlencode(form).encode(),
            deadline_seconds=seconds,
            tls=tls,
        )
        asked_at = time.monotonic()
        try:
            answer = send(request)
        except TransportError as error:
            raise TransportError(error.kind, f"No token: {error.detail}", sent=False) from None
        return _token(answer, asked_at)


def _token(answer: OutboundResponse, asked_at: float) -> _Token:
    """RFC 6749, sections 5.1 and 5.2. The server's own words are not repeated, but for its error code."""
    said = _object(answer.body)
    if not retries.is_success(answer.status_code):
        code = said.get("error")
        named = f" ({code})" if isinstance(code, str) and _ERROR.match(code) else ""
        kind = Kind.AUTH_FAILED if retries.is_passing(answer.status_code) else Kind.AUTH_REFUSED
        raise TransportError(kind, f"The token server answered {answer.status_code}{named}.", sent=False)
    value = said.get("access_token")
    if not isinstance(value, str) or not value or check_header("Authorization", value):
        raise TransportError(Kind.AUTH_FAILED, "The token server's answer holds no usable access_token.", sent=False)
    if str(said.get("token_type", "bearer")).lower() != "bearer":
        raise TransportError(Kind.AUTH_REFUSED, "The token server gives another kind of token than Bearer.", sent=False)
    seconds = _seconds(said.get("expires_in"))
    return _Token(value, asked_at + seconds - min(MARGIN_SECONDS, seconds / 5))


def _seconds(expires_in: Any) -> float:
    """Some servers write the number as a text."""
    try:
        return min(max(float(expires_in), 0.0), 1e9)
    except (TypeError, ValueError, OverflowError):
        return USUAL_SECONDS


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = formats.parse(body)
    except formats.MalformedBody:
        return {}
    return found if isinstance(found, dict) else {}


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "This is not a URL."
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
        return "It is an http or https address without a user name and without a fragment."
    return None
