"""The wake-up: how long after its 202 a message arrives at the destination, on an idle platform and in steady traffic.

    python -m bench wakeup

A real web server and a real `manage.py worker`. Idle means that each message finds pumps that have gone to sleep. The
baseline is the same request sent to the destination itself, from its first byte to its arrival. Each message has a lane
of its own, so that none waits for another.
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.running import ANSWER, KEY, Platform, databases

IDLE_MESSAGES = 20
IDLE_PAUSE = (1.6, 2.4)  # a pump lingers for a second; uneven, so that no phase of any poll is met each time
TRAFFIC_MESSAGES = 300
TRAFFIC_PAUSE = (0.03, 0.07)
BARE_MESSAGES = 50
GIVE_UP_SECONDS = 30.0
TARGETS_MS = {"idle": 250, "traffic": 100}
SERVERS = {"SQLite": (1, 64), "PostgreSQL": (2, 32)}
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop, credentials: [{{name: main, scheme: api_key, secret: "{key}"}}]}}
  - {{slug: erp, endpoints: [{{slug: erp, url: "http://127.0.0.1:{port}/"}}]}}
routes:
  - {{slug: orders, source: shop, endpoint: erp, ordering: none}}
"""


@dataclass
class Arrivals:
    """When each message came in, by its number, on this process's monotonic clock."""

    at: dict[int, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, number: int) -> None:
        moment = time.monotonic()
        with self.changed:
            self.at.setdefault(number, moment)
            self.changed.notify_all()

    def wait_for(self, number: int) -> float:
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.at, GIVE_UP_SECONDS):
                raise RuntimeError(f"Message {number} has not arrived within {GIVE_UP_SECONDS:.0f} s.")
            return self.at[number]


class _Destination(asyncio.Protocol):
    """The callers wait for each answer, so there is one request in the buffer."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._arrivals.add(json.loads(body)["number"])
            self._received = b""
            self._transport.write(ANSWER)


@contextlib.contextmanager
def destination(arrivals: Arrivals) -> Iterator[int]:
    """The port of a destination in a thread of this process: both ends of a measurement are on one clock."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = loop.create_server(lambda: _Destination(arrivals), "127.0.0.1", 0, backlog=1024)
    server = asyncio.run_coroutine_threadsafe(listening, loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Sender:
    """One caller on one connection, numbering its messages."""

    def __init__(self, port: int, path: str, *, first: int, status: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP_SECONDS)
        self._path = path
        self._status = status
        self.number = first

    def send(self) -> tuple[float, float]:
        """Moments of its first byte and of the answer."""
        body = json.dumps({"number": self.number, "text": "x" * 400})
        begun = time.monotonic()
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        text, answered = answer.read(), time.monotonic()
        if answer.status != self._status:
            raise RuntimeError(f"{answer.status} {text[:300]!r}")
        self.number += 1
        return begun, answered


def main() -> None:
    sys.stdout.write(f"The wake-up, load average {os.getloadavg()[0]:.1f}\n\n")
    head = f"{'database':12}{'platform':10}{'messages':>10}{'p50 ms':>9}{'p95 ms':>9}{'worst ms':>10}"
    sys.stdout.write(f"{head}{'target':>8}{'bare p50':>10}\n")
    arrivals = Arrivals()
    with destination(arrivals) as port, databases() as urls:
        direct = Sender(port, "/", first=0, status=200)
        bare = [_bare(direct, arrivals) for _ in range(BARE_MESSAGES)]
        first = direct.number
        for name, url in urls.items():
            first = _measure(name, url, port, arrivals, first=first, bare=sorted(bare))


def _bare(direct: Sender, arrivals: Arrivals) -> float:
    """Seconds from a request's first byte to its arrival."""
    begun, _ = direct.send()
    return arrivals.wait_for(direct.number - 1) - begun


def _measure(name: str, url: str, port: int, arrivals: Arrivals, *, first: int, bare: list[float]) -> int:
    workers, threads = SERVERS[name]
    with Platform(url, CONFIGURATION.format(key=KEY, port=port), port) as platform:
        platform.environment |= {"WEB_WORKERS": str(workers), "WEB_THREADS": str(threads)}
        platform.start("manage.py", "worker")
        with platform.serving(
            "integration_platform.rsgi:application", workers=workers,
            settings="integration_platform.settings", path="/health/ready",
        ) as base:  # fmt: skip
            sender = Sender(int(base.rpartition(":")[2]), "/webhooks/orders", first=first, status=202)
            _wake_ups(sender, arrivals, 20, TRAFFIC_PAUSE)  # warm
            for kind, count, pause in (
                ("idle", IDLE_MESSAGES, IDLE_PAUSE),
                ("traffic", TRAFFIC_MESSAGES, TRAFFIC_PAUSE),
            ):
                found = sorted(_wake_ups(sender, arrivals, count, pause))
                sys.stdout.write(
                    f"{name:12}{kind:10}{count:>10}{_ms(found, 50):>9.1f}{_ms(found, 95):>9.1f}"
                    f"{found[-1] * 1000:>10.1f}{TARGETS_MS[kind]:>8}{_ms(bare, 50):>10.1f}\n"
                )
                sys.stdout.flush()
            return sender.number


def _wake_ups(sender: Sender, arrivals: Arrivals, count: int, pause: tuple[float, float]) -> list[float]:
    """Seconds from the answer to the arrival of each message; none if it arrived before its sender was answered."""
    answered: dict[int, float] = {}
    for _ in range(count):
        time.sleep(random.uniform(*pause))  # noqa: S311 - no secret depends on it
        number = sender.number
        answered[number] = sender.send()[1]
    return [max(0.0, arrivals.wait_for(number) - moment) for number, moment in answered.items()]


def _ms(ordered: list[float], percent: int) -> float:
    return ordered[(len(ordered) - 1) * percent // 100] * 1000


if __name__ == "__main__":
    main()
