"""Realistic payloads go through a route without mapping byte for byte, in both patterns."""

import pytest
import requests

from tests.destination import Answer, Destination, Received
from tests.flows.conftest import Platform
from tests.payloads import all_payloads

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
PAYLOADS = all_payloads()


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_payload_arrives_and_its_echo_returns_byte_for_byte(
    platform: Platform, destination: Destination, name: str
) -> None:
    body = PAYLOADS[name]
    destination.answers(
        "/plain", lambda request: Answer(200, request.body, {"Content-Type": "application/vnd.echo+json"})
    )

    accepted = platform.push("/webhooks/plain", body)
    result = platform.result(accepted)
    echoed = platform.push("/webhooks/plain/sync", body, Content_Type="application/vnd.shop+json; charset=utf-8")

    asynchronous, synchronous = (sent(destination, answer) for answer in (accepted, echoed))
    assert accepted.status_code == 202
    assert result["status"] == "succeeded"
    assert asynchronous.body == synchronous.body == body
    assert synchronous.header("Content-Type") == "application/vnd.shop+json; charset=utf-8"
    assert echoed.content == body
    assert echoed.headers["Content-Type"] == "application/vnd.echo+json"


def sent(destination: Destination, answer: requests.Response) -> Received:
    """What the destination got of the message that `answer` tells of."""
    correlation_id = answer.headers["X-Correlation-ID"]
    (request,) = [one for one in destination.received("/plain") if one.header("X-Correlation-ID") == correlation_id]
    return request
