"""What is signed: the same schemes that callers of ours may use, so that one platform can talk to another."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from connectors.auth.base import Auth, InvalidAuth, Parameter, Send
from connectors.signatures import GenericHmac, InvalidCredential, Secret, StandardWebhooks, check_secret
from connectors.transport import OutboundRequest

SECRET = Parameter("secret", "Signing secret", secret=True)


class HmacAuth(Auth):
    """A signature of the body in a header of one's choice, with the time in another where it is named."""

    parameters = (
        Parameter("header", "Header", "Carries the signature. Empty: X-Signature.", required=False),
        Parameter(
            "algorithm", "Algorithm", default="sha256", required=False,
            choices=(("sha256", "SHA-256"), ("sha512", "SHA-512")),
        ),
        Parameter(
            "encoding", "Encoding", "How the signature is written.", default="hex", required=False,
            choices=(("hex", "Hexadecimal"), ("base64", "Base64")),
        ),
        Parameter("prefix", "Prefix", "What stands before the signature, e.g. sha256=", required=False),
        Parameter(
            "timestamp_header", "Timestamp header",
            "Carries the time of sending in Unix seconds, which is signed with the body. Empty: none.", required=False,
        ),
        Parameter(
            "template", "Signed content",
            "Empty: {body}, or with a timestamp header {timestamp}.{body}", required=False,
        ),
        SECRET,
    )  # fmt: skip

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._scheme = _built(lambda: GenericHmac([Secret(given["secret"])], given), "hmac", given)
        self.secret_headers = frozenset({self._scheme.header})

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        return request.with_headers(*self._scheme.signed(request.body or b"", now=time.time()))


class StandardWebhooksAuth(Auth):
    """https://www.standardwebhooks.com; its id is the message's, the same at every attempt."""

    parameters = (SECRET,)
    secret_headers = frozenset({"webhook-signature"})

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._scheme = _built(lambda: StandardWebhooks([Secret(given["secret"])], {}), "standard_webhooks", given)

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        own_id = request.id or str(uuid.uuid4())
        return request.with_headers(*self._scheme.signed(own_id, request.body or b"", now=time.time()))


def _built(make: Callable[[], Any], scheme: str, given: Mapping[str, Any]) -> Any:
    try:
        check_secret(scheme, given["secret"])
        return make()
    except InvalidCredential as error:
        raise InvalidAuth(error.field, str(error)) from None
