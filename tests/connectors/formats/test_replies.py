"""Content types, and what a destination replied as a value."""

import base64
import codecs
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import formats
from connectors.formats import MediaType, dump, media_type, parse
from connectors.formats.media import CHARSETS
from tests.payloads import MEBIBYTE

SECONDS = 0.5
"""What any header of 1 MiB may cost, in processor time of this thread."""


@pytest.mark.parametrize(
    ("header", "essence", "charset", "is_json"),
    [
        ("application/json", "application/json", "", True),
        ("Application/JSON; Charset=UTF-8", "application/json", "utf-8", True),
        (" application/json ;", "application/json", "", True),
        ("application/json; ;x;charset=utf-8", "application/json", "utf-8", True),  # what a careless sender leaves
        ('application/vnd.api+json;charset="utf-8"', "application/vnd.api+json", "utf-8", True),
        ("application/problem+json", "application/problem+json", "", True),
        ("text/json", "text/json", "", True),
        ("application/jsonp", "application/jsonp", "", False),
        ("application/json-seq", "application/json-seq", "", False),
        ("text/plain; charset=iso-8859-1", "text/plain", "iso-8859-1", False),
        ("text/plain; charset = utf-8", "text/plain", "utf-8", False),
        ("text/plain; charset='utf-8'", "text/plain", "utf-8", False),
        ('text/plain; x="charset=a;charset=b"; charset=c', "text/plain", "c", False),  # a quoted one is no parameter
        ('multipart/form-data; boundary="a;charset=x"', "multipart/form-data", "", False),
        ("text/plain; charset=a; charset=b", "text/plain", "a", False),  # the first counts
        ("text/plain; charset=", "text/plain", "", False),
        # unreadable, as if it were not there
        ("", "", "", False),
        ("json", "", "", False),
        ("/json", "", "", False),
        ("application/", "", "", False),
        ("a/b/c", "", "", False),
        ("application/json, text/html", "", "", False),
        ("application/json charset=utf-8", "", "", False),
        ("appl\u0130cation/json", "", "", False),
    ],
)
def test_content_types_are_read_tolerantly(header, essence, charset, is_json):
    found = media_type(header)

    assert found == MediaType(essence, charset)
    assert found.is_json is is_json


@pytest.mark.parametrize(
    "header",
    [
        "a" * MEBIBYTE,
        "a/b" + ";" * MEBIBYTE,
        "a/b" + " " * MEBIBYTE + "x",
        'a/b;x="' + "\\a" * (MEBIBYTE // 2),
        "a/b;x=" + '"a' * (MEBIBYTE // 2),
        "a/b" + ';x="' * (MEBIBYTE // 4),
    ],
    ids=lambda header: header[:8],
)
def test_no_content_type_is_slow(header):
    start = time.thread_time()

    media_type(header)

    assert time.thread_time() - start < SECONDS


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"", "application/json", None),
        (b"", "", None),
        (b'{"a":1.10}', "application/json", {"a": Decimal("1.10")}),
        (b"null", "application/json", None),
        (b'"text"', "application/hal+json; charset=utf-8", "text"),
        # it says JSON, and is not: the text that it is
        (b"{bad", "application/json", "{bad"),
        (b'{"a":1,"a":2}', "application/json", '{"a":1,"a":2}'),
        (b" ", "application/json", " "),
        # it is JSON, and does not say so
        (b"1.0", "text/plain", "1.0"),
        (b"{}", "", "{}"),
        # texts
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("€".encode("cp1252"), 'text/html; charset="windows-1252"', "€"),
        ("é".encode("utf-16"), "text/xml; charset=utf-16", "é"),
        ("日本".encode("shift_jis"), "text/plain; charset=Shift_JIS", "日本"),
        ("é".encode(), "text/plain; charset=us-ascii", "é"),  # not what it says, but UTF-8
        (b"ok", "text/plain; charset=klingon", "ok"),
        (b"a\0b", "application/octet-stream", "a\0b"),
        # Python's codecs that are no charsets, that raise other errors, or that make surrogates out of ASCII
        (b"xn--", "text/plain; charset=idna", "xn--"),
        (b"a-99999", "text/plain; charset=punycode", "a-99999"),
        (b"\\d", "text/plain; charset=unicode_escape", "\\d"),
        (b"ok", "text/plain; charset=undefined", "ok"),
        (b"+2AA-", "text/plain; charset=utf-7", "+2AA-"),
        (b"6f6b", "text/plain; charset=hex", "6f6b"),
        (b"ok", "text/plain; charset=a\0b", "ok"),
        (b"ok", "text/plain; charset=\ud800", "ok"),
    ],
)
def test_a_reply_is_a_json_value_or_a_text(body, content_type, value):
    found, encoding = formats.reply_value(body, content_type)

    assert (repr(found), encoding) == (repr(value), "")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"caf\xe9", "text/plain"),  # Latin-1 that does not say so
        (b"\xff", "application/json"),
        (b"\xe9", "text/plain; charset=us-ascii"),
        (b"a\x00\x00\xd8", "text/plain; charset=utf-16le"),  # half a character
    ],
)
def test_a_reply_of_other_bytes_is_base64(body, content_type):
    value, encoding = formats.reply_value(body, content_type)

    assert encoding == "base64"
    assert base64.b64decode(value, validate=True) == body


@given(st.binary(), st.text() | st.text("charset=;\"'\\ utf-8/").map("text/plain; charset={}".format))
def test_every_reply_can_be_told(body, content_type):
    value, encoding = formats.reply_value(body, content_type)

    assert encoding in ("", "base64")
    assert parse(dump({"body": value})) == {"body": value}


def test_the_charsets_of_replies_are_known_to_python():
    unknown = [name for name in CHARSETS if not codecs.lookup(name).name]

    assert unknown == []
