"""Transport: TLS to the checked address, with SNI and certificate of the name in the URL."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.transport import Kind, Transport
from tests.connectors.calls import DEADLINE, LOOPBACK, TOLERANCE, failure, post, server_by_hand
from tests.destination import Answer, Destination

AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own."""

    key: ec.EllipticCurvePrivateKey
    folder: Path
    name: x509.Name = AUTHORITY

    def bundle(self):
        """The path of a file with its own certificate."""
        builder = self._builder(self.name, self.key, DAY).add_extension(x509.BasicConstraints(True, None), True)
        path = self.folder / "authority.pem"
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return str(path)

    def server(self, *names, expires=DAY):
        """A server's context, its certificate for `names` (or addresses); `expires` from now."""
        path = self.folder / f"{names[0]}.pem"
        path.write_bytes(b"".join(self.issue(*names, expires=expires)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def issue(self, *names, expires=DAY):
        """A certificate for `names` and its key, both as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = self._builder(subject, key, expires).add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), False
        )
        return (
            builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _builder(self, subject, key, expires):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + expires)
        )


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture
def authority(tmp_path):
    return Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)


@pytest.fixture
def transport(authority, monkeypatch):
    """One that trusts the authority of the test."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", authority.bundle())
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def shop(monkeypatch):
    """The name shop.test is this machine."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1" if host == "shop.test" else host, *a, **k)
    )
    return "shop.test"


def test_name_is_asked_for_and_its_certificate_accepted(transport, authority, shop):
    context, asked = authority.server(shop), []
    context.sni_callback = lambda _connection, name, _context: asked.append(name)

    with Destination(tls=context) as destination:
        response = transport.send(post(destination.url("/orders", host=shop)))

    assert response.status_code == 200
    assert asked == [shop]
    assert destination.requests[0].header("host") == f"{shop}:{destination.port}"


def test_certificate_of_an_address_is_accepted(transport, authority):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        response = transport.send(post(destination.url()))

    assert response.status_code == 200


def test_secure_connection_is_kept_and_used_again(transport, authority):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        for _ in range(3):
            transport.send(post(destination.url()))

        assert destination.connection_count == 1


def test_authorities_are_read_once(transport, authority):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        transport.send(post(destination.url()))
        destination.drop_connections()
        Path(requests.adapters.DEFAULT_CA_BUNDLE_PATH).unlink()

        transport.send(post(destination.url()))

    assert destination.connection_count == 2


def test_connection_to_one_name_is_not_used_for_another(transport, authority, shop):
    with Destination(tls=authority.server(shop)) as destination:
        transport.send(post(destination.url(host=shop)))

        error, _ = failure(transport, post(destination.url(host="localhost")))

    assert error.kind == Kind.TLS_FAILED
    assert len(destination.requests) == 1


@pytest.mark.parametrize(
    ("names", "expires", "words"),
    [
        (["other.test"], DAY, "another name"),
        (["127.0.0.1"], DAY, "another name"),  # the address that is connected to does not count
        (["*.shop.test"], DAY, "another name"),
        (["shop.test"], -DAY, "expired"),
    ],
)
def test_certificate_that_does_not_fit_is_refused_before_anything_is_sent(
    transport, authority, shop, names, expires, words
):
    with Destination(tls=authority.server(*names, expires=expires)) as destination:
        error, _ = failure(transport, post(destination.url(host=shop)))

    assert (error.kind, error.permanent, error.sent) == (Kind.TLS_FAILED, False, False)
    assert words in error.detail
    assert destination.requests == []


def test_certificate_of_an_unknown_authority_is_refused(authority, shop, monkeypatch):
    stranger = Transport(allowed=LOOPBACK)  # trusts what the machine trusts, whatever the environment says
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle())
    monkeypatch.setenv("CURL_CA_BUNDLE", authority.bundle())

    with Destination(tls=authority.server(shop)) as destination:
        error, _ = failure(stranger, post(destination.url(host=shop)))

    assert (error.kind, error.sent) == (Kind.TLS_FAILED, False)
    assert destination.requests == []


def test_destination_that_does_not_speak_tls_is_a_passing_failure(transport):
    with Destination() as destination:
        error, _ = failure(transport, post(f"https://127.0.0.1:{destination.port}/"))

    assert (error.kind, error.permanent, error.sent) == (Kind.TLS_FAILED, False, False)
    assert destination.requests == []


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (ssl.TLSVersion.TLSv1_2, "handshake failure"),
        (ssl.TLSVersion.TLSv1_3, "certificate required"),  # after the handshake, when the answer is awaited
    ],
)
def test_destination_that_wants_a_certificate_of_ours_says_so(transport, authority, version, words):
    context = authority.server("127.0.0.1")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle())

    with Destination(tls=context) as destination:
        error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (Kind.TLS_FAILED, False)
    assert words in error.detail
    assert destination.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, delay_seconds=30),
        Answer(200, "x" * 500, drip_head_seconds=0.1),
        Answer(200, "x" * 500, drip_body_seconds=0.1),
        Answer(200, "x" * 500, {"Transfer-Encoding": "none"}, drip_body_seconds=0.1),
    ],
)
def test_slow_answer_ends_at_the_deadline(transport, authority, answer):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        destination.answers("/", answer)

        error, seconds = failure(transport, post(destination.url(), deadline=DEADLINE))

    assert (error.kind, error.sent) == (Kind.TIMEOUT, True)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_early_refusal_of_a_large_body_is_read(transport, authority):
    """As by servers that do not read what they refuse: the rest of the body finds the connection closed."""
    context = authority.server("127.0.0.1")

    def refuse(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what waits to be sent is lost by closing
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with server_by_hand(refuse) as address:
        response = transport.send(post(f"https://{address}/", body=b"x" * 8_000_000))

    assert response.status_code == 413


def test_handshake_that_does_not_end_ends_at_the_deadline(transport):
    done = threading.Event()

    with server_by_hand(lambda connection: done.wait(10) and None) as address:
        error, seconds = failure(transport, post(f"https://{address}/", deadline=DEADLINE))
        done.set()

    assert (error.kind, error.sent) == (Kind.TIMEOUT, False)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_handshake_counts_as_connecting(transport, monkeypatch):
    monkeypatch.setattr("connectors.transport.CONNECT_TIMEOUT_SECONDS", 0.2)
    done = threading.Event()

    with server_by_hand(lambda connection: done.wait(10) and None) as address:
        error, seconds = failure(transport, post(f"https://{address}/", deadline=10))
        done.set()

    assert (error.kind, error.sent) == (Kind.CONNECT_FAILED, False)
    assert seconds < 0.2 + TOLERANCE


def test_fresh_connection_that_breaks_is_not_replaced(transport, authority):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        destination.answers("/", Answer.nothing(), Answer(201))

        error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (Kind.CONNECTION_LOST, True)
    assert "may want a client certificate" in error.detail  # its refusal may have got lost with the connection
    assert len(destination.requests) == 1


def test_handshake_that_drips_ends_at_the_deadline(transport):
    def drip(connection):
        connection.recv(2000)
        connection.sendall(b"\x16\x03\x03\x3f\xff")  # a record of 16 KiB …
        while True:
            connection.sendall(b"\x02")  # … of which a byte comes now and then
            time.sleep(0.05)

    with server_by_hand(drip) as address:
        error, seconds = failure(transport, post(f"https://{address}/", deadline=DEADLINE))

    assert (error.kind, error.sent) == (Kind.TIMEOUT, False)
    assert DEADLINE - 0.05 <= seconds < DEADLINE + TOLERANCE


def test_connection_that_was_closed_just_before_its_use_is_replaced(transport, authority, monkeypatch):
    monkeypatch.setattr(urllib3.connectionpool, "is_connection_dropped", lambda connection: False)
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        transport.send(post(destination.url()))
        destination.drop_connections()

        response = transport.send(post(destination.url()))

    assert response.status_code == 200
    assert [received.connection for received in destination.requests] == [1, 2]


def test_request_that_arrived_on_a_kept_connection_is_not_sent_again(transport, authority):
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        destination.answers("/", Answer(200), Answer.nothing(), Answer(201))
        transport.send(post(destination.url()))

        error, _ = failure(transport, post(destination.url()))

    assert (error.kind, error.sent) == (Kind.CONNECTION_LOST, True)
    assert [received.connection for received in destination.requests] == [1, 1]
