"""What holds for every answer, whichever view or middleware it comes from."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from messages import problems

PROBLEMS = {400: problems.bad_request, 403: problems.permission_denied, 404: problems.not_found}


class AnswersMiddleware:
    """No type for an answer without a body; and problem documents with DEBUG=1, too.

    Django shows pages with settings and stack traces then. In the admin they are for people who develop it; sources get
    the same answers as in production.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if settings.DEBUG and is_of_django(request, response):
            return PROBLEMS.get(response.status_code, problems.server_error)(request)
        if response.status_code == 204:
            del response["Content-Type"]
        return response


def is_of_django(request: HttpRequest, response: HttpResponse) -> bool:
    """An error that is neither a page of the admin, nor a document of ours, nor what a destination said."""
    return (
        response.status_code >= 400
        and response.get("Content-Type", "").startswith("text/")
        and "X-Correlation-ID" not in response
        and not request.path.startswith("/admin/")
    )
