"""What the tests of the transport share: making a call, seeing it fail, and servers that no HTTP library would make."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from connectors.networks import AllowedNetworks
from connectors.transport import OutboundRequest, Transport, TransportError

LOOPBACK = AllowedNetworks.parse("127.0.0.0/8,::1")
DEADLINE = 0.4
TOLERANCE = 1.0  # C3: a call ends at its deadline, give or take a second
BODY = b'{"order": 7}'


def post(
    url: str,
    *,
    body: bytes | None = BODY,
    headers: tuple[tuple[str, str], ...] = (),
    deadline: float = 5.0,
    method: str = "POST",
) -> OutboundRequest:
    return OutboundRequest(method=method, url=url, headers=headers, body=body, deadline_seconds=deadline)


def failure(transport: Transport, request: OutboundRequest) -> tuple[TransportError, float]:
    """The error of a call that must fail, and the seconds until it did."""
    started = time.monotonic()
    with pytest.raises(TransportError) as caught:
        transport.send(request)
    return caught.value, time.monotonic() - started


@contextlib.contextmanager
def server_by_hand(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Its address, without a scheme. `serve` gets the first connection; what breaks the connection ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(2)
                    serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)
        assert not thread.is_alive()
