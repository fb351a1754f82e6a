"""Request bodies without a Content-Length (Transfer-Encoding: chunked)."""

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def with_chunked_bodies(application: Application, *, limit: int) -> Application:
    """Lets Django read chunked bodies, of which it sees nothing by itself: it reads as much as Content-Length says.

    Servers that end `wsgi.input` themselves (granian, gunicorn: `wsgi.input_terminated`) need no length, so Django is
    told one more than the largest body (`limit`, in bytes) and reads until the stream ends. `messages/bodies.py` knows
    by `platform.chunked` that the length was never announced.
    """

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            environ["CONTENT_LENGTH"] = str(limit + 1)
            environ["platform.chunked"] = True
        return application(environ, start_response)

    return call
