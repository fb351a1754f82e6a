"""Problem documents (RFC 9457), for every error that leaves the platform."""

import logging
import sys
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation

from connectors import formats
from messages.database import UNREACHABLE, Seldom, first_line

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_UNREACHABLE = "5"

# slug: status and title; section 8 of the contract
PROBLEMS = {
    "malformed-body": (400, "The body cannot be read"),
    "malformed-header": (400, "A header cannot be read"),
    "malformed-request": (400, "The request cannot be read"),
    "authentication-failed": (401, "Authentication failed"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "request-timeout": (408, "The request took too long to arrive"),
    "in-progress": (409, "The first request with this key is still in progress"),
    "gone": (410, "No longer kept"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "invalid-payload": (422, "The payload is not valid"),
    "mapping-failed": (422, "The mapping failed"),
    "idempotency-mismatch": (422, "The key was used with another body"),
    "rate-limited": (429, "Too many requests"),
    "internal-error": (500, "Internal error"),
    "destination-refused": (502, "The destination refused the message"),
    "destination-failed": (502, "The destination failed"),
    "cancelled": (409, "The message was cancelled"),
    "paused": (503, "Paused"),
    "lane-blocked": (503, "The lane is blocked"),
    "circuit-open": (503, "The destination is not being called"),
    "unavailable": (503, "Temporarily unavailable"),
    "deadline-passed": (504, "The deadline passed"),
}


def type_of(slug: str) -> str:
    return f"/problems/{slug}"


@dataclass(eq=False)
class Problem(Exception):
    """An error as it is answered. Raised anywhere at the HTTP edge; `extra` members join the document.

    `evidence` never leaves: it is for support staff, in the rejection.
    """

    slug: str
    detail: str
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    evidence: str = ""

    @property
    def status(self) -> int:
        return PROBLEMS[self.slug][0]

    def document(self) -> dict[str, Any]:
        status, title = PROBLEMS[self.slug]
        return {"type": type_of(self.slug), "title": title, "status": status, "detail": self.detail, **self.extra}

    def response(self) -> HttpResponse:
        return HttpResponse(
            formats.dump(self.document()), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )


_complaint = Seldom()


def unreachable(error: Exception) -> Problem:
    """What is answered while the database is away. It may have committed before the connection broke: nobody knows."""
    if _complaint.now():
        log.error("The database cannot be reached; answering 503 (%s).", first_line(error))
    detail = "The database cannot be reached. Try again; what is sent with the same idempotency key is stored once."
    return Problem("unavailable", detail, headers={"Retry-After": RETRY_AFTER_UNREACHABLE})


class OneRepresentation(BaseContentNegotiation):
    """There is one representation of everything here, whatever a client says it accepts (RFC 9110, 12.4.1)."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """What DRF's views answer. An unforeseen error goes on to Django, which logs it and asks `server_error`."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, exceptions.APIException):
        slug = next(
            (slug for slug, (status, _) in PROBLEMS.items() if status == error.status_code), "malformed-request"
        )
        return Problem(slug, str(error.detail)).response()
    return None


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, Problem("malformed-request", "The request cannot be understood as it was sent."))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, Problem("forbidden", "This is not allowed."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, Problem("not-found", "There is nothing at this address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while it handles the error, whichever view or middleware that came from."""
    error = sys.exc_info()[1]
    if isinstance(error, UNREACHABLE):
        return _answer(request, unreachable(error))
    return _answer(request, Problem("internal-error", "The platform failed; the failure has been logged."))


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(request, Problem("forbidden", "The form has expired. Go back, reload the page and send it again."))


def plain_http(request: HttpRequest) -> HttpResponse:
    """Not a redirect: a client would follow it with GET and without the body, or send its secret once more."""
    detail = "This address takes what is sent by https only. Others may have read this; replace the secret in it."
    return _answer(request, Problem("forbidden", detail))


def _answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The admin's pages are for people; everything else gets the document."""
    if request.path.startswith("/admin/") and problem.status != 500:
        page = _page(request, problem)
        for name, value in problem.headers.items():
            page[name] = value
        return page
    return problem.response()


def _page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Within the shell for those who work in it, unless the database, which the shell asks, may be what failed."""
    context: dict[str, Any] = {"problem": problem.document()}
    if problem.status >= 500 or not (hasattr(request, "user") and admin.site.has_permission(request)):
        return render(request, "problem.html", context, status=problem.status)
    context |= {**admin.site.each_context(request), "title": problem.document()["title"]}
    return render(request, "admin/problem.html", context, status=problem.status)
