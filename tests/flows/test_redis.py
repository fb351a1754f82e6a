"""With Redis as the broker of ordinary tasks, messages still come from the lane table alone."""

import time
from pathlib import Path

import pytest
import redis

from tests.destination import Answer, Destination
from tests.flows.conftest import Platform, configuration
from tests.services import REDIS, need

pytestmark = [pytest.mark.processes, pytest.mark.redis, pytest.mark.timeout(180)]
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
            platform.manage("migrate", "--verbosity", "0")
            enqueue = "from django_q.tasks import async_task; async_task('messages.tasks.trim_rejections')"
            platform.manage("shell", "-c", enqueue)
            waiting = server.llen(QUEUE)
            platform.start(configuration(destination))
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
