"""Idempotency keys that came to this process lately, so that a repeat costs a look and no write.

Only a hint about what was committed: who is not remembered is found by the unique key of the table. A message's row,
its key and its digest are for good, so what is remembered stays true; it is forgotten after a minute all the same, for
a database may be restored under a process.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from messages.models import Message

KEPT = 10_000
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class First:
    """The message that has the key."""

    correlation_id: UUID
    body_digest: bytes
    until: float


class Repeats:
    """The newest KEPT keys of all routes, each for SECONDS. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._firsts: OrderedDict[tuple[int, str], First] = OrderedDict()

    def note(self, message: Message) -> None:
        """To be called once it has been committed; a message without a key is none of ours."""
        if message.idempotency_key is None:
            return
        key = message.route_id, message.idempotency_key
        first = First(message.correlation_id, bytes(message.body_digest), time.monotonic() + SECONDS)
        with self._lock:
            self._firsts[key] = first
            self._firsts.move_to_end(key)
            if len(self._firsts) > KEPT:
                self._firsts.popitem(last=False)

    def first_of(self, route_id: int, key: str) -> First | None:
        with self._lock:
            first = self._firsts.get((route_id, key))
        return None if first is None or first.until < time.monotonic() else first

    def clear(self) -> None:
        """For tests that replace the database under a process."""
        with self._lock:
            self._firsts.clear()


repeats = Repeats()
