"""What is sent along: keys, tokens and passwords."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from connectors.auth.base import Auth, InvalidAuth, Parameter, Send
from connectors.headers import check_header
from connectors.transport import OutboundRequest


class NoAuth(Auth):
    pass


class _Header(Auth):
    """The same header with every call."""

    def __init__(self, header: str, value: str, *, secret: str, proofs: tuple[str, ...]) -> None:
        """`secret` names the parameter that the value came from; `proofs` are what would do for whoever saw it."""
        if problem := check_header(header, ""):
            raise InvalidAuth("header", problem)
        if problem := check_header(header, value):
            raise InvalidAuth(secret, problem)
        self._header, self._proofs = (header, value), proofs
        self.secret_headers = frozenset({header.lower()})

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        return request.with_headers(self._header)

    def proofs(self, sent: OutboundRequest) -> tuple[str, ...]:
        return self._proofs


class BearerAuth(_Header):
    """RFC 6750."""

    parameters = (Parameter("token", "Bearer token", "Sent as Authorization: Bearer …", secret=True),)

    def __init__(self, given: Mapping[str, Any]) -> None:
        token = given["token"]
        super().__init__("Authorization", f"Bearer {token}", secret="token", proofs=(token,))  # noqa: S106 - a name


class BasicAuth(_Header):
    """RFC 7617, with UTF-8."""

    parameters = (Parameter("username", "User name"), Parameter("password", "Password", secret=True))

    def __init__(self, given: Mapping[str, Any]) -> None:
        value = basic(given["username"], given["password"])
        proofs = (value.removeprefix("Basic "), given["password"])
        super().__init__("Authorization", value, secret="password", proofs=proofs)  # noqa: S106 - a name
        if ":" in given["username"]:
            raise InvalidAuth("username", "A user name has no colon: it ends at the first one (RFC 7617).")


class ApiKeyAuth(Auth):
    """A key in a header of one's choice, or in the query. The query is in the other side's logs: a header is better."""

    parameters = (
        Parameter("header", "Header", "Carries the key. Empty: X-API-Key.", required=False),
        Parameter("query", "Query parameter", "Carries the key in place of a header, e.g. code.", required=False),
        Parameter("key", "API key", secret=True),
    )

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._query, self._key = given.get("query") or "", given["key"]
        self._in_header = None
        if self._query and given.get("header"):
            raise InvalidAuth("query", "The key goes into a header or into the query, not both.")
        if not self._query:
            header = given.get("header") or "X-API-Key"
            self._in_header = _Header(header, self._key, secret="key", proofs=(self._key,))  # noqa: S106 - a name
            self.secret_headers = self._in_header.secret_headers

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        if self._in_header is not None:
            return self._in_header.applied(request, send)
        pair = f"{quote(self._query, safe='')}={quote(self._key, safe='')}"
        return replace(request, url=f"{request.url}{'&' if '?' in request.url else '?'}{pair}")

    def proofs(self, sent: OutboundRequest) -> tuple[str, ...]:
        return (self._key,)


def basic(username: str, password: str) -> str:
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"
