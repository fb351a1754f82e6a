import io
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from messages.bodies import UNREAD, WANTED, read_body
from messages.problems import Problem


class Untouched(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


class Broken(io.RawIOBase):
    """A sender that goes away in the middle."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


def request(body: bytes = b"{}", kind: str = "application/json", **environ: Any) -> HttpRequest:
    return RequestFactory().generic("POST", "/webhooks/orders", body, content_type=kind, **environ)


def refusal(http: HttpRequest, limit: int = 1000) -> tuple[str, int]:
    with pytest.raises(Problem) as caught:
        read_body(http, limit=limit)
    return caught.value.slug, caught.value.status


def test_body_is_given_as_it_was_sent() -> None:
    body = b'\xff\x00 { "a" : 1.10 }\r\n'

    assert read_body(request(body), limit=1000) == body


@pytest.mark.parametrize("size", [0, 999, 1000])
def test_body_up_to_the_limit_is_read(size: int) -> None:
    assert len(read_body(request(b"x" * size), limit=1000)) == size


def test_body_that_announces_too_much_is_not_read() -> None:
    http = request(CONTENT_LENGTH="1001")
    http._stream = Untouched()  # type: ignore[attr-defined]

    assert refusal(http) == ("body-too-large", 413)


def test_chunked_body_counts_as_far_as_it_is_read() -> None:
    http = request(**{"platform.chunked": True})
    stream = io.BytesIO(b"x" * 5000)
    http._stream = stream  # type: ignore[attr-defined]

    assert refusal(http) == ("body-too-large", 413)
    assert stream.tell() == 1001  # the rest is left alone


def test_chunked_body_may_be_longer_than_a_length_that_somebody_wrote() -> None:
    http = request(CONTENT_LENGTH="1", **{"platform.chunked": True})
    http._stream = io.BytesIO(b'{"a":1}')  # type: ignore[attr-defined]

    assert read_body(http, limit=1000) == b'{"a":1}'


def test_body_that_is_shorter_than_announced_is_refused() -> None:
    http = request(CONTENT_LENGTH="500")
    http._stream = io.BytesIO(b"{}")  # type: ignore[attr-defined]

    assert refusal(http) == ("malformed-body", 400)


def test_sender_that_goes_away_is_refused() -> None:
    http = request(CONTENT_LENGTH="2")
    http._stream = Broken()  # type: ignore[attr-defined]

    assert refusal(http) == ("malformed-body", 400)


@pytest.mark.parametrize("length", ["", "many", "-1", "\xb2", "1.5"])
def test_length_that_is_no_number_announces_nothing(length: str) -> None:
    http = request(CONTENT_LENGTH=length)

    assert read_body(http, limit=1000) == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "nonsense"])
def test_compressed_body_is_refused_unread(coding: str) -> None:
    http = request(HTTP_CONTENT_ENCODING=coding)
    http._stream = Untouched()  # type: ignore[attr-defined]

    assert refusal(http) == ("unsupported-media-type", 415)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json; charset="UTF-8"',
        "application/json;charset=us-ascii",
        "application/json; profile=x",
        "application/vnd.shop.order+json",
        "text/json",
        "",  # nothing said
    ],
)
def test_json_under_any_of_its_names_is_read(kind: str) -> None:
    assert read_body(request(kind=kind, HTTP_CONTENT_ENCODING="Identity"), limit=1000) == b"{}"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/xhtml",
        "text/html",
        "image/svg",
        "application/octet-stream",
        "multipart/form-data",
        "json",
        "application/json, text/html",
        "application/jsonx",
    ],
)
def test_other_media_types_are_refused_unread(kind: str) -> None:
    http = request(kind=kind)
    http._stream = Untouched()  # type: ignore[attr-defined]

    assert refusal(http) == ("unsupported-media-type", 415)


@pytest.mark.parametrize(
    "kind",
    [
        "application/xml",
        "text/xml; charset=iso-8859-1",
        "application/soap+xml; action=x",
        "application/x-www-form-urlencoded",
        "text/csv; header=absent; charset=windows-1252",
        "text/tab-separated-values",
    ],
)
def test_other_formats_are_read(kind: str) -> None:
    assert read_body(request(b"a", kind=kind), limit=1000) == b"a"


@pytest.mark.parametrize("kind", ["application/xml", "application/x-www-form-urlencoded", "text/csv"])
@pytest.mark.parametrize("charset", ["klingon", "utf-7", "unicode_escape", "hex"])
def test_charset_that_nobody_reads_is_refused(kind: str, charset: str) -> None:
    assert refusal(request(kind=f"{kind}; charset={charset}")) == ("unsupported-media-type", 415)


def test_content_type_that_could_not_be_kept_whole_is_refused() -> None:
    assert refusal(request(kind=f"application/json; {'x' * 255}")) == ("malformed-header", 400)


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "unknown"])
def test_json_in_another_charset_is_refused(charset: str) -> None:
    assert refusal(request(kind=f"application/json; charset={charset}")) == ("unsupported-media-type", 415)


@pytest.mark.parametrize(
    ("environ", "name", "told"),
    [
        ({"HTTP_CONTENT_ENCODING": "gzip"}, "Accept-Encoding", "identity"),
        ({"CONTENT_TYPE": "image/png"}, "Accept-Post", "text/csv"),
        ({"CONTENT_TYPE": "application/cloudevents-batch+json"}, "Accept-Post", "application/cloudevents+json"),
    ],
)
def test_a_415_says_what_would_be_taken(environ: dict[str, str], name: str, told: str) -> None:
    with pytest.raises(Problem) as caught:
        read_body(request(**environ), limit=1000)

    assert (caught.value.status, told in caught.value.headers[name]) == (415, True)


def test_body_that_the_server_left_unread_is_asked_for() -> None:
    http = request(**{UNREAD: True})
    http._stream = Untouched()  # type: ignore[attr-defined]

    assert refusal(http) == ("unavailable", 503)
    assert http.META[WANTED] is True


def test_unread_body_that_is_too_large_is_not_asked_for() -> None:
    http = request(CONTENT_LENGTH="1001", **{UNREAD: True})

    assert refusal(http) == ("body-too-large", 413)
    assert WANTED not in http.META
