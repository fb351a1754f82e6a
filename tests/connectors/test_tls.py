"""A certificate of ours and a private authority, against real servers; and where they are configured."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.test import Client
from django.urls import reverse

from connectors.catalogue import catalogue
from connectors.configuration import InvalidConfiguration, apply_configuration, export_configuration
from connectors.models import Endpoint
from connectors.tls import InvalidTls, client_context
from connectors.transport import Kind, OutboundRequest, Transport
from tests import factories
from tests.connectors.calls import LOOPBACK, failure, post
from tests.connectors.test_transport_tls import Authority
from tests.destination import Destination


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)


@pytest.fixture
def transport() -> Transport:
    return Transport(allowed=LOOPBACK)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def picky(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Destination]:
    """Answers only to who shows a certificate of the authority; by TLS 1.3 it refuses after the handshake."""
    context = authority.server("127.0.0.1")
    context.minimum_version = context.maximum_version = request.param
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle())
    with Destination(tls=context) as server:
        yield server


def bundle(authority: Authority) -> str:
    return Path(authority.bundle()).read_text()


def issued(authority: Authority) -> tuple[str, str]:
    certificate, key = authority.issue("hub")
    return certificate.decode(), key.decode()


def secured(url: str, ca: str, certificate: str = "", key: str = "") -> OutboundRequest:
    return replace(post(url), tls=client_context(ca, certificate, key))


def test_our_certificate_opens_and_its_absence_does_not(
    transport: Transport, authority: Authority, picky: Destination
) -> None:
    ca = bundle(authority)

    refused, _ = failure(transport, secured(picky.url(), ca))
    response = transport.send(secured(picky.url(), ca, *issued(authority)))

    assert (refused.kind, refused.sent) == (Kind.TLS_FAILED, False)
    assert response.status_code == 200
    assert len(picky.requests) == 1


def test_certificate_of_another_authority_is_refused_before_anything_is_read(
    transport: Transport, authority: Authority, picky: Destination, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path / "other")

    refused, _ = failure(transport, secured(picky.url(), bundle(authority), *issued(other)))

    assert (refused.kind, refused.sent) == (Kind.TLS_FAILED, False)
    assert picky.requests == []


def test_private_authority_is_trusted_by_its_endpoint_alone(transport: Transport, authority: Authority) -> None:
    with Destination(tls=authority.server("127.0.0.1")) as destination:
        response = transport.send(secured(destination.url(), bundle(authority)))
        # the connection that is kept is not lent to who does not trust it
        error, _ = failure(transport, post(destination.url()))

    assert response.status_code == 200
    assert error.kind == Kind.TLS_FAILED


def test_private_authority_replaces_the_public_ones(
    transport: Transport, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path / "other")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", authority.bundle())

    with Destination(tls=authority.server("127.0.0.1")) as destination:
        error, _ = failure(transport, secured(destination.url(), bundle(other)))

    assert (error.kind, destination.requests) == (Kind.TLS_FAILED, [])


def test_name_is_still_checked(transport: Transport, authority: Authority) -> None:
    with Destination(tls=authority.server("other.test")) as destination:
        error, _ = failure(transport, secured(destination.url(), bundle(authority)))

    assert error.kind == Kind.TLS_FAILED
    assert "another name" in error.detail


def test_connections_outlive_a_change_of_the_configuration(transport: Transport, authority: Authority) -> None:
    ca, (certificate, key) = bundle(authority), issued(authority)

    with Destination(tls=authority.server("127.0.0.1")) as destination:
        for _ in range(3):
            transport.send(secured(destination.url(), ca, certificate, key))

        assert destination.connection_count == 1


def test_what_cannot_be_used_is_named_without_showing_it(authority: Authority) -> None:
    (certificate, key), (_, another) = issued(authority), issued(authority)
    locked = serialization.load_pem_private_key(key.encode(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    cases = [
        ("ca", ("nothing", "", "")),
        ("certificate", ("", "nothing", key)),
        ("certificate", ("", "", key)),
        ("key", ("", certificate, "")),
        ("key", ("", certificate, "nothing")),
        ("key", ("", certificate, another)),
        ("key", ("", certificate, locked.decode())),
    ]
    for field, texts in cases:
        with pytest.raises(InvalidTls) as caught:
            client_context(*texts)
        assert caught.value.field == field
        assert "BEGIN" not in str(caught.value).replace("-----BEGIN CERTIFICATE-----", "").replace(
            "-----BEGIN PRIVATE KEY-----", ""
        )


# --- where it is configured -------------------------------------------------------------------------------------------

FILE = """
version: 1
applications:
  - slug: erp
    endpoints: [{slug: erp, url: "https://erp.example.com/", tls: {ca: "${CA}", certificate: "${CERT}", key: "${KEY}"}}]
"""


@pytest.fixture
def environ(authority: Authority) -> dict[str, str]:
    certificate, key = issued(authority)
    return {"CA": bundle(authority), "CERT": certificate, "KEY": key}


@pytest.mark.django_db
def test_file_takes_it_and_the_export_has_no_key(environ: dict[str, str]) -> None:
    apply_configuration(FILE, environ=environ)

    exported = export_configuration()

    endpoint = Endpoint.objects.get()
    assert (endpoint.tls_ca, endpoint.tls_certificate, endpoint.tls_key) == tuple(environ.values())
    assert environ["KEY"].splitlines()[1] not in exported
    assert "key: ${ERP_TLS_KEY}" in exported
    for text, variables in ((FILE, environ), (exported, {})):
        assert {change.action for change in apply_configuration(text, environ=variables)} == {"unchanged"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tls_key FROM connectors_endpoint")
        assert "PRIVATE" not in cursor.fetchone()[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('key: "${KEY}"', 'key: "nothing"', "certificate"),
        ('certificate: "${CERT}", ', "", "certificate"),
        (', key: "${KEY}"', "", "key"),
        ('ca: "${CA}"', "ca: nothing", "ca"),
        ("https://", "http://", "ca"),
    ],
)
def test_fault_in_the_file_is_named(environ: dict[str, str], old: str, new: str, place: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(FILE.replace(old, new), environ=environ)

    assert f"applications[0].endpoints[0].tls.{place}" in {fault.split(":")[0] for fault in caught.value.faults}


@pytest.mark.django_db
def test_form_keeps_the_key_never_shows_it_and_forgets_it_with_its_certificate(
    admin_client: Client, environ: dict[str, str]
) -> None:
    form = {
        "slug": "erp", "application": factories.ApplicationFactory().pk, "url": "https://erp.example.com/",
        "method": "POST", "format": "json", "timeout_seconds": 10, "auth_scheme": "none",
        "tls_ca": environ["CA"], "tls_certificate": environ["CERT"],
    }  # fmt: skip
    line = environ["KEY"].splitlines()[1]

    faulty = admin_client.post(
        reverse("admin:connectors_endpoint_add"), {**form, "private_key": environ["KEY"], "url": "x"}
    )
    without = admin_client.post(reverse("admin:connectors_endpoint_add"), form)
    admin_client.post(reverse("admin:connectors_endpoint_add"), {**form, "private_key": environ["KEY"]})

    assert line not in faulty.content.decode()
    assert list(without.context["adminform"].form.errors) == ["tls_certificate"]
    endpoint = Endpoint.objects.get()
    change = reverse("admin:connectors_endpoint_change", args=[endpoint.pk])
    assert endpoint.tls_key.strip() == environ["KEY"].strip()
    assert line not in admin_client.get(change).content.decode()
    admin_client.post(change, form)
    endpoint.refresh_from_db()
    assert endpoint.tls_key
    admin_client.post(change, {**form, "tls_certificate": ""})
    endpoint.refresh_from_db()
    assert (endpoint.tls_certificate, endpoint.tls_key) == ("", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "said", "warns"),
    [(90, "Good until", False), (29, "for 28 more days. Replace it.", True), (-1, "Ended on", True)],
)
def test_end_of_our_certificate_is_shown_measured_and_warned_of(
    admin_client: Client, authority: Authority, days: int, said: str, warns: bool
) -> None:
    certificate, key = (part.decode() for part in authority.issue("hub", expires=timedelta(days=days)))
    endpoint = factories.EndpointFactory(url="https://erp/", tls_certificate=certificate, tls_key=key)
    factories.EndpointFactory()
    change = reverse("admin:connectors_endpoint_change", args=[endpoint.pk])
    form = {
        "slug": endpoint.slug, "application": endpoint.application_id, "url": endpoint.url, "method": "POST",
        "format": "json", "timeout_seconds": 10, "auth_scheme": "none", "tls_certificate": certificate,
    }  # fmt: skip

    page = admin_client.get(change).content.decode()
    saved = admin_client.post(change, form, follow=True).content.decode()
    (line,) = re.findall(r"platform_client_certificate_seconds_left\{.*", admin_client.get("/metrics").content.decode())

    assert said in page
    assert ("Client certificate: " in saved) == warns
    assert line.startswith(f'platform_client_certificate_seconds_left{{endpoint="{endpoint.slug}"}}')
    assert abs(float(line.split()[-1]) - days * 86400) < 600


@pytest.mark.django_db
def test_plan_carries_it_and_a_broken_one_fails_alone(environ: dict[str, str]) -> None:
    sound = factories.EndpointFactory(tls_ca=environ["CA"])
    broken = factories.EndpointFactory(tls_certificate=environ["CERT"], tls_key="nothing")
    routes = [factories.RouteFactory(endpoint=endpoint) for endpoint in (sound, broken)]

    plans = [catalogue.by_id()[route.pk].endpoint for route in routes]

    assert plans[0].tls is client_context(environ["CA"], "", "")
    assert (plans[1].tls, type(plans[1].auth).__name__) == (None, "Unusable")
