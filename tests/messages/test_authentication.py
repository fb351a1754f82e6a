import base64
import hmac
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.catalogue import CredentialPlan, catalogue
from connectors.choices import Scheme
from connectors.models import Application
from connectors.signatures import plain as plain_schemes
from messages import authentication
from messages.authentication import TOLD, authenticate, is_authentic
from messages.problems import Problem
from tests.factories import ApplicationFactory, CredentialFactory

pytestmark = pytest.mark.django_db


def request(**headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return RequestFactory().post("/webhooks/orders", b"{}", content_type="application/json", headers=named)


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.fixture
def application() -> Application:
    return ApplicationFactory(slug="shop")


def credentials(application: Application) -> tuple[CredentialPlan, ...]:
    return catalogue.credentials_of(application.pk)


@pytest.mark.parametrize(
    "headers",
    [
        {"X_API_Key": "the-key"},
        {"X_API_Key": " the-key "},
        {"Authorization": "Bearer the-key"},
        {"Authorization": "bearer   the-key"},  # schemes have no case
        {"Authorization": "Bearer wrong", "X_API_Key": "the-key"},  # any that fits is enough
        {"Authorization": basic("no:body"), "X_API_Key": "the-key"},
    ],
)
def test_api_key_that_fits(application: Application, headers: dict[str, str]) -> None:
    CredentialFactory(application=application, plain="the-key")

    assert is_authentic(request(**headers), credentials(application))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_API_Key": ""},
        {"X_API_Key": "the-ke"},
        {"X_API_Key": "the-key2"},
        {"X_API_Key": "THE-KEY"},
        {"X_API_Key": "th\xe9-key"},
        {"X_API_Key": "the-key\0"},
        {"X_API_Key": "$"},  # the form in which keys are stored
        {"Authorization": "the-key"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer the key"},
        {"Authorization": "Token the-key"},
        {"Authorization": basic("shop:the-key")},  # a key is not a password
    ],
)
def test_api_key_that_does_not_fit(application: Application, headers: dict[str, str]) -> None:
    CredentialFactory(application=application, plain="the-key")

    assert not is_authentic(request(**headers), credentials(application))


@pytest.mark.parametrize(
    ("credential", "sent"),
    [
        ({"username": "shop", "plain": "pass:word"}, "shop:pass:word"),  # the first colon ends the name
        ({"username": "shop", "plain": "ключ"}, "shop:ключ"),  # UTF-8, as we say in the challenge
        ({"username": "", "plain": "u:p"}, "u:p"),  # the name is part of the secret
        ({"username": "", "plain": "p"}, "shop:p"),  # or the application's
        ({"username": "", "plain": "p", "name": "main"}, "main:p"),  # or the credential's
    ],
)
def test_password_that_fits(application: Application, credential: dict[str, str], sent: str) -> None:
    CredentialFactory(application=application, basic=True, **credential)

    assert is_authentic(request(Authorization=basic(sent)), credentials(application))


@pytest.mark.parametrize(
    "authorization",
    [
        basic("shop:wrong"),
        basic("other:password"),
        basic("shop:"),
        basic(":password"),
        basic(":"),
        basic("shop"),  # no colon
        basic(b"shop:\xff"),  # not UTF-8
        "Basic",
        "Basic !!!",
        "Basic \xe9",
        "Basic c2hvcDpwYXNzd29yZA",  # base64 without its padding
        "Bearer password",  # a password is not a key
    ],
)
def test_password_that_does_not_fit(application: Application, authorization: str) -> None:
    CredentialFactory(application=application, basic=True, plain="password")

    assert not is_authentic(request(Authorization=authorization), credentials(application))


@pytest.mark.parametrize("trait", [{"disabled": True}, {"basic": True, "disabled": True}])
def test_disabled_credential_opens_nothing(application: Application, trait: dict[str, bool]) -> None:
    CredentialFactory(application=application, plain="secret", **trait)
    both = request(X_API_Key="secret", Authorization=basic("shop:secret"))

    assert not is_authentic(both, credentials(application))


@pytest.mark.parametrize("scheme", ["api_key", "basic"])
def test_credential_without_a_secret_opens_nothing(application: Application, scheme: str) -> None:
    CredentialFactory(application=application, scheme=scheme, username="", without_secret=True)

    for empty in (request(), request(X_API_Key=""), request(Authorization=basic("shop:"))):
        assert not is_authentic(empty, credentials(application))


def test_credential_of_another_application_opens_nothing(application: Application) -> None:
    CredentialFactory(plain="the-key")

    assert not is_authentic(request(X_API_Key="the-key"), credentials(application))


def test_every_credential_is_compared_whichever_fits(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    for plain in ("first", "second", "third"):
        CredentialFactory(application=application, plain=plain)
    compared: list[str] = []
    matches = plain_schemes.key_matches

    def counting(key: bytes, hashed: str) -> bool:
        compared.append(hashed)
        return matches(key, hashed)

    monkeypatch.setattr(plain_schemes, "key_matches", counting)

    assert is_authentic(request(X_API_Key="first"), credentials(application))
    assert len(compared) == 3


@pytest.mark.parametrize("headers", [{}, {"X_API_Key": "wrong"}, {"Authorization": "Digest x"}])
def test_whoever_may_not_pass_is_told_how(application: Application, headers: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        authenticate(request(**headers), credentials(application))

    assert (caught.value.slug, caught.value.status) == ("authentication-failed", 401)
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert "wrong" not in caught.value.detail


def test_plans_never_show_their_secrets(application: Application) -> None:
    CredentialFactory(application=application, basic=True, plain="canary")

    assert "canary" not in repr(credentials(application))


def test_key_beyond_ascii_fits(application: Application) -> None:
    CredentialFactory(application=application, plain="ключ")
    as_wsgi_hands_it_over = "ключ".encode().decode("latin-1")

    assert is_authentic(request(X_API_Key=as_wsgi_hands_it_over), credentials(application))
    assert not is_authentic(request(X_API_Key="друг".encode().decode("latin-1")), credentials(application))


# --- signatures ---

BODY = b'{"id":"evt_1"}'


def signed(key: str = "the-secret", body: bytes = BODY) -> dict[str, str]:
    return {"X_Hub_Signature_256": "sha256=" + hmac.new(key.encode(), body, "sha256").hexdigest()}


def evidence(application: Application, body: bytes | None = BODY, **headers: str) -> str:
    """What support staff are told; outsiders are told the same whatever was wrong."""
    with pytest.raises(Problem) as caught:
        authenticate(request(**headers), credentials(application), read=None if body is None else lambda: body)
    assert caught.value.detail == TOLD
    assert caught.value.evidence not in json.dumps(caught.value.document())
    return caught.value.evidence


def test_body_is_read_once_and_only_where_a_signature_was_sent(application: Application) -> None:
    CredentialFactory(application=application, plain="the-key")
    CredentialFactory(application=application, github=True)
    CredentialFactory(application=application, github=True, plain="another")
    reads: list[bytes] = []

    def read() -> bytes:
        reads.append(BODY)
        return BODY

    by_key = authenticate(request(X_API_Key="the-key"), credentials(application), read=read)
    assert (by_key.body, reads) == (None, [])
    by_signature = authenticate(request(**signed("another")), credentials(application), read=read)
    assert (by_signature.body, reads) == (BODY, [BODY])


def test_body_that_is_too_large_is_said_before_it_is_signed_or_not(application: Application) -> None:
    CredentialFactory(application=application, github=True)

    def too_large() -> bytes:
        raise Problem("body-too-large", "It is too large.")

    with pytest.raises(Problem) as caught:
        authenticate(request(**signed()), credentials(application), read=too_large)
    assert caught.value.slug == "body-too-large"


def test_signature_proves_nothing_where_no_body_belongs_to_it(application: Application) -> None:
    CredentialFactory(application=application, github=True)

    assert not is_authentic(request(**signed(body=b"")), credentials(application))
    assert "none counts here" in evidence(application, None, **signed(body=b""))


@pytest.mark.parametrize(
    ("trait", "said"),
    [
        ({"disabled": True}, "fits, but it is disabled"),
        ({"expired": True}, "fits, but it expired on"),
        ({"revoked": True}, "fits, but it was revoked on"),
    ],
)
@pytest.mark.parametrize("scheme", ["api_key", "basic", "github"])
def test_closed_credential_opens_nothing_and_support_staff_learn_why(
    application: Application, scheme: str, trait: dict[str, bool], said: str
) -> None:
    CredentialFactory(application=application, scheme=scheme, name="old", **{scheme: True}, **trait)
    headers = {"X_API_Key": "the-secret", "Authorization": basic("shop:the-secret"), **signed()}

    assert f"Credential old ({scheme}): what was sent {said}" in evidence(application, **headers)


def test_credential_expires_between_two_requests(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    row = CredentialFactory(application=application, plain="k", expires_at=timezone.now() + timedelta(hours=1))
    known = credentials(application)

    assert is_authentic(request(X_API_Key="k"), known)
    monkeypatch.setattr(authentication, "time", SimpleNamespace(time=row.expires_at.timestamp))
    assert not is_authentic(request(X_API_Key="k"), known)


def test_evidence_names_each_credential_and_no_secret(application: Application) -> None:
    CredentialFactory(application=application, plain="canary-1", name="key")
    CredentialFactory(application=application, github=True, plain="canary-2", name="repository")
    CredentialFactory(application=application, scheme=Scheme.STANDARD_WEBHOOKS, secret="canary-3", name="broken")

    said = evidence(application, X_API_Key="canary-4", **signed("canary-5")).splitlines()

    broken, key, repository = said
    assert broken.startswith("Credential broken (standard_webhooks): it cannot work as it is configured (A secret of ")
    assert key == "Credential key (api_key): another API key was sent."
    assert repository.startswith("Credential repository (github): the signature does not fit: ")
    assert "canary" not in str(said)


def test_nothing_configured_opens_nothing(application: Application) -> None:
    assert evidence(application, X_API_Key="k") == "The application has no credential."


@pytest.mark.parametrize(
    ("sent", "own_id"), [("guid-1", "guid-1"), (None, None), ("x" * 255, "x" * 255), ("evt 1", "evt 1")]
)
def test_senders_own_id(application: Application, sent: str | None, own_id: str | None) -> None:
    CredentialFactory(application=application, github=True)
    headers = {} if sent is None else {"X_GitHub_Delivery": sent.encode().decode("latin-1")}

    caller = authenticate(request(**headers, **signed()), credentials(application), read=lambda: BODY)

    assert caller.own_id() == own_id


@pytest.mark.parametrize("sent", ["", "x" * 256, "a\tb", "\x00", "\xc3\xa9"])
def test_senders_own_id_that_cannot_be_kept_is_a_400(application: Application, sent: str) -> None:
    CredentialFactory(application=application, github=True)
    caller = authenticate(request(X_GitHub_Delivery=sent, **signed()), credentials(application), read=lambda: BODY)

    with pytest.raises(Problem) as caught:
        caller.own_id()
    assert caught.value.slug == "malformed-header"


names = st.sampled_from(
    ["Authorization", "X-API-Key", "X-Signature", "webhook-id", "webhook-timestamp", "webhook-signature",
     "X-Hub-Signature-256", "X-GitHub-Delivery", "Stripe-Signature", "X-Shopify-Hmac-Sha256", "X-Slack-Signature",
     "X-Slack-Request-Timestamp"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(headers=st.dictionaries(names, st.text(max_size=60)), body=st.binary(max_size=60))
def test_whatever_is_sent_raises_only_the_401(application: Application, headers: dict[str, str], body: bytes) -> None:
    for scheme in Scheme.values:
        if not application.credentials.filter(name=scheme).exists():
            secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
            row = CredentialFactory.build(application=application, scheme=scheme, name=scheme)
            row.set_secret(secret)
            row.save()

    with pytest.raises(Problem) as caught:
        authenticate(request(**headers), credentials(application), read=lambda: body)
    assert caught.value.status == 401
