"""What all signatures share: the HMAC, the age of a timestamp, and how a header is read."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.signatures.base import NotAuthentic, Request, Scheme, Secret

TOLERANCE_SECONDS = 300
MAX_SIGNATURES = 20
"""Signatures of one request that are looked at: senders send one for each of their secrets, which are a few."""
SECONDS = re.compile(rb"[0-9]{1,15}\Z")


class Signed(Scheme):
    """HMAC of the body, of what stands before it and behind it."""

    def is_presented(self, request: Request) -> bool:
        """Whether a request claims to be signed in this way, so that its body has to be read."""
        raise NotImplementedError

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        self._algorithm = "sha256"
        self._tolerance = float(TOLERANCE_SECONDS)
        self._keys = [(self.key(secret.value), secret) for secret in stored]

    def key(self, secret: str) -> bytes:
        return secret.encode()

    def _check(
        self, request: Request, signatures: Iterable[bytes | None], *, before: bytes = b"", after: bytes = b""
    ) -> None:
        """Any of `signatures` (decoded; None for one that cannot be) has to be that of any secret in force."""
        sent = [signature for signature in list(signatures)[:MAX_SIGNATURES] if signature is not None]
        if not sent:
            raise NotAuthentic("the header with the signature is not written as this scheme writes it")
        fits = False
        for key, secret in self._keys:
            if secret.in_force(request.now):
                digest = hmac.new(key, before, self._algorithm)
                digest.update(request.body or b"")
                digest.update(after)
                expected = digest.digest()
                for signature in sent:
                    fits |= hmac.compare_digest(signature, expected)
        if not fits:
            raise NotAuthentic("the signature does not fit: it was made with another secret or over other bytes")

    def _seconds(self, text: bytes, request: Request, *, unit: int = 1) -> bytes:
        """`text` as it was sent, once it is near enough to now, before or after."""
        if not SECONDS.match(text):
            raise NotAuthentic("the timestamp is no whole number of seconds")
        apart = request.now - int(text) / unit
        if abs(apart) > self._tolerance:
            side = "ago" if apart > 0 else "ahead"
            raise NotAuthentic(f"the timestamp is {abs(apart):.0f} s {side}; {self._tolerance:.0f} s are tolerated")
        return text


def header_of(request: Request, name: str) -> bytes:
    try:
        return request.headers[name]
    except KeyError:
        raise NotAuthentic(f"the header {name} is missing") from None


def from_hex(text: bytes) -> bytes | None:
    try:
        return binascii.unhexlify(text.strip())
    except (binascii.Error, ValueError):
        return None


def from_base64(text: bytes) -> bytes | None:
    """Standard or URL-safe letters, with or without padding."""
    plain = text.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
