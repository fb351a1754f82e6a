"""One suite, two databases: what touches the database runs once more on PostgreSQL, in two halves side by side."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.services import POSTGRESQL, need

ROOT = Path(__file__).parents[1]
SUITE = [
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/messages").glob("test_*.py")),
    "tests/connectors/test_configuration.py",
    "tests/connectors/test_secrets.py",
    "tests/test_admin_pages.py",
    "tests/integration_platform/test_health.py",
]


@pytest.mark.postgresql
@pytest.mark.timeout(900)
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="this is the run on the other database")
def test_the_suite_passes_on_postgresql() -> None:
    url = need(POSTGRESQL, "TEST_POSTGRESQL_URL")

    halves = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *half],
            cwd=ROOT, env={**os.environ, "TEST_DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )
        for half in (SUITE[::2], SUITE[1::2])
    ]  # fmt: skip
    with ThreadPoolExecutor(len(halves)) as readers:
        told = list(readers.map(lambda half: half.communicate()[0], halves))

    assert [half.returncode for half in halves] == [0, 0], "\n".join(text[-8000:] for text in told)
