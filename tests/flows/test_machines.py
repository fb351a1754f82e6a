"""Several machines: two workers that have nothing in common but PostgreSQL, one of them with a clock that is fast."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.destination import Answer, Destination
from tests.flows.conftest import Platform, configuration, postgresql_database

pytestmark = [pytest.mark.processes, pytest.mark.postgresql]
LANES, EACH = 12, 25


@pytest.fixture
def database() -> Iterator[str]:
    yield from postgresql_database()


def test_two_workers_send_each_message_once_and_in_order(database: str, tmp_path: Path) -> None:
    with Destination() as destination:
        destination.answers("/plain", Answer(200, delay_seconds=0.02))
        allowed = f"127.0.0.1/32:{destination.port}"
        folders = [tmp_path / "one", tmp_path / "other"]
        for folder in folders:
            folder.mkdir()
        one, other = (Platform(folder, database, allowed=allowed) for folder in folders)
        other.environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.flows.ahead",
            "SECRET_KEY": one.environment["SECRET_KEY"],
        }
        try:
            one.start(configuration(destination))
            keys = (folders[0] / "data" / "encryption_keys").read_bytes()
            (folders[1] / "data").mkdir()
            (folders[1] / "data" / "encryption_keys").write_bytes(keys)
            other.run("manage.py", "worker")
            wait_for_workers(database, 2)

            for number in range(EACH):
                for lane in range(LANES):
                    answer = one.push("/webhooks/plain", {"lane": f"L{lane}", "number": number})
                    assert answer.status_code == 202, answer.text
            arrived = destination.wait_for(LANES * EACH, timeout=60, path="/plain")
            owners = owners_seen(database)
        finally:
            one.stop()
            other.stop()

    assert len(destination.received("/plain")) == LANES * EACH  # none of them twice
    numbers = defaultdict(list)
    for request in arrived:
        numbers[request.json()["lane"]].append(request.json()["number"])
    assert all(found == list(range(EACH)) for found in numbers.values())
    assert owners == 2


def wait_for_workers(database: str, count: int) -> None:
    """Both have written their sign of life."""
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(600):
            (found,) = connection.execute("SELECT count(*) FROM messaging_worker").fetchone() or (0,)
            if found >= count:
                return
            connection.execute("SELECT pg_sleep(0.1)")
    raise AssertionError("The other worker did not start.")


def owners_seen(database: str) -> int:
    with psycopg.connect(database) as connection:
        (found,) = connection.execute("SELECT count(DISTINCT name) FROM messaging_worker").fetchone() or (0,)
    return int(found)
