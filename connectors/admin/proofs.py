"""What proves who calls: what is signed and where the signature goes, said once for all languages."""

import re
from dataclasses import dataclass
from enum import Enum

from connectors.choices import Encoding, Scheme
from connectors.models import Credential


class Part(Enum):
    """What stands between the texts that are written down."""

    SECRET = "secret"  # noqa: S105 - the name of a variable
    ACCOUNT = "account"  # user name and password, as HTTP Basic has them
    BODY = "body"
    TIME = "now"
    ID = "own_id"
    SIGNATURE = "signature"


Parts = tuple[str | Part, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """The headers that prove who calls; with `content` they hold a signature over it."""

    headers: dict[str, Parts]
    content: Parts = ()
    algorithm: str = "sha256"
    encoding: str = Encoding.HEX
    key_is_base64: bool = False

    def needs(self, part: Part) -> bool:
        return any(part in parts for parts in (self.content, *self.headers.values()))


def proof_of(credential: Credential) -> Proof:
    signature = Part.SIGNATURE
    match credential.scheme:
        case Scheme.API_KEY:
            return Proof({"X-API-Key": (Part.SECRET,)})
        case Scheme.BASIC:
            return Proof({"Authorization": ("Basic ", Part.ACCOUNT)})
        case Scheme.HMAC:
            return _generic(credential)
        case Scheme.STANDARD_WEBHOOKS:
            headers: dict[str, Parts] = {
                "webhook-id": (Part.ID,),
                "webhook-timestamp": (Part.TIME,),
                "webhook-signature": ("v1,", signature),
            }
            content = (Part.ID, ".", Part.TIME, ".", Part.BODY)
            return Proof(headers, content, encoding=Encoding.BASE64, key_is_base64=True)
        case Scheme.GITHUB:
            return Proof({"X-Hub-Signature-256": ("sha256=", signature), "X-GitHub-Delivery": (Part.ID,)}, (Part.BODY,))
        case Scheme.STRIPE:
            return Proof({"Stripe-Signature": ("t=", Part.TIME, ",v1=", signature)}, (Part.TIME, ".", Part.BODY))
        case Scheme.SHOPIFY:
            headers = {"X-Shopify-Hmac-Sha256": (signature,), "X-Shopify-Event-Id": (Part.ID,)}
            return Proof(headers, (Part.BODY,), encoding=Encoding.BASE64)
        case _:
            headers = {"X-Slack-Request-Timestamp": (Part.TIME,), "X-Slack-Signature": ("v0=", signature)}
            return Proof(headers, ("v0:", Part.TIME, ":", Part.BODY))


def _generic(credential: Credential) -> Proof:
    template = credential.template or ("{timestamp}.{body}" if credential.timestamp_header else "{body}")
    named = {"{timestamp}": Part.TIME, "{body}": Part.BODY}
    content = tuple(named.get(part, part) for part in re.split(r"(\{timestamp\}|\{body\})", template) if part)
    signed: Parts = (credential.prefix, Part.SIGNATURE) if credential.prefix else (Part.SIGNATURE,)
    headers: dict[str, Parts] = {credential.header or "X-Signature": signed}
    if credential.timestamp_header:
        headers[credential.timestamp_header] = (Part.TIME,)
    return Proof(headers, content, str(credential.algorithm), str(credential.encoding))
