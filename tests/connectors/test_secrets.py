"""Secrets at rest: new keys, keys that are gone, and canaries that must appear nowhere."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.contrib import admin as admins
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from connectors import rotation
from connectors.auth.oauth2 import tokens
from connectors.catalogue import catalogue
from connectors.configuration import apply_configuration, export_configuration
from connectors.models import Credential, Endpoint, Revision
from connectors.models.fields import DecryptionFailed
from connectors.rotation import rotate_secrets
from messages.models import Attempt, Rejection
from tests.connectors.auth.test_signing import WEBHOOK_SECRET
from tests.destination import Answer, Destination
from tests.factories import CredentialFactory, EndpointFactory, RouteFactory

pytestmark = pytest.mark.django_db
NEW, OTHER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def stored() -> list[str]:
    """The tokens as they lie in the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret, previous_secret FROM connectors_credential")
        found = [token for row in cursor.fetchall() for token in row]
        cursor.execute("SELECT auth_secrets, tls_key FROM connectors_endpoint")
        return [token for row in [found, *cursor.fetchall()] for token in row if token]


@pytest.fixture
def destination() -> Iterator[Destination]:
    with Destination() as server:
        yield server


@pytest.fixture
def secrets() -> None:
    CredentialFactory(github=True, plain="canary-1", previous_secret="canary-2")
    CredentialFactory()  # an API key is a hash: there is nothing to encrypt
    EndpointFactory(bearer=True, tls_key="canary-3")


def rotated() -> str:
    output = io.StringIO()
    call_command("rotate_secrets", stdout=output)
    return output.getvalue()


def test_rotation_puts_every_secret_under_the_first_key(secrets: None, settings: Any) -> None:
    old, revision = settings.ENCRYPTION_KEYS, Revision.current()
    settings.ENCRYPTION_KEYS = [NEW, *old]

    first, second = rotated(), rotated()

    settings.ENCRYPTION_KEYS = [NEW]
    credential, endpoint = Credential.objects.get(scheme="github"), Endpoint.objects.get()
    assert (credential.secret, credential.previous_secret) == ("canary-1", "canary-2")
    assert (endpoint.read_auth(), endpoint.tls_key) == ({"token": "canary-token"}, "canary-3")
    assert "4 secrets encrypted anew, 0 were" in first
    assert "0 secrets encrypted anew, 4 were" in second
    assert Revision.current() == revision


def test_interrupted_rotation_goes_on(secrets: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    calls, real = [], rotation.encrypted_anew

    def dying(token: str) -> str | None:
        calls.append(token)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(token)

    monkeypatch.setattr(rotation, "encrypted_anew", dying)
    with pytest.raises(KeyboardInterrupt):
        rotate_secrets()
    monkeypatch.setattr(rotation, "encrypted_anew", real)

    done = rotate_secrets()

    assert (done.rotated, done.already, done.unreadable) == (2, 2, [])


def test_rotation_does_not_undo_what_somebody_stored_meanwhile(
    secrets: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    real = rotation.encrypted_anew

    def slow(token: str) -> str | None:
        monkeypatch.setattr(rotation, "encrypted_anew", real)  # once, while the first secret is in hand
        Credential.objects.filter(scheme="github").update(secret="newer")
        return real(token)

    monkeypatch.setattr(rotation, "encrypted_anew", slow)

    rotate_secrets()

    assert Credential.objects.get(scheme="github").secret == "newer"


def test_secret_that_no_key_opens_is_named_and_left_alone(secrets: None, settings: Any) -> None:
    before = stored()
    settings.ENCRYPTION_KEYS = [OTHER]

    with pytest.raises(CommandError, match=r"opens 4 of them:\n  credential \d+, secret"):
        rotated()

    assert stored() == before


def test_secret_that_cannot_be_read_stops_only_what_needs_it(destination: Destination, settings: Any) -> None:
    lost = RouteFactory(endpoint=EndpointFactory(bearer=True))
    signed = CredentialFactory(application=lost.source, github=True)
    keyed = CredentialFactory(application=lost.source)
    sound = RouteFactory(endpoint=EndpointFactory(url=destination.url()))
    settings.ENCRYPTION_KEYS = [OTHER]

    plans = catalogue.by_id()

    assert plans[sound.pk].endpoint.url == destination.url()
    with pytest.raises(Exception, match="ENCRYPTION_KEYS"):
        plans[lost.pk].endpoint.auth.applied(None, None)  # type: ignore[arg-type]
    closed = {plan.id: plan.closed for plan in catalogue.credentials_of(lost.source_id)}
    assert "ENCRYPTION_KEYS" in closed[signed.pk]
    assert closed[keyed.pk] == ""


def test_row_whose_secret_cannot_be_read_is_shown_and_saved_without_losing_it(
    admin_client: Client, secrets: None, settings: Any
) -> None:
    before, keys = stored(), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [OTHER]
    endpoint, credential = Endpoint.objects.get(), Credential.objects.get(scheme="github")

    with pytest.raises(DecryptionFailed):
        str(endpoint.tls_key)
    endpoint.save()
    credential.save()
    pages = [
        admin_client.get(reverse("admin:connectors_endpoint_change", args=[endpoint.pk])),
        admin_client.get(reverse("admin:connectors_application_change", args=[credential.application_id])),
        admin_client.get(reverse("admin:connectors_endpoint_changelist")),
    ]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert stored() == before
    settings.ENCRYPTION_KEYS = keys
    assert Endpoint.objects.get().read_auth() == {"token": "canary-token"}


def test_file_gives_a_new_secret_where_the_stored_one_cannot_be_read(settings: Any) -> None:
    text = """
version: 1
applications:
  - {slug: a, credentials: [{scheme: github, secret: one}], endpoints: [
      {slug: e, url: "https://e", auth: {scheme: bearer, token: one}}]}
"""
    apply_configuration(text, environ={})
    settings.ENCRYPTION_KEYS = [OTHER]

    done = apply_configuration(text, environ={})

    assert [change.action for change in done] == ["unchanged", "changed", "changed"]
    assert Credential.objects.get().secret == "one"
    assert Endpoint.objects.get().read_auth() == {"token": "one"}


def test_header_that_looks_like_a_secret_is_never_exported_and_kept(admin_client: Client) -> None:
    headers = {"X-Tenant": "main", "X-Auth-Token": "canary", "X-Session": "{session}"}
    text = f"version: 1\napplications: [{{slug: a, endpoints: [{{slug: e, url: 'https://e', headers: {headers}}}]}}]"
    apply_configuration(text, environ={})

    exported = export_configuration()

    assert "canary" not in exported
    assert "X-Auth-Token: ${E_HEADERS_X_AUTH_TOKEN}" in exported
    assert "X-Session: '{session}'" in exported or 'X-Session: "{session}"' in exported
    assert {change.action for change in apply_configuration(exported, environ={})} == {"unchanged"}
    assert Endpoint.objects.get().headers == headers


# --- canaries ---------------------------------------------------------------------------------------------------------

CONFIGURATION = """
version: 1
applications:
  - slug: shop
    credentials:
      - {name: key, scheme: api_key, secret: canary-01-of-the-shop-api-key}
      - {name: basic, scheme: basic, secret: canary-02, previous_secret: canary-03}
      - {name: hmac, scheme: hmac, secret: canary-04, previous_secret: canary-05}
      - {name: webhooks, scheme: standard_webhooks, secret: WEBHOOK}
  - slug: erp
    endpoints:
      - {slug: bearer, url: "URL/bearer", auth: {scheme: bearer, token: canary-06}}
      - {slug: basic, url: "URL/basic", auth: {scheme: basic, username: u, password: canary-07}}
      - {slug: key, url: "URL/key", auth: {scheme: api_key, header: X-Door, key: canary-08}}
      - {slug: query, url: "URL/query", auth: {scheme: api_key, query: code, key: canary-09}}
      - {slug: hmac, url: "URL/hmac", auth: {scheme: hmac, header: X-Proof, secret: canary-10}}
      - {slug: webhooks, url: "URL/webhooks", auth: {scheme: standard_webhooks, secret: WEBHOOK}}
      - {slug: oauth, url: "URL/oauth", auth: {scheme: oauth2_client_credentials, token_url: "URL/token",
         client_id: us, client_secret: canary-11}}
      - {slug: refused, url: "URL/refused", auth: {scheme: oauth2_client_credentials, token_url: "URL/no-token",
         client_id: us, client_secret: canary-12}}
routes: [ROUTES]
"""
SLUGS = ("bearer", "basic", "key", "query", "hmac", "webhooks", "oauth", "refused")
ENCODED = ("dTpjYW5hcnktMDc=", "dXM6Y2FuYXJ5LTEx", "dXM6Y2FuYXJ5LTEy")  # as HTTP Basic writes them


def everything_stored() -> str:
    """All that lies in the database, bytes included."""
    text = ""
    for model in apps.get_models():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            for row in cursor.fetchall():
                parts = [bytes(value) if isinstance(value, bytes | memoryview) else str(value) for value in row]
                text += "\n".join(
                    part.decode("utf-8", "replace") if isinstance(part, bytes) else part for part in parts
                )
    return text


def admin_pages(client: Client) -> dict[str, str]:
    """Every list, and every object's page and form to add one."""
    addresses = [reverse("admin:index")]
    for model in admins.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for page, arguments in [
            ("changelist", [[]]),
            ("add", [[]]),
            ("change", [[row.pk] for row in model.objects.all()]),
        ]:
            for argument in arguments:
                try:
                    addresses.append(reverse(f"{name}_{page}", args=argument))
                except NoReverseMatch:
                    continue
    return {address: client.get(address).content.decode() for address in addresses}


@pytest.mark.django_db(transaction=True)
def test_canaries_are_nowhere(admin_client: Client, destination: Destination, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens.forget()
    destination.answers("/token", Answer(200, {"access_token": "canary-13", "token_type": "bearer"}))
    destination.answers("/no-token", Answer(401, {"error": "invalid_client"}))
    destination.answers("/bearer", Answer(401, {"error": "who are you?"}))
    routes = ", ".join(f"{{slug: {slug}, source: shop, endpoint: {slug}, patterns: [sync]}}" for slug in SLUGS)
    text = CONFIGURATION.replace("URL", destination.url("")).replace("WEBHOOK", WEBHOOK_SECRET)
    apply_configuration(text.replace("ROUTES", routes), environ={})
    said = ""

    for slug in SLUGS:
        for key in ("canary-01-of-the-shop-api-key", "canary-14-a-key-that-is-wrong"):
            answer = Client().post(
                f"/webhooks/{slug}", b"{}", content_type="application/json", headers={"X-API-Key": key}
            )
            said += f"{answer.status_code} {answer.headers} {answer.content.decode()}"

    pages = admin_pages(admin_client)
    places = {
        "answers": said,
        "log": caplog.text,
        "export": export_configuration(),
        "rows": everything_stored(),
        **pages,
    }
    # the first eight letters of an API key are shown on purpose, to tell keys apart
    needles = (*(f"canary-{number:02}" for number in range(1, 15)), WEBHOOK_SECRET, *ENCODED)
    assert {(place, needle) for place, text in places.items() for needle in needles if needle in text} == set()
    assert (Attempt.objects.count(), Rejection.objects.count()) == (len(SLUGS), len(SLUGS))
    assert len(pages) > 40
    assert "who are you?" in places["rows"]  # the search reads bodies, too
