"""Who is calling. Checked over what was sent, before anything is parsed; whatever is wrong fails closed."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from django.http import HttpRequest

from connectors.catalogue import CredentialPlan
from connectors.signatures import NotAuthentic, Proof, Request, Signed
from messages.last_use import last_uses
from messages.problems import Problem

CHALLENGE = 'Bearer realm="integration-platform", Basic realm="integration-platform", charset="UTF-8"'
TOLD = (
    "No credential fits what was sent. Send an API key (Authorization: Bearer, or X-API-Key), HTTP Basic, "
    "or the signature that was agreed on."
)
"""All that outsiders are told, whatever was wrong; what it was is kept in the rejection."""
MAX_REASONS = 20
MAX_OWN_ID = 255


@dataclass(frozen=True, slots=True)
class Caller:
    """Who proved to be what. `body` is set where it had to be read for that."""

    credential: CredentialPlan
    proof: Proof
    body: bytes | None = None

    def own_id(self) -> str | None:
        """The sender's own name for its message, under which repeats are recognised. Raises the 400 problem.

        A header that is there and empty held what the server could not hand over: not "no name", which makes a repeat
        a second message. So names are ASCII, whichever server they come through.
        """
        if self.proof.own_id is None:
            return None
        text = self.proof.own_id.decode("utf-8", "replace")
        if not 0 < len(text) <= MAX_OWN_ID or not text.isascii() or not text.isprintable():
            detail = f"{self.proof.id_name} holds 1 to {MAX_OWN_ID} printable ASCII characters."
            raise Problem("malformed-header", detail)
        return text


def authenticate(
    http: HttpRequest, credentials: Iterable[CredentialPlan], *, read: Callable[[], bytes] | None = None
) -> Caller:
    """The caller, by the first credential that fits; all are checked. Raises the 401 problem if none does.

    `read` reads the body; it is called once, and only where a signature was sent and may count. What it raises, for
    example that the body is too large, goes on.
    """
    credentials = tuple(credentials)
    sent = _as_bytes(http.headers)
    if read is not None and any(_is_signed(credential, sent) for credential in credentials):
        sent = replace(sent, body=read())
    callers, reasons = _checked(credentials, sent)
    if not callers:
        evidence = "\n".join(reasons[:MAX_REASONS]) or "The application has no credential."
        raise Problem("authentication-failed", TOLD, headers={"WWW-Authenticate": CHALLENGE}, evidence=evidence)
    last_uses.note(callers[0].credential.id, sent.now)
    return callers[0]


class Trust(Enum):
    """What headers alone say about a caller."""

    NONE = "none"
    CLAIMED = "claimed"  # a signature is there; the body will tell
    PROVEN = "proven"


def trust_in(headers: Mapping[str, str], credentials: Iterable[CredentialPlan]) -> Trust:
    """Pure, and quick enough for an event loop: nothing is noted, and nobody is told."""
    sent, credentials = _as_bytes(headers), tuple(credentials)
    if _checked(credentials, sent)[0]:
        return Trust.PROVEN
    return Trust.CLAIMED if any(_is_signed(credential, sent) for credential in credentials) else Trust.NONE


def is_authentic(http: HttpRequest, credentials: Iterable[CredentialPlan]) -> bool:
    """Whether any credential fits what was sent in headers; signatures prove nothing without their body."""
    return bool(_checked(credentials, _as_bytes(http.headers))[0])


def _checked(credentials: Iterable[CredentialPlan], sent: Request) -> tuple[list[Caller], list[str]]:
    callers, reasons = [], []
    for credential in credentials:
        try:
            callers.append(Caller(credential, _proof(credential, sent), sent.body))
        except NotAuthentic as error:
            reasons.append(f"Credential {credential.name} ({credential.scheme}): {error}.")
    return callers, reasons


def _proof(credential: CredentialPlan, sent: Request) -> Proof:
    if credential.verifier is None:
        raise NotAuthentic(credential.closed)
    if isinstance(credential.verifier, Signed) and sent.body is None:
        raise NotAuthentic("no signature was sent, or none counts here")
    proof = credential.verifier.verify(sent)
    if closed := credential.closed_at(sent.now):
        raise NotAuthentic(f"what was sent fits, but {closed}")
    return proof


def _is_signed(credential: CredentialPlan, sent: Request) -> bool:
    verifier = credential.verifier
    return isinstance(verifier, Signed) and verifier.is_presented(sent)


def _as_bytes(headers: Mapping[str, str]) -> Request:
    return Request({name.lower(): _sent_bytes(text) for name, text in headers.items()}, None, time.time())


def _sent_bytes(text: str) -> bytes:
    """WSGI hands over bytes as Latin-1 (PEP 3333); what is none was never sent by HTTP."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
