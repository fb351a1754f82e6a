"""An administrator begins with an empty platform, and reaches a first delivered message by clicking only."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import PATIENCE_SECONDS, Visitor
from tests.browser.conftest import PASSWORD, platform_for_people
from tests.browser.looking import added, chosen, opened, saved, until_shown
from tests.destination import Destination
from tests.flows.conftest import Platform

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def platform(destination: Destination, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform_for_people(tmp_path_factory.mktemp("empty"), destination) as platform:
        yield platform


def test_administrator_sets_up_a_route_and_sees_a_first_message_delivered(
    visitor: Visitor, destination: Destination
) -> None:
    visitor.log_in("admin", PASSWORD)
    page = visitor.page
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()

    make_application(page, "Web shop", with_credential=True)
    make_application(page, "ERP", with_credential=False)
    make_endpoint(page, destination.url("/orders"))
    make_mapping(page)
    make_route(page)
    send_test_message(page)

    page.get_by_role("region", name="Accepted").get_by_role("link").click()
    until_shown(page, "succeeded")
    (arrived,) = destination.received("/orders")
    assert arrived.json() == {"order_no": "text", "channel": "web"}


def make_application(page: Page, name: str, *, with_credential: bool) -> None:
    added(page, "Applications", "Add application")
    page.get_by_label("Name", exact=True).fill(name)
    for _ in range(int(with_credential)):
        page.get_by_text("Add another Credential").click()
        page.locator("[name=credentials-0-name]").fill("main")
    saved(page, f"“{name}” was added successfully")
    expect(page.get_by_text("copy it now, it is not shown again")).to_have_count(int(with_credential))


def make_endpoint(page: Page, url: str) -> None:
    added(page, "Endpoints", "Add endpoint")
    page.get_by_label("Name", exact=True).fill("ERP orders")
    chosen(page, "Application", "ERP")
    page.get_by_label(re.compile("^URL")).fill(url)
    saved(page, "was added successfully")


def make_mapping(page: Page) -> None:
    """The preview shows what becomes of a sample before anything is saved."""
    added(page, "Mappings", "Add mapping")
    page.get_by_label("Name", exact=True).fill("Order to ERP")
    for number, (target, name, value) in enumerate([("order_no", "source", "id"), ("channel", "constant", "web")]):
        page.get_by_text("Add another Field row").click()
        page.locator(f"[name=rows-{number}-target]").fill(target)
        page.locator(f"[name=rows-{number}-{name}]").fill(value)
    page.get_by_label("Sample payload").fill('{"id": "A-1"}')
    expect(page.get_by_label("Result", exact=True)).to_contain_text('"order_no": "A-1"')
    saved(page, "Version 1 is in force")


def make_route(page: Page) -> None:
    added(page, "Routes", "Add route")
    page.get_by_label("Name", exact=True).fill("Orders")
    chosen(page, "Source application", "Web shop")
    chosen(page, "Endpoint", "ERP orders")
    page.get_by_role("tab", name="Payload").click()
    chosen(page, "Mapping", "Order to ERP")
    saved(page, "was added successfully")


def send_test_message(page: Page) -> None:
    opened(page, "Routes", "Orders")
    page.get_by_role("link", name="Send a test message").click()
    expect(page.get_by_label("Body")).to_contain_text('"id"', timeout=PATIENCE_SECONDS * 1000)
    page.get_by_role("button", name="Send a test message").click()
