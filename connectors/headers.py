"""Header names and values: what may be sent."""

import re

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")  # RFC 9110, section 5.6.2
FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, section 5.5: controls except tab

# These belong to the connection or to the message's framing; the transport alone decides on them.
RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-connection", "proxy-authenticate"}
)


def check_header(name: str, value: str) -> str | None:
    """What is wrong with a header that somebody configured, or None."""
    if not TOKEN.match(name):
        return "This is not a header's name."
    if name.lower() in RESERVED:
        return "This header is set by the platform itself."
    if FORBIDDEN_IN_VALUE.search(value):
        return "A header's value must not hold control characters."
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "A header's value has ASCII or Latin-1 letters only."
    return None
