"""Debian's Chromium, driven by playwright, and kept on this host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

EXECUTABLE = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_SECONDS = 20.0
"""For anything to appear, on a machine that is busy with other things."""
WIDE, NARROW = (1440, 900), (390, 844)


def need_chromium() -> str:
    """Its path; without it the test is skipped, or fails if REQUIRE_SERVICES is set."""
    if not Path(EXECUTABLE).exists():
        if os.environ.get("REQUIRE_SERVICES"):
            raise FileNotFoundError(EXECUTABLE)
        pytest.skip(f"There is no {EXECUTABLE}; Debian's package is called chromium.")
    return EXECUTABLE


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need_chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A person at a browser: `page` is what they see. Remembers what must not happen, for `assert_well`."""

    def __init__(self, browser: Browser, base: str, *, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        self.base = base
        self.loads = 0
        self._host = urlsplit(base).netloc
        self._strayed: list[str] = []
        self._said: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=base,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.context.on("request", self._asked)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._logged)
        self.page.on("pageerror", lambda error: self._said.append(f"{self.page.url}: {error}"))
        self.page.on("load", self._loaded)

    def log_in(self, name: str, password: str) -> None:
        self.page.goto("/admin/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/admin/")

    def assert_well(self) -> None:
        """No request left the host, and no script failed or was refused by the content security policy."""
        assert self._strayed == []
        assert self._said == []

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self._strayed.append(request.url)

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._said.append(f"{self.page.url}: {message.text}")

    def _loaded(self, page: Page) -> None:
        self.loads += 1
