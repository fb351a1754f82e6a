"""How much of a request's body is read before a thread looks at the request, by its address and its headers alone.

Whoever proves nothing gets nothing read: the view refuses it by what it has. The memory for bodies on their way is
divided into rooms, so that strangers take nothing from those who have proved who they are, and large bodies nothing
from small ones; in each room no address gets more than is still free, as in `messages.bulkhead`.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Self

from django.conf import settings
from django.http.request import HttpHeaders

from connectors.catalogue import catalogue
from messages.addresses import network_of
from messages.authentication import Trust, trust_in
from messages.problems import RETRY_AFTER_UNREACHABLE, Problem

SMALL_BYTES = 64 * 1024
MEBIBYTE = 1024 * 1024
ROOM_FOR_KNOWN, SMALL_ROOM_FOR_KNOWN = 128 * MEBIBYTE, 32 * MEBIBYTE
ROOM_FOR_OTHERS, SMALL_ROOM_FOR_OTHERS = 80 * MEBIBYTE, 16 * MEBIBYTE
_WEBHOOK = re.compile(r"/webhooks/([-\w]+)(?:/(?:sync|async))?/?\Z")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many bytes of a body are read, and whether its sender has proved who it is."""

    limit: int
    known: bool = False


NOTHING = Allowance(0)


def allowance(environ: Mapping[str, Any]) -> Allowance:
    """By what this process remembers of the configuration: whoever finds it out of date asks for the body again."""
    if environ["REQUEST_METHOD"] != "POST":
        return NOTHING
    path = environ["PATH_INFO"]
    if (webhook := _WEBHOOK.match(path)) is not None:
        return _of_webhook(environ, webhook[1])
    if path.startswith("/admin/"):
        return Allowance(settings.DATA_UPLOAD_MAX_MEMORY_SIZE if _has_session(environ) else SMALL_BYTES)
    return NOTHING


def _of_webhook(environ: Mapping[str, Any], slug: str) -> Allowance:
    known = catalogue.known()
    plan = None if known is None else known.by_slug.get(slug)
    if plan is None or not plan.enabled:
        return NOTHING
    trust = trust_in(HttpHeaders(environ), plan.credentials)
    return NOTHING if trust == Trust.NONE else Allowance(plan.max_body_bytes, trust == Trust.PROVEN)


def _has_session(environ: Mapping[str, Any]) -> bool:
    try:
        return settings.SESSION_COOKIE_NAME in SimpleCookie(environ.get("HTTP_COOKIE", ""))
    except CookieError:
        return False


class Room:
    """A number of bytes, or places, for many addresses. Touched by the event loop alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: Counter[str] = Counter()
        self._total = 0

    def has(self, address: str, count: int) -> bool:
        """Whether there is room. An address alone gets half of it, and of several each as much as is left free."""
        return self._taken[address] + count <= self._size - self._total - count

    def add(self, address: str, count: int) -> None:
        self._taken[address] += count
        self._total += count

    def take(self, address: str, count: int) -> bool:
        """`add`, if there is room."""
        if not self.has(address, count):
            return False
        self.add(address, count)
        return True

    def give_back(self, address: str, count: int) -> None:
        self._total -= count
        self._taken[address] -= count
        if not self._taken[address]:
            del self._taken[address]


class Rooms:
    """Those for bodies on their way: of known senders and of others, small ones and large ones."""

    def __init__(self) -> None:
        self._known = Room(SMALL_ROOM_FOR_KNOWN), Room(ROOM_FOR_KNOWN)
        self._others = Room(SMALL_ROOM_FOR_OTHERS), Room(ROOM_FOR_OTHERS)

    def arrival(self, environ: Mapping[str, Any], *, known: bool) -> "Arrival":
        return Arrival(network_of(environ), *(self._known if known else self._others))


class Arrival:
    """One body on its way, and the room that it takes until the end of the `with` block."""

    def __init__(self, address: str, small: Room, large: Room) -> None:
        self._address = address
        self._small, self._large = small, large
        self._room = small
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._room.give_back(self._address, self.size)
        self.size = 0

    def grow(self, count: int) -> None:
        """Raises the 503 problem where there is no room for `count` more bytes."""
        size = self.size + count
        room = self._small if size <= SMALL_BYTES else self._large
        if not room.take(self._address, count if room is self._room else size):
            detail = "Too many bodies are arriving at once. Try again."
            raise Problem("unavailable", detail, headers={"Retry-After": RETRY_AFTER_UNREACHABLE})
        if room is not self._room:
            self._room.give_back(self._address, self.size)
        self._room, self.size = room, size


Allowing = Callable[[Mapping[str, Any]], Allowance]
