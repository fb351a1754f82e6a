"""Destinations that fail, hang or are limited: what the web server and the worker, two processes, make of it."""

import threading
import time

import pytest
import requests

from tests.destination import Answer, Destination, Received
from tests.flows.conftest import KEY, Platform

pytestmark = pytest.mark.processes
TYPE_OPEN = "/problems/circuit-open"


def test_circuit_that_the_web_server_opened_stops_the_worker_until_the_destination_is_back(
    platform: Platform, destination: Destination
) -> None:
    destination.answers("/fragile", Answer(503))
    end = time.monotonic() + 30
    while (answer := platform.push("/webhooks/fragile/sync", {"lane": "S"})).json()["type"] != TYPE_OPEN:
        assert answer.status_code == 502
        assert time.monotonic() < end
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) <= 3

    destination.answers("/fragile", Answer(200))
    waiting = [platform.push("/webhooks/fragile", {"lane": "A", "number": number}) for number in range(5)]
    assert {one.status_code for one in waiting} == {202}
    results = [platform.result(one, wait=30) for one in waiting]

    assert [(one["status"], one["attempts"]) for one in results] == [("succeeded", 1)] * 5
    failed = [one for one in destination.received("/fragile") if one.json()["lane"] == "S"]
    arrived = [one for one in destination.received("/fragile") if one.json()["lane"] == "A"]
    assert [one.json()["number"] for one in arrived] == list(range(5))
    assert arrived[0].received_at - failed[-1].received_at > 2.5  # not before it is time to try
    assert platform.push("/webhooks/fragile/sync", {"lane": "S"}).status_code == 200
    log = platform.whole_log()
    assert log.count("The circuit of endpoint fragile opened") == 1
    assert log.count("The circuit of endpoint fragile closed") == 1


def test_endpoint_that_hangs_stops_nobody_else(platform: Platform, destination: Destination) -> None:
    """It has more lanes than the worker would ever take; none of its calls ends before the others have."""
    released = threading.Event()

    def hang(_: Received) -> Answer:
        released.wait(60)
        return Answer(200)

    destination.answers("/hanging", hang)
    try:
        for number in range(100):
            assert platform.push("/webhooks/hanging", {"lane": f"H{number}"}).status_code == 202
        destination.wait_for(20, timeout=60, path="/hanging")

        waiting = [platform.push("/webhooks/plain", {"lane": f"W{number % 10}"}) for number in range(100)]
        results = [platform.result(one, wait=30) for one in waiting]

        assert {one["status"] for one in results} == {"succeeded"}
        assert len(destination.received("/hanging")) < 100
    finally:
        released.set()
    destination.wait_for(100, timeout=60, path="/hanging")


def test_web_server_and_worker_keep_a_limit_together(platform: Platform, destination: Destination) -> None:
    destination.answers("/narrow", Answer(200, delay_seconds=0.1))
    sync_answers: list[int] = []

    def call(number: int) -> None:
        headers = {"X-API-Key": KEY}
        url = f"{platform.base}/webhooks/narrow/sync"
        sync_answers.append(requests.post(url, json={"lane": f"S{number}"}, headers=headers, timeout=90).status_code)

    waiting = [platform.push("/webhooks/narrow", {"lane": f"A{number}"}) for number in range(20)]
    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert sync_answers == [200] * 8
    assert {platform.result(one, wait=30)["status"] for one in waiting} == {"succeeded"}
    arrived = destination.received("/narrow")
    assert (len(arrived), max(one.in_flight for one in arrived)) == (28, 2)
