from collections.abc import Iterator

import pytest

from connectors.auth.oauth2 import tokens
from connectors.transport import Transport
from tests.connectors.calls import LOOPBACK
from tests.destination import Destination


@pytest.fixture(scope="module")
def transport() -> Transport:
    return Transport(allowed=LOOPBACK)


@pytest.fixture
def destination() -> Iterator[Destination]:
    """Also the server of tokens, under another path."""
    tokens.forget()
    with Destination() as server:
        yield server
