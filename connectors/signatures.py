"""How a caller proves who it is: one small class a scheme. Pure: bytes and headers go in, proof or a reason comes out.

Everything is compared in constant time, over the raw bytes, with every secret that is in force, so that neither the
time nor the answer tells which part was wrong. Reasons are for support staff; they never hold a secret.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.headers import check_header
from connectors.keys import key_matches

TOLERANCE_SECONDS = 300
MAX_SIGNATURES = 20
"""Signatures of one request that are looked at: senders send one for each of their secrets, which are a few."""
MIN_WEBHOOK_KEY, MAX_WEBHOOK_KEY = 24, 64  # bytes; Standard Webhooks, "Signature scheme"
_SECONDS = re.compile(rb"[0-9]{1,15}\Z")
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is the year 5138
_PLACEHOLDER = re.compile(r"(\{timestamp\}|\{body\})")


class NotAuthentic(Exception):
    """What was sent proves nothing; the text says why, to support staff and to nobody else."""


class InvalidCredential(Exception):
    """A credential that cannot work as it is configured. `field` is the setting at fault: secret, header, template …"""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a credential, in force until `until` (Unix seconds; None: until it is replaced)."""

    value: str
    """Plain; of an API key what `hash_key` made of it."""
    until: float | None = None

    def in_force(self, now: float) -> bool:
        return self.until is None or self.until > now

    def __repr__(self) -> str:
        return f"Secret(until={self.until})"


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sent. Header names are in lower case; the body is None where nobody reads it."""

    headers: Mapping[str, bytes]
    body: bytes | None
    now: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A request that was proven. `own_id` is the sender's own name for the message, under `id_name`, if it has one."""

    id_name: str = ""
    own_id: bytes | None = None


class Scheme:
    """One way to prove who calls, with its secrets. Built once, used by many threads.

    `verify` returns the proof or raises NotAuthentic, and nothing else whatever the request holds. Building one raises
    InvalidCredential.
    """

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def verify(self, request: Request) -> Proof:
        raise NotImplementedError


# --- what is sent along: keys and passwords ---------------------------------------------------------------------------


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


# --- what is signed ---------------------------------------------------------------------------------------------------


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
        if not _SECONDS.match(text):
            raise NotAuthentic("the timestamp is no whole number of seconds")
        apart = request.now - int(text) / unit
        if abs(apart) > self._tolerance:
            side = "ago" if apart > 0 else "ahead"
            raise NotAuthentic(f"the timestamp is {abs(apart):.0f} s {side}; {self._tolerance:.0f} s are tolerated")
        return text


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
        self._decode = {"hex": _hex, "base64": _base64}[encoding]
        self._encode: Callable[[bytes], bytes] = binascii.hexlify if encoding == "hex" else base64.b64encode
        self._tolerance = float(options.get("tolerance_seconds") or TOLERANCE_SECONDS)
        template = options.get("template") or ("{timestamp}.{body}" if self._timestamp_header else "{body}")
        self._before, self._after = _template(template, timed=bool(self._timestamp_header))

    def is_presented(self, request: Request) -> bool:
        return self.header in request.headers

    def verify(self, request: Request) -> Proof:
        sent = _sent(request, self.header)
        timestamp = b""
        if self._timestamp_header:
            timestamp = _sent(request, self._timestamp_header).strip()
            in_seconds = not _SECONDS.match(timestamp) or int(timestamp) < _MILLISECONDS_FROM
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


class StandardWebhooks(Signed):
    """https://www.standardwebhooks.com: `webhook-id`, `webhook-timestamp`, `webhook-signature` (or Svix's names)."""

    names = ("webhook", "svix")
    _signature = re.compile(rb"(?:^|[\s,])v1,([^\s,]+)")  # lines of one header arrive joined by commas

    def key(self, secret: str) -> bytes:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not MIN_WEBHOOK_KEY <= len(key) <= MAX_WEBHOOK_KEY:
            expected = f"whsec_ and the base64 of {MIN_WEBHOOK_KEY} to {MAX_WEBHOOK_KEY} bytes"
            raise InvalidCredential("secret", f"A secret of Standard Webhooks is {expected}.")
        return key

    def is_presented(self, request: Request) -> bool:
        return any(f"{name}-signature" in request.headers for name in self.names)

    def verify(self, request: Request) -> Proof:
        name = next((name for name in self.names if f"{name}-signature" in request.headers), self.names[0])
        sent = _sent(request, f"{name}-signature")
        own_id = _sent(request, f"{name}-id")
        timestamp = self._seconds(_sent(request, f"{name}-timestamp"), request)
        signatures = [_base64(match) for match in self._signature.findall(sent)]
        self._check(request, signatures, before=own_id + b"." + timestamp + b".")
        return Proof(f"{name}-id", own_id)

    def signed(self, own_id: str, body: bytes, *, now: float) -> list[tuple[str, str]]:
        """The headers of a message that is called `own_id`, with the newest secret; `now` in Unix seconds."""
        timestamp = str(int(now))
        digest = hmac.digest(self._keys[0][0], f"{own_id}.{timestamp}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return [("webhook-id", own_id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]


class GitHub(Signed):
    """`X-Hub-Signature-256: sha256=<hex>` over the body.

    Neither a time nor the delivery id is signed: GitHub's own repeats are recognised, recorded requests are not.
    """

    def is_presented(self, request: Request) -> bool:
        return "x-hub-signature-256" in request.headers

    def verify(self, request: Request) -> Proof:
        self._check(request, _prefixed(_sent(request, "x-hub-signature-256"), b"sha256="))
        return Proof("X-GitHub-Delivery", request.headers.get("x-github-delivery"))


class Stripe(Signed):
    """`Stripe-Signature: t=…,v1=<hex>` over `t.body`; one v1 for each secret that is in force at Stripe."""

    def is_presented(self, request: Request) -> bool:
        return "stripe-signature" in request.headers

    def verify(self, request: Request) -> Proof:
        pairs = [part.strip().partition(b"=") for part in _sent(request, "stripe-signature").split(b",")]
        times = {value for name, _, value in pairs if name == b"t"}
        if len(times) != 1:
            raise NotAuthentic("Stripe-Signature holds no timestamp, or several")
        timestamp = self._seconds(times.pop(), request)
        self._check(request, [_hex(value) for name, _, value in pairs if name == b"v1"], before=timestamp + b".")
        return Proof("Stripe's event id", _text_member(request.body, "id"))


class Shopify(Signed):
    """`X-Shopify-Hmac-Sha256: <base64>` over the body.

    Neither a time nor the event id is signed: Shopify's own repeats are recognised, recorded requests are not.
    """

    def is_presented(self, request: Request) -> bool:
        return "x-shopify-hmac-sha256" in request.headers

    def verify(self, request: Request) -> Proof:
        self._check(request, map(_base64, _sent(request, "x-shopify-hmac-sha256").split(b",")))
        return Proof("X-Shopify-Event-Id", request.headers.get("x-shopify-event-id"))


class Slack(Signed):
    """`X-Slack-Signature: v0=<hex>` over `v0:timestamp:body`, the time in `X-Slack-Request-Timestamp`."""

    def is_presented(self, request: Request) -> bool:
        return "x-slack-signature" in request.headers

    def verify(self, request: Request) -> Proof:
        sent = _sent(request, "x-slack-signature")
        timestamp = self._seconds(_sent(request, "x-slack-request-timestamp"), request)
        self._check(request, _prefixed(sent, b"v0="), before=b"v0:" + timestamp + b":")
        return Proof()


SCHEMES: Mapping[str, type[Scheme]] = {
    "api_key": ApiKey,
    "basic": Basic,
    "hmac": GenericHmac,
    "standard_webhooks": StandardWebhooks,
    "github": GitHub,
    "stripe": Stripe,
    "shopify": Shopify,
    "slack": Slack,
}


def challenge_of(body: bytes) -> str | None:
    """What Slack wants to read back before it sends anything (its event `url_verification`), or None."""
    if _text_member(body, "type") != b"url_verification":
        return None
    challenge = _text_member(body, "challenge")
    return None if challenge is None else challenge.decode()


def check_secret(scheme: str, plain: str) -> None:
    """Raises InvalidCredential for a secret that no caller could ever prove."""
    if scheme != "basic" and plain != plain.strip():
        raise InvalidCredential("secret", "A secret must not begin or end with white space.")
    if any(ord(char) < 32 or ord(char) == 127 for char in plain):
        raise InvalidCredential("secret", "A secret must not hold control characters such as a line feed.")
    if scheme == "standard_webhooks":
        StandardWebhooks([Secret(plain)], {})


# --- helpers ----------------------------------------------------------------------------------------------------------


def _sent(request: Request, name: str) -> bytes:
    try:
        return request.headers[name]
    except KeyError:
        raise NotAuthentic(f"the header {name} is missing") from None


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


def _hex(text: bytes) -> bytes | None:
    try:
        return binascii.unhexlify(text.strip())
    except (binascii.Error, ValueError):
        return None


def _base64(text: bytes) -> bytes | None:
    """Standard or URL-safe letters, with or without padding."""
    plain = text.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _prefixed(sent: bytes, prefix: bytes) -> list[bytes | None]:
    values = (value.strip() for value in sent.split(b","))
    return [_hex(value[len(prefix) :]) if value.startswith(prefix) else None for value in values]


def _text_member(body: bytes | None, name: str) -> bytes | None:
    """A text at the top of a JSON object. Whether the body is sound JSON is judged by others, later."""
    try:
        found = msgspec.json.decode(body or b"", type=dict[str, msgspec.Raw]).get(name)
        return None if found is None else msgspec.json.decode(found, type=str).encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


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
