"""One call to a destination, proof included."""

import time
from dataclasses import dataclass, field, replace

from connectors.auth.base import Auth
from connectors.transport import OutboundRequest, OutboundResponse, Transport, TransportError


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was sent, with all headers but those of the framing, and what came of it.

    `headers` hold secrets; whoever keeps them redacts them first.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    answer: OutboundResponse | TransportError


def call(transport: Transport, request: OutboundRequest, auth: Auth) -> Exchange:
    """Within the request's deadline, whatever the proof costs. A 401 is asked again once if there is a fresh proof."""
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
    return Exchange(sent.sent_headers(), response)
