"""What all tests share."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from connectors.catalogue import catalogue
from messages import rates, rejections
from messages.breaker import breaker
from messages.last_use import last_uses
from messages.repeats import repeats
from messages.waiting import lookout
from messages.web_pump import web_pump


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


def pytest_unconfigure() -> None:
    if settings.configured:
        shutil.rmtree(settings.DATA_DIR, ignore_errors=True)


def _deletes(self: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
    return ["; ".join(f"DELETE FROM {self.quote_name(table)}" for table in tables)] if tables else []


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """Between tests PostgreSQL empties tables that are all but empty: TRUNCATE, making each anew, takes far longer."""
    if connection.vendor == "postgresql":
        type(connection.ops).sql_flush = _deletes
