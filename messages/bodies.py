"""Reads a request's body: at most the limit, before any other work is done on it."""

from django.http import HttpRequest

from connectors import formats
from messages import cloud_events
from messages.exceptions import Refused
from messages.problems import RETRY_AFTER_UNREACHABLE, Problem

MAX_CONTENT_TYPE = 255
ACCEPTED = {"Accept-Post": ", ".join((formats.JSON, formats.XML, formats.FORM, formats.CSV, cloud_events.STRUCTURED))}
UNREAD = "platform.unread"
"""In the environ: the server has left the body where it is, since it knew no reason to read it."""
REFUSED = "platform.refused"
"""In the environ: the problem for which the server has refused the body, which is for the views to say and to keep."""
WANTED = "platform.wanted"
"""… and there is one: it reads the body and calls the application again, whatever the answer was."""


def read_body(http: HttpRequest, *, limit: int) -> bytes:
    """The whole body as it was sent. Raises 413, 415 or 400; of a body that is too large, the rest is not read."""
    if http.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        detail = "Compressed bodies are not accepted."
        raise Problem("unsupported-media-type", detail, headers={"Accept-Encoding": "identity"})
    _check_type(http.headers.get("Content-Type", ""))
    announced = http.META.get("CONTENT_LENGTH") or ""
    chunked = bool(http.META.get("platform.chunked"))
    if _is_announced_larger(http, limit):
        raise _too_large(limit)
    ask_for_body(http, limit=limit)
    body = _read(http, limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    if not chunked and announced.isdecimal() and len(body) < int(announced):
        raise Problem("malformed-body", "The body is shorter than its Content-Length says.")
    return bytes(body)


def ask_for_body(http: HttpRequest, *, limit: int) -> None:
    """Where the server has left a body that may be read: begins anew with it. To be asked before anything is spent."""
    if http.META.get(UNREAD) and not _is_announced_larger(http, limit):
        http.META[WANTED] = True
        raise Problem("unavailable", "The body was not read.", headers={"Retry-After": RETRY_AFTER_UNREACHABLE})


def _is_announced_larger(http: HttpRequest, limit: int) -> bool:
    announced = http.META.get("CONTENT_LENGTH") or ""
    return announced.isdecimal() and int(announced) > limit and not http.META.get("platform.chunked")


def _read(http: HttpRequest, count: int) -> bytes:
    """The first `count` bytes; asked again, when the configuration changed meanwhile, it goes on where it stood."""
    read: bytes = getattr(http, "read_bytes", b"")
    try:
        read += http.read(max(0, count - len(read)))
    except OSError as error:  # the sender went away, or its connection broke
        raise Problem("malformed-body", "The body broke off before its end.") from error
    http.read_bytes = read  # type: ignore[attr-defined]
    return read


def _check_type(header: str) -> None:
    """What `formats.read` reads; nothing said is taken for JSON."""
    if len(header) > MAX_CONTENT_TYPE:  # it is kept with the message, and a part of it could mean something else
        raise Problem("malformed-header", f"Content-Type has at most {MAX_CONTENT_TYPE} characters.")
    try:
        cloud_events.check_type(header)
        formats.check_readable(header)
    except Refused as refused:
        raise Problem(refused.slug, refused.detail, headers=ACCEPTED) from None
    except formats.UnknownFormat as error:
        raise Problem("unsupported-media-type", str(error), headers=ACCEPTED) from None


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"The body is larger than this route's limit of {limit} bytes.")
