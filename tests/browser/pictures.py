"""Pictures of the main pages over a demo that has been at work, each light and dark, wide and narrow.

python -m tests.browser.pictures FOLDER [NAME…]
python -m tests.browser.pictures docs --readme        (the README's: as much as a window shows, of four pages)
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page

from tests.browser.chromium import NARROW, WIDE, Visitor, chromium
from tests.flows.conftest import Platform

PASSWORD = "only-for-pictures-1"
KEY = "demo-shop-key"
SETTLED_SECONDS = 30.0
PAGES = {
    "home": "/admin/",
    "messages": "/admin/messaging/message/",
    "message": "/admin/messaging/message/?q=1003",
    "lanes": "/admin/messaging/lane/",
    "lane": "/admin/messaging/lane/?work=held",
    "rejections": "/admin/messaging/rejection/",
    "routes": "/admin/connectors/route/",
    "route": "/admin/connectors/route/1/change/",
    "test-message": "/admin/messaging/message/routes/1/test/",
    "application": "/admin/connectors/application/1/change/",
    "credential": "/admin/connectors/credential/1/change/",
    "endpoint": "/admin/connectors/endpoint/1/change/",
    "test-call": "/admin/messaging/message/endpoints/1/test/",
    "mapping": "/admin/connectors/mapping/1/change/",
    "new-mapping": "/admin/connectors/mapping/add/",
    "expression": "/admin/connectors/mapping/2/change/",
    "version": "/admin/connectors/mappingversion/1/change/",
    "lookup-table": "/admin/connectors/lookuptable/1/change/",
}
"""Where a page begins; `opened` goes on from a list to the row that is meant."""
LISTED = ("message", "lane")
README = {"home": "light", "message": "light", "mapping": "dark", "lane": "light"}
WINDOW = (1280, 860)


def order(number: int, customer: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "customer": {"id": customer or number % 40 + 1, "name": "Ada", "country": "Norway"},
        "items": [{"sku": f"TEA-{number % 9}", "quantity": number % 3 + 1, "price": 19.90}],
        **changes,
    }


def work(platform: Platform) -> None:
    """What a shop's day leaves behind: mostly deliveries, some failures, one blocked lane, some refusals."""
    pushed = [order(1003, 77, items=[]), *(order(1004 + number, 77) for number in range(3))]
    pushed += [order(3001, 78, note="erp down"), order(3002, 78)]
    pushed += [order(3100, 79, items=[{"sku": "X", "quantity": "many", "price": "abc"}])]
    pushed += [order(2000 + number) for number in range(60)]
    platform.http.headers["X-API-Key"] = KEY
    for one in pushed:
        platform.push("/webhooks/demo-orders", one)
    for number in range(20):
        platform.push("/webhooks/demo-stock", {"sku": f"TEA-{number % 9}", "available": number})
    platform.push("/webhooks/demo-orders", {"id": "4000"})
    platform.push("/webhooks/demo-orders", b"{")
    requests.post(f"{platform.base}/webhooks/demo-orders", json={}, headers={"X-API-Key": "wrong"}, timeout=30)
    end = time.monotonic() + SETTLED_SECONDS
    while 'status="queued"} 0' not in _metrics(platform) and time.monotonic() < end:
        time.sleep(0.2)


def _metrics(platform: Platform) -> str:
    return requests.get(f"{platform.base}/metrics", timeout=30).text


def opened(page: Page, name: str) -> None:
    """Shows the page, at rest."""
    page.goto(PAGES[name])
    if name in LISTED:
        page.locator("#result_list a[href*='/change/']").first.click()
    page.wait_for_load_state("networkidle")


def whole(page: Page) -> None:
    # the bar with the buttons stands at the bottom of the window: a window as high as the page has it at its end
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": max(height, 600)})


def shoot(browser: Browser, base: str, folder: Path, names: list[str]) -> None:
    for scheme in ("light", "dark"):
        for shape, size in (("wide", WIDE), ("narrow", NARROW)):
            visitor = Visitor(browser, base, size=size, scheme=scheme)
            visitor.log_in("admin", PASSWORD)
            for name in names:
                visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
                opened(visitor.page, name)
                whole(visitor.page)
                visitor.page.screenshot(path=folder / f"{name}-{scheme}-{shape}.png")
            visitor.context.close()


def shoot_for_readme(browser: Browser, base: str, folder: Path) -> None:
    for name, scheme in README.items():
        visitor = Visitor(browser, base, size=WINDOW, scheme=scheme)
        visitor.log_in("admin", PASSWORD)
        opened(visitor.page, name)
        visitor.page.evaluate("document.getElementById('rows-group')?.scrollIntoView()")
        visitor.page.screenshot(path=folder / f"{name}.png")
        visitor.context.close()


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as kept, chromium() as browser:
        platform = Platform(Path(kept), "", allowed="127.0.0.1/32")
        platform.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
        try:
            platform.run("manage.py", "start", "--port", str(platform.port))
            platform.wait_until_ready()
            work(platform)
            if names == ["--readme"]:
                shoot_for_readme(browser, platform.base, folder)
            else:
                shoot(browser, platform.base, folder, names or list(PAGES))
        finally:
            platform.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
