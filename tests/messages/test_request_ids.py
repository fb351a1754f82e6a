"""Each answer has a name that its caller can quote."""

import uuid
from typing import Any

import pytest
from django.test import Client

from messages.models import Message, Rejection
from tests.messages.conftest import KEY, configure_route

pytestmark = pytest.mark.django_db(transaction=True)


def post(path: str = "/webhooks/orders", body: str = "{}", **headers: str) -> Any:
    named = {"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Client().post(path, body, "application/json", headers=named)


@pytest.mark.parametrize("own", ["case-17", "01a2096f-52c2-75ed", "shop/4711:2", "x" * 128])
def test_callers_own_id_comes_back(own: str) -> None:
    configure_route()

    accepted, refused = post(X_Request_ID=own), post(body="{", X_Request_ID=own)

    assert (accepted["X-Request-ID"], refused["X-Request-ID"]) == (own, own)
    assert Message.objects.get().headers == {"X-Request-Id": own}
    assert Rejection.objects.get().request_id == own


@pytest.mark.parametrize("own", ["", "a b", "x" * 129, "<b>", "schl\u00fcssel", "a,b"])
def test_unusable_id_is_replaced_by_one_of_ours(own: str) -> None:
    configure_route()

    answer = post(body="{", X_Request_ID=own)

    assert uuid.UUID(answer["X-Request-ID"])
    assert Rejection.objects.get().request_id == answer["X-Request-ID"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/nowhere"), ("get", "/results/1"), ("put", "/webhooks/orders"), ("get", "/health/live")],
)
def test_answer_of_any_address_has_one(method: str, path: str) -> None:
    first, second = (getattr(Client(), method)(path) for _ in range(2))

    assert uuid.UUID(first["X-Request-ID"]) != uuid.UUID(second["X-Request-ID"])


def test_wrong_host_gets_one_too() -> None:
    answer = Client().get("/health/live", headers={"Host": "evil.example", "X-Request-ID": "case-17"})

    assert (answer.status_code, answer["X-Request-ID"]) == (400, "case-17")
