"""How soon a message on an idle platform is sent, and what such a platform does besides. `make bench` measures.

The bounds are wide: whoever breaks the wake-up waits for a poll, a schedule or a lease, and that takes seconds.
"""

import contextlib
import sqlite3
import statistics
import time

import pytest

from tests.destination import Destination
from tests.flows.conftest import ON_SQLITE, Platform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]
MESSAGES = 3
LINGER_SECONDS = 1.3  # a pump has gone to sleep by then
WITHIN_SECONDS = 1.5
TRIES = 3  # on a machine that is busy with other things, and while pumps still linger
IDLE_SECONDS = 6.0
CHANGES = 10


def median_delay(platform: Platform, destination: Destination) -> float:
    """From a message's acceptance to its arrival."""
    delays = []
    for _ in range(MESSAGES):
        time.sleep(LINGER_SECONDS)
        before = len(destination.received("/plain"))
        accepted = platform.push("/webhooks/plain", {"lane": "A"})
        accepted_at = time.monotonic()
        assert accepted.status_code == 202
        arrived = destination.wait_for(before + 1, timeout=30, path="/plain")
        delays.append(max(0.0, arrived[-1].received_at - accepted_at))
    return statistics.median(delays)


def test_message_on_an_idle_platform_is_sent_at_once(own_platform: Platform, destination: Destination) -> None:
    found: list[float] = []
    while len(found) < TRIES and min(found, default=60.0) > WITHIN_SECONDS:
        found.append(median_delay(own_platform, destination))

    assert min(found) <= WITHIN_SECONDS, found


@ON_SQLITE
def test_idle_platform_writes_nothing_but_its_heartbeat(own_platform: Platform) -> None:
    """On SQLite; what PostgreSQL counts by itself is looked at in `test_recovery`."""
    found: list[int] = []
    while len(found) < TRIES and min(found, default=CHANGES + 1) > CHANGES:
        found.append(changes_while_idle(own_platform))

    assert min(found) <= CHANGES, found


def changes_while_idle(platform: Platform) -> int:
    """Commits of somebody else: the version that SQLite tells moves with each."""
    versions = set()
    with contextlib.closing(sqlite3.connect(platform.folder / "data" / "platform.sqlite3", timeout=20)) as database:
        end = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < end:
            versions.add(database.execute("PRAGMA data_version").fetchone())
            time.sleep(0.02)
    return len(versions)
