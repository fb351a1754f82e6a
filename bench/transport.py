"""What the way out costs beside a bare `requests.Session`, which checks nothing and has no deadline.

    python -m bench.transport

A server in a process of its own on loopback answers every POST of 1 KB at once with 200 and 100 bytes. The processor
time is that of this process, so that the server and other load on the machine count little. The promise: at least 70 %
of the calls that bare sessions (one a thread, without their look at the environment) make in the same time.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import requests

from connectors.networks import AllowedNetworks
from connectors.transport import OutboundRequest, Transport

SECONDS: Final = 0.5
REPEATS: Final = 5
THREADS: Final = (1, 8, 32)
BODY: Final = b"x" * 1024
HEADERS: Final = (("Content-Type", "application/json"), ("Idempotency-Key", "0198f2"), ("X-Correlation-ID", "0198f2"))
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n" + b"y" * 100

Call = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the table. `share` is of the calls that bare sessions make with as many threads."""

    name: str
    threads: int
    calls_per_second: float
    cpu_microseconds: float
    share: float


class _Server(asyncio.Protocol):
    """Answers when the body is there; the callers wait for each answer, so there is one request in the buffer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        _, end, body = self.received.partition(b"\r\n\r\n")
        if end and len(body) >= len(BODY):
            self.received = b""
            if isinstance(self.transport, asyncio.WriteTransport):
                self.transport.write(ANSWER)


def _serve(port: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def _server() -> Iterator[int]:
    """The port of a server that runs as long as the block does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _session(url: str, *, environment: bool) -> Callable[[], Call]:
    """Makes one bare session for each thread."""

    def for_a_thread() -> Call:
        session = requests.Session()
        session.trust_env = environment

        def call() -> None:
            response = session.post(url, data=BODY, headers=dict(HEADERS), timeout=(5, 10), allow_redirects=False)
            if response.status_code != 200 or len(response.content) != 100:
                raise AssertionError("The server answered something else.")

        return call

    return for_a_thread


def _transport(url: str) -> Callable[[], Call]:
    """One transport that all threads share."""
    transport = Transport(allowed=AllowedNetworks.parse("127.0.0.0/8,::1"))
    request = OutboundRequest("POST", url, HEADERS, BODY, 10.0)

    def call() -> None:
        response = transport.send(request)
        if response.status_code != 200 or len(response.body) != 100:
            raise AssertionError("The server answered something else.")

    return lambda: call


def run() -> list[Measurement]:
    """Measures every form with every number of threads; forms take turns, the best of REPEATS counts."""
    with _server() as port:
        url = f"http://127.0.0.1:{port}/orders"
        forms: dict[str, Callable[[], Call]] = {
            "bare session": _session(url, environment=False),
            "session, trust_env": _session(url, environment=True),
            "transport": _transport(url),
            "transport, by name": _transport(f"http://localhost:{port}/orders"),
        }
        lines = []
        for threads in THREADS:
            best = dict.fromkeys(forms, (0.0, float("inf")))
            for _ in range(REPEATS):
                for name, form in forms.items():
                    rate, cpu = _measure(form, threads)
                    best[name] = max(best[name][0], rate), min(best[name][1], cpu)
            base = best["bare session"][0]
            lines += [Measurement(name, threads, rate, cpu, rate / base) for name, (rate, cpu) in best.items()]
    return lines


def _measure(form: Callable[[], Call], threads: int) -> tuple[float, float]:
    """Calls a second, and microseconds of processor time for one."""

    def work(end: float) -> int:
        call, count = form(), 0
        while time.perf_counter() < end:
            call()
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        started, started_cpu = time.perf_counter(), time.process_time()
        calls = sum(pool.map(work, [started + SECONDS] * threads))
        return calls / (time.perf_counter() - started), (time.process_time() - started_cpu) / calls * 1e6


def main() -> None:
    sys.stdout.write(f"POST of {len(BODY)} bytes on loopback, best of {REPEATS} x {SECONDS} s\n\n")
    sys.stdout.write(f"{'':22}{'threads':>8}{'calls/s':>10}{'CPU µs':>10}{'share':>8}\n")
    for line in run():
        sys.stdout.write(
            f"{line.name:22}{line.threads:>8}{line.calls_per_second:>10,.0f}"
            f"{line.cpu_microseconds:>10.0f}{line.share:>8.0%}\n"
        )


if __name__ == "__main__":
    main()
