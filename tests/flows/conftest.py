"""The whole platform in processes of its own: real web server, real worker, a database that belongs to one test run.

Modules share the `platform` of each database; those that need one that is idle, or whose door has seen nobody else,
take an `own_platform`.
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests import settings
from tests.destination import Destination
from tests.processes import environment_of_a_user
from tests.services import POSTGRESQL, need

ROOT = Path(__file__).resolve().parents[2]
WEB_THREADS = 32
START_SECONDS = 60
STOP_SECONDS = 20
KEY = "shop-key-of-the-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """Web server and worker over one database; `call` is a source application's HTTP client."""

    def __init__(self, folder: Path, database_url: str, *, allowed: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.environment = {
            **environment_of_a_user(),
            "DATA_DIR": str(folder / "data"),
            "WEB_THREADS": str(WEB_THREADS),
            "DATABASE_URL": database_url,
            "SECRET_KEY": "the-flows-only-key-" + uuid.uuid4().hex,
            "OUTBOUND_ALLOWED_NETWORKS": allowed,
            "SHOP_KEY": KEY,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.http = requests.Session()
        self.http.headers["X-API-Key"] = KEY

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def migrate(self) -> None:
        """On SQLite by a copy of what has been migrated once."""
        if self.environment["DATABASE_URL"]:
            self.manage("migrate", "--verbosity", "0")
        else:
            data = Path(self.environment["DATA_DIR"])
            data.mkdir(exist_ok=True)
            shutil.copy(migrated_database(), data)

    def start(self, configuration: str) -> None:
        self.migrate()
        self.apply(configuration)
        self.serve()
        self.wait_until_ready()

    def serve(self) -> None:
        """Web server and worker, over a database that is there."""
        server = ["-m", "granian", "--interface", "rsgi", "--port", str(self.port), "--workers-kill-timeout", "5"]
        self.run(*server, "integration_platform.rsgi:application")
        self.run("manage.py", "worker")

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert time.monotonic() < end, f"not ready: {self.log()}"
            time.sleep(0.1)

    def apply(self, configuration: str) -> str:
        path = self.folder / "configuration.yaml"
        path.write_text(configuration)
        return self.manage("apply", str(path))

    def run(self, *arguments: str) -> None:
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.processes.append(process)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.base}/health/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def log(self) -> str:
        """Its end."""
        return self.whole_log()[-5000:]

    def whole_log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def wait_for_log(self, *texts: str, seconds: float) -> None:
        """Until its processes have said all of this."""
        end = time.monotonic() + seconds
        while missing := [text for text in texts if text not in self.whole_log()]:
            assert time.monotonic() < end, f"nobody said {missing}: {self.log()}"
            time.sleep(0.05)

    def stop(self) -> None:
        self.http.close()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def push(self, address: str, body: bytes | dict[str, Any], **headers: str) -> requests.Response:
        """A webhook, as a source application sends it; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.base}{address}"
        if isinstance(body, bytes):
            named = {"Content-Type": "application/json", **named}
            return self.http.post(url, data=body, headers=named, timeout=60)
        return self.http.post(url, json=body, headers=named, timeout=60)

    def result(self, response: requests.Response, wait: int = 20) -> dict[str, Any]:
        """What the result address says in the end about what `push` accepted."""
        url = response.json()["result_url"]
        found: dict[str, Any] = self.http.get(f"{url}?wait={wait}", timeout=60).json()
        return found


def postgresql_database() -> Iterator[str]:
    """A new database, dropped afterwards."""
    server = psycopg.connect(need(POSTGRESQL, "TEST_POSTGRESQL_URL"), autocommit=True, connect_timeout=3)
    name = f"flows_{uuid.uuid4().hex[:12]}"
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@functools.cache
def migrated_database() -> Path:
    """SQLite's file, with all tables and roles and nothing else."""
    folder = Path(settings.DATA_DIR) / "migrated"
    folder.mkdir()
    environment = {**environment_of_a_user(), "DATA_DIR": str(folder), "SECRET_KEY": "of-an-empty-database"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, timeout=120, check=True)
    return folder / "platform.sqlite3"


@pytest.fixture(scope="package", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Empty means the embedded default."""
    if request.param == "sqlite":
        yield ""
    else:
        yield from postgresql_database()


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="package")
"""For what does not depend on the database."""


@pytest.fixture(scope="package")
def destination(database_url: str) -> Iterator[Destination]:
    with Destination() as server:
        yield server


@pytest.fixture(scope="package")
def platform(
    database_url: str, destination: Destination, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("platform"), database_url, destination) as running:
        yield running


@pytest.fixture(scope="module")
def own_platform(
    database_url: str, destination: Destination, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One that no other module has to do with, over the same database server."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(contextlib.contextmanager(postgresql_database)()) if database_url else ""
        yield stack.enter_context(running_platform(tmp_path_factory.mktemp("platform"), url, destination))


@contextlib.contextmanager
def running_platform(folder: Path, database_url: str, destination: Destination) -> Iterator[Platform]:
    """One that the stories' routes are configured on."""
    running = Platform(folder, database_url, allowed=f"127.0.0.1/32:{destination.port}")
    try:
        running.start(configuration(destination))
        yield running
    finally:
        running.stop()


def configuration(destination: Destination) -> str:
    """The routes that the stories walk; each has an address of its own at the destination."""
    text = (Path(__file__).parent / "configuration.yaml").read_text()
    return text.replace("DESTINATION", destination.url("").rstrip("/"))
