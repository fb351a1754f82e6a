"""Content types: what a body says that it is."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from connectors.formats.faults import MalformedBody

JSON = "application/json"
XML = "application/xml"
FORM = "application/x-www-form-urlencoded"
CSV = "text/csv"
TSV = "text/tab-separated-values"
READ_CHARACTERS = 8192

# type/subtype, and parameters as RFC 9110 (5.6.6) writes them; possessive, so that no header is read slowly
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_ESSENCE = re.compile(rf"\s*+({_NAME}/{_NAME})\s*+(?=;|\Z)")
_PARAMETER = re.compile(rf""";\s*+(?:({_NAME})\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;"]*+))?+[^;]*+""", re.DOTALL)
# what texts are read by; a list, since Python's codecs also know names that are no charsets (idna, unicode_escape),
# raise other errors than for wrong bytes, and remember every unknown name for ever
CHARSETS = frozenset(
    [f"iso-8859-{part}" for part in range(1, 17) if part != 12]
    + [f"{family}{page}" for family in ("windows-", "cp") for page in range(1250, 1259)]
    + ["utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "us-ascii", "ascii"]
    + ["latin1", "koi8-r", "koi8-u", "macintosh", "cp437", "cp850", "cp932", "cp936", "cp949", "shift_jis", "euc-jp"]
    + ["iso-2022-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr"]
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """`essence` is type/subtype in lower case, without parameters; "" when the header was empty or unreadable.

    `parameters` are all but the charset, names in lower case, the first of equal names.
    """

    essence: str
    charset: str
    parameters: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_json(self) -> bool:
        return self.essence in (JSON, "text/json") or self.essence.endswith("+json")

    @property
    def is_xml(self) -> bool:
        return self.essence in (XML, "text/xml") or self.essence.endswith("+xml")

    @property
    def is_form(self) -> bool:
        return self.essence == FORM

    @property
    def is_csv(self) -> bool:
        return self.essence in (CSV, TSV)


def media_type(header: str) -> MediaType:
    """Reads a Content-Type header; what cannot be read, or is beyond READ_CHARACTERS, counts as not being there."""
    return _read(header[:READ_CHARACTERS])


@lru_cache(maxsize=256)
def _read(header: str) -> MediaType:
    found = _ESSENCE.match(header)
    if found is None:
        return MediaType("", "")
    parameters: dict[str, str] = {}
    for name, value in _PARAMETER.findall(header, found.end()):
        if name:
            parameters.setdefault(name.lower(), value.strip())
    charset = parameters.pop("charset", "").strip("\"'").lower()
    return MediaType(found[1].lower(), charset, {name: _unquoted(value) for name, value in parameters.items()})


def decoded(body: bytes, charset: str) -> str:
    """The text of a body in one of CHARSETS, without its byte order mark. Raises MalformedBody."""
    try:
        return body.decode(charset).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not {charset.upper()}.", error.start) from None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value
