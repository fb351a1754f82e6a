"""One suite, two databases: what touches the database runs once more on PostgreSQL, on all cores.

`conftest.py` leaves out there what does not touch it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import POSTGRESQL, need

ROOT = Path(__file__).parents[1]
SUITE = [
    "tests/messages",
    "tests/connectors/test_configuration.py",
    "tests/connectors/test_secrets.py",
    "tests/test_admin_pages.py",
    "tests/integration_platform/test_health.py",
]
SIDE_BY_SIDE = ["-n", "logical", "--maxprocesses", "4", "--dist", "worksteal"]


@pytest.mark.postgresql
@pytest.mark.timeout(900)
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="this is the run on the other database")
def test_the_suite_passes_on_postgresql() -> None:
    url = need(POSTGRESQL, "TEST_POSTGRESQL_URL")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SIDE_BY_SIDE, *SUITE],
        cwd=ROOT, env={**os.environ, "TEST_DATABASE_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-16_000:] + done.stderr[-2000:]
