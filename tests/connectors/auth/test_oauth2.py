"""OAuth 2.0 client credentials against a real token server: what it is asked, and how often."""

import ssl
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.auth import Exchange, InvalidAuth, build, call, oauth2
from connectors.auth.oauth2 import tokens
from connectors.networks import AllowedNetworks
from connectors.tls import client_context
from connectors.transport import Kind, OutboundResponse, Transport, TransportError
from tests.connectors.calls import post
from tests.connectors.test_transport_tls import Authority
from tests.destination import Answer, Destination, Received

TOKEN = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}


def given(destination: Destination, **more: Any) -> dict[str, Any]:
    fixed = {"token_url": destination.url("/token"), "client_id": "our id", "client_secret": "s3cr3t/+"}
    return {**fixed, **more}


def made_anew(**changes: Any) -> Any:
    """Another token for each request."""
    numbers = count(1)
    return lambda _: Answer(200, {**TOKEN, "access_token": f"token-{next(numbers)}", **changes})


def asked(destination: Destination, path: str) -> list[Received]:
    return [request for request in destination.requests if request.path == path]


def status(exchange: Exchange) -> int:
    assert isinstance(exchange.answer, OutboundResponse), exchange.answer
    return exchange.answer.status_code


def failed(exchange: Exchange) -> TransportError:
    assert isinstance(exchange.answer, TransportError)
    return exchange.answer


def test_token_is_fetched_once_and_sent_with_every_call(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", made_anew())

    for _ in range(3):  # built anew as after each change of the configuration
        auth = build("oauth2_client_credentials", given(destination, scope="orders:write", audience="erp"))
        call(transport, post(destination.url("/orders")), auth)

    [request] = asked(destination, "/token")
    assert request.header("Content-Type") == "application/x-www-form-urlencoded"
    # RFC 6749, section 2.3.1: both are encoded as in a form first
    assert b64decode(request.header("Authorization").removeprefix("Basic ")) == b"our+id:s3cr3t%2F%2B"
    expected = {"grant_type": ["client_credentials"], "scope": ["orders:write"], "audience": ["erp"]}
    assert parse_qs(request.body.decode()) == expected
    assert [order.header("Authorization") for order in asked(destination, "/orders")] == ["Bearer token-1"] * 3


def test_client_and_extra_parameters_go_into_the_body(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", Answer(200, TOKEN))
    auth = build(
        "oauth2_client_credentials", given(destination, client_auth="post", extra={"resource": "https://erp/&x"})
    )

    assert status(call(transport, post(destination.url("/orders")), auth)) == 200

    [request] = asked(destination, "/token")
    assert request.header("Authorization") == ""
    form = parse_qs(request.body.decode())
    assert (form["client_id"], form["client_secret"]) == (["our id"], ["s3cr3t/+"])
    assert form["resource"] == ["https://erp/&x"]


def test_threads_share_one_fetch(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", Answer(200, TOKEN, delay_seconds=0.3))
    auth = build("oauth2_client_credentials", given(destination))

    with ThreadPoolExecutor(8) as pool:
        exchanges = list(pool.map(lambda _: call(transport, post(destination.url("/orders")), auth), range(8)))

    assert {status(exchange) for exchange in exchanges} == {200}
    assert len(asked(destination, "/token")) == 1


def test_threads_share_a_failed_fetch(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", Answer(503, delay_seconds=0.3))
    auth = build("oauth2_client_credentials", given(destination))

    with ThreadPoolExecutor(4) as pool:
        exchanges = list(pool.map(lambda _: call(transport, post(destination.url("/orders")), auth), range(4)))

    assert {failed(exchange).kind for exchange in exchanges} == {Kind.AUTH_FAILED}
    assert len(asked(destination, "/token")) == 1


def test_call_with_little_time_does_not_fail_those_that_wait_with_it(
    transport: Transport, destination: Destination
) -> None:
    destination.answers("/token", Answer(200, TOKEN, delay_seconds=0.6))
    auth = build("oauth2_client_credentials", given(destination))

    with ThreadPoolExecutor(2) as pool:
        hurried = pool.submit(call, transport, post(destination.url("/orders"), deadline=0.3), auth)
        destination.wait_for(1, path="/token")
        patient = pool.submit(call, transport, post(destination.url("/orders"), deadline=10), auth)

    assert failed(hurried.result()).kind == Kind.TIMEOUT
    assert status(patient.result()) == 200


def test_token_that_is_refused_to_many_at_once_is_replaced_once(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", made_anew())
    refused = "Bearer token-1"
    destination.answers("/orders", lambda request: Answer(401 if request.header("Authorization") == refused else 200))
    auth = build("oauth2_client_credentials", given(destination))

    with ThreadPoolExecutor(8) as pool:
        exchanges = list(pool.map(lambda _: call(transport, post(destination.url("/orders")), auth), range(16)))

    assert {status(exchange) for exchange in exchanges} == {200}
    assert len(asked(destination, "/token")) == 2


@pytest.mark.parametrize(
    ("lifetime", "good_for", "fetches"), [(100, 79, 1), (100, 81, 2), (3600, 3539, 1), (3600, 3541, 2)]
)
def test_token_is_used_until_shortly_before_its_end(
    transport: Transport,
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: int,
    good_for: int,
    fetches: int,
) -> None:
    """A minute of a long life is left over, and a fifth of a short one."""
    destination.answers("/token", made_anew(expires_in=lifetime))
    auth = build("oauth2_client_credentials", given(destination))
    call(transport, post(destination.url("/orders")), auth)

    present = time.monotonic
    monkeypatch.setattr(oauth2, "time", SimpleNamespace(monotonic=lambda: present() + good_for))
    call(transport, post(destination.url("/orders")), auth)

    assert len(asked(destination, "/token")) == fetches


@pytest.mark.parametrize(("lifetime", "fetches"), [(0, 2), ("3600", 1), (None, 1), ("soon", 1)])
def test_token_is_renewed_before_its_end(
    transport: Transport, destination: Destination, lifetime: Any, fetches: int
) -> None:
    destination.answers("/token", made_anew(expires_in=lifetime))
    auth = build("oauth2_client_credentials", given(destination))

    for _ in range(2):
        assert status(call(transport, post(destination.url("/orders")), auth)) == 200

    assert len(asked(destination, "/token")) == fetches


def test_refused_token_is_replaced_once_within_the_call(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", made_anew())
    destination.answers("/orders", Answer(401), Answer(201))

    exchange = call(transport, post(destination.url("/orders")), build("oauth2_client_credentials", given(destination)))

    assert status(exchange) == 201
    sent = [order.header("Authorization") for order in asked(destination, "/orders")]
    assert sent == ["Bearer token-1", "Bearer token-2"]
    assert ("Authorization", "Bearer token-2") in exchange.headers


def test_destination_that_refuses_every_token_is_believed(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", made_anew())
    destination.answers("/orders", Answer(401))

    exchange = call(transport, post(destination.url("/orders")), build("oauth2_client_credentials", given(destination)))

    assert status(exchange) == 401
    assert len(asked(destination, "/orders")) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            Answer(401, {"error": "invalid_client", "error_description": "s3cr3t"}),
            Kind.AUTH_REFUSED,
            "invalid_client",
        ),
        (Answer(400, {"error": "s3cr3t/+ is wrong"}), Kind.AUTH_REFUSED, "400."),
        (Answer(302, headers={"Location": "/other"}), Kind.AUTH_REFUSED, "302"),
        (Answer(503), Kind.AUTH_FAILED, "503"),
        (Answer(429), Kind.AUTH_FAILED, "429"),
        (Answer(200, "<html>"), Kind.AUTH_FAILED, "access_token"),
        (Answer(200, [1]), Kind.AUTH_FAILED, "access_token"),
        (Answer(200, {"access_token": "s3cr3t\r\nX-Evil: 1"}), Kind.AUTH_FAILED, "access_token"),
        (Answer(200, {**TOKEN, "token_type": "mac"}), Kind.AUTH_REFUSED, "Bearer"),
        (Answer.nothing(), Kind.CONNECTION_LOST, "No token"),
        (Answer(200, TOKEN, delay_seconds=30), Kind.TIMEOUT, "No token"),  # within the call's deadline
    ],
)
def test_without_a_token_nothing_is_sent(
    transport: Transport, destination: Destination, answer: Answer, kind: Kind, words: str
) -> None:
    destination.answers("/token", answer)
    auth = build("oauth2_client_credentials", given(destination))

    error = failed(call(transport, post(destination.url("/orders"), deadline=0.5), auth))

    assert (error.kind, error.sent, error.permanent) == (kind, False, kind == Kind.AUTH_REFUSED)
    assert words in error.detail
    assert "s3cr3t" not in error.detail
    assert asked(destination, "/orders") == []


def test_failure_is_not_remembered(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", Answer(503), Answer(200, TOKEN))
    auth = build("oauth2_client_credentials", given(destination))

    first, second = (call(transport, post(destination.url("/orders")), auth) for _ in range(2))

    assert failed(first).kind == Kind.AUTH_FAILED
    assert status(second) == 200


def test_token_server_is_called_under_the_same_policy(destination: Destination) -> None:
    closed = Transport(allowed=AllowedNetworks.parse(""))
    auth = build("oauth2_client_credentials", given(destination))

    error = failed(call(closed, post("https://erp.example.com/"), auth))

    assert (error.kind, destination.requests) == (Kind.ADDRESS_REFUSED, [])


@pytest.mark.parametrize(
    ("options", "host", "opens"),
    [
        ({}, "127.0.0.1", True),
        ({}, "localhost", False),  # another host: the authorities that everybody knows
        ({"token_tls": "endpoint"}, "localhost", True),
        ({"token_tls": "public"}, "127.0.0.1", False),
    ],
)
def test_token_server_behind_a_private_authority(
    transport: Transport,
    destination: Destination,
    authority: Authority,
    options: dict[str, str],
    host: str,
    opens: bool,
) -> None:
    ca, certificate = Path(authority.bundle()).read_text(), [part.decode() for part in authority.issue("hub")]
    context = authority.server("127.0.0.1", "localhost")
    context.verify_mode = ssl.CERT_REQUIRED  # RFC 8705: the token server may want our certificate, too
    context.load_verify_locations(authority.bundle())
    with Destination(tls=context) as server:
        server.answers("/token", Answer(200, TOKEN))
        auth = build("oauth2_client_credentials", given(server, token_url=server.url("/token", host=host), **options))
        request = replace(post(destination.url("/orders")), tls=client_context(ca, *certificate))

        exchange = call(transport, request, auth)

        assert len(server.requests) == opens
        assert len(destination.requests) == opens
        assert isinstance(exchange.answer, OutboundResponse) == opens


def test_token_that_was_given_to_one_certificate_is_not_used_with_another(
    transport: Transport, destination: Destination, authority: Authority
) -> None:
    destination.answers("/token", made_anew())
    auth = build("oauth2_client_credentials", given(destination))

    for _ in range(2):
        certificate = [part.decode() for part in authority.issue("hub")]
        call(transport, replace(post(destination.url("/orders")), tls=client_context("", *certificate)), auth)

    assert len(asked(destination, "/token")) == 2


def test_another_secret_does_not_use_the_token_of_the_first(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", made_anew())

    for secret in ("a", "b"):
        auth = build("oauth2_client_credentials", given(destination, client_secret=secret))
        call(transport, post(destination.url("/orders")), auth)

    sent = [order.header("Authorization") for order in asked(destination, "/orders")]
    assert sent == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token_url": "ftp://x"}, "token_url"),
        ({"token_url": "https://user:s3cr3t@login.example.com/"}, "token_url"),
        ({"client_auth": "jwt"}, "client_auth"),
        ({"token_tls": "none"}, "token_tls"),
        ({"extra": {"grant_type": "password"}}, "extra"),
        ({"extra": {"a": 1}}, "extra"),
        ({"client_secret": ""}, "client_secret"),
    ],
)
def test_what_cannot_work_is_refused(destination: Destination, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidAuth) as caught:
        build("oauth2_client_credentials", given(destination, **change))

    assert caught.value.field == field


def test_no_secret_is_in_a_repr(transport: Transport, destination: Destination) -> None:
    destination.answers("/token", Answer(200, TOKEN))
    auth = build("oauth2_client_credentials", given(destination))
    exchange = call(transport, post(destination.url("/orders")), auth)

    shown = repr(auth) + repr(exchange) + repr(tokens)

    assert "s3cr3t" not in shown
    assert "token-1" not in shown
