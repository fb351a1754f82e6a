"""What a server says that is alive, but not to be written to, or that has ended a session."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from integration_platform import environment
from tests.services import POSTGRESQL, need

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def connection() -> Iterator[BaseDatabaseWrapper]:
    """A session of the test's own."""
    url = need(POSTGRESQL, "TEST_POSTGRESQL_URL")
    own: BaseDatabaseWrapper = ConnectionHandler({"default": environment.database(Path())(url)})["default"]
    yield own
    own.close()


def run(connection: BaseDatabaseWrapper, statement: str) -> None:
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(statement)


def test_server_that_only_reads_is_one_that_is_away(connection: BaseDatabaseWrapper) -> None:
    run(connection, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")

    with pytest.raises(OperationalError, match="read-only"):
        run(connection, "CREATE TABLE nobody_needs (id integer)")
    connection.close_if_unusable_or_obsolete()

    assert connection.connection is None, "the next statement asks whoever bears the name by then"


def test_session_that_idled_in_a_transaction_is_one_that_broke(connection: BaseDatabaseWrapper) -> None:
    run(connection, "SET idle_in_transaction_session_timeout = '50ms'")
    connection.set_autocommit(False)
    run(connection, "SELECT 1")
    time.sleep(0.5)

    with pytest.raises(OperationalError):
        run(connection, "SELECT 1")


def test_statement_that_is_wrong_stays_wrong(connection: BaseDatabaseWrapper) -> None:
    with pytest.raises(ProgrammingError):
        run(connection, "SELECT 1 FROM nowhere_at_all")
