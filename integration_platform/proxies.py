"""Who may speak for somebody else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from messages.addresses import is_proxy, parsed

FORWARDED = tuple(f"HTTP_X_FORWARDED_{part}" for part in ("FOR", "PROTO", "HOST", "PORT"))


class TrustedProxiesMiddleware:
    """Removes X-Forwarded-* from requests that do not come from TRUSTED_PROXIES, before anybody reads them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_proxy(parsed(request.META.get("REMOTE_ADDR", ""))):
            for name in FORWARDED:
                request.META.pop(name, None)
        return self._get_response(request)
