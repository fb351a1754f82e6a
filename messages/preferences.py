"""What a caller asks for in headers and query: Prefer, Idempotency-Key, ?wait."""

import re
from dataclasses import dataclass

from django.http import HttpRequest

from messages.problems import Problem

MAX_KEY = 255
KEY_RULE = (
    f"Idempotency-Key holds one key of 1 to {MAX_KEY} printable ASCII characters: a quoted string, or bare and then "
    "without quotes, commas and semicolons."
)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,3})?\Z", re.ASCII)
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\Z)'
# possessive, so that no header is read slowly; a quoted string may hold the commas and semicolons that separate
_ENTRY = re.compile(rf'(?:{_QUOTED}|[^",])++', re.DOTALL)
# a string of structured fields (RFC 9651, 3.3.3), or bare: then without what would make a list or parameters of it
_KEY_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])++)"\Z')
_KEY_BARE = re.compile(r"[!#-+\--:<-~](?:[ !#-+\--:<-~]*[!#-+\--:<-~])?\Z")
_PREFERENCE = re.compile(rf'\s*+([^\s"=;,]++)\s*+(?:=\s*+({_QUOTED}|[^\s";,]*+))?+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Preferences:
    """RFC 7240: what is not understood is ignored."""

    respond_async: bool = False
    wait: float | None = None

    def applied(self, *, waits: bool, later: bool) -> str:
        """Preference-Applied of an answer that was waited for, or that says that the result comes later."""
        honoured = ["respond-async"] if self.respond_async and later else []
        if self.wait is not None and waits:
            honoured.append(f"wait={self.wait:.3f}".rstrip("0").rstrip("."))
        return ", ".join(honoured)


def preferences(http: HttpRequest) -> Preferences:
    """Several header lines arrive joined by commas; the first of equal names counts."""
    found: dict[str, str] = {}
    for entry in _ENTRY.findall(http.headers.get("Prefer", "")):
        if preference := _PREFERENCE.match(entry):
            found.setdefault(preference[1].lower(), _unquoted(preference[2] or ""))
    wait = found.get("wait", "")
    return Preferences("respond-async" in found, float(wait) if _SECONDS.match(wait) else None)


def idempotency_key(http: HttpRequest) -> str | None:
    """The Idempotency-Key header, quoted (as the IETF draft has it) or bare. Raises the 400 problem.

    An empty value is no key, nor is one beyond ASCII, of which some servers hand over nothing. Several lines arrive
    joined by commas: that is a list, and nobody could say which of its keys is meant.
    """
    text = http.headers.get("Idempotency-Key")
    if text is None:
        return None
    text = text.strip(" \t")
    if quoted := _KEY_STRING.match(text):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = text if _KEY_BARE.match(text) else ""
    if not 0 < len(key) <= MAX_KEY:
        raise Problem("malformed-header", KEY_RULE)
    return key


def wait_seconds(http: HttpRequest, *, maximum: float) -> float:
    """`?wait=N` of the result address, at most `maximum`; 0 without it. Raises the 400 problem for anything else."""
    text = http.GET.get("wait", "0")
    if not _SECONDS.match(text):
        raise Problem("malformed-request", "wait is a number of seconds.")
    return min(float(text), maximum)


def _unquoted(text: str) -> str:
    """What a quoted string says (RFC 9110, 5.6.4); anything else as it is."""
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
