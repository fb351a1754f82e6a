from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import rejections
from messages.models import Rejection
from messages.problems import Problem
from messages.rejections import (
    ALL_STRANGERS_PER_MINUTE,
    KEPT_BYTES,
    KNOWN_PER_MINUTE,
    MAX_SIZE,
    STRANGERS_PER_MINUTE,
    Budgets,
    reject,
)
from tests import factories
from tests.messages.conftest import KEY, configure_route

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


def at(monkeypatch: pytest.MonkeyPatch, *moments: float) -> None:
    """The clock shows these in turn, and stops at the last."""
    left = list(moments)
    clock = SimpleNamespace(monotonic=lambda: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(rejections, "time", clock)


@pytest.mark.parametrize(("known", "kept"), [(True, KNOWN_PER_MINUTE), (False, STRANGERS_PER_MINUTE)])
def test_flood_is_kept_up_to_the_budget_and_counted(
    monkeypatch: pytest.MonkeyPatch, plan: RoutePlan, known: bool, kept: int
) -> None:
    at(monkeypatch, 600.0)

    for _ in range(kept + 10):
        reject(request(known=known), plan, MALFORMED)
    at(monkeypatch, 602.0)
    reject(request(known=known), plan, MALFORMED)

    assert Rejection.objects.count() == kept
    assert [row.further for row in Rejection.objects.order_by("-pk")[:2]] == [11, 0]


def test_what_was_counted_last_is_told_in_the_next_minute(monkeypatch: pytest.MonkeyPatch, plan: RoutePlan) -> None:
    at(monkeypatch, 600.0)
    for _ in range(KNOWN_PER_MINUTE + 5):
        reject(request(), plan, MALFORMED)
    last = Rejection.objects.latest("pk")

    at(monkeypatch, 700.0)
    reject(request(known=False), None, MALFORMED)

    last.refresh_from_db()
    assert last.further == 5


def test_strangers_cannot_hide_what_a_known_sender_does_wrong(monkeypatch: pytest.MonkeyPatch, plan: RoutePlan) -> None:
    at(monkeypatch, 600.0)
    for _ in range(2 * ALL_STRANGERS_PER_MINUTE):
        reject(request(known=False), plan, MALFORMED)
        reject(request(known=False), None, MALFORMED)

    reject(request(b"mine"), plan, MALFORMED)

    assert bytes(Rejection.objects.latest("pk").body or b"") == b"mine"


def test_strangers_have_one_budget_for_all_routes() -> None:
    budgets = Budgets()

    kept = [budgets.spend((route, False)) for route in range(100) for _ in range(STRANGERS_PER_MINUTE)]

    assert sum(kept) == ALL_STRANGERS_PER_MINUTE
    assert all(budgets.spend((route, True)) for route in range(100))


def test_budget_is_fresh_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "KNOWN_PER_MINUTE", 2)
    at(monkeypatch, 600.0, 601.0, 659.9, 660.0, 661.0, 662.0)
    budgets = Budgets()

    assert [budgets.spend((1, True)) for _ in range(6)] == [True, True, False, True, True, False]


def test_refusal_beyond_the_budget_asks_the_database_nothing(
    monkeypatch: pytest.MonkeyPatch, plan: RoutePlan, django_assert_num_queries: Any
) -> None:
    at(monkeypatch, 600.0)
    for _ in range(KNOWN_PER_MINUTE + 1):  # the first that is not kept is told at once
        reject(request(), plan, MALFORMED)

    with django_assert_num_queries(0):
        reject(request(), plan, MALFORMED)


def test_what_a_caller_quotes_and_calls_itself_is_kept() -> None:
    http = request(HTTP_X_REQUEST_ID="case-17", HTTP_USER_AGENT="shop/1.0 \0")

    reject(http, None, MALFORMED)

    kept = Rejection.objects.get()
    assert (kept.request_id, kept.target) == ("case-17", "POST /webhooks/orders")
    assert kept.user_agent == "shop/1.0 \N{REPLACEMENT CHARACTER}"


def post(path: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().post(path, "{}", "application/json", headers=named)


@pytest.mark.parametrize("path", ["/webhooks/ordres", "/webhooks/ordres/sync"])
def test_slug_that_is_mistyped_is_visible(plan: RoutePlan, path: str) -> None:
    assert post(path, X_API_Key=KEY).status_code == 404

    kept = Rejection.objects.get()
    assert (kept.reason, kept.route, kept.target) == ("not-found", None, f"POST {path}")


def test_call_of_a_disabled_route_is_found_with_it() -> None:
    plan = configure_route(enabled=False)

    assert post("/webhooks/orders", X_API_Key=KEY).status_code == 404

    assert Rejection.objects.get().route_id == plan.id


def test_wrong_method_and_wrong_key_of_a_reader_are_visible(plan: RoutePlan) -> None:
    Client().get("/webhooks/orders")
    Client().delete("/results/0198f2")
    Client().get("/results/0198f2", headers={"X-API-Key": "wrong"})

    kept = Rejection.objects.order_by("pk").values_list("status_code", "target")
    assert list(kept) == [(405, "GET /webhooks/orders"), (405, "DELETE /results/0198f2"), (401, "GET /results/0198f2")]
    assert "Credential main (api_key): another API key was sent." in Rejection.objects.latest("pk").detail


def test_mismatch_names_the_first_message_to_who_may_know_it(plan: RoutePlan) -> None:
    headers = {"X-API-Key": KEY, "Idempotency-Key": "k"}

    first, answer = (
        Client().post("/webhooks/orders", body, "application/json", headers=headers)
        for body in ('{"lane": "A"}', '{"lane": "B"}')
    )

    known = first.json()["correlation_id"]
    assert (answer.status_code, answer.json()["correlation_id"]) == (422, known)
    assert known in Rejection.objects.latest("pk").detail


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("case-17", ["first"]),
        ("192.0.2.7", ["second"]),
        ("second", ["second"]),
        ("/webhooks/ordres", ["first"]),
        ("sku missing", ["first"]),  # each word, wherever it stands
        ("curl", ["second"]),
        ("nothing like it", []),
    ],
)
def test_rejections_are_found_by_what_people_have(admin_client: Client, term: str, found: list[str]) -> None:
    factories.RejectionFactory(
        reason="first", request_id="case-17", target="POST /webhooks/ordres", detail="A sku is missing."
    )
    factories.RejectionFactory(reason="second", remote_address="192.0.2.7", detail="The second", user_agent="curl/8")

    page = admin_client.get("/admin/messaging/rejection/", {"q": term})

    assert [row.reason for row in page.context["cl"].result_list] == found


def test_request_id_is_found_by_its_index(plan: RoutePlan) -> None:
    told = Rejection.objects.filter(request_id="case-17").explain()

    assert "rejection_request_id" in told or connection.vendor == "postgresql"


def test_how_many_more_there_were_is_shown(admin_client: Client) -> None:
    row = factories.RejectionFactory(further=4310)

    listed = admin_client.get("/admin/messaging/rejection/").content.decode()
    shown = admin_client.get(f"/admin/messaging/rejection/{row.pk}/change/").content.decode()

    assert "at least 4,310 more" in listed
    assert "at least 4,310 more" in shown


def test_metrics_count_what_was_refused_lately(admin_client: Client) -> None:
    factories.RejectionFactory(further=40)
    factories.RejectionFactory()
    factories.RejectionFactory(further=7, created_at=timezone.now() - timedelta(hours=1))

    lines = Client().get("/metrics").content.decode().splitlines()

    assert 'platform_rejections{kept="yes"} 2' in lines
    assert 'platform_rejections{kept="no"} 40' in lines
