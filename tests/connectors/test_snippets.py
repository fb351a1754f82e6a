"""The requests that developers paste are really sent, by both languages, and checked by the scheme and by the sender's
own library."""

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import standardwebhooks
import stripe
from django.test import Client
from django.urls import reverse

from connectors.admin.proofs import proof_of
from connectors.admin.snippets import request_in_node, request_in_python, snippets
from connectors.choices import Scheme
from connectors.models import Application, Credential
from connectors.signatures import SCHEMES, Request, Secret
from tests.destination import Destination, Received
from tests.factories import CredentialFactory

SECRETS = {Scheme.STANDARD_WEBHOOKS: f"whsec_{base64.b64encode(b'a secret of 24 bytes or so').decode()}"}
OPTIONS = [
    *((scheme, {}) for scheme in Scheme.values),
    ("hmac", {"header": "X-Acme", "prefix": "sha256="}),
    ("hmac", {"algorithm": "sha512", "encoding": "base64", "timestamp_header": "X-Time"}),
    ("hmac", {"timestamp_header": "X-Time", "template": 'it\'s {timestamp} ${HOME} `ü` "{body}" %s\\n'}),
    ("basic", {"username": "o'neil"}),
]
BODY = """{"id": "47'11", "name": "Jørgen \\"x\\" \\u2028 ${y} `z`"}"""
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
LANGUAGES = [
    pytest.param(request_in_python, [sys.executable, "-I", "-c"], id="python"),
    pytest.param(request_in_node, ["node", "--input-type=module", "-e"], id="node", marks=needs_node),
]


@pytest.fixture(scope="module")
def door() -> Iterator[Destination]:
    with Destination() as destination:
        yield destination


def sent(door: Destination, command: list[str], script: str, secret: str) -> Received:
    """What arrives when somebody runs it."""
    environment = {"PATH": os.environ["PATH"], "SECRET": secret}
    already = len(door.requests)
    done = subprocess.run([*command, script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, '200 {"ok": true}\n'), done.stderr
    return door.requests[already]


def credential_of(scheme: str, options: dict[str, Any]) -> Credential:
    return Credential(application=Application(slug="sender"), scheme=scheme, **options)


@pytest.mark.parametrize(("write", "command"), LANGUAGES)
@pytest.mark.parametrize(("scheme", "options"), OPTIONS)
def test_request_is_proven(
    door: Destination, scheme: str, options: dict[str, Any], write: Any, command: list[str]
) -> None:
    credential = credential_of(scheme, options)
    secret = SECRETS.get(Scheme(scheme), 'it\'s a "secret"')

    script = write(credential, door.url("/webhooks/first"), BODY)
    request = sent(door, command, script, secret)

    assert {len(re.findall(rf"['\"]{name}['\"]:", script)) for name in proof_of(credential).headers} == {1}
    assert (request.body, request.header("Content-Type")) == (BODY.encode(), "application/json")
    headers = {name.lower(): value.encode() for name, value in request.headers}
    given = {"names": ["sender"], **credential.options}
    kept = {Scheme.API_KEY: hash_of}.get(Scheme(scheme), str)(secret)
    SCHEMES[scheme]([Secret(kept)], given).verify(Request(headers, request.body, time.time()))


def hash_of(secret: str) -> str:
    credential = Credential(scheme=Scheme.API_KEY)
    credential.set_secret(secret)
    return credential.secret_hash


@pytest.mark.parametrize(("write", "command"), LANGUAGES)
def test_stripes_own_library_takes_what_we_say_stripe_sends(door: Destination, write: Any, command: list[str]) -> None:
    script = write(credential_of(Scheme.STRIPE, {}), door.url("/webhooks/first"), '{"id": "evt_1", "object": "event"}')

    request = sent(door, command, script, "whsec_test")

    event = stripe.Webhook.construct_event(request.body, request.header("Stripe-Signature"), "whsec_test")
    assert event.id == "evt_1"


@pytest.mark.parametrize(("write", "command"), LANGUAGES)
def test_library_of_standard_webhooks_takes_it(door: Destination, write: Any, command: list[str]) -> None:
    secret = SECRETS[Scheme.STANDARD_WEBHOOKS]
    script = write(credential_of(Scheme.STANDARD_WEBHOOKS, {}), door.url("/webhooks/first"))

    request = sent(door, command, script, secret)

    headers = {name.lower(): value for name, value in request.headers}
    assert standardwebhooks.Webhook(secret).verify(request.body, headers) == {"id": "4711"}


@pytest.mark.parametrize("scheme", Scheme.values)
def test_snippets_hold_no_secret_and_are_short(scheme: str) -> None:
    found = snippets(credential_of(scheme, {}), "https://hub.example.com/webhooks/first")

    assert [language for language, _ in found] == ["Shell", "Python", "Node"]
    assert all("https://hub.example.com/webhooks/first" in text and text.count("\n") < 25 for _, text in found)


@pytest.mark.django_db
def test_page_of_a_credential_helps_to_choose_and_to_send(admin_client: Client) -> None:
    credential = CredentialFactory(github=True)

    page = admin_client.get(reverse("admin:connectors_credential_change", args=[credential.pk])).content.decode()

    assert all(f"{scheme.label}: " in page for scheme in Scheme)
    assert page.count("<summary") >= 3
    for told in ("createHmac", "hmac.new(", "openssl dgst"):
        assert told in page
    assert "the-secret" not in page
