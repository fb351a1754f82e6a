"""What is sent along: keys and passwords."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.keys import key_matches
from connectors.signatures.base import NotAuthentic, Proof, Request, Scheme, Secret


class ApiKey(Scheme):
    """`Authorization: Bearer KEY` or `X-API-Key: KEY`; stored as a salted hash."""

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        self._secrets = tuple(stored)

    def verify(self, request: Request) -> Proof:
        keys = self._keys(request)
        if not keys and "x-api-key" in request.headers:
            raise NotAuthentic("an empty API key arrived; granian drops a header that holds letters beyond ASCII")
        if not keys:
            raise NotAuthentic("no API key was sent")
        fits = False
        for secret in self._secrets:
            for key in keys:
                fits |= key_matches(key, secret.value) & secret.in_force(request.now)
        if not fits:
            raise NotAuthentic("another API key was sent")
        return Proof()

    def _keys(self, request: Request) -> list[bytes]:
        sent = [request.headers.get("x-api-key", b"").strip()]
        kind, _, rest = request.headers.get("authorization", b"").strip().partition(b" ")
        if kind.lower() == b"bearer":
            sent.append(rest.strip())
        return [reading for key in sent if key for reading in _readings(key)]


class Basic(Scheme):
    """`Authorization: Basic`, RFC 7617. A secret may be `user:password` where no user name is set."""

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        names = [options["username"]] if options.get("username") else []
        self._pairs = [(_account(secret.value, names, options.get("names", ())), secret) for secret in stored]

    def verify(self, request: Request) -> Proof:
        kind, _, text = request.headers.get("authorization", b"").strip().partition(b" ")
        if kind.lower() != b"basic":
            raise NotAuthentic("no user name and password were sent")
        try:
            sent = _readings(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise NotAuthentic("what was sent as HTTP Basic is not base64") from None
        fits = False
        for (names, password), secret in self._pairs:
            for reading in sent:
                user, colon, word = reading.partition(b":")  # RFC 7617: the first colon ends the user name
                known = any([hmac.compare_digest(user, name) for name in names])  # noqa: C419 - all are compared
                fits |= known & hmac.compare_digest(word, password) & bool(colon) & secret.in_force(request.now)
        if not fits:
            raise NotAuthentic("another user name or password was sent")
        return Proof()


def _readings(sent: bytes) -> list[bytes]:
    """Senders write letters beyond ASCII in UTF-8 or, by old custom of HTTP, in Latin-1; secrets are kept in UTF-8."""
    try:
        sent.decode()
    except UnicodeDecodeError:
        return [sent, sent.decode("latin-1").encode()]
    return [sent]


def _account(secret: str, names: Sequence[str], usual: Sequence[str]) -> tuple[list[bytes], bytes]:
    """User names and password: those that were set, or of a `user:password` secret, or the usual names."""
    if not names:
        user, colon, password = secret.partition(":")
        if colon:
            return [user.encode()], password.encode()
    return [name.encode() for name in names or usual], secret.encode()
