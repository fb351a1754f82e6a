"""Secrets at rest: new keys, keys that are gone, and canaries that must appear nowhere."""

import importlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from django.apps import apps
from django.contrib import admin as admins
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from connectors import rotation
from connectors.auth.oauth2 import tokens
from connectors.catalogue import catalogue, plan_of
from connectors.configuration import InvalidConfiguration, apply_configuration, export_configuration
from connectors.models import Credential, Endpoint, Revision
from connectors.models.fields import DecryptionFailed
from connectors.rotation import rotate_secrets
from messages.models import Attempt, Message, Rejection
from tests.connectors.auth.test_signing import WEBHOOK_SECRET
from tests.connectors.test_transport_tls import Authority
from tests.destination import Answer, Destination, Received
from tests.factories import CredentialFactory, EndpointFactory, RouteFactory

pytestmark = pytest.mark.django_db
hiding = importlib.import_module("connectors.migrations.0011_endpoint_secret_values")
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


NAMED = """
version: 1
applications:
  - slug: a
    endpoints:
      - slug: e
        url: "https://e"
        headers: {X-Tenant: main, X-Auth-Token: canary-1, X-Session: "{session}"}
        query: {company: "7", apikey: canary-2}
        auth: {scheme: oauth2_client_credentials, token_url: "https://e/token", client_id: us, client_secret: canary-3,
          extra: {resource: orders, client_assertion: canary-4}}
"""


def test_values_that_are_secret_by_their_names_are_stored_encrypted_exported_as_variables_and_kept() -> None:
    apply_configuration(NAMED, environ={})

    exported = export_configuration()

    assert "canary" not in exported + everything_stored()
    for line in (
        *("X-Auth-Token: ${E_HEADERS_X_AUTH_TOKEN}", "apikey: ${E_QUERY_APIKEY}", "resource: orders"),
        "client_assertion: ${E_EXTRA_CLIENT_ASSERTION}",
    ):
        assert line in exported
    for text in (exported, NAMED):
        assert {change.action for change in apply_configuration(text, environ={})} == {"unchanged"}
    endpoint = Endpoint.objects.get()
    assert endpoint.read("headers") == {"X-Tenant": "main", "X-Auth-Token": "canary-1", "X-Session": "{session}"}
    assert endpoint.read("query_parameters") == {"company": "7", "apikey": "canary-2"}
    assert endpoint.read_auth()["extra"] == {"resource": "orders", "client_assertion": "canary-4"}


def test_form_shows_none_of_them_keeps_them_and_takes_new_ones(admin_client: Client) -> None:
    apply_configuration(NAMED, environ={})
    endpoint = Endpoint.objects.get()
    page = reverse("admin:connectors_endpoint_change", args=[endpoint.pk])
    form = {
        "slug": "e", "application": endpoint.application_id, "url": "https://e", "method": "POST", "format": "json",
        "timeout_seconds": 10, "auth_scheme": endpoint.auth_scheme, "token_url": "https://e/token", "client_id": "us",
        "query_parameters": '{"apikey": "[redacted]"}',
        "headers": '{"X-Auth-Token": "new-1", "X-Session": "{session}"}',
        "extra": '{"client_assertion": "[redacted]"}',
    }  # fmt: skip

    shown = admin_client.get(page).content.decode()
    unknown = admin_client.post(page, {**form, "headers": '{"X-Token": "[redacted]"}'})
    admin_client.post(page, form)

    assert "canary" not in shown
    assert shown.count("[redacted]") == 3
    assert list(unknown.context["adminform"].form.errors) == ["headers"]
    endpoint.refresh_from_db()
    assert endpoint.read("headers") == {"X-Auth-Token": "new-1", "X-Session": "{session}"}
    assert endpoint.read("query_parameters") == {"apikey": "canary-2"}
    assert endpoint.read_auth()["extra"] == {"client_assertion": "canary-4"}


def test_values_that_cannot_be_read_stop_their_endpoint_and_are_kept_until_they_are_given_anew(settings: Any) -> None:
    apply_configuration(NAMED, environ={})
    keys, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, [OTHER]
    endpoint = Endpoint.objects.get()

    endpoint.save()

    assert "ENCRYPTION_KEYS" in plan_of(endpoint).unusable
    settings.ENCRYPTION_KEYS = keys
    assert Endpoint.objects.get().read("query_parameters") == {"company": "7", "apikey": "canary-2"}
    settings.ENCRYPTION_KEYS = [OTHER]
    apply_configuration(NAMED.replace("canary", "newer"), environ={})
    assert Endpoint.objects.get().read("query_parameters") == {"company": "7", "apikey": "newer-2"}


def test_url_with_a_secret_in_it_is_refused() -> None:
    text = NAMED.replace('url: "https://e"', 'url: "https://e/?company=7&token=canary-5"')

    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(text, environ={})

    (fault,) = caught.value.faults
    assert "Put token into the query parameters" in fault
    assert "canary" not in fault


def test_secret_header_that_cannot_be_sent_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(NAMED.replace("canary-1", '"canary-6\\u0001"'), environ={})

    (fault,) = caught.value.faults
    assert "headers: 'X-Auth-Token': A header's value must not hold control characters" in fault
    assert "canary" not in fault


def test_values_of_a_variable_that_is_not_set_are_missing_where_nothing_is_stored() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(NAMED.replace("canary-2", '"${A}"').replace("canary-4", '"${B}"'), environ={})

    assert len(caught.value.faults) == 2


def test_values_that_were_stored_plainly_are_encrypted_by_the_migration() -> None:
    extra = {"extra": {"key": "canary-4"}}
    endpoint = EndpointFactory(auth_secrets='{"client_secret":"canary-3"}', auth_parameters=extra)
    Endpoint.objects.update(headers={"X-Token": "canary-1", "X-A": "a"}, query_parameters={"token": "{token}"})

    hiding.hide_values(apps, SimpleNamespace(connection=connection))

    endpoint.refresh_from_db()
    assert "canary" not in everything_stored()
    assert endpoint.read("headers") == {"X-Token": "canary-1", "X-A": "a"}
    assert endpoint.query_parameters == {"token": "{token}"}
    assert endpoint.read_auth() == {"client_secret": "canary-3", "extra": {"key": "canary-4"}}


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
      - {slug: header, url: "URL/header", headers: {X-Auth-Token: canary-15, X-Api-Key: canary-16}}
      - {slug: parameter, url: "URL/parameter", query: {apikey: canary-17}}
      - {slug: extra, url: "URL/extra", auth: {scheme: oauth2_client_credentials, token_url: "URL/token",
         client_id: us, client_secret: canary-18, extra: {client_assertion: canary-19}}}
      - {slug: tls, url: "https://127.0.0.1:9/", tls: {certificate: "${CERTIFICATE}", key: "${KEY}"}}
routes: [ROUTES]
"""
ECHOING = ("bearer", "basic", "key", "query", "oauth", "header", "parameter", "extra")
SLUGS = (*ECHOING, "hmac", "webhooks", "refused", "tls")
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
    """Every list and form to add one, and every object's page, history and deletion."""
    addresses = [reverse("admin:index")]
    for model in admins.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        every = [[row.pk] for row in model.objects.all()]
        pages = [("changelist", [[]]), ("add", [[]]), ("change", every), ("history", every), ("delete", every)]
        for page, arguments in pages:
            for argument in arguments:
                try:
                    addresses.append(reverse(f"{name}_{page}", args=argument))
                except NoReverseMatch:
                    continue
    return {address: client.get(address).content.decode() for address in addresses}


def endpoint_pages(client: Client) -> dict[str, str]:
    """What comes back of test calls, and of forms with a fault in them that were filled with new secrets."""
    typed = dict.fromkeys(("token", "password", "key", "secret", "client_secret", "private_key"), "canary-20")
    pages = {}
    for endpoint in Endpoint.objects.all():
        called = client.post(
            reverse("admin:messaging_endpoint_test", args=[endpoint.pk]),
            {"body": "{}", "content_type": "application/json"},
        )
        faulty = client.post(
            reverse("admin:connectors_endpoint_change", args=[endpoint.pk]),
            {"slug": endpoint.slug, "auth_scheme": endpoint.auth_scheme, "url": "nothing", **typed},
        )
        assert (called.status_code, faulty.status_code) == (200, 200)
        pages[f"call of {endpoint}"], pages[f"form of {endpoint}"] = called.content.decode(), faulty.content.decode()
    return pages


def echo(request: Received) -> Answer:
    """As debugging services do, and some error pages."""
    return Answer(200, {"headers": dict(request.headers), "target": request.target}, headers={"X-Echo": request.target})


@pytest.mark.django_db(transaction=True)
def test_canaries_are_nowhere(
    admin_client: Client, destination: Destination, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not even where a destination repeats all that it was sent."""
    caplog.set_level(logging.DEBUG)
    tokens.forget()
    destination.answers("/token", Answer(200, {"access_token": "canary-13", "token_type": "bearer"}))
    destination.answers("/no-token", Answer(401, {"error": "invalid_client"}))
    destination.answers("/hmac", Answer(401, {"error": "who are you?"}))
    for slug in ECHOING:
        destination.answers(f"/{slug}", echo)
    authority = Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)
    certificate, key = (part.decode() for part in authority.issue("us"))
    routes = ", ".join(f"{{slug: {slug}, source: shop, endpoint: {slug}, patterns: [sync]}}" for slug in SLUGS)
    text = CONFIGURATION.replace("URL", destination.url("")).replace("WEBHOOK", WEBHOOK_SECRET)
    changes = apply_configuration(text.replace("ROUTES", routes), environ={"CERTIFICATE": certificate, "KEY": key})
    said = ""

    for slug in SLUGS:
        for api_key in ("canary-01-of-the-shop-api-key", "canary-14-a-key-that-is-wrong"):
            answer = Client().post(
                f"/webhooks/{slug}", b"{}", content_type="application/json", headers={"X-API-Key": api_key}
            )
            said += f"{answer.status_code} {answer.headers} {answer.content.decode()}"
    reader = {"X-API-Key": "canary-01-of-the-shop-api-key"}
    results = [Client().get(f"/results/{row.correlation_id}", headers=reader) for row in Message.objects.all()]
    calls = endpoint_pages(admin_client)

    places = {
        "answers": said,
        "results": "".join(result.content.decode() for result in results),
        "openapi": Client().get("/openapi.json").content.decode(),
        "metrics": Client().get("/metrics").content.decode(),
        "changes": str(changes),
        "plans": repr(catalogue.by_id()),
        "export": export_configuration(),
        "rows": everything_stored(),
        **calls,
        **admin_pages(admin_client),
        "log": caplog.text,
    }
    # the first eight letters of an API key are shown on purpose, to tell keys apart
    needles = (*(f"canary-{number:02}" for number in range(1, 21)), WEBHOOK_SECRET, *ENCODED, key.splitlines()[2])
    assert {(place, needle) for place, text in places.items() for needle in needles if needle in text} == set()
    assert (Attempt.objects.count(), Rejection.objects.count()) == (len(SLUGS), len(SLUGS))
    assert len(places) > 100
    assert "who are you?" in places["rows"]  # the search reads bodies, too
    assert places["results"].count("[redacted]") >= len(ECHOING)
