"""Where a request came from."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NOBODY = "unknown"
_WITH_PORT = re.compile(r"\A(?:([0-9.]+)|\[([0-9a-fA-F:.]+)\]):[0-9]{1,5}\Z")


def client_address(http: HttpRequest) -> str | None:
    address = address_of(http.META)
    return None if address is None else str(address)


def address_of(environ: Mapping[str, Any]) -> Address | None:
    """The caller's address; X-Forwarded-For counts only behind TRUSTED_PROXIES, and from the right.

    Each proxy appends whom it saw. Going leftwards, the first address that is no proxy of ours is the caller; what
    stands before it was written by the caller and proves nothing.
    """
    address = parsed(environ.get("REMOTE_ADDR", ""))
    forwarded = [parsed(part) for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while is_proxy(address) and forwarded:
        before = forwarded.pop()
        if before is None:
            break
        address = before
    return address


def network_of(environ: Mapping[str, Any]) -> str:
    """Who counts as one: the caller's address, or of the sixth version the /64 that a customer has to choose from."""
    address = address_of(environ)
    if address is None:
        return NOBODY
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def is_proxy(address: Address | None) -> bool:
    """Whether it may speak for somebody else."""
    return address is not None and any(address in network for network in settings.TRUSTED_PROXIES)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Address | None:
    """None where it is no address. Some proxies write the caller's port behind it.

    A server that listens on both versions at once writes the fourth into the sixth.
    """
    try:
        address = ipaddress.ip_address(_WITH_PORT.sub(r"\1\2", text.strip()).strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
