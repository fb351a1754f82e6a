"""What a caller asks for in headers and query: Prefer, Idempotency-Key, ?wait."""

import re
from dataclasses import dataclass

from django.http import HttpRequest

from messages.problems import Problem

MAX_KEY = 255
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,3})?\Z", re.ASCII)
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\Z)'
# possessive, so that no header is read slowly; a quoted string may hold the commas and semicolons that separate
_ENTRY = re.compile(rf'(?:{_QUOTED}|[^",])++', re.DOTALL)
_PREFERENCE = re.compile(rf'\s*+([^\s"=;,]++)\s*+(?:=\s*+({_QUOTED}|[^\s";,]*+))?+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Preferences:
    """RFC 7240: what is not understood is ignored."""

    respond_async: bool = False
    wait: float | None = None


def preferences(http: HttpRequest) -> Preferences:
    """Several header lines arrive joined by commas; the first of equal names counts."""
    found: dict[str, str] = {}
    for entry in _ENTRY.findall(http.headers.get("Prefer", "")):
        if preference := _PREFERENCE.match(entry):
            found.setdefault(preference[1].lower(), _unquoted(preference[2] or ""))
    wait = found.get("wait", "")
    return Preferences("respond-async" in found, float(wait) if _SECONDS.match(wait) else None)


def idempotency_key(http: HttpRequest) -> str | None:
    """The Idempotency-Key header, quoted (as the IETF draft has it) or bare. Raises the 400 problem."""
    text = http.headers.get("Idempotency-Key")
    if text is None:
        return None
    key = _unquoted(text.strip())
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise Problem("malformed-header", f"Idempotency-Key holds 1 to {MAX_KEY} printable characters.")
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
