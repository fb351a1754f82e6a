"""What saving an endpoint warns about: it is allowed, and will hardly do what was meant."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from connectors.choices import Method
from connectors.models import Endpoint
from connectors.networks import refusal
from connectors.templates import compile_template

PORTS = {"https": 443, "http": 80}


def advice(endpoint: Endpoint) -> list[str]:
    """Sentences; none for an endpoint that looks right."""
    return [sentence for sentence in (private_address(endpoint.url), nothing_sent(endpoint)) if sentence]


def private_address(url: str) -> str | None:
    """For an address written as a number that would be refused; names are judged when they are called."""
    parts = urlsplit(url)
    try:
        address = ipaddress.ip_address("127.0.0.1" if parts.hostname == "localhost" else parts.hostname or "")
    except ValueError:
        return None
    reason = refusal(address, parts.port or PORTS.get(parts.scheme, 80), settings.OUTBOUND_ALLOWED_NETWORKS)
    return f"Calls to it will be refused: {reason}." if reason else None


def nothing_sent(endpoint: Endpoint) -> str | None:
    """For a method without a body, where no value of the message stands elsewhere."""
    if endpoint.method not in (Method.GET, Method.DELETE):
        return None
    if any(compile_template(text).paths for text in texts(endpoint)):
        return None
    return (
        f"{endpoint.method} sends no body, and no value of the message stands in the address, the query or a header, "
        "such as {order.id}: the destination learns nothing of it."
    )


def texts(endpoint: Endpoint) -> Iterator[str]:
    yield endpoint.url
    for pairs in (endpoint.query_parameters, endpoint.headers):
        yield from (pairs or {}).values()
