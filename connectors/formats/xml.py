"""XML ↔ values.

| XML | value |
| --- | --- |
| the document | an object with one key, the name of its root: `{"order": …}` |
| an element with nothing in it | null |
| an element with text only | the text; numbers and dates are texts, too, until a mapping's type makes more of them |
| attributes, child elements | an object: `@name` for an attribute, `name` for a child |
| text beside them | `#text`: the pieces put together, in their order; where they stood is not kept |
| several children of one name | a list, in their order; names in `force_list` are always lists |
| namespaces | names as they are written, `soap:Body`; the declarations are attributes, `@xmlns:soap` |
| CDATA, character references | their text |
| comments, processing instructions | nothing |

Text that is white space only counts as none; all other text keeps its white space. What is written is read as the same
value again, as far as it is made of objects, lists, texts and null.

Read by expat, whose handlers stop it in the middle of a document: at a document type declaration, so that there are no
entities and nothing is fetched, and at the limits of depth and size. lxml, which was measured against it, is as fast,
but keeps every name that it has read for as long as the thread lives, 17 MB for a hostile document of 10 MB, and tells
prefixes and declarations only at a cost.
"""

import re
from collections.abc import Collection
from typing import Any
from xml.parsers import expat

from connectors.formats.faults import MAX_DEPTH, MalformedBody, UnwritableValue, count_keys, too_deep
from connectors.formats.json import dump
from connectors.formats.media import CHARSETS, decoded

MAX_NODES = 180_000
"""Elements and attributes of a document: what is read in a third of a second."""

MAX_EQUALS = 250_000
"""Equals signs, text included. Expat reads all attributes of an element before it lets anybody count them."""

_TEXT_BUFFER = 1 << 16
_DECLARED = re.compile(rb"""<\?xml\s[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,40})["']""")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0", "utf-16-le"),  # no mark, but nothing else begins like this
    (b"\0<", "utf-16-be"),
)
_PIECE = re.compile(
    r"""<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?:[^"'>]++|"[^"]*+"|'[^']*+')++>|[^<]++""", re.DOTALL
)
_NAME_START = "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"  # noqa: E501
_NC_NAME = rf"[{_NAME_START}][{_NAME_START}\-.0-9\u00b7\u0300-\u036f\u203f\u2040]*+"
_NAME = re.compile(rf"(?:({_NC_NAME}):)?({_NC_NAME})\Z")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})


def parse(body: bytes, charset: str = "", force_list: Collection[str] = ()) -> dict[str, Any]:
    """The value of an XML document. The order of authority is RFC 7303's: byte order mark, `charset`, declaration.

    `charset` is one of CHARSETS or ""; `force_list` holds names of elements. Raises MalformedBody.
    """
    source = _source(body, charset)
    equals = source.count("=") if isinstance(source, str) else source.count(b"=")
    if equals > MAX_EQUALS:
        raise _too_much(f"{MAX_EQUALS:,} equals signs")
    reader = _Reader(frozenset(force_list))
    try:
        reader.new_parser().Parse(source, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "it is not well-formed")
        raise MalformedBody(
            f"The body is not XML: {reason} (line {error.lineno}, column {error.offset + 1})."
        ) from None
    count_keys(reader.document)  # for the depth, to which lists add
    return reader.document


def dump_document(value: Any) -> bytes:
    """The XML document, in UTF-8, of an object with one key. Raises UnwritableValue."""
    if not isinstance(value, dict) or len(value) != 1:
        raise UnwritableValue("XML is written from an object with one key, which becomes the document's root element.")
    [(name, content)] = value.items()
    if isinstance(content, list | tuple):
        raise UnwritableValue("The document's root element is one element, not a list.")
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(parts, name, content, frozenset({"xml"}), 1)
    return "".join(parts).encode()


def indented(body: bytes, charset: str = "") -> str:
    """A document for people: each element on a line of its own where no text stands beside it. Raises MalformedBody."""
    parse(body, charset)  # what is well-formed has pieces that end
    source = _source(body, charset)
    text = source if isinstance(source, str) else source.decode()
    lines: list[str] = []
    depth = 0
    before = ""
    for piece in _PIECE.findall(text):
        if _is_space(piece) and not before.startswith("<!["):
            continue
        is_end = piece.startswith("</")
        depth -= is_end
        in_line = not _is_tag(piece) or (before and not _is_tag(before)) or (is_end and _opens(before))
        if in_line and lines:
            lines[-1] += piece
        else:
            lines.append(f"{'  ' * depth}{piece}")
        depth += _opens(piece)
        before = piece
    return "\n".join(lines)


class _Reader:
    """One document. A frame of the stack is an open element: its members, and the pieces of its text."""

    def __init__(self, force_list: frozenset[str]) -> None:
        self.document: dict[str, Any] = {}
        self._force_list = force_list
        self._stack: list[tuple[dict[str, Any], list[str]]] = [(self.document, [])]
        self._text = self._stack[0][1]
        self._nodes = 0

    def new_parser(self) -> Any:
        """Not kept: it refers to its handlers, and what goes round in circles is not freed at once."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = _TEXT_BUFFER
        parser.ordered_attributes = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def _refuse_doctype(self, *_: Any) -> None:
        raise MalformedBody("The body has a document type declaration (DTD), which is not read here.")

    def _start(self, name: str, attributes: list[str]) -> None:
        self._nodes += 1 + len(attributes) // 2
        if self._nodes > MAX_NODES:
            raise _too_much(f"{MAX_NODES:,} elements and attributes")
        if len(self._stack) > MAX_DEPTH:
            raise too_deep()
        members: dict[str, Any] = {}
        for number in range(0, len(attributes), 2):
            members[f"@{attributes[number]}"] = attributes[number + 1]
        self._text = []
        self._stack.append((members, self._text))

    def _characters(self, text: str) -> None:
        self._text.append(text)

    def _end(self, name: str) -> None:
        members, pieces = self._stack.pop()
        text = "".join(pieces)
        value: Any = members or None
        if text and not _is_space(text):
            if members:
                members["#text"] = text
            else:
                value = text
        parent, self._text = self._stack[-1]
        if name not in parent:
            parent[name] = [value] if name in self._force_list else value
        elif isinstance(known := parent[name], list):
            known.append(value)
        else:
            parent[name] = [known, value]


def _is_space(text: str) -> bool:
    return not text.strip(" \t\r\n")


def _is_tag(piece: str) -> bool:
    return piece.startswith("<") and not piece.startswith("<![")


def _opens(piece: str) -> bool:
    return _is_tag(piece) and not piece.startswith(("</", "<!", "<?")) and not piece.endswith("/>")


def _source(body: bytes, charset: str) -> bytes | str:
    """UTF-8 as it is, since expat checks it; everything else as text."""
    if not body.strip():
        raise MalformedBody("The body is empty; an XML document was expected.")
    for mark, marked in _MARKS:
        if body.startswith(mark):
            return body[3:] if marked == "utf-8" else decoded(body, marked)
    if not charset and (declared := _DECLARED.match(body[:400])):
        charset = declared[1].decode().lower()
        if charset not in CHARSETS:
            raise MalformedBody(f"The body declares the encoding {charset}, which is not read here.")
    return body if charset in ("", "utf-8", "utf8", "us-ascii", "ascii") else decoded(body, charset)


def _too_much(what: str) -> MalformedBody:
    return MalformedBody(f"The body holds more than {what}.")


def _write(parts: list[str], name: str, value: Any, prefixes: frozenset[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnwritableValue(f"The value is nested deeper than {MAX_DEPTH} levels.")
    if not isinstance(value, dict):
        _check_name(name, prefixes, name)
        text = _escaped(value, _TEXT, name)
        parts.append(f"<{name}>{text}</{name}>" if text else f"<{name}/>")
        return
    attributes = {key[1:]: item for key, item in value.items() if isinstance(key, str) and key[:1] == "@"}
    prefixes |= {key[6:] for key in attributes if key.startswith("xmlns:")}
    _check_name(name, prefixes, name)
    parts.append(f"<{name}")
    for key, item in attributes.items():
        _check_name(key, prefixes, f"@{key}")
        parts.append(f' {key}="{_escaped(item, _ATTRIBUTE, f"@{key}")}"')
    parts.append(">")
    for key, item in value.items():
        if key == "#text":
            parts.append(_escaped(item, _TEXT, key))
        elif not isinstance(key, str) or key[:1] != "@":
            for one in item if isinstance(item, list | tuple) else [item]:
                _write(parts, key, one, prefixes, depth + 1)
    parts.append(f"</{name}>")


def _check_name(name: Any, prefixes: frozenset[str], key: Any) -> None:
    found = _NAME.match(name) if isinstance(name, str) else None
    if found is None:
        raise UnwritableValue(f"{str(key)[:100]!r} cannot be the name of an XML element or attribute.")
    if found[1] and found[1] != "xmlns" and found[1] not in prefixes:
        raise UnwritableValue(
            f"The prefix of {key[:100]!r} is not declared; a field @xmlns:{found[1][:100]} does that."
        )


def _escaped(value: Any, escapes: dict[int, str], key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        raise UnwritableValue(f"{key[:100]!r} is a list or an object where XML has a text.")
    text = value if isinstance(value, str) else dump(value).decode()
    if _NOT_XML.search(text):
        raise UnwritableValue(f"{key[:100]!r} holds a character that XML does not have.")
    return text.translate(escapes)
