"""How a caller proves who it is: one small class a scheme. Pure: bytes and headers go in, proof or a reason comes out.

Everything is compared in constant time, over the raw bytes, with every secret that is in force, so that neither the
time nor the answer tells which part was wrong. Reasons are for support staff; they never hold a secret.
"""

from collections.abc import Mapping

from connectors.signatures.base import InvalidCredential, NotAuthentic, Proof, Request, Scheme, Secret
from connectors.signatures.generic import GenericHmac
from connectors.signatures.plain import ApiKey, Basic
from connectors.signatures.published import GitHub, Shopify, Slack, StandardWebhooks, Stripe, challenge_of
from connectors.signatures.signed import TOLERANCE_SECONDS, Signed

__all__ = [
    "SCHEMES",
    "TOLERANCE_SECONDS",
    "GenericHmac",
    "InvalidCredential",
    "NotAuthentic",
    "Proof",
    "Request",
    "Scheme",
    "Secret",
    "Signed",
    "StandardWebhooks",
    "challenge_of",
    "check_secret",
]

SCHEMES: Mapping[str, type[Scheme]] = {
    "api_key": ApiKey,
    "basic": Basic,
    "hmac": GenericHmac,
    "standard_webhooks": StandardWebhooks,
    "github": GitHub,
    "stripe": Stripe,
    "shopify": Shopify,
    "slack": Slack,
}


def check_secret(scheme: str, plain: str) -> None:
    """Raises InvalidCredential for a secret that no caller could ever prove."""
    if scheme != "basic" and plain != plain.strip():
        raise InvalidCredential("secret", "A secret must not begin or end with white space.")
    if any(ord(char) < 32 or ord(char) == 127 for char in plain):
        raise InvalidCredential("secret", "A secret must not hold control characters such as a line feed.")
    if scheme == "standard_webhooks":
        StandardWebhooks([Secret(plain)], {})
