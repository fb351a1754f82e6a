"""What is neither shown nor kept as it came: secrets, known by their names or by their values. Pure."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

SECRET = re.compile(
    r"authorization|cookie|signature|secret|token|passw|hmac|credential|session|assertion|(^|[-_])auth($|[-_])"
    r"|(api|access|auth|private|subscription|functions)[-_]?key|^(key|sig|pwd)$",
    re.IGNORECASE,
)
REDACTED = "[redacted]"
SHORTEST = 8
"""A shorter secret may stand in a text by chance."""


def redacted(headers: Iterable[tuple[str, str]], *, also: Collection[str] = ()) -> list[list[str]]:
    """`headers` as storable pairs, the values of secret ones (and of those named in `also`, lower case) masked."""
    return [[name, REDACTED if SECRET.search(name) or name.lower() in also else value] for name, value in headers]


def masked_url(url: str) -> str:
    """An address without the values of its query that are secret by their names; placeholders for values stay."""
    address, mark, query = url.partition("?")
    return address + mark + "&".join(_masked(pair) for pair in query.split("&"))


def secret_parameters(url: str) -> list[str]:
    """The names in an address's query whose values are secret, and written out."""
    query = url.partition("?")[2].split("&")
    return [unquote_plus(pair.partition("=")[0]) for pair in query if _masked(pair) != pair]


def _masked(pair: str) -> str:
    name, equals, value = pair.partition("=")
    given = value and not (value.startswith("{") and not value.startswith("{{"))
    return f"{name}{equals}{REDACTED}" if given and SECRET.search(unquote_plus(name)) else pair


def hide(named: Mapping[str, Any], stored: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Names and texts, as they are shown, and the values that are not; REDACTED stands for the value in `stored`."""
    shown, hidden = dict(named), {}
    for name, value in named.items():
        if value == REDACTED and name in stored:
            hidden[name] = stored[name]
        elif isinstance(value, str) and value != REDACTED and SECRET.search(name):
            shown[name], hidden[name] = REDACTED, value
    return shown, hidden


def without(body: bytes, secrets: Collection[str]) -> bytes:
    """`body` without `secrets`, also where they are written as in JSON or in an address."""
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        for written in {secret, quote(secret, safe=""), quote_plus(secret), *_in_json(secret)}:
            body = body.replace(written.encode(), REDACTED.encode())
    return body


def _in_json(secret: str) -> set[str]:
    texts = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return texts | {text.replace("/", "\\/") for text in texts}
