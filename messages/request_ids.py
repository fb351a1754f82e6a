"""A name for each request, by which a caller and support staff can speak of it: `X-Request-ID`.

It is the caller's own where that is usable, else one is made. Every answer of the platform carries it; a rejection
keeps it, and of a message the caller's own is kept with its headers.
"""

import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}\Z")


def request_id_of(http: HttpRequest) -> str:
    """The same whenever it is asked for."""
    known: str | None = getattr(http, "request_id", None)
    if known is None:
        known = http.request_id = usable(http.headers.get(HEADER, ""))  # type: ignore[attr-defined]
    return known


def usable(sent: str) -> str:
    """What a caller sent, if it is usable, or a new one."""
    return sent if _SANE.match(sent) else str(uuid4())


class RequestIdMiddleware:
    """The outermost one, so that answers which other middleware gives carry the id, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response[HEADER] = request_id_of(request)
        return response
