"""Who is calling. Checked over what was sent, before anything is parsed; whatever is wrong fails closed."""

import base64
import binascii
import hmac
from collections.abc import Iterable

from django.http import HttpRequest

from connectors.catalogue import CredentialPlan
from connectors.choices import Scheme
from connectors.keys import key_matches
from messages.problems import Problem

CHALLENGE = 'Bearer realm="integration-platform", Basic realm="integration-platform", charset="UTF-8"'


def authenticate(http: HttpRequest, credentials: Iterable[CredentialPlan]) -> None:
    """Returns if any credential fits, raises the 401 problem otherwise."""
    if is_authentic(http, credentials):
        return
    if http.headers.get("Authorization") or http.headers.get("X-API-Key"):
        raise failed("No credential fits what was sent.")
    raise failed("Send an API key (Authorization: Bearer, or X-API-Key) or HTTP Basic.")


def is_authentic(http: HttpRequest, credentials: Iterable[CredentialPlan]) -> bool:
    """Whether any credential fits what was sent. All are compared, each in constant time."""
    keys, basic = _presented(http)
    fits = False
    for credential in credentials:
        if credential.scheme == Scheme.API_KEY:
            fits |= max((key_matches(key, credential.secret_hash) for key in keys), default=False)
        elif credential.scheme == Scheme.BASIC and basic is not None:
            fits |= _basic_fits(credential, *basic)
    return fits


def failed(detail: str) -> Problem:
    return Problem("authentication-failed", detail, headers={"WWW-Authenticate": CHALLENGE})


def _presented(request: HttpRequest) -> tuple[list[str], tuple[bytes, bytes] | None]:
    keys, basic = [], None
    if api_key := request.headers.get("X-API-Key", "").strip():
        keys.append(api_key)
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        keys.append(rest.strip())
    elif scheme.lower() == "basic":
        basic = _basic(rest.strip())
    return keys, basic


def _basic(text: str) -> tuple[bytes, bytes] | None:
    """RFC 7617: the first colon ends the user name."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _basic_fits(credential: CredentialPlan, user: bytes, password: bytes) -> bool:
    names = [hmac.compare_digest(user, name.encode()) for name in credential.usernames]
    return any(names) & hmac.compare_digest(password, credential.secret.encode())
