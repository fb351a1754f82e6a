from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.auth.oauth2 import tokens
from connectors.transport import Transport
from tests.connectors.calls import LOOPBACK
from tests.connectors.test_transport_tls import Authority
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


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)
