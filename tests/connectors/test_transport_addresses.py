"""Transport: which addresses are called, in every spelling and through every name."""

import socket

import pytest

from connectors.networks import AllowedNetworks
from connectors.transport import Kind, Transport
from tests.connectors.calls import LOOPBACK, TOLERANCE, failure, post
from tests.destination import Answer, Destination


@pytest.fixture(scope="module")
def transport():
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination():
    with Destination() as server:
        yield server


@pytest.fixture
def names(monkeypatch):
    """Names that exist only here: a list of look-ups, each the list of addresses found; the last one repeats."""
    known, asked = {}, []
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["asked"] = asked
    return known


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",  # what inet_aton takes for 127.0.0.1
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0",
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_private_address_is_refused_in_every_spelling(destination, host):
    closed = Transport(allowed=AllowedNetworks())

    error, _ = failure(closed, post(f"http://{host}:{destination.port}/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.ADDRESS_REFUSED, True, False)
    assert destination.connection_count == 0


def test_listed_port_is_the_only_one_open(destination):
    narrow = Transport(allowed=AllowedNetworks.parse(f"127.0.0.1:{destination.port}"))

    assert narrow.send(post(destination.url())).status_code == 200
    assert failure(narrow, post("http://127.0.0.1/"))[0].kind == Kind.ADDRESS_REFUSED
    assert failure(narrow, post("https://127.0.0.1/"))[0].kind == Kind.ADDRESS_REFUSED


def test_metadata_is_refused_even_if_listed():
    open_ = Transport(allowed=AllowedNetworks.parse("0.0.0.0/0,::/0"))

    for host in ("169.254.169.254", "[fd00:ec2::254%251]", "[::ffff:169.254.169.254]"):
        assert failure(open_, post(f"http://{host}/latest/"))[0].kind == Kind.ADDRESS_REFUSED


def test_name_is_resolved_once_and_the_checked_address_is_connected_to(transport, destination, names):
    names["shop.test"] = [["127.0.0.1"]]

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200
    assert names["asked"] == ["shop.test"]
    assert destination.requests[0].header("host") == f"shop.test:{destination.port}"


def test_name_is_judged_again_at_every_attempt(transport, destination, names):
    names["shop.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    transport.send(post(destination.url(host="shop.test")))

    error, _ = failure(transport, post(destination.url(host="shop.test")))

    assert error.kind == Kind.ADDRESS_REFUSED  # although a connection to the first address is still open
    assert len(destination.requests) == 1


def test_only_allowed_addresses_of_a_name_are_called(transport, destination, names):
    names["shop.test"] = [["10.0.0.1", "169.254.169.254", "127.0.0.1"]]

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200


def test_next_address_is_tried_where_nobody_answers_at_the_first(transport, destination, names):
    names["shop.test"] = [["127.0.0.2", "127.0.0.1"]]  # nobody listens at 127.0.0.2

    response = transport.send(post(destination.url(host="shop.test")))

    assert response.status_code == 200
    assert len(destination.requests) == 1


def test_next_address_is_not_tried_once_the_request_went_out(transport, destination, names):
    names["shop.test"] = [["127.0.0.1", "127.0.0.2"]]
    destination.answers("/", Answer.nothing())

    error, _ = failure(transport, post(destination.url(host="shop.test")))

    assert error.kind == Kind.CONNECTION_LOST
    assert len(destination.requests) == 1


def test_name_that_does_not_exist_is_a_passing_failure(transport, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    error, _ = failure(transport, post("http://shop.test/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.NAME_NOT_RESOLVED, False, False)


def test_port_where_nobody_listens_is_a_passing_failure(transport):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        error, seconds = failure(transport, post(f"http://127.0.0.1:{unused.getsockname()[1]}/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.CONNECT_FAILED, False, False)
    assert "refused" in error.detail
    assert seconds < TOLERANCE
