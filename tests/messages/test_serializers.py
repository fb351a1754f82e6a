"""The documents of sections 4 and 5 of the contract, for each state that a message can be in."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from connectors import formats
from messages import reply
from messages.models import Message
from messages.serializers import accepted_document, etag, moment, result_document
from tests.factories import MessageFactory, ResultFactory

KEYS = ["correlation_id", "route", "pattern", "status", "received_at", "completed_at", "attempts", "response", "error"]


def loaded(message: Message) -> Message:
    found = reply.load(message.correlation_id)
    assert found is not None
    return found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("trait", "status", "answered", "at_fault", "ended"),
    [
        ({}, "queued", False, False, False),
        ({"retrying": True}, "retrying", False, False, False),
        ({"succeeded": True}, "succeeded", True, False, True),
        ({"failed": True}, "failed", True, True, True),
        ({"dead": True}, "dead", True, True, True),
        ({"cancelled": True}, "cancelled", False, False, True),
    ],
)
def test_result_document(trait: dict[str, bool], status: str, answered: bool, at_fault: bool, ended: bool) -> None:
    message = loaded(MessageFactory(**trait))

    document = result_document(message, "orders", message.status)

    assert list(document) == KEYS
    assert (document["status"], document["route"], document["pattern"]) == (status, "orders", "async")
    assert (document["response"] is not None, document["error"] is not None) == (answered, at_fault)
    assert (document["completed_at"] is not None) == ended


@pytest.mark.django_db
def test_response_keeps_its_digits() -> None:
    message = loaded(MessageFactory(succeeded=True))

    text = formats.dump(result_document(message, "orders", message.status))

    expected = (
        b'"response":{"status_code":201,"content_type":"application/json","body":{"invoice":"INV-7","total":19.90}}'
    )
    assert expected in text


@pytest.mark.django_db
def test_result_of_a_message_that_is_open_again_is_not_told() -> None:
    message = MessageFactory(retrying=True)
    ResultFactory(message=message)

    document = result_document(loaded(message), "orders", "retrying")

    assert (document["response"], document["error"]) == (None, None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind", "shown"),
    [
        (b"", "", {"status_code": 200, "content_type": None, "body": None}),
        (b"ok", "text/plain", {"status_code": 200, "content_type": "text/plain", "body": "ok"}),
        (
            b"\0\xff",
            "image/png",
            {"status_code": 200, "content_type": "image/png", "body": "AP8=", "body_encoding": "base64"},
        ),
    ],
)
def test_response_of_any_kind(body: bytes, kind: str, shown: dict[str, Any]) -> None:
    message = MessageFactory(cancelled=True, status="succeeded")
    ResultFactory(message=message, body=body, content_type=kind, status_code=200)

    assert result_document(loaded(message), "orders", "succeeded")["response"] == shown


@pytest.mark.django_db
def test_accepted_document() -> None:
    message = MessageFactory()

    document = accepted_document(message, "orders", status="queued", result_url="https://host/results/1")

    assert document == {
        "correlation_id": str(message.correlation_id),
        "route": "orders",
        "status": "queued",
        "result_url": "https://host/results/1",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (datetime(2026, 11, 23, 8, 16, 54, 120_999, tzinfo=UTC), "2026-11-23T08:16:54.120Z"),  # cut, never rounded up
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000Z"),
    ],
)
def test_moments_are_rfc_3339_in_utc(value: datetime | None, text: str | None) -> None:
    assert moment(value) == text


def test_etags_tell_documents_apart() -> None:
    assert etag(b"a") == etag(b"a") != etag(b"b")
    assert etag(b"a").startswith('"')
    assert etag(b"a").endswith('"')
