"""What the benchmarks of whole processes share: databases, servers, load, and what processes cost."""

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[1]
POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgres://postgres@127.0.0.1:5432/postgres")
KEY = "the-benchmarks-only-key"
READY_SECONDS = 60.0
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


class _Destination(asyncio.Protocol):
    """Answers `POST /50` after 50 ms; the callers wait for each answer, so there is one request in the buffer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not end or len(body) < length:
            return
        delay = int(head.split(b" ", 2)[1].rpartition(b"/")[2]) / 1000
        self.received = b""
        if delay:
            asyncio.get_running_loop().call_later(delay, self.transport.write, ANSWER)
        else:
            self.transport.write(ANSWER)


def _serve(port: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Destination, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def destination() -> Iterator[int]:
    """The port of a destination in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


@contextlib.contextmanager
def databases() -> Iterator[dict[str, str]]:
    """URLs by name: the embedded SQLite (an empty URL), and a new database on the PostgreSQL server if there is one."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    try:
        server = psycopg.connect(POSTGRESQL, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        sys.stdout.write("PostgreSQL does not answer at TEST_POSTGRESQL_URL; measuring SQLite only.\n")
        yield {"SQLite": ""}
        return
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {"SQLite": "", "PostgreSQL": f"{POSTGRESQL.rpartition('/')[0]}/{name}"}
        finally:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Platform:
    """One installation: a database that is migrated and configured, and the processes that a benchmark starts on it."""

    database_url: str
    configuration: str
    destination_port: int
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="platform-bench-")))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DEBUG"},
            "DJANGO_SETTINGS_MODULE": "integration_platform.settings",
            "DATA_DIR": str(self.folder),
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": "the-benchmarks-only",
            "OUTBOUND_ALLOWED_NETWORKS": f"127.0.0.1/32:{self.destination_port}",
        }
        self.run("manage.py", "migrate", "--verbosity", "0")
        path = self.folder / "configuration.yaml"
        path.write_text(self.configuration)
        self.run("manage.py", "apply", str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            finally:
                process.kill()
        shutil.rmtree(self.folder)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def start(self, *arguments: str, settings: str = "integration_platform.settings") -> psutil.Process:
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT, env={**self.environment, "DJANGO_SETTINGS_MODULE": settings},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return psutil.Process(process.pid)

    @contextlib.contextmanager
    def serving(self, application: str, *, workers: int, settings: str, path: str) -> Iterator[str]:
        """The base URL of a granian, from when `path` answers."""
        port = free_port()
        server = self.start(
            *("-m", "granian", "--interface", "rsgi", "--port", str(port), "--log-level", "error"),
            *("--workers", str(workers), application),
            settings=settings,
        )
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                break
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def cpu_seconds(top: psutil.Process) -> float:
    """Of a process and all below it, those that have ended and been waited for included."""
    total = 0.0
    for process in [top, *top.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(frozen=True, slots=True)
class Load:
    """What callers got: answers a second, and latencies in milliseconds."""

    per_second: float
    p50: float
    p95: float


def load(base: str, path: str, *, callers: int, seconds: float, status: int, headers: str = "", body: str = "") -> Load:
    """`callers` connections, each sending its next request when the last one is answered; raises on another status.

    `headers`, whole lines, come in place of the key; `body` in place of one that names a lane for each caller.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    port = int(base.rpartition(":")[2])
    process = context.Process(
        target=_generate, args=(theirs, port, path, callers, seconds, status, headers, body), daemon=True
    )
    process.start()
    latencies, took = ours.recv()
    process.join()
    if isinstance(latencies, str):
        raise AssertionError(latencies)
    ordered = sorted(latencies)
    return Load(len(ordered) / took, ordered[len(ordered) // 2] * 1000, ordered[len(ordered) * 95 // 100] * 1000)


def _generate(result: Connection, *asked: Any) -> None:
    try:
        result.send(asyncio.run(_all_callers(*asked)))
    except Exception as error:  # noqa: BLE001 - the edge of a process: the parent raises it
        result.send((repr(error), 0.0))


async def _all_callers(
    port: int, path: str, callers: int, seconds: float, status: int, headers: str, body: str
) -> tuple[list[float], float]:
    begin = time.perf_counter()
    own = [_request(path, name, headers, body) for name in range(callers)]
    lists = await asyncio.gather(*(_caller(port, request, begin + seconds, status) for request in own))
    return [latency for one in lists for latency in one], time.perf_counter() - begin


def _request(path: str, name: int, headers: str, body: str) -> bytes:
    lane = f"{os.getpid()}-{name}"  # of this measurement alone: what others left in theirs comes before nothing of ours
    sent = body or f'{{"lane":"{lane}","number":1,"text":"{"x" * 400}"}}'
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{headers or f'X-API-Key: {KEY}'}\r\nContent-Length: {len(sent)}\r\n\r\n{sent}"
    ).encode()


async def _caller(port: int, request: bytes, end: float, status: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    try:
        while (sent := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if int(head[9:12]) != status:
                raise AssertionError(f"{head[:12]!r} {answer[:300]!r}")
            latencies.append(time.perf_counter() - sent)
    finally:
        writer.close()
    return latencies
