"""The `type` of a problem is a link that leads somewhere."""

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from messages.problem_types import TYPES
from messages.problems import PROBLEMS, type_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("slug", list(PROBLEMS))
def test_each_type_is_told_to_programs_and_to_people(slug: str) -> None:
    document = Client().get(type_of(slug))
    page = Client().get(type_of(slug), headers={"Accept": BROWSER})

    told = json.loads(document.content)
    assert (document.status_code, document["Content-Type"]) == (200, "application/json")
    assert (told["type"], told["status"], told["title"]) == (type_of(slug), *PROBLEMS[slug])
    assert told["meaning"]
    assert told["remedy"]
    assert page["Content-Type"].startswith("text/html")
    assert PROBLEMS[slug][1] in page.content.decode()
    assert page["Vary"] == document["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/problem+json, */*", "application/json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html;q=0.5, application/json", "application/json"),
        (BROWSER, "text/html; charset=utf-8"),
        ("image/png", "application/json"),
    ],
)
def test_who_asks_for_html_gets_a_page(accept: str, kind: str) -> None:
    assert Client().get("/problems/gone", headers={"Accept": accept})["Content-Type"] == kind


def test_page_runs_and_styles_nothing_in_place() -> None:
    page = Client().get("/problems/gone/", headers={"Accept": "text/html"}).content.decode()

    assert not re.search(r"<script|<style|style=|https?://", page)
    (sheet,) = re.findall(r'href="(/static/[^"]+)"', page)
    answer = Client().get(sheet)
    assert (answer.status_code, b"color-scheme" in b"".join(answer.streaming_content)) == (200, True)
    answer.close()


def test_type_that_nobody_knows_is_a_404() -> None:
    answer = Client().get("/problems/none")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_unchanged_type_is_a_304() -> None:
    first = Client().get("/problems/gone")

    assert Client().get("/problems/gone", headers={"If-None-Match": first["ETag"]}).status_code == 304


def test_every_type_that_the_code_answers_is_known() -> None:
    root = Path(__file__).parents[2]
    sources = [path.read_text() for app in ("messages", "integration_platform") for path in (root / app).glob("*.py")]
    answered = {slug for text in sources for slug in re.findall(r'Problem\(\s*"([a-z-]+)"', text)}

    assert answered
    assert answered <= set(TYPES)
