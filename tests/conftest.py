"""What all tests share."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase

from connectors.catalogue import catalogue
from messages import rates, rejections
from messages.breaker import breaker
from messages.last_use import last_uses
from messages.repeats import repeats
from messages.waiting import lookout
from messages.web_pump import web_pump
from tests import dealing, other_database

# how long one example takes says only what else the machine does
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def forgetful_process() -> Iterator[None]:
    """What a process keeps between requests is gone between tests, as their databases are."""
    catalogue.clear()
    breaker.clear()
    rates.clear()
    repeats.clear()
    rejections.refusals.clear()
    rejections.budgets = rejections.Budgets()
    yield
    web_pump.close(seconds=10)
    lookout.close()
    last_uses.clear()
    catalogue.clear()


def pytest_itemcollected(item: pytest.Item) -> None:
    dealing.check(item)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> dealing.Dealer | None:
    return dealing.Dealer(config, log) if config.option.dist == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What does not touch the database is told nothing new by another one."""
    dealing.order(items)
    if "TEST_DATABASE_URL" in os.environ:
        others = [item for item in items if not touches_the_database(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if touches_the_database(item)]


def touches_the_database(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or "db" in fixtures or "transactional_db" in fixtures


def pytest_collection_finish(session: pytest.Session) -> None:
    other_database.begin(session)


def pytest_sessionfinish(session: pytest.Session) -> None:
    other_database.end(session)


def pytest_unconfigure() -> None:
    if settings.configured:
        shutil.rmtree(settings.DATA_DIR, ignore_errors=True)


FILLED_BY_MIGRATE = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


def _empty_tables(self: TransactionTestCase) -> None:
    """In place of Django's flush, which makes content types, permissions and roles anew: that takes longer than most
    tests. So does TRUNCATE on PostgreSQL, where tables are all but empty."""
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    deletes = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables - FILLED_BY_MIGRATE)]
    connection.ops.execute_sql_flush(deletes)


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """What a test has committed is gone behind it, and what `migrate` filled stays as it is."""
    TransactionTestCase._fixture_teardown = _empty_tables
