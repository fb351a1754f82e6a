"""`manage.py start` and `manage.py worker` as their users run them."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.contrib.auth import get_user_model

from integration_platform.management.commands.start import Command, allowed_hosts, ensure_administrator
from tests.factories import ApplicationFactory
from tests.processes import environment_of_a_user

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


class Started:
    """One `manage.py start` on a data folder of its own."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output.txt"
        self.environment = {**environment_of_a_user(), "DATA_DIR": str(folder / "data"), **variables}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "start", "--port", str(self.port), *arguments],
                cwd=ROOT, env=self.environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.text()
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.base}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> float:
        """SIGTERM; returns the seconds that stopping took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - begun


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    begun: list[Started] = []

    def begin(*arguments: str, **variables: str) -> Started:
        begun.append(Started(tmp_path, *arguments, **variables))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.stop()


def say_nothing(text: str) -> None:
    raise BrokenPipeError


def children_of(pid: int) -> dict[str, int]:
    """The direct children by the last words of their command lines."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        found[command] = int(child)
    return found


def test_fresh_start_serves_what_it_prints(start: Callable[..., Started]) -> None:
    platform = start()
    platform.until(lambda: "Ready:" in platform.text())
    printed = platform.text()
    commands = re.findall(r"^  (curl .*)$", printed, re.MULTILINE)

    synchronous, asynchronous = (
        json.loads(subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True).stdout)
        for command in commands[:2]
    )
    fetch = commands[2].replace("CORRELATION_ID", asynchronous["correlation_id"])
    result = json.loads(subprocess.run(["/bin/sh", "-c", fetch], capture_output=True, check=True).stdout)

    assert f"{platform.base}/admin/" in printed
    assert printed.index("password") < printed.index("Ready:")
    assert "Starting" in Path(platform.environment["DATA_DIR"], "logs", "platform.log").read_text()
    assert re.search(r"account admin, password \S{12,} ", printed)
    assert synchronous["response"]["body"]["state"] == "booked"
    assert asynchronous["status"] == "queued"
    assert result["status"] == "succeeded"
    keys = [Path(platform.environment["DATA_DIR"], name) for name in ("secret_key", "encryption_keys")]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]

    seconds = platform.stop()

    assert platform.process.returncode == 0
    assert seconds < 15


def test_what_dies_is_started_again_and_a_second_start_changes_nothing(start: Callable[..., Started]) -> None:
    platform = start("--no-demo")
    platform.until(lambda: "Ready:" in platform.text())
    for pid in children_of(platform.process.pid).values():
        os.kill(pid, signal.SIGKILL)
    platform.until(lambda: len(children_of(platform.process.pid)) == 2)
    platform.until(platform.is_ready)
    platform.stop()

    again = start("--no-demo")
    again.until(lambda: "Ready:" in again.text())

    assert "with the password that it was given" in again.text()


def test_web_server_that_hangs_is_replaced(start: Callable[..., Started]) -> None:
    """It listens on the address of a name, too: granian itself takes no names."""
    platform = start("--no-demo", "--host", "localhost")
    platform.until(lambda: "Ready:" in platform.text())
    web = next(pid for command, pid in children_of(platform.process.pid).items() if "granian" in command)

    os.killpg(web, signal.SIGSTOP)
    begun = time.monotonic()
    platform.until(lambda: "web server hangs" in platform.text())
    seconds = time.monotonic() - begun

    platform.until(platform.is_ready)
    assert seconds > 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0.4, 1.5, 3.0])
def test_start_that_is_stopped_while_it_begins_ends_well(
    start: Callable[..., Started], number: signal.Signals, seconds: float
) -> None:
    platform = start()
    time.sleep(seconds)

    platform.process.send_signal(number)

    assert platform.process.wait(60) == 0
    assert "Traceback" not in platform.text()


IN_A_FINALIZER = """
import os, runpy, signal, sys, weakref
signal.signal(signal.SIGTERM, runpy.run_path("manage.py")["end_at_once"])
dying = type("Dying", (), {})()
weakref.finalize(dying, os.kill, os.getpid(), signal.SIGTERM)
del dying
sys.exit("it went on")
"""


def test_stop_is_heard_where_python_ignores_exceptions() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_FINALIZER], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


WHILE_IT_LOADS = """
import multiprocessing, signal, time
signal.signal(signal.SIGTERM, lambda *_: None)  # as in granian's main process, which its own are forked from

def worker(loaded):
    import integration_platform.rsgi
    loaded.set()
    time.sleep(30)

forks = multiprocessing.get_context("fork")
loaded = forks.Event()
process = forks.Process(target=worker, args=[loaded])
process.start()
assert loaded.wait(30)
process.terminate()
process.join()
print(process.exitcode)
"""


def test_web_process_that_does_not_serve_yet_hears_that_it_is_to_stop(tmp_path: Path) -> None:
    environment = {**environment_of_a_user(), "DATA_DIR": str(tmp_path), "SECRET_KEY": "of-a-process-that-loads"}
    command = [sys.executable, "-c", WHILE_IT_LOADS]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)

    assert done.stdout.strip() == str(-signal.SIGTERM), done.stderr


@pytest.mark.django_db
def test_password_that_nobody_could_read_makes_no_account() -> None:
    with pytest.raises(BrokenPipeError):
        ensure_administrator(say_nothing)

    assert not get_user_model().objects.exists()


@pytest.mark.django_db
def test_start_without_the_demo_says_that_an_earlier_one_is_left() -> None:
    output = io.StringIO()
    command = Command(stdout=output)

    command.prepare_demo(8000, wanted=False)
    ApplicationFactory(slug="demo-erp")
    command.prepare_demo(8000, wanted=False)

    assert output.getvalue().count("demo of an earlier start") == 1


def test_whoever_listens_on_a_network_is_called_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS")

    assert allowed_hosts("hub.local", "fd00::7")["ALLOWED_HOSTS"].endswith(",hub.local,[fd00::7]")

    monkeypatch.setenv("ALLOWED_HOSTS", "hub.example.com")

    assert allowed_hosts("hub.local", "fd00::7") == {}


def test_database_that_cannot_be_reached_is_said(start: Callable[..., Started]) -> None:
    platform = start(DATABASE_URL="postgres://user@127.0.0.1:1/name")

    assert platform.process.wait(60) == 1
    assert "DATABASE_URL: the database cannot be used" in platform.text()
    assert "Traceback" not in platform.text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "70000"), "argument --port: a port is a number from 1 to 65535"),
        (("--port", "none"), "argument --port: a port is a number from 1 to 65535"),
        (("--host", "999.1.1.1"), "Cannot listen on 999.1.1.1:"),
    ],
)
def test_address_that_nobody_has_is_said(start: Callable[..., Started], arguments: tuple[str, ...], said: str) -> None:
    platform = start(*arguments)

    assert platform.process.wait(60) != 0
    assert said in platform.text()
    assert "Traceback" not in platform.text()


def test_taken_port_is_said_and_nothing_is_started(start: Callable[..., Started], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        platform = start("--port", str(taken.getsockname()[1]))
        platform.process.wait(60)

    assert platform.process.returncode == 1
    assert "Cannot listen on" in platform.text()
    assert not (tmp_path / "data" / "platform.sqlite3").exists()
