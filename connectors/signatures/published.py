"""Signatures of schemes that their makers have published: Standard Webhooks, GitHub, Stripe, Shopify, Slack."""

import base64
import binascii
import hmac
import re

import msgspec

from connectors.signatures.base import InvalidCredential, NotAuthentic, Proof, Request
from connectors.signatures.signed import Signed, from_base64, from_hex, header_of

MIN_WEBHOOK_KEY, MAX_WEBHOOK_KEY = 24, 64  # bytes; Standard Webhooks, "Signature scheme"


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
        sent = header_of(request, f"{name}-signature")
        own_id = header_of(request, f"{name}-id")
        timestamp = self._seconds(header_of(request, f"{name}-timestamp"), request)
        signatures = [from_base64(match) for match in self._signature.findall(sent)]
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
        self._check(request, _prefixed(header_of(request, "x-hub-signature-256"), b"sha256="))
        return Proof("X-GitHub-Delivery", request.headers.get("x-github-delivery"))


class Stripe(Signed):
    """`Stripe-Signature: t=…,v1=<hex>` over `t.body`; one v1 for each secret that is in force at Stripe."""

    def is_presented(self, request: Request) -> bool:
        return "stripe-signature" in request.headers

    def verify(self, request: Request) -> Proof:
        pairs = [part.strip().partition(b"=") for part in header_of(request, "stripe-signature").split(b",")]
        times = {value for name, _, value in pairs if name == b"t"}
        if len(times) != 1:
            raise NotAuthentic("Stripe-Signature holds no timestamp, or several")
        timestamp = self._seconds(times.pop(), request)
        self._check(request, [from_hex(value) for name, _, value in pairs if name == b"v1"], before=timestamp + b".")
        return Proof("Stripe's event id", _text_member(request.body, "id"))


class Shopify(Signed):
    """`X-Shopify-Hmac-Sha256: <base64>` over the body.

    Neither a time nor the event id is signed: Shopify's own repeats are recognised, recorded requests are not.
    """

    def is_presented(self, request: Request) -> bool:
        return "x-shopify-hmac-sha256" in request.headers

    def verify(self, request: Request) -> Proof:
        self._check(request, map(from_base64, header_of(request, "x-shopify-hmac-sha256").split(b",")))
        return Proof("X-Shopify-Event-Id", request.headers.get("x-shopify-event-id"))


class Slack(Signed):
    """`X-Slack-Signature: v0=<hex>` over `v0:timestamp:body`, the time in `X-Slack-Request-Timestamp`."""

    def is_presented(self, request: Request) -> bool:
        return "x-slack-signature" in request.headers

    def verify(self, request: Request) -> Proof:
        sent = header_of(request, "x-slack-signature")
        timestamp = self._seconds(header_of(request, "x-slack-request-timestamp"), request)
        self._check(request, _prefixed(sent, b"v0="), before=b"v0:" + timestamp + b":")
        return Proof()


def challenge_of(body: bytes) -> str | None:
    """What Slack wants to read back before it sends anything (its event `url_verification`), or None."""
    if _text_member(body, "type") != b"url_verification":
        return None
    challenge = _text_member(body, "challenge")
    return None if challenge is None else challenge.decode()


def _prefixed(sent: bytes, prefix: bytes) -> list[bytes | None]:
    values = (value.strip() for value in sent.split(b","))
    return [from_hex(value[len(prefix) :]) if value.startswith(prefix) else None for value in values]


def _text_member(body: bytes | None, name: str) -> bytes | None:
    """A text at the top of a JSON object. Whether the body is sound JSON is judged by others, later."""
    try:
        found = msgspec.json.decode(body or b"", type=dict[str, msgspec.Raw]).get(name)
        return None if found is None else msgspec.json.decode(found, type=str).encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
