"""Transport against servers that mean harm: lengths that contradict, bombs in every wrapping, answers unasked for."""

import gzip
import zlib
from collections.abc import Iterator

import pytest

from connectors.auth import build, call
from connectors.auth.oauth2 import tokens
from connectors.transport import MAX_RESPONSE_BYTES, Kind, OutboundResponse, Transport, TransportError
from tests.connectors.calls import LOOPBACK, TOLERANCE, failure, post
from tests.destination import Answer, Destination

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def transport() -> Transport:
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination() -> Iterator[Destination]:
    with Destination() as server:
        yield server


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "x" * 100_000, cut_after=50_000, reset=True),
        Answer(200, chunked(b"x" * 100_000), {"Transfer-Encoding": "chunked"}, cut_after=50_000, reset=True),
        Answer(200, gzip.compress(bytes(range(256)) * 99), {"Content-Encoding": "gzip"}, cut_after=250),
    ],
)
def test_body_that_breaks_off_is_no_answer(transport: Transport, destination: Destination, answer: Answer) -> None:
    destination.answers("/", answer)

    error, seconds = failure(transport, post(destination.url()))

    assert (error.kind, error.permanent, error.sent) == (Kind.INVALID_RESPONSE, False, True)
    assert seconds < TOLERANCE


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2, 3\r\n",
    ],
)
def test_lengths_that_contradict_each_other_are_no_answer(
    transport: Transport, destination: Destination, head: bytes
) -> None:
    destination.answers("/", Answer.garbage(OK + head + b"\r\nabc"))

    error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (Kind.INVALID_RESPONSE, True)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff",
        b"Transfer-Encoding: chunked\r\n\r\n-5",
        b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
    ],
)
def test_nonsense_in_the_framing_is_no_answer(transport: Transport, destination: Destination, head: bytes) -> None:
    destination.answers("/", Answer.garbage(OK + head + b"\r\nabc"))

    error, seconds = failure(transport, post(destination.url()))

    assert (error.kind, error.permanent, error.sent) == (Kind.INVALID_RESPONSE, False, True)
    assert seconds < TOLERANCE


def test_second_answer_to_one_request_is_not_taken_for_that_of_the_next(
    transport: Transport, destination: Destination
) -> None:
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    destination.answers("/", Answer(200, b"ok" + smuggled, {"Content-Length": "2"}), Answer(200, "mine"))

    first, second = (transport.send(post(destination.url())) for _ in range(2))

    assert (first.body, second.body) == (b"ok", b"mine")


BOMB = b"\0" * (64 * MAX_RESPONSE_BYTES)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (zlib.compress(BOMB, 1), {"Content-Encoding": "deflate"}),
        (chunked(gzip.compress(BOMB, 1)), {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}),
        (gzip.compress(gzip.compress(BOMB, 1), 1), {"Content-Encoding": "gzip, gzip"}),
    ],
)
def test_bomb_ends_at_the_limit_in_every_wrapping(
    transport: Transport, destination: Destination, body: bytes, headers: dict[str, str]
) -> None:
    destination.answers("/", Answer(200, body, headers))

    response = transport.send(post(destination.url()))

    assert (len(response.body), response.truncated) == (MAX_RESPONSE_BYTES, True)


@pytest.mark.parametrize("body", ["[" * 200_000, "{" + '"a":' * 5, gzip.compress(BOMB, 1)])
def test_token_server_that_means_harm_gives_no_token(
    transport: Transport, destination: Destination, body: bytes | str
) -> None:
    tokens.forget()
    headers = {"Content-Encoding": "gzip"} if isinstance(body, bytes) else {}
    destination.answers("/token", Answer(200, body, headers))
    given = {"token_url": destination.url("/token"), "client_id": "us", "client_secret": "s"}

    exchange = call(transport, post(destination.url("/orders")), build("oauth2_client_credentials", given))

    assert isinstance(exchange.answer, TransportError)
    assert (exchange.answer.kind, exchange.answer.sent) == (Kind.AUTH_FAILED, False)
    assert [request.path for request in destination.requests] == ["/token"]


def test_redirect_does_not_carry_the_proof_anywhere(transport: Transport, destination: Destination) -> None:
    with Destination() as thief:
        destination.answers("/", Answer(307, headers={"Location": thief.url("/take")}))
        exchange = call(transport, post(destination.url()), build("api_key", {"key": "s3cr3t"}))

    assert isinstance(exchange.answer, OutboundResponse)
    assert (exchange.answer.status_code, thief.requests) == (307, [])
