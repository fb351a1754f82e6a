"""What saving an endpoint warns about: it is allowed, and will hardly do what was meant."""

import ipaddress

from django.conf import settings

from connectors.choices import Method
from connectors.models import Endpoint
from connectors.networks import refusal
from connectors.templates import RequestTemplate
from connectors.transport import target_of


def advice(endpoint: Endpoint) -> list[str]:
    """Sentences; none for an endpoint that looks right."""
    return [sentence for sentence in (private_address(endpoint.url), nothing_sent(endpoint)) if sentence]


def private_address(url: str) -> str | None:
    """For an address written as a number that would be refused; names are judged when they are called."""
    target = target_of(url)
    if target is None:
        return None
    try:
        address = ipaddress.ip_address("127.0.0.1" if target.hostname == "localhost" else target.hostname)
    except ValueError:
        return None
    reason = refusal(address, target.port, settings.OUTBOUND_ALLOWED_NETWORKS)
    return f"Calls to it will be refused: {reason}." if reason else None


def nothing_sent(endpoint: Endpoint) -> str | None:
    """For a method without a body, where no value of the message stands elsewhere."""
    if endpoint.method not in (Method.GET, Method.DELETE):
        return None
    if not RequestTemplate(endpoint.url, endpoint.query_parameters or {}, endpoint.headers or {}).is_constant:
        return None
    return (
        f"{endpoint.method} sends no body, and no value of the message stands in the address, the query or a header, "
        "such as {order.id}: the destination learns nothing of it."
    )
