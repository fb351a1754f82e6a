"""The admin's pages and its static files are compressed; what is answered to source applications never is.

Compressed pages that hold a secret next to what a foreigner chose tell it by their length (BREACH). Django masks the
CSRF token anew on each page and pads the stream by a random length; no other secret is in a page.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

STATIC = "/static/"
PLACES = ("/admin/", STATIC)
TEXTS = ("text/", "application/json", "application/javascript", "image/svg+xml")


class AdminGZipMiddleware(GZipMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        """The tag of a compressed file comes back as the weak one that it went out as; files know theirs as strong."""
        if request.path.startswith(STATIC) and "HTTP_IF_NONE_MATCH" in request.META:
            request.META["HTTP_IF_NONE_MATCH"] = request.META["HTTP_IF_NONE_MATCH"].removeprefix("W/")

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Whole answers only: a part of a file is a part of what it is, not of what it would be compressed."""
        is_text = response.get("Content-Type", "").startswith(TEXTS)
        if request.method != "GET" or response.status_code == 206 or not is_text:
            return response
        return super().process_response(request, response) if request.path.startswith(PLACES) else response
