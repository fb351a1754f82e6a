"""The WSGI application, for any WSGI server: granian, gunicorn, …"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_platform.settings")


def with_chunked_bodies(application: Application) -> Application:
    """Lets Django read bodies that come without a Content-Length (Transfer-Encoding: chunked).

    Django reads as many bytes as Content-Length says, which is none here. Servers that end `wsgi.input` themselves
    (granian, gunicorn: `wsgi.input_terminated`) need no length, so Django is told the largest one that may come and
    reads until the stream ends; `messages/bodies.py` knows by `platform.chunked` that the length was never announced.
    """

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            environ["CONTENT_LENGTH"] = str(settings.MAX_BODY_BYTES + 1)
            environ["platform.chunked"] = True
        return application(environ, start_response)

    return call


application = with_chunked_bodies(get_wsgi_application())
