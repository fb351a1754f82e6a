"""What all tests share."""

import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings

from connectors.catalogue import catalogue
from messages import rejections
from messages.last_use import last_uses
from messages.pump import web_pump


@pytest.fixture(autouse=True)
def forgetful_process() -> Iterator[None]:
    """What a process keeps between requests is gone between tests, as their databases are."""
    catalogue.clear()
    rejections.budget = rejections.Budget(rejections.PER_MINUTE)
    yield
    web_pump.close(seconds=10)
    last_uses.clear()
    catalogue.clear()


def pytest_unconfigure() -> None:
    if settings.configured:
        shutil.rmtree(settings.DATA_DIR, ignore_errors=True)
