"""Secrets of our own making, and API keys as they are kept. Pure."""

import base64
import hashlib
import hmac
import secrets

MAKES_SECRETS = frozenset({"api_key", "hmac", "standard_webhooks", "github"})
"""Schemes whose secret the receiver may choose; at the others the sender, or a person, does."""


def generate_secret(scheme: str) -> str:
    """256 random bits as the scheme writes them; an API key has a readable beginning to tell keys apart."""
    if scheme == "api_key":
        return f"{secrets.token_hex(4)}.{secrets.token_urlsafe(32)}"
    if scheme == "standard_webhooks":
        return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    return secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """`salt$digest`: SHA-256 is enough for keys that are random; the salt hides equal keys from each other."""
    salt = secrets.token_hex(8)
    return f"{salt}${_digest(salt, key.encode())}"


def key_matches(key: str | bytes, hashed: str) -> bool:
    """Constant-time comparison of a presented key with a stored `salt$digest`."""
    salt, _, digest = hashed.partition("$")
    presented = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return hmac.compare_digest(_digest(salt, presented), digest)


def _digest(salt: str, key: bytes) -> str:
    return hashlib.sha256(salt.encode() + key).hexdigest()
