"""With Redis as the broker of ordinary tasks, messages still come from the lane table alone."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.destination import Answer, Destination
from tests.flows.conftest import Platform, configuration, free_port
from tests.services import REDIS, need

pytestmark = [pytest.mark.processes, pytest.mark.redis, pytest.mark.timeout(300)]
QUEUE = "django_q:integration-platform:q"


def test_ordinary_tasks_go_through_redis_and_messages_do_not(tmp_path: Path) -> None:
    url = need(REDIS, "TEST_REDIS_URL")
    server = redis.Redis.from_url(url)
    server.delete(QUEUE)
    with Destination() as destination:
        destination.answers("/plain", Answer(200, {"ok": True}))
        platform = Platform(tmp_path, "", allowed=f"127.0.0.1/32:{destination.port}")
        platform.environment["BROKER_URL"] = url
        try:
            platform.migrate()
            enqueue = "from django_q.tasks import async_task; async_task('messages.tasks.trim_rejections')"
            platform.manage("shell", "-c", enqueue)
            waiting = server.llen(QUEUE)
            platform.apply(configuration(destination))
            platform.serve()
            platform.wait_until_ready()
            result = platform.result(platform.push("/webhooks/plain", {"id": 1}))
            end = time.monotonic() + 30
            while server.llen(QUEUE) and time.monotonic() < end:
                time.sleep(0.1)

            assert waiting == 1
            assert server.llen(QUEUE) == 0
            assert result["status"] == "succeeded"
        finally:
            platform.stop()
            server.delete(QUEUE)
            server.close()


class RedisServer:
    """One of the test's own, which keeps nothing."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server")
        if found is None:
            if os.environ.get("REQUIRE_SERVICES"):
                raise FileNotFoundError("redis-server")
            pytest.skip("redis-server is not installed: Redis cannot be killed")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            found, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(folder),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 30
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert time.monotonic() < end
                    time.sleep(0.05)
                else:
                    return

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    own = RedisServer(tmp_path)
    yield own
    own.kill()


def test_platform_survives_a_redis_that_lost_everything(server: RedisServer, tmp_path: Path) -> None:
    """Away from the beginning, and once more later. Messages never notice; ordinary tasks run again, those of schedules
    too, which live in the database."""
    server.kill()
    with Destination() as destination:
        destination.answers("/plain", Answer(200, {"ok": True}))
        platform = Platform(tmp_path, "", allowed=f"127.0.0.1/32:{destination.port}")
        platform.environment["BROKER_URL"] = server.url
        try:
            platform.start(configuration(destination))
            processes = [process.pid for process in platform.processes]

            first = while_away(platform, server, outage=1)
            server.kill()
            second = while_away(platform, server, outage=2)

            wait_for_task(tmp_path, "scheduled in outage 1", seconds=90)  # django-q2 looks twice a minute
            wait_for_task(tmp_path, "scheduled in outage 2", seconds=90)
            assert (first, second) == ("succeeded", "succeeded")
            assert [process.pid for process in platform.processes if process.poll() is None] == processes
            log = platform.whole_log()
            assert "Failed to pull task" not in log
            assert "starting it again" not in log
            assert "reincarnated" not in log
            assert log.count(WAITS) == 2
        finally:
            platform.stop()


WAITS = "cannot be reached; waiting for it"
ONE_TASK = """
from django_q.tasks import async_task
async_task("messages.tasks.trim_rejections", group="asked for behind outage {outage}", save=True)
"""
OWN_SCHEDULE = """
from django_q.models import Schedule
options = "{{'q_options': {{'save': True}}}}"
name = "scheduled in outage {outage}"
Schedule.objects.create(name=name, func="messages.tasks.trim_rejections", kwargs=options, schedule_type="I")
"""


def while_away(platform: Platform, server: RedisServer, *, outage: int) -> str:
    """What becomes of a message meanwhile; an ordinary task behind it is done."""
    end = time.monotonic() + 30
    while platform.whole_log().count(WAITS) < outage:
        assert time.monotonic() < end, platform.log()
        time.sleep(0.05)
    platform.manage("shell", "-c", OWN_SCHEDULE.format(outage=outage))
    status: str = platform.result(platform.push("/webhooks/plain", {"id": 1}))["status"]
    server.start()
    platform.manage("shell", "-c", ONE_TASK.format(outage=outage))
    wait_for_task(platform.folder, f"asked for behind outage {outage}", seconds=30)
    return status


def wait_for_task(folder: Path, group: str, *, seconds: float) -> None:
    """Until a task of this group is done; read from the platform's own database."""
    end = time.monotonic() + seconds
    done: list[tuple[int]] = []
    with contextlib.closing(sqlite3.connect(folder / "data" / "platform.sqlite3", timeout=20)) as database:
        while not done:
            assert time.monotonic() < end, f"no task {group}"
            time.sleep(0.1)
            done = database.execute('SELECT success FROM django_q_task WHERE "group" = ?', [group]).fetchall()
    assert done[0] == (1,)
