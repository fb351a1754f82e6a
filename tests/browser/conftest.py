"""Whole platforms for people at browsers: real processes, a real destination, all of it on loopback.

Playwright keeps an event loop in its thread, which Django takes for an asynchronous caller: the browser ends with its
module, and tests reach the platform's database from outside only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import Visitor, chromium, need_chromium
from tests.destination import Destination
from tests.flows.conftest import Platform

PASSWORD = "only-for-browsers-1"


@contextmanager
def platform_for_people(folder: Path, destination: Destination, *prepared: str) -> Iterator[Platform]:
    """The platform as `manage.py start` runs it, without the demo; `prepared` is Python that is run before."""
    platform = Platform(folder, "", allowed=f"127.0.0.1/32:{destination.port}")
    platform.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    try:
        for code in prepared:
            platform.manage("shell", "--verbosity", "0", "-c", code)
        platform.run("manage.py", "start", "--no-demo", "--port", str(platform.port))
        platform.wait_until_ready()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def destination() -> Iterator[Destination]:
    need_chromium()
    with Destination() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, platform: Platform) -> Iterator[Visitor]:
    """Somebody who has not logged in yet. Whatever they did, nothing left the host and no script failed."""
    visitor = Visitor(browser, platform.base)
    yield visitor
    visitor.context.close()
    visitor.assert_well()
