"""The main job, told from outside: real HTTP, a real worker, a real destination, on both databases."""

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.destination import Answer, Destination
from tests.flows.conftest import Platform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
numbers = itertools.count(1)


def order(**changes: object) -> dict[str, object]:
    return {
        "id": uuid.uuid4().hex,
        "customer": {"id": f"c{next(numbers)}"},
        "line_items": [{"sku": "TEA", "price": 2, "quantity": 3}],
        "shipping": {"country": "Norway"},
        **changes,
    }


def test_async_message_is_accepted_delivered_and_answered(platform: Platform, destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"invoice_no": "INV-7"}))
    pushed = order()

    accepted = platform.push("/webhooks/orders", pushed)
    result = platform.result(accepted)

    assert accepted.status_code == 202
    assert accepted.headers["Location"] == accepted.json()["result_url"]
    assert accepted.headers["X-Correlation-ID"] == accepted.json()["correlation_id"]
    assert result["status"] == "succeeded"
    assert result["response"]["body"] == {"invoice": "INV-7", "status": 201}
    arrived = destination.received("/orders")[-1]
    assert arrived.json() == {
        "orderNo": pushed["id"], "lines": [{"sku": "TEA", "price": 2}], "country": "NO", "total": 6,
    }  # fmt: skip
    assert arrived.header("Authorization") == "Bearer erp-token"
    assert arrived.header("X-Tenant") == "main"
    assert arrived.header("X-Correlation-ID") == result["correlation_id"]


def test_money_keeps_its_digits(platform: Platform, destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"invoice_no": "INV-8"}))
    body = (
        b'{"id":"%s","customer":{"id":"m"},"line_items":[{"sku":"A","price":19.90,"quantity":1}]}'
        % uuid.uuid4().hex.encode()
    )

    platform.result(platform.push("/webhooks/orders", body))

    assert b'"price":19.90}' in destination.received("/orders")[-1].body


def test_sync_caller_gets_the_destinations_confirmation(platform: Platform, destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"invoice_no": "INV-9"}))

    answer = platform.push("/webhooks/orders/sync", order())

    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["pattern"] == "sync"
    assert answer.json()["response"]["body"]["invoice"] == "INV-9"
    assert answer.headers["X-Correlation-ID"] == answer.json()["correlation_id"]


def test_failing_destination_is_tried_again_until_it_answers(platform: Platform, destination: Destination) -> None:
    destination.answers("/flaky", Answer(503), Answer.nothing(), Answer(200, {"ok": 1}))

    result = platform.result(platform.push("/webhooks/flaky", {"id": 1}))

    attempts = destination.wait_for(3, path="/flaky")
    assert result["status"] == "succeeded"
    assert result["attempts"] == 3
    assert len({attempt.header("Idempotency-Key") for attempt in attempts}) == 1


def test_sync_caller_is_told_of_a_refusal(platform: Platform, destination: Destination) -> None:
    destination.answers("/refusing", Answer(422, {"error": "no"}))

    answer = platform.push("/webhooks/refusing/sync", {"id": 1})

    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/problems/destination-refused")
    assert answer.json()["destination_status"] == 422
    assert platform.http.get(f"{platform.base}/results/{answer.json()['correlation_id']}").json()["status"] == "failed"


def test_deadline_passes_and_the_result_comes_later(platform: Platform, destination: Destination) -> None:
    destination.answers("/slow", Answer(200, {"late": True}, delay_seconds=1.5))

    answer = platform.push("/webhooks/slow", {"id": 1})
    result = platform.http.get(f"{answer.headers['Location']}?wait=10").json()

    assert answer.status_code == 504
    assert answer.json()["type"].endswith("/problems/deadline-passed")
    assert result["status"] == "succeeded"
    assert result["response"]["body"] == {"late": True}


def test_invalid_payload_names_its_faults_and_makes_no_message(platform: Platform) -> None:
    answer = platform.push("/webhooks/orders", {"id": 1, "customer": {}})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"path": "customer.id", "message": "This property is required."}]
    assert "X-Correlation-ID" not in answer.headers


def test_mapping_failure_names_every_row(platform: Platform) -> None:
    answer = platform.push("/webhooks/orders/sync", order(line_items=[{"price": "much", "quantity": 1}]))

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/problems/mapping-failed")
    assert {error["target"] for error in answer.json()["errors"]} >= {"lines[0].sku", "lines[0].price"}


def test_repeat_is_answered_with_the_first_message(platform: Platform, destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"invoice_no": "INV-10"}))
    pushed = order()
    first = platform.push("/webhooks/orders", pushed)
    platform.result(first)
    sent = len(destination.received("/orders"))

    second = platform.push("/webhooks/orders", pushed)
    synchronous = platform.push("/webhooks/orders/sync", pushed)
    other = platform.push("/webhooks/orders", {**pushed, "note": "changed"})

    assert second.status_code == 202
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json()["correlation_id"] == first.json()["correlation_id"]
    assert synchronous.json()["response"]["body"]["invoice"] == "INV-10"
    assert other.status_code == 422
    assert len(destination.received("/orders")) == sent


def test_two_hundred_messages_arrive_in_the_order_of_their_acceptance(
    platform: Platform, destination: Destination
) -> None:
    lanes, count, story = 4, 50, uuid.uuid4().hex

    def push_all(lane: int) -> list[str]:
        pushed = [
            platform.push("/webhooks/plain", {"lane": f"{story}-{lane}", "number": number}) for number in range(count)
        ]
        return [response.json()["correlation_id"] for response in pushed]

    with ThreadPoolExecutor(lanes) as pool:
        accepted = list(pool.map(push_all, range(lanes)))
    for ids in accepted:
        last = platform.http.get(f"{platform.base}/results/{ids[-1]}?wait=30").json()
        assert last["status"] == "succeeded"

    arrived = [request.json() for request in destination.received("/plain") if story.encode() in request.body]
    for lane in range(lanes):
        assert [row["number"] for row in arrived if row["lane"] == f"{story}-{lane}"] == list(range(count))


@pytest.mark.parametrize(
    ("address", "key", "status"),
    [
        ("/webhooks/orders", "wrong", 401),  # no credential fits
        ("/webhooks/orders", "strangers-key", 401),  # another application's
        ("/webhooks/nowhere", "wrong", 404),
        ("/webhooks/slow/async", None, 404),  # a pattern that the route does not allow
    ],
)
def test_strangers_are_turned_away(platform: Platform, address: str, key: str | None, status: int) -> None:
    answer = platform.push(address, {}, **({"X_API_Key": key} if key else {}))

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_results_of_others_look_like_unknown_ones(platform: Platform) -> None:
    accepted = platform.push("/webhooks/plain", {"id": 1})
    url = accepted.json()["result_url"]

    strange = platform.http.get(url, headers={"X-API-Key": "strangers-key"})
    unknown = platform.http.get(f"{platform.base}/results/{uuid.uuid4()}")
    basic = platform.http.get(url, headers={"X-API-Key": ""}, auth=("shop", "shop-key-of-the-tests"))

    assert strange.status_code == unknown.status_code == 404
    assert strange.json() == unknown.json()
    assert basic.status_code == 200
