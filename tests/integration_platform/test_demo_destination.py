"""The demo's ERP answers whatever arrives: a connection that it drops would open its circuit for everybody."""

import threading
from collections.abc import Iterator

import pytest
import requests

from integration_platform.demo.destination import Erp, Server


@pytest.fixture(scope="module")
def erp() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Erp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/orders", "/stock", "/elsewhere"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"1", 422),
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b"[" * 100_000, 400),
    ],
)
def test_anything_gets_an_answer(erp: str, path: str, body: bytes, status: int) -> None:
    assert requests.post(f"{erp}{path}", data=body, timeout=10).status_code == status


def test_order_is_booked(erp: str) -> None:
    answer = requests.post(f"{erp}/orders", json={"order_no": "1", "lines": [{"sku": "TEA"}]}, timeout=10)

    assert (answer.status_code, answer.json()["state"]) == (201, "booked")
    assert requests.get(erp, timeout=10).json()["arrived"][0]["path"] == "/orders"
