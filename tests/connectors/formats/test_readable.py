"""Bodies as people see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import MalformedBody, UnknownFormat, readable
from connectors.formats.xml import indented, parse

DOCUMENT = "<?xml version='1.0'?><!-- > --><a x='1>2'><b>é &lt;</b><c/><d><![CDATA[<x>  ]]> y</d><e><f></f></e></a>"

INDENTED = """<?xml version='1.0'?>
<!-- > -->
<a x='1>2'>
  <b>é &lt;</b>
  <c/>
  <d><![CDATA[<x>  ]]> y</d>
  <e>
    <f></f>
  </e>
</a>"""


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'{"b":1.10,"a":[]}', "application/json", '{\n  "b": 1.10,\n  "a": []\n}'),
        (b"[1]", "text/plain", "[\n  1\n]"),
        (
            b"b=1&a=x+y&b=2",
            "application/x-www-form-urlencoded",
            '{\n  "b": [\n    "1",\n    "2"\n  ],\n  "a": "x y"\n}',
        ),
        ("a;b\r\né;2".encode("cp1252"), "text/csv; charset=windows-1252", "a;b\r\né;2"),
        ("a\né".encode("utf-16"), "text/csv", "a\né"),
        (b"<a><b/></a>", "text/xml", "<a>\n  <b/>\n</a>"),
        (
            DOCUMENT.encode("utf-16"),
            "application/xml",
            INDENTED,
        ),
        (b"<a>\n\n<b>1</b>\n</a>", "text/xml", "<a>\n  <b>1</b>\n</a>"),  # indented already, in another way
        (b"<a>one <b>2</b> three</a>", "text/xml", "<a>one <b>2</b> three</a>"),
    ],
)
def test_bodies_are_readable(body, content_type, text):
    assert readable(body, content_type) == text


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/xml", "text/csv", "application/x-www-form-urlencoded"]
)
def test_what_is_not_what_it_says_is_told(content_type):
    with pytest.raises(MalformedBody):
        readable(b"<a>\xff%", content_type)


@pytest.mark.parametrize("content_type", ["text/xml; charset=hex", "text/csv; charset=hex"])
def test_unknown_charsets_are_told(content_type):
    with pytest.raises(UnknownFormat):
        readable(b"<a/>", content_type)


@given(
    st.lists(st.sampled_from(["<a>", "</a>", "<b/>", "t", "<!-- - -->", "<![CDATA[ ]]>", "<?p ?>", "\n"]), max_size=12)
)
def test_indenting_keeps_every_piece(pieces):
    body = f"<r>{''.join(pieces)}</r>".encode()
    try:
        parse(body)
    except MalformedBody:
        return
    assert "".join(indented(body).split()) == "".join(body.decode().split())
