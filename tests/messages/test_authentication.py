import base64
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from connectors.catalogue import CredentialPlan, catalogue
from connectors.models import Application
from messages import authentication
from messages.authentication import authenticate, is_authentic
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
    matches = authentication.key_matches

    def counting(key: str, hashed: str) -> bool:
        compared.append(hashed)
        return matches(key, hashed)

    monkeypatch.setattr(authentication, "key_matches", counting)

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
