"""A signature whose every part is chosen: for senders with a scheme of their own."""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.headers import check_header
from connectors.signatures.base import InvalidCredential, Proof, Request, Secret
from connectors.signatures.signed import SECONDS, TOLERANCE_SECONDS, Signed, from_base64, from_hex, header_of

_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is the year 5138
_PLACEHOLDER = re.compile(r"(\{timestamp\}|\{body\})")


class GenericHmac(Signed):
    """A signature in a header of one's choice, with an optional timestamp in another.

    Options: `header`, `prefix` before the signature, `algorithm` (sha256, sha512), `encoding` (hex, base64),
    `timestamp_header` (Unix seconds or milliseconds), `template` of what is signed, `tolerance_seconds`.
    """

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        super().__init__(stored, options)
        self.header = _header(options, "header") or "x-signature"
        self._names = str(options.get("header") or "X-Signature"), str(options.get("timestamp_header") or "")
        self._timestamp_header = _header(options, "timestamp_header")
        self._prefix = str(options.get("prefix") or "").encode()
        if b"," in self._prefix:
            raise InvalidCredential("prefix", "A comma separates several signatures, so no prefix holds one.")
        self._algorithm = _one_of(options, "algorithm", ("sha256", "sha512"))
        encoding = _one_of(options, "encoding", ("hex", "base64"))
        self._decode = {"hex": from_hex, "base64": from_base64}[encoding]
        self._encode: Callable[[bytes], bytes] = binascii.hexlify if encoding == "hex" else base64.b64encode
        self._tolerance = float(options.get("tolerance_seconds") or TOLERANCE_SECONDS)
        template = options.get("template") or ("{timestamp}.{body}" if self._timestamp_header else "{body}")
        self._before, self._after = _template(template, timed=bool(self._timestamp_header))

    def is_presented(self, request: Request) -> bool:
        return self.header in request.headers

    def verify(self, request: Request) -> Proof:
        sent = header_of(request, self.header)
        timestamp = b""
        if self._timestamp_header:
            timestamp = header_of(request, self._timestamp_header).strip()
            in_seconds = not SECONDS.match(timestamp) or int(timestamp) < _MILLISECONDS_FROM
            self._seconds(timestamp, request, unit=1 if in_seconds else 1000)
        values = (value.strip() for value in sent.split(b","))
        signatures = [self._decode(v[len(self._prefix) :]) if v.startswith(self._prefix) else None for v in values]
        before, after = (part.replace(b"{timestamp}", timestamp) for part in (self._before, self._after))
        self._check(request, signatures, before=before, after=after)
        return Proof()

    def signed(self, body: bytes, *, now: float) -> list[tuple[str, str]]:
        """The headers that `verify` on the other side wants, by the newest secret; `now` in Unix seconds."""
        timestamp = str(int(now))
        before, after = (part.replace(b"{timestamp}", timestamp.encode()) for part in (self._before, self._after))
        digest = hmac.digest(self._keys[0][0], before + body + after, self._algorithm)
        header, timestamp_header = self._names
        timed = [(timestamp_header, timestamp)] if timestamp_header else []
        return [(header, (self._prefix + self._encode(digest)).decode()), *timed]


def _one_of(options: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    """The option, the first of `known` without one."""
    chosen = options.get(name) or known[0]
    if chosen not in known:
        raise InvalidCredential(name, f"It is one of {', '.join(known)}.")
    return str(chosen)


def _header(options: Mapping[str, Any], name: str) -> str:
    header = str(options.get(name) or "")
    if header and (problem := check_header(header, "")):
        raise InvalidCredential(name, problem)
    return header.lower()


def _template(template: str, *, timed: bool) -> tuple[bytes, bytes]:
    """What is signed before and behind the body; `{timestamp}` is left in."""
    parts = _PLACEHOLDER.split(template)
    if parts.count("{body}") != 1:
        raise InvalidCredential("template", "What is signed holds {body} once.")
    if ("{timestamp}" in parts) != timed:
        message = "A timestamp header and {timestamp} in what is signed go together: neither is safe alone."
        raise InvalidCredential("template", message)
    place = parts.index("{body}")
    return "".join(parts[:place]).encode(), "".join(parts[place + 1 :]).encode()
