"""One suite, two databases: what touches the database runs once more on PostgreSQL.

`other_database.py` says what runs there and when; `conftest.py` leaves out what does not touch the database.
"""

import os

import pytest

from tests.other_database import RUN, Run
from tests.services import POSTGRESQL, need


@pytest.mark.postgresql
@pytest.mark.at_the_end
@pytest.mark.timeout(900)
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="this is the run on the other database")
def test_the_suite_passes_on_postgresql(request: pytest.FixtureRequest) -> None:
    need(POSTGRESQL, "TEST_POSTGRESQL_URL")
    stash = request.config.stash
    if RUN not in stash:
        stash[RUN] = Run()

    status, printed = stash[RUN].wait()

    assert status == 0, printed
