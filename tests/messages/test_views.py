"""Sections 4, 5 and 8 of the contract, through Django's client; a pump in a thread stands for the worker."""

import base64
import hmac
import ipaddress
import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import stripe
from django.db import OperationalError, connection
from django.db.models import Model
from django.test import Client

from connectors.catalogue import catalogue
from connectors.models import Application, Credential, Endpoint, Route
from messages import intake
from messages.delivery import NOT_CALLABLE
from messages.models import Attempt, Lane, Message, Rejection
from messages.pump import Pump
from messages.tasks import purge
from tests.destination import Answer, Destination
from tests.messages.conftest import KEY, claim, configure_route, finish

pytestmark = pytest.mark.django_db(transaction=True)
ORDERS = "/webhooks/orders"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOBODYS = "0af76519-16cd-43dd-8448-eb211c80319c"  # correlation ID


def post(path: str = ORDERS, body: Any = None, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
    named = {"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Client().post(path, data, content_type=named.pop("Content-Type", "application/json"), headers=named)


def get(path: str, **headers: str) -> Any:
    return Client().get(
        path, headers={"X-API-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.fixture
def worker() -> Iterator[None]:
    """A pump that works what is due until the test ends."""
    pump = Pump(threads=4)

    def run() -> None:
        pump.run(budget_seconds=60, linger_seconds=60)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    pump.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_async_answer(destination: Destination) -> None:
    configure_route(destination.url("/orders"))

    answer = post(body={"id": 1})

    document = answer.json()
    assert answer.status_code == 202
    assert set(document) == {"correlation_id", "route", "status", "result_url"}
    assert (document["route"], document["status"]) == ("orders", "queued")
    assert answer["Location"] == document["result_url"] == f"http://testserver/results/{document['correlation_id']}"
    assert answer["Retry-After"] == "1"
    assert answer["X-Correlation-ID"] == document["correlation_id"]
    assert Message.objects.filter(correlation_id=document["correlation_id"]).exists()


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        (TRACEPARENT, {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}),
        ("00-junk", None),  # a broken one is no reason to refuse anything
    ],
)
def test_trace_is_kept_with_the_message(traceparent: str, kept: Any) -> None:
    configure_route()

    answer = post(traceparent=traceparent, tracestate="vendor=1")

    assert answer.status_code == 202
    assert Message.objects.get().headers == kept


def test_sync_answer_is_the_result_document(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, b'{"total":19.90}', {"Content-Type": "application/json"}))
    configure_route(destination.url("/orders"))

    answer = post(f"{ORDERS}/sync")

    document = answer.json()
    assert answer.status_code == 200
    assert list(document) == [
        "correlation_id", "route", "pattern", "status", "received_at", "completed_at", "attempts", "response", "error",
    ]  # fmt: skip
    assert document["status"] == "succeeded"
    assert document["attempts"] == 1
    assert document["error"] is None
    assert b'"body":{"total":19.90}' in answer.content
    assert document["received_at"].endswith("Z")
    assert get(f"/results/{document['correlation_id']}").json() == document


def test_sync_message_waits_its_turn(destination: Destination, worker: None) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.2))
    configure_route(destination.url("/orders"))
    for number in range(3):
        post(body={"n": number})

    answer = post(f"{ORDERS}/sync", {"n": 3})

    assert answer.status_code == 200
    assert [request.json()["n"] for request in destination.received("/orders")] == [0, 1, 2, 3]


def test_reply_body_gives_the_destinations_status_and_body(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, "<ok/>", {"Content-Type": "text/xml"}))
    configure_route(destination.url("/orders"), reply="body")

    answer = post(f"{ORDERS}/sync")

    assert (answer.status_code, answer.content, answer["Content-Type"]) == (201, b"<ok/>", "text/xml")
    assert answer["X-Correlation-ID"]


def test_reply_mapping_makes_the_response(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"no": "INV-7"}, {"X-Kind": "invoice"}))
    configure_route(
        destination.url("/orders"),
        reply_mapping_definition={
            "slug": "reply", "expression": '{"invoice": body.no, "status": status_code, "kind": headers.`x-kind`}',
        },
        reply_mapping="reply",
    )  # fmt: skip

    answer = post(f"{ORDERS}/sync")

    assert answer.json()["response"]["body"] == {"invoice": "INV-7", "status": 201, "kind": "invoice"}


def test_reply_that_cannot_be_mapped_is_told_but_the_destination_has_confirmed(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"no": "x"}))
    configure_route(
        destination.url("/orders"),
        reply_mapping_definition={
            "slug": "reply",
            "fields": [{"target": "no", "source": "body.no", "type": "integer"}],
        },
        reply_mapping="reply",
    )

    document = post(f"{ORDERS}/sync").json()

    assert document["status"] == "succeeded"
    assert document["response"]["body"] == {"no": "x"}
    assert document["error"]["errors"][0]["target"] == "no"


@pytest.mark.parametrize(
    ("answer", "slug", "destination_status"),
    [
        (Answer(422, {"e": 1}), "destination-refused", 422),
        (Answer(302, headers={"Location": "http://127.0.0.1/"}), "destination-refused", 302),
        (Answer(500), "destination-failed", 500),
        (Answer.nothing(), "destination-failed", None),
    ],
)
def test_sync_failure_is_a_502_and_final(
    destination: Destination, answer: Answer, slug: str, destination_status: int | None
) -> None:
    destination.answers("/orders", answer)
    configure_route(destination.url("/orders"))

    document = problem(post(f"{ORDERS}/sync"), 502, slug)

    assert document["destination_status"] == destination_status
    assert get(f"/results/{document['correlation_id']}").json()["status"] == "failed"
    assert Lane.objects.get().depth == 0


def test_private_address_that_is_not_allowed_is_a_clear_failure() -> None:
    configure_route("http://169.254.169.254/latest")

    document = problem(post(f"{ORDERS}/sync"), 502, "destination-failed")

    assert document["detail"] == NOT_CALLABLE
    assert "cloud metadata" in Attempt.objects.get().detail


def test_mapping_failure_names_every_row() -> None:
    rows = [{"target": "a", "source": "x", "required": True}, {"target": "b", "source": "y", "type": "integer"}]
    configure_route(mapping_definition={"slug": "m", "fields": rows}, mapping="m")

    document = problem(post(f"{ORDERS}/sync", {"y": "many"}), 422, "mapping-failed")

    assert [error["target"] for error in document["errors"]] == ["a", "b"]
    assert all(set(error) == {"target", "source", "message"} for error in document["errors"])
    assert get(f"/results/{document['correlation_id']}").json()["status"] == "failed"


def test_passed_deadline_is_a_504_and_the_message_goes_on(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, {"late": 1}, delay_seconds=0.6))
    configure_route(destination.url("/orders"), sync_deadline_seconds=0.2)

    answer = post(f"{ORDERS}/sync")
    result = get(f"{answer['Location']}?wait=5").json()

    document = problem(answer, 504, "deadline-passed")
    assert answer["Location"].endswith(document["correlation_id"])
    assert (result["status"], result["response"]["body"]) == ("succeeded", {"late": 1})


def test_failure_after_a_504_is_final(destination: Destination) -> None:
    destination.answers("/orders", Answer(503, delay_seconds=0.4))
    configure_route(destination.url("/orders"), sync_deadline_seconds=0.1)

    answer = post(f"{ORDERS}/sync")

    assert get(f"{answer['Location']}?wait=5").json()["status"] == "failed"


def test_accepting_route_answers_202_at_the_deadline_and_retries(destination: Destination, worker: None) -> None:
    destination.answers("/orders", Answer(503, delay_seconds=0.4), Answer(200))
    retry = {"max_attempts": 3, "first_delay_seconds": 0.1, "factor": 1}
    configure_route(destination.url("/orders"), sync_deadline_seconds=0.1, on_deadline="accept", retry=retry)

    answer = post(f"{ORDERS}/sync")

    assert answer.status_code == 202
    result = get(f"{answer['Location']}?wait=10").json()
    assert (result["status"], result["attempts"]) == ("succeeded", 2)


def test_prefer_wait_shortens_the_deadline(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=1.5))
    configure_route(destination.url("/orders"))

    problem(post(f"{ORDERS}/sync", Prefer="wait=1"), 504, "deadline-passed")


@pytest.mark.parametrize(
    ("patterns", "path", "prefer", "status"),
    [
        (["async", "sync"], ORDERS, "", 202),  # the default is the first
        (["sync", "async"], ORDERS, "", 200),
        (["sync", "async"], ORDERS, "respond-async", 202),
        (["sync", "async"], ORDERS, 'foo="bar"; x=1, Respond-Async', 202),
        (["sync"], ORDERS, "respond-async", 200),  # not allowed there: ignored
        (["sync", "async"], f"{ORDERS}/async/", "", 202),  # a slash at the end
        (["sync"], f"{ORDERS}/async", "", 404),
        (["async"], f"{ORDERS}/sync", "", 404),
    ],
)
def test_pattern_is_chosen(destination: Destination, patterns: list[str], path: str, prefer: str, status: int) -> None:
    configure_route(destination.url("/orders"), patterns=patterns)

    answer = post(path, Prefer=prefer)

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/webhooks/nowhere", "/nowhere", "/results/nonsense", f"/results/{NOBODYS}"])
def test_unknown_address_is_a_404_problem(path: str) -> None:
    configure_route()

    problem(post(path) if path.startswith("/webhooks") else get(path), 404, "not-found")


def test_disabled_route_is_a_404() -> None:
    configure_route(enabled=False)

    problem(post(), 404, "not-found")


@pytest.mark.parametrize(
    "headers",
    [
        {"X_API_Key": "wrong"},
        {"X_API_Key": "strangers-key"},
        {"X_API_Key": "", "Authorization": "Bearer wrong"},
        {"X_API_Key": "", "Authorization": "Basic !!!"},
        {"X_API_Key": "", "Authorization": "Basic " + base64.b64encode(b"shop:wrong").decode()},
        {"X_API_Key": "", "Authorization": "Basic " + base64.b64encode(b"nocolon").decode()},
        {"X_API_Key": ""},
    ],
)
def test_wrong_credentials_are_a_401(headers: dict[str, str]) -> None:
    configure_route()

    answer = post(**headers)

    problem(answer, 401, "authentication-failed")
    assert "Basic" in answer["WWW-Authenticate"]
    assert Rejection.objects.get().body is None


@pytest.mark.parametrize(
    "authorization", [f"Bearer {KEY}", f"bearer {KEY}", "Basic " + base64.b64encode(b"shop:pass:word").decode()]
)
def test_any_credential_of_the_application_is_enough(authorization: str) -> None:
    configure_route()

    assert post(X_API_Key="", Authorization=authorization).status_code == 202


# --- signatures ---

SENDERS = ("github", "stripe", "shopify", "standard_webhooks", "slack")
WHSEC = "whsec_" + base64.b64encode(b"thirty-two bytes of key material").decode()


def configure_senders() -> None:
    """The route `orders` of a shop that may sign in any of the senders' ways."""
    configure_route()
    shop = Application.objects.get(slug="shop")
    for scheme in SENDERS:
        row = Credential(application=shop, name=scheme, scheme=scheme)
        row.set_secret(WHSEC)
        row.save()


def signed(sender: str, body: bytes, own_id: str = "one") -> dict[str, str]:
    def mac(content: bytes, key: bytes = WHSEC.encode()) -> bytes:
        return hmac.new(key, content, "sha256").digest()

    now = str(int(time.time()))
    text = f"{now}.{body.decode()}"
    match sender:
        case "github":
            return {"X_Hub_Signature_256": f"sha256={mac(body).hex()}", "X_GitHub_Delivery": own_id}
        case "stripe":
            return {"Stripe_Signature": f"t={now},v1=" + stripe.WebhookSignature._compute_signature(text, WHSEC)}
        case "shopify":
            return {"X_Shopify_Hmac_Sha256": base64.b64encode(mac(body)).decode(), "X_Shopify_Event_Id": own_id}
        case "standard_webhooks":
            signature = standardwebhooks.Webhook(WHSEC).sign(own_id, datetime.now(UTC), body.decode())
            return {"webhook_id": own_id, "webhook_timestamp": now, "webhook_signature": signature}
        case _:
            signature = mac(b"v0:" + now.encode() + b":" + body).hex()
            return {"X_Slack_Request_Timestamp": now, "X_Slack_Signature": f"v0={signature}"}


@pytest.mark.parametrize("sender", SENDERS)
def test_signed_request_is_accepted_with_its_bytes(sender: str) -> None:
    configure_senders()
    body = b'{"id": "evt_1",\n "total": 19.90}'

    answer = post(body=body, X_API_Key="", **signed(sender, body))

    assert answer.status_code == 202
    assert bytes(Message.objects.get().body) == body


@pytest.mark.parametrize("sender", SENDERS)
def test_request_whose_body_was_changed_is_a_401_and_support_staff_learn_why(sender: str) -> None:
    configure_senders()

    answer = post(body=b'{"id":"evt_1","total":1990}', X_API_Key="", **signed(sender, b'{"id":"evt_1","total":1}'))

    document = problem(answer, 401, "authentication-failed")
    rejection = Rejection.objects.get()
    assert f"Credential {sender} ({sender}): the signature does not fit" in rejection.detail
    assert "signature does not fit" not in json.dumps(document)
    assert (rejection.body, rejection.size) == (None, 27)
    assert not Message.objects.exists()


@pytest.mark.parametrize("sender", [sender for sender in SENDERS if sender != "slack"])
def test_repeat_is_known_by_the_senders_own_id(sender: str) -> None:
    configure_senders()
    bodies = [b'{"id":"one","n":1}', b'{"id":"one","n":2}', b'{"id":"two","n":1}']

    first, again, changed, other = (
        post(body=body, X_API_Key="", **signed(sender, body, own_id))
        for body, own_id in [(bodies[0], "one"), (bodies[0], "one"), (bodies[1], "one"), (bodies[2], "two")]
    )

    assert again["Idempotency-Replayed"] == "true"
    assert again["X-Correlation-ID"] == first["X-Correlation-ID"] != other["X-Correlation-ID"]
    problem(changed, 422, "idempotency-mismatch")
    assert Message.objects.count() == 2


def test_idempotency_key_comes_before_the_senders_own_id() -> None:
    configure_senders()

    for own_id in ("one", "two"):
        assert post(X_API_Key="", Idempotency_Key="mine", **signed("github", b"{}", own_id)).status_code == 202

    assert Message.objects.get().idempotency_key == "mine"


def test_own_id_of_a_sender_who_signed_nothing_is_no_key() -> None:
    configure_senders()

    post(X_GitHub_Delivery="one", webhook_id="one")

    assert Message.objects.get().idempotency_key is None


def test_slack_gets_its_challenge_back_and_no_message_is_made() -> None:
    configure_senders()
    body = b'{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}'

    answer = post(body=body, X_API_Key="", **signed("slack", body))

    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1aBm2rZgRNFdxV"})
    assert not Message.objects.exists()


@pytest.mark.parametrize("sender", ["", "github", "standard_webhooks"])
def test_challenge_of_anybody_else_is_a_message_like_any_other(sender: str) -> None:
    configure_senders()
    body = b'{"challenge":"x","type":"url_verification"}'
    headers = {"X_API_Key": "", **signed(sender, body)} if sender else {}

    assert post(body=body, **headers).status_code == 202


def test_challenge_that_slack_did_not_sign_is_not_answered() -> None:
    configure_senders()
    body = b'{"challenge":"x","type":"url_verification"}'

    problem(post(body=body, X_API_Key="", **signed("slack", b"{}")), 401, "authentication-failed")


def test_too_large_body_is_refused_before_its_signature_is_looked_at() -> None:
    configure_senders()
    Route.objects.update(max_body_bytes=10)
    body = b'{"id":"evt_1"}'

    problem(post(body=body, X_API_Key="", **signed("github", body)), 413, "body-too-large")
    assert Rejection.objects.get().body is None


def test_results_are_read_with_keys_and_passwords_only() -> None:
    configure_senders()
    url = post().json()["result_url"]

    problem(get(url, X_API_Key="", **signed("github", b"")), 401, "authentication-failed")


@pytest.mark.parametrize(
    ("body", "headers", "status", "slug"),
    [
        (b"", {}, 400, "malformed-body"),
        (b"{", {}, 400, "malformed-body"),
        (b'{"a":1,"a":2}', {}, 400, "malformed-body"),
        (b"[NaN]", {}, 400, "malformed-body"),
        (b'"\xff"', {}, 400, "malformed-body"),
        (b'{"a":"' + b"x" * 2000 + b'"}', {}, 413, "body-too-large"),
        (b"a=1", {"Content_Type": "text/plain"}, 415, "unsupported-media-type"),
        (b"a=1", {"Content_Type": "multipart/form-data; boundary=x"}, 415, "unsupported-media-type"),
        (b"<a>", {"Content_Type": "text/xml"}, 400, "malformed-body"),
        (b"<!DOCTYPE a><a/>", {"Content_Type": "application/xml"}, 400, "malformed-body"),
        (b"a=%", {"Content_Type": "application/x-www-form-urlencoded"}, 400, "malformed-body"),
        (b"n=x", {"Content_Type": "application/x-www-form-urlencoded"}, 422, "invalid-payload"),
        (b'a\n"', {"Content_Type": "text/csv"}, 400, "malformed-body"),
        (b"a", {"Content_Type": "text/csv; header=maybe"}, 415, "unsupported-media-type"),
        (b"{}", {"Content_Type": f"application/json; x={'x' * 300}"}, 400, "malformed-header"),
        (b"{}", {"Content_Type": "application/json; charset=iso-8859-1"}, 415, "unsupported-media-type"),
        (b"{}", {"Content_Encoding": "gzip"}, 415, "unsupported-media-type"),
        (b'{"n":"x"}', {}, 422, "invalid-payload"),
        (b"{}", {"Idempotency_Key": '""'}, 400, "malformed-header"),
        (b"{}", {"Idempotency_Key": "x" * 300}, 400, "malformed-header"),
    ],
)
def test_refused_request_leaves_a_rejection_and_no_message(
    body: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    configure_route(max_body_bytes=1000, schema={"properties": {"n": {"type": "integer"}}})

    problem(post(body=body, **headers), status, slug)

    rejection = Rejection.objects.get()
    assert (rejection.reason, rejection.status_code, rejection.remote_address) == (slug, status, "127.0.0.1")
    assert not Message.objects.exists()


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.shop+json", "APPLICATION/JSON; charset=UTF-8"])
def test_json_under_any_of_its_names(kind: str) -> None:
    configure_route()

    assert post(Content_Type=kind).status_code == 202


def test_idempotent_repeat_of_an_async_message() -> None:
    configure_route()
    first = post(body={"a": 1}, Idempotency_Key='"k-1"')

    second = post(body={"a": 1}, Idempotency_Key="k-1")

    assert second.status_code == 202
    assert second["Idempotency-Replayed"] == "true"
    assert second["X-Correlation-ID"] == first["X-Correlation-ID"]
    assert "Idempotency-Replayed" not in first
    problem(post(body={"a": 2}, Idempotency_Key="k-1"), 422, "idempotency-mismatch")


def test_repeat_of_an_async_message_that_has_ended_asks_nobody_to_come_back() -> None:
    configure_route()
    first = post(Idempotency_Key="k")
    Message.objects.update(status="succeeded")

    second = post(Idempotency_Key="k")

    assert (second.status_code, second.json()["status"]) == (202, "succeeded")
    assert "Retry-After" in first
    assert "Retry-After" not in second


@pytest.mark.parametrize("paused", [Route, Endpoint])
def test_sync_caller_is_told_what_is_paused(paused: type[Model]) -> None:
    configure_route()
    pause(paused)

    document = problem(post(f"{ORDERS}/sync"), 503, "paused")

    assert document["detail"] == f"This {paused._meta.verbose_name} is paused."


def test_idempotent_repeat_of_a_sync_message(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"n": 1}), Answer(201, {"n": 2}))
    configure_route(destination.url("/orders"))

    first = post(f"{ORDERS}/sync", Idempotency_Key="k")
    second = post(f"{ORDERS}/sync", Idempotency_Key="k")

    assert second.json() == first.json()
    assert second["Idempotency-Replayed"] == "true"
    assert len(destination.requests) == 1


def test_sync_repeat_of_a_message_in_progress_is_a_409() -> None:
    configure_route()
    post(Idempotency_Key="k")

    answer = post(f"{ORDERS}/sync", Idempotency_Key="k")

    problem(answer, 409, "in-progress")
    assert answer["Retry-After"]


def test_paused_route_accepts_async_and_refuses_sync() -> None:
    configure_route()
    route = Route.objects.get()
    route.paused = True
    route.save()

    assert post().status_code == 202
    answer = post(f"{ORDERS}/sync")
    problem(answer, 503, "paused")
    assert answer["Retry-After"]
    assert Message.objects.count() == 1


@pytest.mark.parametrize(("hold", "slug"), [("blocked", "lane-blocked"), ("paused", "paused")])
def test_sync_call_on_a_lane_that_stands_still_is_a_503_at_once(hold: str, slug: str) -> None:
    configure_route()
    post()
    Lane.objects.update(hold=hold)

    problem(post(f"{ORDERS}/sync"), 503, slug)

    assert post().status_code == 202
    assert Message.objects.count() == 2


def test_sync_repeat_on_a_lane_that_stands_still_gets_the_stored_answer(destination: Destination) -> None:
    configure_route(destination.url("/orders"))
    first = post(f"{ORDERS}/sync", Idempotency_Key="k")
    Lane.objects.update(hold="blocked")

    assert post(f"{ORDERS}/sync", Idempotency_Key="k").json() == first.json()


@pytest.mark.parametrize("paused", [Route, Endpoint])
def test_sync_repeat_on_a_paused_route_gets_the_stored_answer(destination: Destination, paused: type[Model]) -> None:
    configure_route(destination.url("/orders"))
    first = post(f"{ORDERS}/sync", Idempotency_Key="k")
    pause(paused)

    repeat = post(f"{ORDERS}/sync", Idempotency_Key="k")

    assert (repeat.status_code, repeat.json()) == (200, first.json())
    assert repeat["Idempotency-Replayed"] == "true"
    assert repeat["X-Correlation-ID"] == first["X-Correlation-ID"]
    problem(post(f"{ORDERS}/sync", {"other": 1}, Idempotency_Key="k"), 422, "idempotency-mismatch")
    problem(post(f"{ORDERS}/sync", Idempotency_Key="another"), 503, "paused")
    problem(post(f"{ORDERS}/sync"), 503, "paused")
    assert len(destination.received("/orders")) == 1


def test_sync_repeat_of_a_message_that_a_paused_route_holds_is_a_409() -> None:
    configure_route()
    post(Idempotency_Key="k")
    pause(Route)

    problem(post(f"{ORDERS}/sync", Idempotency_Key="k"), 409, "in-progress")


def pause(table: type[Model]) -> None:
    row: Any = table._default_manager.get()
    row.paused = True
    row.save()


def test_database_that_is_away_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_route()

    def away(*_: object, **__: object) -> None:
        raise OperationalError("secret details")

    monkeypatch.setattr(intake, "accept", away)
    answer = post()

    document = problem(answer, 503, "unavailable")
    assert answer["Retry-After"]
    assert "secret" not in json.dumps(document)


def test_unforeseen_error_is_a_500_problem_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_route()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret details")

    monkeypatch.setattr(intake, "accept", broken)
    answer = Client(raise_request_exception=False).post(ORDERS, "{}", "application/json", headers={"X-API-Key": KEY})

    assert "secret" not in json.dumps(problem(answer, 500, "internal-error"))


def test_wrong_method_is_a_405_with_allow() -> None:
    configure_route()

    answer = get(ORDERS)

    problem(answer, 405, "method-not-allowed")
    assert "POST" in answer["Allow"]


def test_open_result_says_when_to_ask_again() -> None:
    configure_route()
    url = post().json()["result_url"]

    answer = get(url)

    assert (answer.status_code, answer.json()["status"], answer["Retry-After"]) == (200, "queued", "1")
    assert answer.json()["response"] is None


def test_message_under_a_running_lease_is_processing(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.6))
    configure_route(destination.url("/orders"), sync_deadline_seconds=0.2)
    url = post(f"{ORDERS}/sync")["Location"]

    assert get(url).json()["status"] == "processing"
    assert get(f"{url}?wait=5").json()["status"] == "succeeded"


def test_etag_saves_the_body() -> None:
    configure_route()
    url = post().json()["result_url"]
    first = get(url)

    second = get(url, If_None_Match=first["ETag"])
    other = get(url, If_None_Match='"another"')

    assert (second.status_code, second.content, second["ETag"]) == (304, b"", first["ETag"])
    assert other.status_code == 200


def test_long_poll_returns_as_soon_as_the_message_is_final(destination: Destination, worker: None) -> None:
    destination.answers("/orders", Answer(200, delay_seconds=0.3))
    configure_route(destination.url("/orders"))

    result = get(f"{post().json()['result_url']}?wait=30").json()

    assert result["status"] == "succeeded"


def test_long_polls_leave_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = configure_route()
    url = post().json()["result_url"]
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr("messages.reply._long_polls", places)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: (get(f"{url}?wait=20"), connection.close()))
        while places._value:
            time.sleep(0.01)
        answer = get(f"{url}?wait=20")
        first_still_waits = not first.done()
        finish(plan, *claim(plan))

    assert answer.json()["status"] == "queued"
    assert first_still_waits


@pytest.mark.parametrize("wait", ["soon", "-1", "1e9"])
def test_wait_that_is_no_number_is_a_400(wait: str) -> None:
    configure_route()

    problem(get(f"{post().json()['result_url']}?wait={wait}"), 400, "malformed-request")


def test_results_are_for_their_own_application() -> None:
    configure_route()
    url = post().json()["result_url"]

    strange = get(url, X_API_Key="strangers-key")
    unknown = get(f"/results/{uuid.uuid4()}")

    assert problem(strange, 404, "not-found") == problem(unknown, 404, "not-found")


@pytest.mark.parametrize("key", ["", "wrong"])
def test_nobody_learns_which_results_there_are(key: str) -> None:
    configure_route()
    url = post().json()["result_url"]

    there = get(url, X_API_Key=key)
    not_there = get(f"/results/{uuid.uuid4()}", X_API_Key=key)

    assert problem(there, 401, "authentication-failed") == problem(not_there, 401, "authentication-failed")


def test_removed_payload_is_gone(destination: Destination) -> None:
    configure_route(destination.url("/orders"))
    answer = post(f"{ORDERS}/sync", Idempotency_Key="k")
    purge([Message.objects.get().pk])

    problem(get(f"/results/{answer.json()['correlation_id']}"), 410, "gone")


@pytest.mark.parametrize(
    ("body", "kind", "shown", "encoding"),
    [
        (b"plain text", "text/plain", "plain text", None),
        (b"\xe4", "text/plain; charset=iso-8859-1", "ä", None),
        (b"\x00\xff", "application/octet-stream", "AP8=", "base64"),
        (b"{broken", "application/json", "{broken", None),
        (b"", "application/json", None, None),
    ],
)
def test_replies_of_any_kind_are_shown(
    destination: Destination, body: bytes, kind: str, shown: Any, encoding: str | None
) -> None:
    destination.answers("/orders", Answer(200, body, {"Content-Type": kind}))
    configure_route(destination.url("/orders"))

    response = post(f"{ORDERS}/sync").json()["response"]

    assert response["body"] == shown
    assert response.get("body_encoding") == encoding


def test_flood_of_refused_requests_keeps_few_rejections(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_route()
    monkeypatch.setattr("messages.rejections.STRANGERS_PER_MINUTE", 5)

    for _ in range(20):
        post(X_API_Key="wrong")

    assert Rejection.objects.count() == 5


@pytest.mark.parametrize(
    ("proxies", "url"), [([], "http://testserver/"), (["127.0.0.0/8"], "https://hub.example.com/")]
)
def test_addresses_are_those_that_a_trusted_proxy_saw(settings: Any, proxies: list[str], url: str) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(proxy) for proxy in proxies]
    settings.ALLOWED_HOSTS = ["testserver", "hub.example.com"]
    configure_route()

    answer = post(X_Forwarded_Proto="https", X_Forwarded_Host="hub.example.com")

    assert answer["Location"].startswith(url)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ([], "203.0.113.9", "127.0.0.1"),  # nobody is believed
        (["127.0.0.0/8"], "203.0.113.9", "203.0.113.9"),
        (["127.0.0.0/8"], "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # what the caller wrote before it proves nothing
        (["127.0.0.0/8", "10.0.0.0/8"], "203.0.113.9, 10.0.0.1", "203.0.113.9"),  # two proxies
        (["127.0.0.0/8"], "nonsense", "127.0.0.1"),
    ],
)
def test_callers_address_behind_proxies(settings: Any, proxies: list[str], forwarded: str, address: str) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(proxy) for proxy in proxies]
    configure_route()

    post(X_API_Key="wrong", X_Forwarded_For=forwarded)

    assert Rejection.objects.get().remote_address == address


def of_another_process(**changed: Any) -> None:
    """A change of the configuration that this process has not looked at yet."""
    assert catalogue.by_slug("orders") is not None
    Route.objects.filter(slug="orders").update(**changed)


def test_a_message_is_taken_by_the_newest_configuration() -> None:
    configure_route(ordering_key="lane")
    of_another_process(ordering_key="other")

    answer = post(body={"lane": "A", "other": "B"})

    assert answer.status_code == 202
    assert Message.objects.get().lane.key == "B"
    assert Lane.objects.count() == 1


def test_a_route_that_was_disabled_takes_nothing() -> None:
    configure_route()
    of_another_process(enabled=False)

    problem(post(), 404, "not-found")

    assert not Message.objects.exists()


def test_whoever_is_refused_is_refused_by_the_newest_configuration() -> None:
    configure_route(max_body_bytes=10)
    of_another_process(max_body_bytes=1000)

    answer = post(body={"text": "x" * 500})

    assert answer.status_code == 202
    assert json.loads(bytes(Message.objects.get().body)) == {"text": "x" * 500}
    assert not Rejection.objects.exists()


def test_accepting_asks_the_database_as_little_as_it_can(django_assert_max_num_queries: Any) -> None:
    """SQLite: begin, lane, message, commit. PostgreSQL: one statement."""
    configure_route()
    post()

    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 4):
        assert post().status_code == 202
