"""The demo's destination application: a small ERP over HTTP on loopback.

`python -m integration_platform.demo.destination PORT`

POST /orders   creates an invoice; a repeat with the same Idempotency-Key gets the same one. Refuses an order without
               lines (422), and answers 503 while the order's note says "erp down".
POST /stock    confirms a stock level.
GET  /         what has arrived, newest first.
"""

import hashlib
import json
import sys
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

MAX_BODY = 32 * 1024 * 1024
_arrived: deque[tuple[str, str | None, str]] = deque(maxlen=200)
_lock = Lock()


class Erp(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "DemoERP/1.0"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Bodies are shown as they arrived, letter by letter."""
        with _lock:
            rows = [
                f'{{"path": {json.dumps(path)}, "key": {json.dumps(key)}, "body": {body}}}'
                for path, key, body in _arrived
            ]
        self._send(200, f'{{"arrived": [{", ".join(reversed(rows))}]}}'.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        try:
            text = body.decode()
            document = json.loads(text)
        except (ValueError, RecursionError):
            return self._answer(400, {"error": "not JSON"})
        with _lock:
            _arrived.append((self.path, self.headers.get("Idempotency-Key"), text))
        if not isinstance(document, dict):
            return self._answer(422, {"error": "An object is expected."})
        if self.path == "/orders":
            return self._order(document)
        if self.path == "/stock":
            return self._answer(
                200, {"stocked": True, "article": document.get("article"), "level": document.get("level")}
            )
        return self._answer(404, {"error": "unknown address"})

    def _order(self, order: dict[str, Any]) -> None:
        if "erp down" in str(order.get("note", "")):
            return self._answer(503, {"error": "The ERP is being maintained."})
        if not order.get("lines"):
            return self._answer(422, {"error": "An order needs at least one line."})
        key = self.headers.get("Idempotency-Key") or json.dumps(order, sort_keys=True)
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 1_000_000
        return self._answer(
            201, {"invoice_no": f"INV-{number:06d}", "order_no": order.get("order_no"), "state": "booked"}
        )

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Says nothing: the platform's own log is what people look at."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


if __name__ == "__main__":
    try:
        Server(("127.0.0.1", int(sys.argv[1])), Erp).serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
