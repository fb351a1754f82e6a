"""Keys, tokens and passwords: what arrives, and what cannot be configured."""

from typing import Any

import pytest

from connectors.auth import InvalidAuth, build, call
from connectors.transport import OutboundResponse, Transport
from tests.connectors.calls import post
from tests.destination import Answer, Destination

SENT = [
    ("bearer", {"token": "s3cr3t"}, "Authorization", "Bearer s3cr3t"),
    (
        "basic",
        {"username": "Aladdin", "password": "open sesame"},
        "Authorization",
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    ),
    ("basic", {"username": "test", "password": "123£"}, "Authorization", "Basic dGVzdDoxMjPCow=="),  # RFC 7617, UTF-8
    ("basic", {"username": "a", "password": "b:c"}, "Authorization", "Basic YTpiOmM="),
    ("api_key", {"key": "s3cr3t"}, "X-API-Key", "s3cr3t"),
    ("api_key", {"header": "X-Door", "key": "s3cr3t"}, "X-Door", "s3cr3t"),
]


@pytest.mark.parametrize(("scheme", "given", "header", "value"), SENT)
def test_proof_is_sent_and_wins_over_a_configured_header(
    transport: Transport, destination: Destination, scheme: str, given: dict[str, str], header: str, value: str
) -> None:
    auth = build(scheme, given)

    exchange = call(transport, post(destination.url(), headers=((header.lower(), "configured"),)), auth)

    sent = [arrived for name, arrived in destination.requests[0].headers if name.lower() == header.lower()]
    assert sent == [value]
    assert isinstance(exchange.answer, OutboundResponse)
    assert header.lower() in auth.secret_headers


@pytest.mark.parametrize(("path", "target"), [("/orders", "/orders?code=a%26b%2F1"), ("/?a=1", "/?a=1&code=a%26b%2F1")])
def test_key_goes_into_the_query_where_it_is_named(
    transport: Transport, destination: Destination, path: str, target: str
) -> None:
    call(transport, post(destination.url(path)), build("api_key", {"query": "code", "key": "a&b/1"}))

    assert destination.requests[0].target == target
    assert destination.requests[0].header("X-API-Key") == ""


def test_refusal_is_not_asked_again_where_the_proof_is_always_the_same(
    transport: Transport, destination: Destination
) -> None:
    destination.answers("/", Answer(401))

    exchange = call(transport, post(destination.url()), build("bearer", {"token": "t"}))

    assert isinstance(exchange.answer, OutboundResponse)
    assert exchange.answer.status_code == 401
    assert len(destination.requests) == 1


@pytest.mark.parametrize(
    ("scheme", "given", "field"),
    [
        ("bearer", {}, "token"),
        ("bearer", {"token": "s3cr3t\n"}, "token"),
        ("api_key", {"key": "s3cr3t€"}, "key"),
        ("api_key", {"header": "Host", "key": "s3cr3t"}, "header"),
        ("api_key", {"header": "X-Key", "query": "code", "key": "s3cr3t"}, "query"),
        ("basic", {"username": "a:b", "password": "s3cr3t"}, "username"),
        ("basic", {"password": "s3cr3t"}, "username"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_the_secret(scheme: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidAuth) as caught:
        build(scheme, given)

    assert caught.value.field == field
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "given", "header", "value"), SENT)
def test_no_secret_is_in_a_repr(scheme: str, given: dict[str, str], header: str, value: str) -> None:
    assert "s3cr3t" not in repr(build(scheme, given))
