"""One call to a destination, proof included."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from connectors.auth.base import Auth
from connectors.masking import without
from connectors.transport import OutboundRequest, OutboundResponse, Transport, TransportError


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was sent, with all headers but those of the framing, and what came of it.

    `headers` hold secrets; whoever keeps them redacts them first.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    answer: OutboundResponse | TransportError


def call(transport: Transport, request: OutboundRequest, auth: Auth, *, secrets: Collection[str] = ()) -> Exchange:
    """Within the request's deadline, whatever the proof costs. A 401 is asked again once if there is a fresh proof.

    The answer is kept and passed on, so our proof and `secrets` of the request are masked where it repeats them.
    """
    until = time.monotonic() + request.deadline_seconds
    sent = request
    try:
        sent = auth.applied(request, transport.send)
        response = transport.send(sent)
        if response.status_code == 401:
            left = replace(request, deadline_seconds=until - time.monotonic())
            again = auth.renewed(left, sent, transport.send)
            if again is not None:
                sent = again
                response = transport.send(sent)
    except TransportError as error:
        return Exchange(sent.sent_headers(), error)
    return Exchange(sent.sent_headers(), _masked(response, {*auth.proofs(sent), *secrets}))


def _masked(response: OutboundResponse, secrets: Collection[str]) -> OutboundResponse:
    if not secrets:
        return response
    headers = tuple((name, _masked_text(value, secrets)) for name, value in response.headers)
    return replace(response, headers=headers, body=without(response.body, secrets))


def _masked_text(value: str, secrets: Collection[str]) -> str:
    return without(value.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "surrogatepass")
