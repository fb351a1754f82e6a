"""Reads a request's body: at most the limit, before any other work is done on it."""

from django.http import HttpRequest

from connectors import formats
from messages.problems import Problem


def read_body(http: HttpRequest, *, limit: int) -> bytes:
    """The whole body as it was sent. Raises 413, 415 or 400; of a body that is too large, the rest is not read."""
    if http.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem("unsupported-media-type", "Compressed bodies are not accepted.")
    _check_type(http.headers.get("Content-Type", ""))
    announced = http.META.get("CONTENT_LENGTH") or ""
    chunked = bool(http.META.get("platform.chunked"))
    if announced.isdecimal() and int(announced) > limit and not chunked:
        raise _too_large(limit)
    try:
        body = http.read(limit + 1)
    except OSError as error:  # the sender went away, or its connection broke
        raise Problem("malformed-body", "The body broke off before its end.") from error
    if len(body) > limit:
        raise _too_large(limit)
    if not chunked and announced.isdecimal() and len(body) < int(announced):
        raise Problem("malformed-body", "The body is shorter than its Content-Length says.")
    return bytes(body)


def _check_type(header: str) -> None:
    """JSON, under any of its names; nothing said is taken for JSON, too."""
    kind = formats.media_type(header)
    if header.strip() and not kind.is_json:
        raise Problem("unsupported-media-type", "This route takes JSON: send Content-Type: application/json.")
    if kind.charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Problem("unsupported-media-type", "JSON is sent in UTF-8.")


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"The body is larger than this route's limit of {limit} bytes.")
