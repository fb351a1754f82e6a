"""What an endpoint adds to TLS: a certificate of ours, and an authority that nobody else knows. Pure."""

import secrets
import ssl
import tempfile
from datetime import datetime
from functools import lru_cache

import certifi
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from urllib3.util.ssl_ import create_urllib3_context


class InvalidTls(Exception):
    """Certificates or a key that cannot be used. `field` is ca, certificate or key; the text holds nothing of them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@lru_cache(maxsize=256)
def client_context(ca: str, certificate: str, key: str) -> ssl.SSLContext | None:
    """How to connect with these PEM texts, each of which may be empty; None if all are. Raises InvalidTls.

    With `ca` no other authority is trusted. `certificate` is ours, with the chain that belongs to it. The same texts
    give the same context, and with it the same kept-alive connections, after every change of the configuration.
    """
    if not (ca or certificate or key):
        return None
    context = create_urllib3_context()
    context.verify_mode = ssl.CERT_REQUIRED
    if ca:
        _certificates("ca", ca)
        context.load_verify_locations(cadata=ca)
    else:
        context.load_verify_locations(certifi.where())
    if certificate or key:
        _load(context, certificate, key)
    return context


@lru_cache(maxsize=256)
def ends_at(certificate: str) -> datetime | None:
    """Until when this PEM text, the first certificate in it, is good for; None where there is none."""
    try:
        return _certificates("certificate", certificate)[0].not_valid_after_utc
    except InvalidTls:
        return None


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    chain, private = _certificates("certificate", certificate), _key(key)
    if chain[0].public_key() != private.public_key():
        raise InvalidTls("key", "The key is not that of the (first) certificate.")
    # OpenSSL reads from files only: what lies on the disk for a moment is encrypted with a password that never does
    password = secrets.token_hex(32)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.strip().encode() + b"\n")
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode()),
            )
        )
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except ssl.SSLError:  # a key that is too short, for example
            raise InvalidTls("certificate", "OpenSSL does not take this certificate and key.") from None


def _certificates(field: str, pem: str) -> list[x509.Certificate]:
    if not pem:
        raise InvalidTls(field, "Certificate and key go together.")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise InvalidTls(field, "This is no certificate in PEM (-----BEGIN CERTIFICATE-----).") from None


def _key(pem: str) -> PrivateKeyTypes:
    if not pem:
        raise InvalidTls("key", "Certificate and key go together.")
    try:
        return serialization.load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise InvalidTls("key", "The key is protected by a password; store it without one.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidTls("key", "This is no private key in PEM (-----BEGIN PRIVATE KEY-----).") from None
