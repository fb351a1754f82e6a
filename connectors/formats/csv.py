"""CSV → values (RFC 4180, 7111).

A list of rows. The first line names the columns, and each row is an object of texts by those names; with the
parameter `header=absent` of the media type, each row is a list of texts. The parameter `delimiter` names the sign
between cells (a sign, or `tab`); without it, it is that of `,` `;` tab and `|` that is most frequent in the first line,
outside quotes. Cells may stand in double quotes, with the quote itself doubled, and then hold delimiters and line
breaks. Lines end with CR, LF or both; empty lines count as none.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from connectors.formats.faults import MalformedBody, UnknownFormat
from connectors.formats.media import decoded

MAX_ROWS = 400_000
MAX_CELLS = 2_000_000
"""Counted as line ends and delimiters, also those inside quotes: what is read in a third of a second."""

MAX_COLUMNS = 20_000
"""With names: each row is an object of all of them."""

DELIMITERS = ",;\t|"
_DETECTED_LETTERS = 1 << 16
_NO_DELIMITERS = ('"', " ", "\r", "\n", "\0")
_QUOTED = re.compile(r'"[^"]*+(?:"|\Z)')
_FIRST_LINE = re.compile(r'[\r\n]*+(?:[^"\r\n]++|"[^"]*+(?:"|\Z))*+')
# the reader's own limit of a cell is one for the whole process, and small; how long a body may be is decided elsewhere
csv.field_size_limit(2**31 - 1)


def parse(body: bytes, charset: str = "", parameters: Mapping[str, str] | None = None) -> list[Any]:
    """The rows. Raises MalformedBody, and UnknownFormat for parameters that mean nothing here."""
    has_header, delimiter = check_parameters(parameters or {})
    text = text_of(body, charset)
    if not text.strip():
        raise MalformedBody("The body is empty; CSV was expected.")
    delimiter = delimiter or _detected(text)
    if text.count(delimiter) > MAX_CELLS:
        raise MalformedBody(f"The body holds more than {MAX_CELLS:,} cells.")
    if max(text.count("\n"), text.count("\r")) > MAX_ROWS:
        raise MalformedBody(f"The body holds more than {MAX_ROWS:,} rows.")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if not has_header:
            return [row for row in rows if row]
        return _with_names(rows)
    except csv.Error as error:
        raise MalformedBody(f"The body is not CSV: {error} (line {rows.line_num}).") from None


def text_of(body: bytes, charset: str = "") -> str:
    """The text of a body, UTF-8 where nothing else is said or marked. Raises MalformedBody."""
    return decoded(body, "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else charset or "utf-8")


def check_parameters(parameters: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the first line names the columns, and the delimiter, "" if it is not said. Raises UnknownFormat."""
    header = parameters.get("header", "present").lower()
    if header not in ("present", "absent"):
        raise UnknownFormat("The parameter header of CSV is present or absent.")
    delimiter = parameters.get("delimiter", "")
    if delimiter.lower() in ("tab", "\\t"):
        delimiter = "\t"
    if len(delimiter) > 1 or delimiter in _NO_DELIMITERS:
        raise UnknownFormat("The parameter delimiter of CSV is one sign, or tab.")
    return header == "present", delimiter


def _with_names(rows: Any) -> list[dict[str, str]]:
    names: list[str] = next(row for row in rows if row)
    if len(names) > MAX_COLUMNS:
        raise MalformedBody(f"The body holds more than {MAX_COLUMNS:,} columns.")
    if len(set(names)) != len(names):
        [(double, _)] = Counter(names).most_common(1)
        raise MalformedBody(f"The column {double[:100]!r} occurs twice in the first line.")
    width = len(names)
    found = []
    for row in rows:
        if len(row) == width:
            found.append(dict(zip(names, row, strict=True)))
        elif row:
            cells = f"{len(row)} cells where the first line has {width} (line {rows.line_num})"
            raise MalformedBody(f"The body is not CSV: {cells}.")
    return found


def _detected(text: str) -> str:
    """The most frequent delimiter of the first line; a comma where there is none."""
    first = _FIRST_LINE.match(text, 0, _DETECTED_LETTERS)
    line = _QUOTED.sub("", first[0]) if first else ""
    return max(DELIMITERS, key=line.count)
