"""XML: the convention row by row, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import MalformedBody, UnwritableValue, read, xml
from connectors.formats.xml import MAX_EQUALS, MAX_NODES, dump_document, parse

LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


@pytest.mark.parametrize(
    ("document", "value"),
    [
        # elements
        ("<a/>", {"a": None}),
        ("<a></a>", {"a": None}),
        ("<a>x</a>", {"a": "x"}),
        ("<a>007</a>", {"a": "007"}),  # no number is guessed
        ("<a><b>1</b><c/></a>", {"a": {"b": "1", "c": None}}),
        ("<?xml version='1.0'?>\n<!-- c --><a><?pi x?>x<!-- c -->y</a>\n", {"a": "xy"}),
        # repeated elements, wherever they stand
        ("<a><b>1</b><b>2</b></a>", {"a": {"b": ["1", "2"]}}),
        ("<a><b>1</b><c>x</c><b/><b>3</b></a>", {"a": {"b": ["1", None, "3"], "c": "x"}}),
        ("<a><b/><b/></a>", {"a": {"b": [None, None]}}),
        # attributes
        ('<a id="1"/>', {"a": {"@id": "1"}}),
        ('<a id="1">x</a>', {"a": {"@id": "1", "#text": "x"}}),
        ('<a id="">\n</a>', {"a": {"@id": ""}}),
        ('<a b="1"><b>2</b></a>', {"a": {"@b": "1", "b": "2"}}),
        ("<a b=' x&#10;&lt;'/>", {"a": {"@b": " x\n<"}}),
        # mixed content
        ("<a>one <b>2</b> three</a>", {"a": {"b": "2", "#text": "one  three"}}),
        # white space
        ("<a>\n  <b> x </b>\n</a>", {"a": {"b": " x "}}),
        ("<a> \t\r\n </a>", {"a": None}),
        ("<a>\u00a0</a>", {"a": "\u00a0"}),  # a letter, for XML
        # CDATA and references
        ("<a><![CDATA[<b>&amp;]]></a>", {"a": "<b>&amp;"}),
        ("<a>x<![CDATA[y]]>z</a>", {"a": "xyz"}),
        ("<a>&lt;&#233;&#x1F600;&amp;</a>", {"a": "<é😀&"}),
        # namespaces
        ('<a xmlns="urn:x"><b/></a>', {"a": {"@xmlns": "urn:x", "b": None}}),
        (
            '<s:a xmlns:s="urn:x"><s:b s:c="1">x</s:b></s:a>',
            {"s:a": {"@xmlns:s": "urn:x", "s:b": {"@s:c": "1", "#text": "x"}}},
        ),
    ],
)
def test_convention(document, value):
    assert parse(document.encode()) == value


def test_named_elements_are_lists_even_where_there_is_one():
    document = b"<order><line>1</line><note><line/></note><other>x</other></order>"

    value = parse(document, "", ["line"])

    assert value == {"order": {"line": ["1"], "note": {"line": [None]}, "other": "x"}}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a>é</a>".encode(), "application/xml"),
        ("<a>é</a>".encode("utf-8-sig"), "text/xml"),
        ("<a>é</a>".encode("latin-1"), "text/xml; charset=iso-8859-1"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"), "application/soap+xml"),
        ('<?xml version="1.0" encoding="utf-8"?><a>é</a>'.encode("latin-1"), "text/xml; charset=latin1"),
        ("<a>é</a>".encode("utf-16"), "application/xml"),
        ("<a>é</a>".encode("utf-16-le"), "application/xml"),
        ("<a>é</a>".encode("utf-16-be"), "application/xml; charset=utf-8"),
        ("<a>é</a>".encode("utf-16"), "application/xml; charset=iso-8859-1"),  # the mark is the authority
        ('<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16"), "application/xml"),
        ('<?xml version="1.0" encoding="cp1252"?><a>é</a>'.encode("cp1252"), "application/xml"),
    ],
)
def test_charsets(body, content_type):
    assert read(body, content_type) == {"a": "é"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"x", "not XML"),
        (b"{}", "not XML"),
        (b"<a>", "not XML"),
        (b"<a></b>", "mismatched tag"),
        (b"<a/><b/>", "not XML"),
        (b'<a b="1" b="2"/>', "duplicate attribute"),
        (b"<a>&nbsp;</a>", "undefined entity"),
        (b"<a>&#0;</a>", "not XML"),
        (b"<a>&#xD800;</a>", "not XML"),
        (b"<a>\0</a>", "not XML"),
        (b"<a>\xff</a>", "not XML"),
        ("<a>\ufffe</a>".encode(), "not XML"),
        ("<a>é</a>".encode("utf-16")[:-1], "not UTF-16"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "encoding klingon"),
        (b"<?xml version='1.0' encoding='unicode_escape'?><a/>", "encoding unicode_escape"),
        # no document type, so that there are no entities
        (b"<!DOCTYPE a><a/>", "document type"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "document type"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>', "document type"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"), "document type"),
        # limits
        (b"<a>" * 65 + b"</a>" * 65, "deeper than 64"),
        (b"<a><b/><b>" * 33 + b"</b></a>" * 33, "deeper than 64"),  # lists are levels, too
        (b"<a>" * 1_000_000, "deeper than 64"),
        (b"<a>" + b"<b/>" * MAX_NODES + b"</a>", "elements and attributes"),
        (b"<a>" + b'<b c="1"/>' * (MAX_NODES // 2) + b"</a>", "elements and attributes"),
        (b"<a " + b" ".join(b'b%d=""' % number for number in range(MAX_EQUALS + 1)) + b"/>", "equals signs"),
    ],
)
def test_what_is_no_plain_xml_is_refused(body, reason):
    with pytest.raises(MalformedBody, match=reason):
        parse(body)


def test_depth_up_to_the_limit_is_read():
    value = parse(b"<a>" * 63 + b"</a>" * 63)

    assert str(value).count("a") == 63


@given(
    st.binary() | st.text("<>/ab ='\"&;!-[]CDATA?xml:#\0").map(str.encode), st.sampled_from(["", "utf-16", "gb18030"])
)
def test_only_declared_errors(body, charset):
    try:
        value = parse(body, charset)
    except MalformedBody:
        return
    assert len(value) == 1


def members(values):
    names = st.text("abAé_", min_size=1, max_size=3)
    texts = st.text(LETTERS, min_size=1).filter(lambda text: text.strip(" \t\r\n"))
    attributes = st.dictionaries(names.map("@{}".format), st.text(LETTERS), max_size=2)
    children = st.dictionaries(names, values | st.lists(values, min_size=2, max_size=3), max_size=3)
    mixed = st.dictionaries(st.just("#text"), texts)
    return st.builds(lambda *parts: {**parts[0], **parts[1], **parts[2]}, attributes, children, mixed).map(
        lambda made: made["#text"] if set(made) == {"#text"} else made or None
    )


VALUES = st.recursive(
    st.none() | st.text(LETTERS, min_size=1).filter(lambda text: text.strip(" \t\r\n")), members, max_leaves=10
)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    assert parse(dump_document({"root": value})) == {"root": value}


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ({"a": None}, "<a/>"),
        ({"a": ""}, "<a/>"),
        ({"a": {}}, "<a></a>"),
        ({"a": True}, "<a>true</a>"),
        ({"a": 10**30}, f"<a>1{'0' * 30}</a>"),
        ({"a": 1.5}, "<a>1.5</a>"),
        ({"a": {"b": [1, None, "x"], "c": []}}, "<a><b>1</b><b/><b>x</b></a>"),
        ({"a": {"@n": 1, "#text": "a<b&c>\r"}}, '<a n="1">a&lt;b&amp;c&gt;&#13;</a>'),
        ({"a": {"@n": '"<&\t\n\r'}}, '<a n="&quot;&lt;&amp;&#9;&#10;&#13;"></a>'),
        ({"s:a": {"@xmlns:s": "urn:x", "s:b": "é"}}, '<s:a xmlns:s="urn:x"><s:b>é</s:b></s:a>'),
        ({"a": {"@xml:lang": "de", "@xmlns": "urn:x"}}, '<a xml:lang="de" xmlns="urn:x"></a>'),
    ],
)
def test_written_documents(value, document):
    assert dump_document(value).decode() == f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'


def tower(height):
    value = None
    for _ in range(height):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        {},
        {"a": 1, "b": 2},  # two roots
        {"a": [1, 2]},
        {"a": [1]},
        {1: "x"},
        {"": "x"},
        {"a b": "x"},
        {"1a": "x"},
        {"<": "x"},
        {"a": {"@b c": "x"}},
        {"a": {"@": "x"}},
        {"#text": "x"},
        {"s:a": "x"},  # a prefix that nobody declares
        {"a": {"@s:b": "x"}},
        {"a:b:c": "x"},
        {"a": {"@b": {}}},
        {"a": {"@b": [1]}},
        {"a": {"#text": {}}},
        {"a": {"b": [[1]]}},
        {"a": "\0"},
        {"a": "\x1b"},
        {"a": "\ud800"},
        {"a": "\uffff"},
        {"a": {"@b": "\0"}},
        {"a": float("nan")},
        {"a": b"x"},
        tower(65),
        tower(100_000),
    ],
    ids=lambda value: (
        repr(value)[:20] if not isinstance(value, dict) or "a" not in value else type(value["a"]).__name__
    ),
)
def test_what_xml_cannot_say_is_refused(value):
    with pytest.raises(UnwritableValue):
        dump_document(value)


def test_memory_is_free_when_the_value_is_dropped():
    reader = xml._Reader(frozenset())

    reader.new_parser().Parse(b"<a/>", True)

    assert reader.document == {"a": None}
    assert not [held for held in vars(reader).values() if "parser" in type(held).__name__.lower()]
