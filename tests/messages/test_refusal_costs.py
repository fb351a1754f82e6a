"""What a refusal asks of the database: whether the configuration still holds, and no more."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from messages import views
from messages.models import Message
from messages.repeats import repeats
from tests.messages.conftest import KEY, configure_route

pytestmark = pytest.mark.django_db(transaction=True)
JSON = "application/json"


@pytest.fixture(autouse=True)
def no_more_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a flood, when a minute's rejections have been kept."""
    monkeypatch.setattr(views, "reject", lambda *_: None)


def post(body: bytes = b'{"id": 1}', path: str = "/webhooks/orders", kind: str = JSON, **headers: str) -> Any:
    named = {"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Client().post(path, body, content_type=kind, headers=named)


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, {"body": b"{"}),
        (400, {"Idempotency_Key": ""}),
        (401, {"X_API_Key": "another"}),
        (404, {"path": "/webhooks/nowhere"}),
        (413, {"body": b" " * 2000}),
        (415, {"kind": "image/png"}),
        (422, {"body": b"[]"}),
        (422, {"body": b'{"id": 2}', "Idempotency_Key": "one"}),
    ],
)
def test_refusal_asks_whether_the_configuration_holds_and_no_more(status: int, sent: dict[str, Any]) -> None:
    configure_route(max_body_bytes=1000, schema={"type": "object"})
    post(Idempotency_Key="one")

    with CaptureQueriesContext(connection) as asked:
        assert post(**sent).status_code == status

    assert [query["sql"].split()[0] for query in asked.captured_queries] == ["SELECT"]


def test_repeat_is_one_query_and_writes_nothing() -> None:
    configure_route()
    first = post(Idempotency_Key="one")

    with CaptureQueriesContext(connection) as asked:
        again = post(Idempotency_Key="one")

    assert (again.status_code, again.json()) == (202, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert [query["sql"].split()[0] for query in asked.captured_queries] == ["SELECT"]


@pytest.mark.parametrize(("body", "status"), [(b'{"id": 1}', 202), (b'{"id": 2}', 422)])
def test_repeat_that_another_process_took_is_remembered_by_the_second_look(body: bytes, status: int) -> None:
    configure_route()
    post(Idempotency_Key="one")
    repeats.clear()
    assert post(body, Idempotency_Key="one").status_code == status

    with CaptureQueriesContext(connection) as asked:
        assert post(body, Idempotency_Key="one").status_code == status

    assert [query["sql"].split()[0] for query in asked.captured_queries] == ["SELECT"]


def test_repeat_is_answered_by_the_newest_configuration_only() -> None:
    configure_route()
    post(Idempotency_Key="one")
    configure_route(enabled=False)

    assert post(Idempotency_Key="one").status_code == 404


def test_key_whose_message_is_not_there_any_more_is_new() -> None:
    """The database was restored under this process."""
    configure_route()
    post(Idempotency_Key="one")
    Message.objects.all().delete()

    answer = post(Idempotency_Key="one")

    assert (answer.status_code, "Idempotency-Replayed" in answer) == (202, False)
