"""HTTPS_ONLY, for requests that change something."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from messages import problems

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # Django's SecurityMiddleware redirects these


class HttpsOnlyMiddleware:
    """Refuses what would have to be sent again: whoever pushes by plain http is told so, and nothing is taken."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SECURE_SSL_REDIRECT and request.method not in SAFE and not request.is_secure():
            return problems.plain_http(request)
        return self._get_response(request)
