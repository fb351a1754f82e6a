from typing import Any

import pytest
from django.test import Client

from messages.models import Message
from tests.messages.conftest import KEY, configure_route

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def https_only(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.TRUSTED_PROXIES = ()


def push(**more: Any) -> Any:
    configure_route()
    return Client().post("/webhooks/orders", b"{}", content_type="application/json", headers={"X-API-Key": KEY}, **more)


def test_push_by_plain_http_is_a_403_and_no_redirect() -> None:
    answer = push()

    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    assert answer.json()["type"] == "/problems/forbidden"
    assert "https" in answer.json()["detail"]
    assert not Message.objects.exists()


def test_push_by_https_is_taken() -> None:
    assert push(secure=True).status_code == 202


def test_looking_by_plain_http_is_redirected() -> None:
    answer = Client().get("/openapi.json")

    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/openapi.json")


def test_admins_form_by_plain_http_is_refused_with_a_page() -> None:
    answer = Client().post("/admin/login/", {"username": "admin", "password": "password"})

    assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (403, "text/html")


def test_plain_http_is_fine_unless_it_is_forbidden(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False

    assert push().status_code == 202
