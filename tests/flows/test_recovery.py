"""Recovery without a person: the database goes away and comes back, an idle platform leaves it in peace."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests

from tests.destination import Answer, Destination
from tests.faults.postgresql import Cluster
from tests.flows.conftest import Platform, configuration

pytestmark = [pytest.mark.processes, pytest.mark.postgresql]
IDLE_SECONDS = 6.0
QUERIES_PER_SECOND = 10  # of each qcluster, of which there are two


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    own = Cluster()
    yield own
    own.close()


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Platform, Destination]]:
    with Destination() as destination:
        platform = Platform(tmp_path, cluster.url, allowed=f"127.0.0.1/32:{destination.port}")
        try:
            platform.start(configuration(destination))
            yield platform, destination
        finally:
            platform.stop()


def deliver(platform: Platform, destination: Destination, *, seconds: float) -> None:
    """One message comes through."""
    before = len(destination.received("/plain"))
    end = time.monotonic() + seconds
    while platform.push("/webhooks/plain", {"lane": "A"}).status_code != 202:
        assert time.monotonic() < end
        time.sleep(0.1)
    destination.wait_for(before + 1, timeout=end - time.monotonic(), path="/plain")


def test_platform_survives_a_restart_of_its_database(cluster: Cluster, running: tuple[Platform, Destination]) -> None:
    platform, destination = running
    deliver(platform, destination, seconds=20)
    processes = [process.pid for process in platform.processes]
    admin = sign_in(platform)

    cluster.kill()
    away = platform.push("/webhooks/plain", {"lane": "A"})
    ready = requests.get(f"{platform.base}/health/ready", timeout=20)
    alive = requests.get(f"{platform.base}/health/live", timeout=20)
    result = platform.http.get(f"{platform.base}/results/{uuid.uuid4()}", timeout=20)
    metrics = requests.get(f"{platform.base}/metrics", timeout=20)
    page = admin.get(f"{platform.base}/admin/messaging/message/", timeout=20)
    platform.wait_for_log("queue lanes cannot be reached", "queue integration-platform cannot be reached", seconds=30)
    cluster.start()

    for answer in (away, result, metrics, ready):
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert int(page.headers["Retry-After"]) > 0
    assert (ready.status_code, alive.status_code) == (503, 200)
    deliver(platform, destination, seconds=30)
    assert requests.get(f"{platform.base}/health/ready", timeout=20).status_code == 200
    assert requests.get(f"{platform.base}/metrics", timeout=20).status_code == 200
    assert admin.get(f"{platform.base}/admin/messaging/message/", timeout=20).status_code == 200
    assert [process.pid for process in platform.processes if process.poll() is None] == processes
    run_ordinary_task(cluster, platform, seconds=30)
    log = platform.whole_log()
    assert "Failed to pull task" not in log, "after which q2 waits ten seconds and begins another process"
    assert "reincarnated" not in log
    assert "Internal Server Error" not in log
    assert log.count("cannot be reached; waiting for it") == 2, "one line for each queue, however long it takes"


def test_platform_survives_a_server_that_only_reads_for_a_while(
    cluster: Cluster, running: tuple[Platform, Destination]
) -> None:
    """As after a failover, while the name still stands for what is a standby now. Calls are out when it happens."""
    platform, destination = running
    deliver(platform, destination, seconds=20)
    destination.answers("/plain", Answer(200, {"ok": True}, delay_seconds=3.0))
    destination.answers("/orders", Answer(200, {"invoice_no": "INV-1"}, delay_seconds=3.0))
    processes = [process.pid for process in platform.processes]
    caller = ThreadPoolExecutor(1)
    synchronous = caller.submit(platform.push, "/webhooks/orders/sync", ORDER)
    asynchronous = platform.push("/webhooks/plain", {"lane": "B"})
    destination.wait_for(1, timeout=20, path="/orders")
    destination.wait_for(2, timeout=20, path="/plain")

    only_reads(cluster, True)
    other = {**ORDER, "id": "4713"}  # a repeat of what this process knows is answered by reading
    refused = [platform.push(address, other) for address in ("/webhooks/plain", "/webhooks/orders/sync")]
    time.sleep(4)  # the answers are there, and cannot be recorded
    only_reads(cluster, False)

    assert [answer.status_code for answer in refused] == [503, 503], [answer.text for answer in refused]
    assert platform.result(asynchronous)["attempts"] == 1
    first = synchronous.result(timeout=30)  # its own session may have been ended, too
    repeated = platform.push("/webhooks/orders/sync", ORDER)
    assert first.status_code in (200, 503, 504), first.text
    assert (repeated.status_code, repeated.headers["Idempotency-Replayed"]) == (200, "true"), repeated.text
    caller.shutdown()
    destination.answers("/orders", Answer(200, {"invoice_no": "INV-2"}))
    deliver(platform, destination, seconds=30)
    again = platform.push("/webhooks/orders/sync", {**ORDER, "id": "4712"})
    assert again.status_code == 200, again.text
    assert [len(destination.received(path)) for path in ("/orders", "/plain")] == [2, 3], "nothing was sent twice"
    assert [process.pid for process in platform.processes if process.poll() is None] == processes
    assert "Internal Server Error" not in platform.whole_log()


ORDER = {"id": "4711", "customer": {"id": 7}, "line_items": [{"sku": "TEA", "price": 1, "quantity": 1}]}


def only_reads(cluster: Cluster, yes: bool) -> None:
    """Every session is another one afterwards, as after a failover."""
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        connection.execute(f"ALTER DATABASE postgres SET default_transaction_read_only = {'on' if yes else 'off'}")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> %s",
            [connection.info.backend_pid],
        )


def sign_in(platform: Platform) -> requests.Session:
    """As an administrator; not through the sign-in page, which has tests of its own."""
    said = platform.manage(
        "shell", "-c",
        "from django.contrib.auth.models import User; from django.test import Client; client = Client(); "
        "client.force_login(User.objects.create_superuser('ada')); print(client.cookies['sessionid'].value)",
    )  # fmt: skip
    browser = requests.Session()
    browser.headers["Cookie"] = f"sessionid={said.split()[-1]}"
    page = browser.get(f"{platform.base}/admin/messaging/message/", timeout=20, allow_redirects=False)
    assert page.status_code == 200
    return browser


def run_ordinary_task(cluster: Cluster, platform: Platform, *, seconds: float) -> None:
    """It is taken, done and acknowledged."""
    name = "a-task-of-the-tests"
    call = f"async_task('messages.tasks.trim_rejections', task_name='{name}', save=True)"
    platform.manage("shell", "-c", f"from django_q.tasks import async_task; {call}")
    end = time.monotonic() + seconds
    done: tuple[bool] | None = None
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        while done is None:
            assert time.monotonic() < end, platform.log()
            time.sleep(0.1)
            done = connection.execute("SELECT success FROM django_q_task WHERE name = %s", [name]).fetchone()
    assert done == (True,)


def test_idle_platform_asks_little_and_writes_nothing_but_its_heartbeat(
    cluster: Cluster, running: tuple[Platform, Destination]
) -> None:
    """One statement is one transaction here: nothing else counts them without an extension."""
    deliver(*running, seconds=20)
    time.sleep(4)  # pumps that linger end, statistics arrive
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        before = counters(connection)
        time.sleep(IDLE_SECONDS)
        after = counters(connection)

    queries, writes = (late - early for late, early in zip(after, before, strict=True))
    assert 0 < queries <= 2 * QUERIES_PER_SECOND * (IDLE_SECONDS + 1)
    assert writes <= 10


def counters(connection: psycopg.Connection) -> tuple[int, int]:
    row = connection.execute(
        "SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted FROM pg_stat_database "
        "WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return row
