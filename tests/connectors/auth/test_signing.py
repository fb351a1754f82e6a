"""What we sign, judged by others: an independent library, and our own door."""

import hmac
import time
from base64 import b64encode
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from connectors.auth import InvalidAuth, build, call
from connectors.signatures import GenericHmac, NotAuthentic, Request, Secret
from connectors.transport import OutboundRequest, Transport
from tests.connectors.calls import BODY
from tests.destination import Destination, Received

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed(destination: Destination, transport: Transport, scheme: str, given: dict[str, Any]) -> Received:
    request = OutboundRequest("POST", destination.url(), (), BODY, 5.0, id="0198f2c0-0000-7000-8000-000000000001")
    call(transport, request, build(scheme, given))
    return destination.requests[-1]


def test_standard_webhooks_library_takes_what_we_send(transport: Transport, destination: Destination) -> None:
    given = {"secret": WEBHOOK_SECRET}

    first, second = (signed(destination, transport, "standard_webhooks", given) for _ in range(2))

    assert Webhook(WEBHOOK_SECRET).verify(first.body, dict(first.headers)) == {"order": 7}
    ids = {request.header("webhook-id") for request in (first, second)}
    assert ids == {"0198f2c0-0000-7000-8000-000000000001"}  # the same at every attempt


HMACS = [
    {},
    {"header": "X-Sig", "algorithm": "sha512", "encoding": "base64"},
    {"prefix": "sha256=", "header": "X-Hub-Signature-256"},
    {"timestamp_header": "X-Timestamp"},
    {"timestamp_header": "X-Time", "template": "v1:{timestamp}:{body}:end", "prefix": "v1="},
]


@pytest.mark.parametrize("options", HMACS)
def test_another_platform_takes_what_we_send(
    transport: Transport, destination: Destination, options: dict[str, str]
) -> None:
    received = signed(destination, transport, "hmac", {**options, "secret": "s3cr3t"})

    headers = {name.lower(): value.encode() for name, value in received.headers}
    door = GenericHmac([Secret("s3cr3t")], options)
    assert door.verify(Request(headers, received.body, time.time()))
    with pytest.raises(NotAuthentic):
        door.verify(Request(headers, received.body + b" ", time.time()))


@pytest.mark.parametrize(
    ("options", "algorithm", "content", "written"),
    [
        ({}, "sha256", "{body}", "{hex}"),
        ({"algorithm": "sha512", "encoding": "base64"}, "sha512", "{body}", "{base64}"),
        ({"prefix": "v1=", "timestamp_header": "X-Time"}, "sha256", "{time}.{body}", "v1={hex}"),
        ({"template": "v1:{timestamp}:{body}", "timestamp_header": "X-Time"}, "sha256", "v1:{time}:{body}", "{hex}"),
    ],
)
def test_signature_is_that_of_the_standard_library(
    transport: Transport,
    destination: Destination,
    options: dict[str, str],
    algorithm: str,
    content: str,
    written: str,
) -> None:
    received = signed(destination, transport, "hmac", {**options, "secret": "s3cr3t"})

    signed_bytes = content.format(time=received.header("X-Time"), body=BODY.decode()).encode()
    digest = hmac.new(b"s3cr3t", signed_bytes, algorithm).digest()
    expected = written.format(hex=digest.hex(), base64=b64encode(digest).decode())
    assert received.header("X-Signature") == expected
    assert received.header("X-Time") == "" or abs(int(received.header("X-Time")) - time.time()) < 60


def test_signature_is_the_one_that_openssl_makes(transport: Transport, destination: Destination) -> None:
    received = signed(destination, transport, "hmac", {"secret": "key", "prefix": "sha256="})

    # printf '{"order": 7}' | openssl dgst -sha256 -hmac key
    assert received.header("X-Signature") == f"sha256={OPENSSL}"


OPENSSL = "ed64414159f79b2aa013919596359b541764ba79788357a0990c8f8577c6caad"


@pytest.mark.parametrize(
    ("scheme", "given", "field"),
    [
        ("standard_webhooks", {"secret": "whsec_s3cr3t"}, "secret"),
        ("hmac", {"secret": " s3cr3t"}, "secret"),
        ("hmac", {"secret": "s3cr3t", "algorithm": "md5"}, "algorithm"),
        ("hmac", {"secret": "s3cr3t", "template": "{timestamp}.{body}"}, "template"),
        ("hmac", {"secret": "s3cr3t", "header": "Content-Length"}, "header"),
    ],
)
def test_what_cannot_work_is_refused_without_the_secret(scheme: str, given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidAuth) as caught:
        build(scheme, given)

    assert caught.value.field == field
    assert "s3cr3t" not in str(caught.value)
