"""Whatever others write, the pages of the admin stay pages: text is text, and scripts come from files alone."""

from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from tests.furnishing import furnish
from tests.test_admin_looking import addresses

pytestmark = pytest.mark.django_db

TEXTS = (
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onmouseover='alert(3)",
    "javascript:alert(4)//</textarea></pre></title><svg/onload=alert(5)>{{ 7|add:7 }}",
)


class Page(HTMLParser):
    """Collects what runs in a page without coming from a file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        given = dict(attrs)
        if tag == "script" and not given.get("src") and given.get("type") != "application/json":
            self.found.append(f"a script in the page: {given}")
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name.startswith("on")]
        self.found += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name in ("href", "src", "action") and str(value).strip().lower().startswith("javascript:")
        ]
        self.found += [f"{tag} src=x" for name, value in attrs if (name, value) == ("src", "x")]


def test_what_is_collected_is_what_would_run() -> None:
    hostile = '<script>a</script><p onclick="b"><a href="javascript:c">'

    assert len(Page(hostile).found) == 3
    assert Page('<script src="/a.js"></script><p x-on:click="b">&lt;script&gt;').found == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("text", TEXTS)
def test_no_page_runs_what_others_wrote(admin_client: Client, text: str) -> None:
    furnish(text)

    answers = {address: admin_client.get(address) for address in addresses() if "/payload/" not in address}

    running = {address: found for address, one in answers.items() if (found := Page(one.content.decode()).found)}
    assert running == {}
    assert [address for address, one in answers.items() if one.status_code >= 500] == []
