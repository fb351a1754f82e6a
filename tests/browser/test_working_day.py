"""A platform at work: support staff and operators put right what failed; everybody can use the pages."""

import itertools
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.conftest import PASSWORD, platform_for_people
from tests.browser.filling import add_messages
from tests.browser.looking import added, opened, resubmitted, saved, tabbed, until_shown
from tests.destination import Answer, Destination, Received
from tests.flows.conftest import KEY, Platform

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

MANY = 100_000
numbers = itertools.count(1)
MAX_PAGE_LOADS = 9
CONFIGURATION = """
version: 1
applications:
  - slug: shop
    name: Web shop
    credentials: [{name: main, scheme: api_key, secret: "${SHOP_KEY}"}]
  - slug: erp
    name: ERP
    endpoints:
      - {slug: erp-orders, name: ERP orders, url: DESTINATION/orders}
      - {slug: erp-stock, name: ERP stock, url: DESTINATION/stock}
lookup_tables: [{slug: codes, entries: {Norway: NO}}]
mappings:
  - slug: order
    name: Order
    fields:
      - {target: no, source: id, required: true}
      - {target: customer, source: customer}
      - {target: country, source: country, lookup: codes, default: XX}
  - slug: rehearsed
    name: Rehearsed
    fields:
      - {target: no, source: id, required: true}
      - {target: customer, source: customer}
      - {target: country, source: country, lookup: codes, default: XX}
routes:
  - {slug: orders, name: Orders, source: shop, endpoint: erp-orders, patterns: [async, sync], mapping: order,
     ordering: none, search_keys: {order: id}, on_failure: skip}
  - {slug: stock, name: Stock levels, source: shop, endpoint: erp-stock, ordering: key, ordering_key: sku}
"""
PREPARED = """
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from connectors.configuration import apply_configuration
call_command("migrate", verbosity=0)
apply_configuration({configuration!r}, environ={{"SHOP_KEY": {key!r}}})
for name, role in (("agent", "support"), ("operator", "support")):
    User.objects.create_user(name, password={password!r}, is_staff=True).groups.add(Group.objects.get(name=role))
"""
PAGES = (
    "/admin/",
    "/admin/messaging/message/",
    "/admin/messaging/message/1/change/",
    "/admin/messaging/lane/",
    "/admin/messaging/lane/1/change/",
    "/admin/messaging/message/routes/1/test/",
    "/admin/connectors/route/1/change/",
    "/admin/connectors/mapping/1/change/",
    "/admin/connectors/endpoint/1/change/",
    "/admin/connectors/application/1/change/",
)


def takes_unless(name: str, value: str) -> Any:
    """A destination that refuses what has this value."""
    refused, taken = Answer(422, {"reason": f"unknown {name}"}), Answer(201, {"invoice": "INV-7"})
    return lambda request: refused if request.json().get(name) == value else taken


def is_broken(request: Received) -> Answer:
    return Answer(422, {"reason": "broken"}) if request.json().get("broken") else Answer(200, {"stocked": True})


@pytest.fixture(scope="module")
def platform(destination: Destination, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With a message that failed, and MANY that were delivered after it."""
    folder: Path = tmp_path_factory.mktemp("busy")
    destination.answers("/orders", takes_unless("customer", "nobody"))
    destination.answers("/stock", is_broken)
    configuration = CONFIGURATION.replace("DESTINATION", destination.url("").rstrip("/"))
    prepared = PREPARED.format(configuration=configuration, key=KEY, password=PASSWORD)
    with platform_for_people(folder, destination, prepared) as platform:
        platform.result(platform.push("/webhooks/orders", {"id": "4710", "customer": "ada"}))
        platform.result(platform.push("/webhooks/orders", {"id": "4711", "customer": "nobody"}))
        add_messages(folder / "data" / "platform.sqlite3", MANY)
        yield platform


@pytest.fixture
def blocked(platform: Platform) -> str:
    """A lane whose head is dead, with two messages behind it; its key."""
    key = f"TEA-{next(numbers)}"
    head = platform.push("/webhooks/stock", {"sku": key, "broken": True})
    platform.result(head)
    for number in range(2):
        platform.push("/webhooks/stock", {"sku": key, "number": number})
    return key


def test_support_agent_finds_a_failed_order_and_puts_it_right(visitor: Visitor, destination: Destination) -> None:
    visitor.log_in("agent", PASSWORD)
    page = visitor.page

    page.locator("#nav-sidebar").get_by_role("link", name="Messages", exact=True).click()
    page.locator("#searchbar").fill("4711")
    page.locator("#searchbar").press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.locator("#result_list a[href*='/change/']").first.click()
    expect(page.get_by_text("unknown customer").first).to_be_visible()
    expect(page.get_by_text("failed", exact=True).first).to_be_visible()

    page.get_by_role("link", name="Edit and resubmit").click()
    payload = page.get_by_label("Payload")
    payload.fill(payload.input_value().replace("nobody", "ada"))
    page.get_by_label("Reason").fill("The customer was mistyped.")
    resubmitted(page)
    page.wait_for_load_state()
    loads = visitor.loads  # before the page is renewed, which a slow machine needs more often
    destination.wait_for(3, timeout=20, path="/orders")
    until_shown(page, "succeeded")

    assert json.loads(destination.received("/orders")[-1].body) == {"no": "4711", "customer": "ada", "country": "XX"}
    assert loads <= MAX_PAGE_LOADS


def test_operator_sees_a_blocked_lane_first_and_lets_it_drain(
    visitor: Visitor, blocked: str, destination: Destination
) -> None:
    visitor.log_in("operator", PASSWORD)
    page = visitor.page

    page.get_by_role("link", name=blocked).first.click()
    expect(page.get_by_text("blocked", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Skip head").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("Sorted out by telephone.")
    page.get_by_role("dialog").get_by_role("button", name="Skip").click()

    until_shown(page, "idle")
    arrived = [request.json() for request in destination.received("/stock")]
    assert [one.get("number") for one in arrived if one["sku"] == blocked] == [None, 0, 1]


def test_every_verb_is_reached_and_carried_out_by_keyboard(visitor: Visitor, platform: Platform, blocked: str) -> None:
    platform.result(platform.push("/webhooks/orders", {"id": "4799", "customer": "nobody"}))
    visitor.log_in("admin", PASSWORD)
    page = visitor.page

    page.goto("/admin/messaging/message/?q=4799")
    with page.expect_navigation():
        page.locator("#result_list a[href*='/change/']").first.click()
    assert {"Retry", "Edit and resubmit"} <= tabbed(page)
    page.goto("/admin/connectors/route/")
    assert {"Filters"} <= tabbed(page)
    page.goto("/admin/connectors/route/1/change/")
    assert {"Send a test message", "Pause", "From and to", "Payload", "Save"} <= tabbed(page)
    page.goto("/admin/messaging/lane/?work=held")
    with page.expect_navigation():
        page.locator("#result_list").get_by_role("link", name=blocked).first.click()
    assert {"Retry head", "Skip head", "Pause"} <= tabbed(page)

    page.get_by_role("link", name="Pause").focus()
    page.keyboard.press("Enter")
    reason = page.get_by_role("dialog").get_by_label("Reason")
    expect(reason).to_be_focused()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.getElementById('modal-content').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Pause")).to_be_focused()


def test_mapping_is_written_beside_its_preview_and_ordered_by_keyboard(visitor: Visitor) -> None:
    visitor.log_in("admin", PASSWORD)
    page = visitor.page
    opened(page, "Mappings", "Rehearsed")  # no route's: others are at work here
    result = page.get_by_label("Result", exact=True)

    page.get_by_label("Sample payload").fill('{"id": 1, "customer": "ada", "details": {"country": "Norway"}}')
    expect(result).to_contain_text('"country": "XX"')
    expect(page.locator("#mapping-paths option[value='details.country']")).to_have_count(1)
    page.locator("[name=rows-0-source]").fill("details.")
    expect(page.locator("td", has=page.locator("[name=rows-0-source]"))).to_contain_text("name is missing")
    page.locator("[name=rows-0-source]").fill("details.country")
    page.get_by_role("button", name="Move this row").first.press("ArrowDown")
    expect(result).to_have_text(re.compile("customer.*no.*country", re.DOTALL))
    saved(page, "Version 2 is in force")


def test_fault_of_an_expression_stays_beside_it_when_the_preview_comes(visitor: Visitor) -> None:
    visitor.log_in("admin", PASSWORD)
    page = visitor.page
    added(page, "Mappings", "Add mapping")

    page.get_by_label("Name", exact=True).fill("Broken")
    page.get_by_role("button", name="One expression").click()
    page.locator("[name=expression]").fill("{'no': ")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.locator("#mapping-outcome")).to_contain_text("Expression")
    expect(page.locator(".platform-expression .platform-fault")).to_be_visible()


@pytest.mark.parametrize("pages", [PAGES[:5], PAGES[5:]], ids=["messages", "configuration"])
def test_pages_are_accessible_in_both_themes(visitor: Visitor, pages: tuple[str, ...]) -> None:
    visitor.log_in("admin", PASSWORD)
    page = visitor.page

    found = {}
    for address in pages:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found[address] = faults(page, whole=address == pages[0])
        page.evaluate("document.documentElement.classList.add('dark')")
        found[f"{address} (dark)"] = faults(page, whole=address == pages[0], rules=["color-contrast"])

    assert {address: list_ for address, list_ in found.items() if list_} == {}


AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


def faults(page: Page, *, whole: bool, rules: list[str] | None = None) -> list[str]:
    """What axe finds serious or critical, by rule and place; not `whole`: without the sidebar, the same everywhere."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    options |= {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    context = {"exclude": [] if whole else [["#nav-sidebar"]]}
    found = page.evaluate("([context, options]) => axe.run(context, options)", [context, options])
    return [
        f"{one['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
