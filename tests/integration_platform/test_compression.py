"""Pages and files of the admin travel compressed, answers to source applications as they are."""

import gzip
from contextlib import closing

import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_pages_are_compressed(admin_client: Client) -> None:
    page = reverse("admin:index")

    plain, packed = admin_client.get(page), admin_client.get(page, headers={"Accept-Encoding": "gzip"})

    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed["Vary"]
    assert len(packed.content) < len(plain.content) / 4
    assert b"</html>" in gzip.decompress(packed.content)


def test_style_sheets_are_compressed_and_fonts_are_not() -> None:
    headers = {"Accept-Encoding": "gzip"}

    with closing(Client().get("/static/unfold/css/styles.css", headers=headers)) as style:
        styles = gzip.decompress(style.getvalue())
    with closing(Client().get("/static/unfold/fonts/inter/Inter-Medium.woff2", headers=headers)) as font:
        pass

    assert style["Content-Encoding"] == "gzip"
    assert b"--color" in styles
    assert font.status_code == 200
    assert not font.has_header("Content-Encoding")


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
def test_unchanged_file_is_not_sent_again(headers: dict[str, str]) -> None:
    with closing(Client().get("/static/unfold/css/styles.css", headers=headers)) as first:
        pass

    again = Client().get("/static/unfold/css/styles.css", headers={**headers, "If-None-Match": first["ETag"]})

    assert first["ETag"].startswith("W/") == bool(headers)
    assert (first.status_code, again.status_code, again.getvalue()) == (200, 304, b"")


def test_part_of_a_file_is_a_part_of_what_it_is() -> None:
    headers = {"Accept-Encoding": "gzip", "Range": "bytes=0-999"}

    with closing(Client().get("/static/unfold/css/styles.css", headers=headers)) as answer:
        pass

    assert answer.status_code == 206
    assert not answer.has_header("Content-Encoding")


def test_answers_to_source_applications_are_not() -> None:
    answer = Client().get("/openapi.json", headers={"Accept-Encoding": "gzip"})

    assert answer.status_code == 200
    assert not answer.has_header("Content-Encoding")
