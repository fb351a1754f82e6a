"""What people do on the admin's pages, by what they see: names of links and buttons, labels of fields."""

import re

from playwright.sync_api import Page, expect

from tests.browser.chromium import PATIENCE_SECONDS

RELOADS = 4
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


def went_to(page: Page, name: str) -> None:
    """By the sidebar."""
    page.locator("#nav-sidebar").get_by_role("link", name=name, exact=True).click()


def opened(page: Page, listed: str, row: str) -> None:
    """A row of a list of the sidebar."""
    went_to(page, listed)
    page.locator("#result_list").get_by_role("link", name=row, exact=True).click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()


def added(page: Page, listed: str, link: str) -> None:
    """An empty form for a new row."""
    went_to(page, listed)
    page.get_by_role("link", name=link).or_(page.get_by_title(link)).first.click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()


def chosen(page: Page, label: str, option: str) -> None:
    """An option of a menu that searches as one types."""
    page.get_by_role("combobox", name=re.compile(f"^{label}")).first.click()
    page.get_by_role("searchbox").last.fill(option)
    page.get_by_role("option", name=option, exact=True).click()


def saved(page: Page, said: str) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text(said)).to_be_visible()


def resubmitted(page: Page) -> None:
    """What is different may be shown before it is sent."""
    for name in ("Show the difference", "Resubmit"):
        button = page.get_by_role("button", name=name, exact=True)
        if button.count():
            with page.expect_navigation():
                button.click()
    expect(page.get_by_text("Resubmitted as").first).to_be_visible()


def until_shown(page: Page, text: str) -> None:
    """Until a page that may not renew itself shows `text`."""
    for _ in range(RELOADS):
        try:
            expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=4000)
        except AssertionError:
            page.reload()
    expect(page.get_by_text(text, exact=True).first).to_be_visible()


def tabbed(page: Page) -> set[str]:
    """The names of everything that Tab reaches, from the top of the page to its end."""
    page.wait_for_load_state()
    page.evaluate("document.activeElement?.blur()")
    names: list[str] = []
    for _ in range(MAX_STOPS):
        page.keyboard.press("Tab")
        name = page.evaluate(NAME_OF_FOCUSED)
        if name is None:
            break
        names.append(name)
    return set(names)


MAX_STOPS = 150
NAME_OF_FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body || element.dataset.seen) return null;
  element.dataset.seen = "yes";
  const copy = element.cloneNode(true);
  copy.querySelectorAll("[aria-hidden]").forEach(one => one.remove());
  return element.getAttribute("aria-label") || copy.textContent.trim() || element.name || element.tagName;
}"""
