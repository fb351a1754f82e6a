from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.http import HttpRequest
from django.test import RequestFactory

from connectors.catalogue import RoutePlan
from messages import rejections
from messages.models import Rejection
from messages.problems import Problem
from messages.rejections import KEPT_BYTES, MAX_SIZE, PER_MINUTE, Budget, reject

pytestmark = pytest.mark.django_db
MALFORMED = Problem("malformed-body", "It is not JSON.")


def request(body: bytes = b"{", *, known: bool = True, **environ: Any) -> HttpRequest:
    http = RequestFactory().post("/webhooks/orders", body, content_type="application/json", **environ)
    http.caller_is_known = known  # type: ignore[attr-defined]
    http.refused_body = body  # type: ignore[attr-defined]
    return http


def test_what_support_staff_need_is_kept(plan: RoutePlan) -> None:
    errors = [{"path": "lines[2].sku", "message": "It is missing."}, {"path": "id", "message": "It is no number."}]

    reject(request(b'{"a":1}'), plan, Problem("invalid-payload", "It does not fit.", {"errors": errors}))

    kept = Rejection.objects.get()
    assert (kept.route_id, kept.reason, kept.status_code) == (plan.id, "invalid-payload", 422)
    assert kept.detail == "It does not fit.\nlines[2].sku: It is missing.\nid: It is no number."
    assert (kept.remote_address, kept.content_type) == ("127.0.0.1", "application/json")
    assert (bytes(kept.body or b""), kept.size) == (b'{"a":1}', 7)


def test_body_of_a_stranger_is_not_kept(plan: RoutePlan) -> None:
    reject(request(b"x" * 50, known=False), plan, Problem("authentication-failed", "No."))

    kept = Rejection.objects.get()
    assert (kept.body, kept.size) == (None, 50)


def test_only_the_beginning_of_a_large_body_is_kept() -> None:
    reject(request(b"x" * (KEPT_BYTES + 5)), None, MALFORMED)

    kept = Rejection.objects.get()
    assert (len(bytes(kept.body or b"")), kept.size, kept.route) == (KEPT_BYTES, KEPT_BYTES + 5, None)


@pytest.mark.parametrize(
    ("announced", "size"),
    [("2000", 2000), ("", None), ("many", None), ("\xb2", None), (str(MAX_SIZE), MAX_SIZE), ("9" * 30, MAX_SIZE)],
)
def test_announced_size_of_an_unread_body_is_kept(announced: str, size: int | None) -> None:
    reject(request(b"", CONTENT_LENGTH=announced), None, Problem("body-too-large", "It is too large."))

    assert Rejection.objects.get().size == size


def test_text_that_the_database_cannot_hold_is_made_storable() -> None:
    reject(request(), None, Problem("malformed-body", "The key 'a\0b' occurs twice."))

    assert Rejection.objects.get().detail == "The key 'a\N{REPLACEMENT CHARACTER}b' occurs twice."


def test_our_own_failures_are_no_rejections() -> None:
    reject(request(), None, Problem("unavailable", "The database is away."))

    assert not Rejection.objects.exists()


def test_rejection_that_cannot_be_kept_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(**_: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(Rejection.objects, "create", full)

    reject(request(), None, MALFORMED)

    assert "could not be kept" in caplog.text


def test_flood_is_kept_up_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "time", SimpleNamespace(monotonic=lambda: 600.0))

    for _ in range(PER_MINUTE + 10):
        reject(request(), None, MALFORMED)

    assert Rejection.objects.count() == PER_MINUTE


def test_budget_is_fresh_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([600.0, 601.0, 659.9, 660.0, 661.0, 662.0])
    monkeypatch.setattr(rejections, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    budget = Budget(2)

    assert [budget.spend() for _ in range(6)] == [True, True, False, True, True, False]
