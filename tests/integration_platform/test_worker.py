"""`manage.py worker` as it runs in production."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from messages.beats import MONITOR, WORKER
from tests.processes import environment_of_a_user

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
BEATS_WITHIN_SECONDS = 40.0


@pytest.fixture
def worker(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker on an embedded database of its own; its folder of beats lies in `tmp_path`."""
    environment = {
        **environment_of_a_user(),
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": "the-tests-only",
        "TMPDIR": str(tmp_path),
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    process = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait(30)


def ages(folder: Path) -> dict[tuple[str, str], float]:
    """Seconds since the last beat, by cluster and role; infinite before the first one."""
    clusters = (django_settings.LANES_CLUSTER, django_settings.Q_CLUSTER["name"])
    found = {}
    for cluster in clusters:
        for role in (WORKER, MONITOR):
            beats = [path.stat().st_mtime for path in folder.glob(f"platform-beats-*/{cluster}/{role}")]
            found[cluster, role] = time.time() - max(beats) if beats else float("inf")
    return found


def test_each_watched_role_of_each_idle_cluster_shows_that_it_is_alive(
    worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    end = time.monotonic() + BEATS_WITHIN_SECONDS
    while max(ages(tmp_path).values()) > 10:
        assert time.monotonic() < end, ages(tmp_path)
        time.sleep(0.2)

    time.sleep(8)  # longer than two beats: they go on coming

    assert max(ages(tmp_path).values()) < 10
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
