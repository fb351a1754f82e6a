"""What a caller asks for in headers and query: Prefer, Idempotency-Key, ?wait."""

import re
from dataclasses import dataclass

from django.http import HttpRequest

from messages.problems import Problem

MAX_KEY = 255
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,3})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Preferences:
    """RFC 7240: what is not understood is ignored."""

    respond_async: bool = False
    wait: float | None = None


def preferences(http: HttpRequest) -> Preferences:
    """Several header lines arrive joined by commas; the first of equal names counts."""
    found: dict[str, str] = {}
    for entry in http.headers.get("Prefer", "").split(","):
        name, _, value = entry.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = found.get("wait", "")
    return Preferences("respond-async" in found, float(wait) if _SECONDS.match(wait) else None)


def idempotency_key(http: HttpRequest) -> str | None:
    """The Idempotency-Key header, quoted (as the IETF draft has it) or bare. Raises the 400 problem."""
    text = http.headers.get("Idempotency-Key")
    if text is None:
        return None
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise Problem("malformed-header", f"Idempotency-Key holds 1 to {MAX_KEY} printable characters.")
    return key


def wait_seconds(http: HttpRequest, *, maximum: float) -> float:
    """`?wait=N` of the result address, at most `maximum`; 0 without it. Raises the 400 problem for anything else."""
    text = http.GET.get("wait", "0")
    if not _SECONDS.match(text):
        raise Problem("malformed-request", "wait is a number of seconds.")
    return min(float(text), maximum)
